package clinit

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"backtowork/internal/journal"
	"backtowork/internal/script"
)

// rules is what an entry says to the machine of its process.
func (e Entry) rules(d Dialect) rules {
	o := e.Options
	return rules{
		mode: e.Mode, ready: o.Ready != "" && (e.Mode == Once || e.Mode == Respawn), stopTimeout: o.StopTimeout, hard: d == Isinit,
		backoff: o.Backoff, keepsLeft: o.KeepLeftover, perStart: d == Isinit,
	}
}

// startsAs says whether a process that was begun by an entry is what this one would begin. How it is stopped, and how
// long it rests, may be another.
func (e Entry) startsAs(begun Entry) bool {
	return e.Mode == begun.Mode && e.Command == begun.Command &&
		reflect.DeepEqual(e.Options.ofStart(), begun.Options.ofStart())
}

// ofStart is those of the options that matter when a command is begun.
func (o Options) ofStart() Options {
	o.StopSignal, o.StopTimeout, o.Backoff, o.ReadyTimeout, o.LogMax, o.KeepLeftover = 0, 0, 0, 0, 0, false
	return o
}

// signal is what a stop sends at a stage.
func (e Entry) signal(stage int) syscall.Signal {
	if stage == 0 {
		return e.Options.StopSignal
	}
	return syscall.SIGTERM
}

// flapping is what is said of an entry that respawns too rapidly, in the original's words.
func (e Entry) flapping(d Dialect) string {
	seconds := int(e.Options.Backoff.Seconds())
	if d == Isinit {
		return fmt.Sprintf("NAME: %s respawning too rapidly -- sleeping %d seconds", e.Tag, seconds)
	}
	return fmt.Sprintf("%s respawning too rapidly: sleeping %d seconds", e.Tag, seconds)
}

// special is the characters by which a command is one for a shell, as Perl's exec has it.
const special = "$&*(){}[]'\";\\|?<>~`\n"

// shell is what runs other commands than plain words.
const shell = "/bin/sh"

// argv is what a command runs: itself, if it is plain words; else a shell. A word with = in front of a command is the
// shell's business too, and so are exec and the dot.
func argv(line string) []string {
	words := strings.Fields(line)
	if strings.ContainsAny(line, special) || len(words) > 0 && strings.Contains(words[0], "=") ||
		len(words) > 1 && (words[0] == "exec" || words[0] == ".") {
		return []string{shell, "-c", line}
	}
	return words
}

// A Launcher knows what commands are begun with.
type Launcher struct {
	Hands   Hands
	Environ []string // the daemon's
	Output  *os.File // of entries that have no log of their own: "" for the daemon's

	mu   sync.Mutex
	logs map[string]int64 // files that were begun, and how long they become
}

// told are the variables that say to a command what it is.
var told = []string{"GROUP", "TAG", "LEVEL", "PREVLEVEL"}

// Start begins an entry's command, or its ready command, under a key. env says what it is.
func (l *Launcher) Start(key string, e Entry, line string, env ...string) (pid int, err error) {
	launch, err := l.launch(e, line, env)
	if err != nil {
		return 0, err
	}
	out, err := l.output(e)
	if err != nil {
		return 0, err
	}
	if out != nil {
		launch.Files[1], launch.Files[2] = out, out
		if out != l.Output {
			defer out.Close()
		}
	}
	pid, err = l.Hands.Start(key, launch)
	if errors.Is(err, syscall.ENOEXEC) { // a script that does not say what runs it
		launch.Argv = append([]string{shell}, launch.Argv...)
		pid, err = l.Hands.Start(key, launch)
	}
	return pid, err
}

func (l *Launcher) launch(e Entry, line string, env []string) (script.Launch, error) {
	o := e.Options
	launch := script.Launch{
		Argv: argv(line), Dir: o.Cwd, Umask: o.Umask, Nice: o.Nice,
		Files: [3]*os.File{nil, os.Stdout, os.Stderr},
	}
	for _, limit := range o.Limits {
		launch.Limits = append(launch.Limits, script.Limit(limit))
	}
	launch.Env = slices.DeleteFunc(slices.Clone(l.Environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(told, name)
	})
	launch.Env = append(launch.Env, env...)
	var err error
	if launch.Credential, err = o.credential(&launch.Env); err != nil {
		return launch, err
	}
	launch.Env = lastOfEach(append(launch.Env, o.Env...))
	launch.Argv[0], err = lookPath(launch.Argv[0], launch.Env)
	return launch, err
}

