package clinit

import (
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

	"backtowork/internal/command"
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

// argv is what a command runs: itself, if it is plain words; else a shell. A word with = in front of a command is the
// shell's business too.
func argv(line string) []string {
	words := strings.Fields(line)
	if strings.ContainsAny(line, special) || len(words) > 0 && strings.Contains(words[0], "=") {
		return []string{"/bin/sh", "-c", line}
	}
	return words
}

// A Launcher knows what commands are begun with.
type Launcher struct {
	Hands   Hands
	Environ []string // the daemon's
	Output  *os.File // of entries that have no log of their own: "" for the daemon's

	mu    sync.Mutex
	logs  map[string]*journal.File
	files map[string]*os.File
}

// told are the variables that say to a command what it is.
var told = []string{"GROUP", "TAG", "LEVEL", "PREVLEVEL"}

// Start begins an entry's command, or its ready command, under a key. env says what it is.
func (l *Launcher) Start(key string, e Entry, line string, env ...string) (pid int, err error) {
	launch, err := l.launch(e, line, env)
	if err != nil {
		return 0, err
	}
	out, kept, err := l.output(e)
	if err != nil {
		return 0, err
	}
	if out != nil {
		launch.Files[1], launch.Files[2] = out, out
		if !kept {
			defer out.Close()
		}
	}
	if pid, err = l.Hands.Start(key, launch); errors.Is(err, syscall.ENOEXEC) { // a script without a first line is the shell's
		launch.Argv = append([]string{"/bin/sh"}, launch.Argv...)
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
	launch.Env = append(append(launch.Env, env...), o.Env...)
	path, err := exec.LookPath(launch.Argv[0])
	if err != nil {
		return launch, command.Reason(err)
	}
	launch.Argv[0] = path
	launch.Credential, err = o.credential(&launch.Env)
	return launch, err
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
// log, and not a pipe of this daemon's: the command goes on writing when that is killed. kept says that it stays open here.
func (l *Launcher) output(e Entry) (out *os.File, kept bool, err error) {
	switch e.Options.Log {
	case "":
		return l.Output, true, nil
	case "journal":
		out, err = journalStream(e.Tag)
		return out, false, err
	case "syslog":
		out, err = l.logger(e.Tag)
		return out, false, err
	}
	out, err = l.file(e.Options)
	return out, true, err
}

// file is an entry's log file.
func (l *Launcher) file(o Options) (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if log := l.logs[o.Log]; log != nil {
		log.Look()
		return l.files[o.Log], nil
	}
	f, err := os.OpenFile(o.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("its log: %w", err)
	}
	log := journal.At(o.Log, f).AtMost(o.LogMax)
	if l.logs == nil {
		l.logs, l.files = map[string]*journal.File{}, map[string]*os.File{}
	}
	l.files[o.Log] = f
	l.logs[o.Log] = log
	return f, nil
}

// LookAtLogs rotates those that have become too long.
func (l *Launcher) LookAtLogs() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, log := range l.logs {
		log.Look()
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
const logSign = " log"

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