// lastOfEach is env with one value for each variable: that which was said last. Of two, programs take this or that.
func lastOfEach(env []string) (list []string) {
	at := map[string]int{}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if i, twice := at[name]; twice {
			list[i] = v
			continue
		}
		at[name] = len(list)
		list = append(list, v)
	}
	return list
}

// lookPath is where a program is, by the PATH that it will have itself. One with a slash is where it says, as seen
// from the directory that it will run in.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	found := fmt.Errorf("no program %q is in its PATH", name)
	for _, v := range env {
		list, isPath := strings.CutPrefix(v, "PATH=")
		if !isPath {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(cmp.Or(dir, "."), name)
			info, err := os.Stat(path)
			switch {
			case err != nil || info.IsDir():
			case info.Mode()&0o111 == 0:
				found = fmt.Errorf("%q: %w", path, syscall.EACCES)
			case !strings.Contains(path, "/"):
				return "./" + path, nil
			default:
				return path, nil
			}
		}
	}
	return "", found
}

// credential is who the command runs as; nil for who the daemon is.
func (o Options) credential(env *[]string) (*syscall.Credential, error) {
	if o.User == "" {
		return nil, nil
	}
	u, err := user.Lookup(o.User)
	if err != nil {
		if u, err = user.LookupId(o.User); err != nil {
			return nil, fmt.Errorf("there is no user %q", o.User)
		}
	}
	c := &syscall.Credential{}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	ids, _ := u.GroupIds()
	if o.Group != "" {
		g, err := user.LookupGroup(o.Group)
		if err != nil {
			if g, err = user.LookupGroupId(o.Group); err != nil {
				return nil, fmt.Errorf("there is no group %q", o.Group)
			}
		}
		gid, _ = strconv.ParseUint(g.Gid, 10, 32)
		ids = []string{g.Gid}
	}
	c.Uid, c.Gid = uint32(uid), uint32(gid)
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(n))
		}
	}
	*env = append(*env, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username)
	return c, nil
}

// output is where an entry's output goes; nil for where the daemon's goes. It is a file, or a socket of who keeps the
// log, and not a pipe of this daemon's: the command goes on writing when that is killed.
func (l *Launcher) output(e Entry) (*os.File, error) {
	switch e.Options.Log {
	case "":
		return l.Output, nil
	case "journal":
		return journalStream(e.Tag)
	case "syslog":
		return l.logger(e.Tag)
	}
	return l.file(e.Options)
}

// file opens an entry's log file. The daemon does not keep it open: there may be thousands.
func (l *Launcher) file(o Options) (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rotate(o.Log, o.LogMax)
	f, err := OpenLog(o.Log)
	if err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	if l.logs == nil {
		l.logs = map[string]int64{}
	}
	l.logs[o.Log] = o.LogMax
	return f, nil
}

// rotate shortens a log, if it is too long.
func (l *Launcher) rotate(path string, most int64) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() <= most {
		return
	}
	if f, err := OpenLog(path); err == nil {
		defer f.Close()
		journal.At(path, f).AtMost(most).Look()
	}
}

// OpenLog opens a log file, which is to be one: to open a pipe that nobody reads would hold up everything.
func OpenLog(path string) (*os.File, error) {
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0o644)
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("%q is a pipe that nobody reads", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), syscall.SetNonblock(fd, false)
}

// LookAtLogs rotates those that have become too long.
func (l *Launcher) LookAtLogs() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, most := range l.logs {
		l.rotate(path, most)
	}
}

// journalSocket is where journald takes streams: sd_journal_stream_fd(3).
const journalSocket = "/run/systemd/journal/stdout"

// journalStream is a stream to journald, which keeps what is written to it under a tag.
func journalStream(tag string) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: journalSocket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("its log: there is no journal here: %w", errors.Unwrap(err))
	}
	defer conn.Close()
	const info = 6
	if _, err := fmt.Fprintf(conn, "%s\n\n%d\n1\n0\n0\n0\n", tag, info); err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	return conn.File()
}

// logSign is of the key of a logger(1). It is not its entry's: it ends by itself when nobody writes to it any more.
const logSign = "\tlog"

// logger is a pipe to a logger(1), which sends to syslog what is written to it.
func (l *Launcher) logger(tag string) (*os.File, error) {
	path, err := exec.LookPath("logger")
	if err != nil {
		return nil, errors.New("its log: there is no logger here, which sends lines to syslog")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	defer r.Close()
	_, err = l.Hands.Start(tag+logSign, script.Launch{
		Argv: []string{path, "-t", filepath.Base(tag), "-p", "daemon.info"}, Env: l.Environ, Files: [3]*os.File{r, nil, nil},
	})
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("its log: %w", err)
	}
	return w, nil
}
