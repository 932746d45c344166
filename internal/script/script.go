// Package script runs the actions of one package's script and keeps hold of every process that
// comes out of them, so that "nothing of this package is alive" can be said and made true.
//
// A script runs in a process group of its own. Its leader is the script's own process, and while
// somebody is killing, the leader is not reaped after its end (waitid with WNOWAIT): as long as
// it is there its number cannot go to another process, so a signal to the group cannot hit a
// stranger. That is the group's anchor. Every other process gets its signals by pidfd, after a
// second look at its start time.
//
// With cgroup v2 the script is started straight into back-to-work/<hash of home and node>/NAME/act,
// where nothing that it forks can get lost; what a successful start leaves running is moved to
// NAME/svc, and cgroup.kill kills faster than anything can fork. Without it (and always besides) a
// process belongs to the package if it has our BTW_SESSION and BTW_LOCK in its environment, is in
// the group of a running script, descends from one that belongs, or was seen to belong before.
//
// The search stops at processes that run beside packages, which say so in their environment
// (AsideMark): a manager that a package's script has started does not belong to the package, nor do
// its deadman and all that they start. Such a manager leaves the package's cgroup before it starts
// anything; otherwise it would be killed with the cgroup. A dex-exec is no such process: its
// command runs for the script that called it, and ends with it. Nor is a process that we inherited
// when its own manager ended.
//
// This process is the subreaper of what scripts leave behind; see orphan.go.
//
// Scripts are started with stdin /dev/null and the package's log as stdout and stderr, a real file,
// so that a daemon may keep it: a pipe through this process would break when that is killed, while
// the package runs on. Before each start the log is opened again if it was rotated. What else they
// inherit, package inheritance decides.
package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lock"

	"golang.org/x/sys/unix"
)

// Config says which script is run, and how. Home, Name and Session must be given.
type Config struct {
	Home     string   // directory that scripts start in, absolute
	Name     string   // package; its script is packages/Name in Home
	Node     string   // BTW_NODE
	Aliases  []string // what else the node is called, as parameters of the package may
	Lock     string   // BTW_LOCK
	LockDir  string   // the lock directory: its commands come after the home's in PATH
	Session  string   // BTW_SESSION: random, one per manager
	Shell    string   // "": what the script's first line names; else the path of the shell that stands for sh
	Embedded bool     // start and stop by the embedded shell, where the script is for sh: by this program as sh-worker
	Asker    Asker    // nil, or what may answer echo instead of a shell
	Environ  []string // environment that ours is added to; BTW_HOME is dropped
	Cgroup   string   // "": the mounted cgroup2; "none": work without; else a cgroup2 directory
	Also     []string // other cgroups (see Runner.Cgroup) that processes of the package may be in, from when this host had another name
	Beside   bool     // another process runs the package: its cgroups are left as they are at the end
	GoesOn   bool     // the package may run already: go on even if its log cannot be opened
}

// Runner runs the script of one package. Its methods may be called at the same time.
type Runner struct {
	cfg   Config
	log   *os.File
	logs  *journal.File  // follows log, which stays the same while the file behind it changes
	lines *journal.Async // writes what is said here to log
	done  chan struct{}  // ends what follows the log
	null  *os.File
	env   []string
	marks [][]byte // what the environment of every process of the package has
	tree  *tree    // nil without cgroup v2
	also  []*tree  // others that processes of the package may be in

	mu      sync.Mutex
	forkIn  bool                 // a script can be started straight into tree.act
	running map[*Action]struct{} // those whose leader is not reaped
	seen    map[int]uint64       // start times, by pid, of what belonged at the last look
	units   []string             // of systemd, that belong to the package too
	groups  []initGroup          // of clinit, likewise

	complaint string // why no script can be run, as the log says
	doubted   bool   // the log could not be written
	looking   sync.Mutex
	following sync.Mutex

	looks   chan struct{} // has one in it while somebody looks at the files, and at sources
	sources sources

	answers  answers
	patience time.Duration // how long a run may take to answer
}

// New opens log/NAME.log and makes the package's cgroups, where that can be. This process becomes
// the reaper of what its scripts leave behind.
func New(cfg Config) (*Runner, error) {
	switch {
	case !filepath.IsAbs(cfg.Home):
		return nil, fmt.Errorf("cannot run scripts in %q: not an absolute path", cfg.Home)
	case lock.CheckName(cfg.Name) != nil:
		return nil, fmt.Errorf("cannot run package %q: not a package name", cfg.Name)
	case cfg.Session == "":
		return nil, fmt.Errorf("cannot run package %q without a session", cfg.Name)
	}
	if err := becomeReaper(); err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg, patience: askLimit, looks: make(chan struct{}, 1), running: make(map[*Action]struct{}), seen: make(map[int]uint64)}
	r.env = environment(cfg)
	r.marks = [][]byte{mark("BTW_SESSION", cfg.Session), mark("BTW_LOCK", cfg.Lock)}
	var err error
	if r.log, err = openLog(cfg); err != nil {
		return nil, err
	}
	if r.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		r.log.Close()
		return nil, fmt.Errorf("cannot run package %q: %w", cfg.Name, err)
	}
	r.logs, r.done = journal.At(logPath(cfg), r.log), make(chan struct{})
	go r.logs.Follow(r.done) // not waited for: the disk may hang
	r.lines = journal.NewAsync(r.logs)
	r.tree = findTree(cfg)
	r.also = findAlso(cfg, r.tree)
	r.forkIn = r.tree != nil
	expected.join(r)
	return r, nil
}

// openLog opens the package's log. If the package may run already and the log cannot be opened, as
// on a disk that became read-only, it does without.
func openLog(cfg Config) (*os.File, error) {
	err := os.MkdirAll(filepath.Dir(logPath(cfg)), 0o755)
	if err != nil {
		err = fmt.Errorf("cannot make the log directory: %w", err)
	} else {
		var log *os.File
		if log, err = os.OpenFile(logPath(cfg), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644); err == nil {
			return log, nil
		}
		err = fmt.Errorf("cannot open the log of package %q: %w", cfg.Name, err)
	}
	if !cfg.GoesOn {
		return nil, err
	}
	return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
}

func logPath(cfg Config) string { return filepath.Join(cfg.Home, "log", cfg.Name+".log") }

// Close closes the log, without waiting for that, and removes the cgroups that are empty. Processes are left alone.
func (r *Runner) Close() error {
	expected.part(r)
	for _, t := range r.trees() {
		if r.cfg.Beside {
			t.act.shut()
			t.svc.shut()
		} else {
			t.close()
		}
	}
	close(r.done)
	go func() { // the disk may hang, and the caller may have a kill end to meet; Logf has waited already
		r.lines.Close()
		_ = r.log.Close()
	}()
	return r.null.Close()
}

// Leave does what Close does, but keeps the cgroups: another process needs them.
func (r *Runner) Leave() error {
	r.cfg.Beside = true
	return r.Close()
}

// Abandon does what Close does, for a package that was not begun: it removes an empty log too.
func (r *Runner) Abandon() error {
	if info, err := r.log.Stat(); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		_ = os.Remove(r.log.Name())
	}
	return r.Close()
}

// Print adds what a script has printed to the package's log. It waits as little as Logf.
func (r *Runner) Print(text []byte) {
	if len(text) == 0 {
		return
	}
	if text[len(text)-1] != '\n' {
		text = append(slices.Clone(text), '\n')
	}
	_, _ = r.lines.Write(text)
	r.lines.Flush(lookLimit)
}

// Logf adds a line to the package's log, in one write. A log that cannot be written must not stop a failover, nor one
// on a disk that hangs: so it does not wait for that for long.
func (r *Runner) Logf(format string, args ...any) {
	_, _ = fmt.Fprintf(r.lines, format+"\n", args...)
	r.lines.Flush(lookLimit)
}

// Cgroup is the directory of the package's cgroups; empty if it works without.
func (r *Runner) Cgroup() string {
	if r.tree == nil {
		return ""
	}
	return r.tree.path
}

// Aliases is what else this node is called.
func (r *Runner) Aliases() []string { return r.cfg.Aliases }

// Check says whether the package's script is there and can be run.
func Check(home, name string) error {
	if lock.CheckName(name) != nil {
		return fmt.Errorf("package %q not found", name)
	}
	if err := checkFree(name); err != nil {
		return err
	}
	switch err := runnable(filepath.Join(home, "packages", name)); {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("package %q not found", name)
	case errors.Is(err, unix.EISDIR):
		return fmt.Errorf("package %q is not a regular file", name)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("package %q is not executable", name)
	case err != nil:
		return fmt.Errorf("cannot read package %q: %w", name, err)
	}
	return nil
}

// checkFree refuses what cannot be a package's name beside ours: it would share a log with one of our processes, and
// its cgroup, with which that would be killed.
func checkFree(name string) error {
	const managers = "back-to-work."
	switch {
	case name == "dex-server", name == "watchdog":
	case len(name) > len(managers) && strings.HasPrefix(name, managers):
	default:
		return nil
	}
	return TakenError(name)
}

// A TakenError is of a package's name that one of our processes has.
type TakenError string

// Error says so.
func (name TakenError) Error() string {
	return fmt.Sprintf("no package can be called %q: log/%s.log is the log of a process of back-to-work; give the script in packages another name", string(name), string(name))
}

// runnable says why path cannot be executed: EISDIR for anything but a file.
func runnable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err) // of a path error: whoever looks, from wherever, says the same
	}
	if !info.Mode().IsRegular() {
		return unix.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

// replaced are the variables that scripts do not inherit.
var replaced = []string{
	"BTW_HOME", "BTW_SESSION", "BTW_LOCK", "BTW_NODE", "BTW_TERM", "BTW_PREVIOUS", "BTW_UNFENCED", "BTW_ACTION",
	AsideMark, "PWD", "OLDPWD",
}

// CheckHome refuses a home that cannot be in PATH, where scripts find the dex commands.
func CheckHome(home string) error {
	if strings.Contains(home, ":") {
		return fmt.Errorf("cannot run packages in %q: with a colon in its path it cannot be in PATH; move it, or call it by a link without one", home)
	}
	return nil
}

// environment is what all scripts of the package get.
func environment(cfg Config) []string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	var env []string
	for _, kv := range cfg.Environ {
		switch name, value, _ := strings.Cut(kv, "="); {
		case name == "PATH":
			path = value
		case slices.Contains(replaced, name):
		default:
			env = append(env, kv)
		}
	}
	// Ours come first: the commands that the original put into a lock directory know other locks.
	dirs := []string{filepath.Join(cfg.Home, "bin"), filepath.Join(cfg.Home, "dex-lock")}
	if cfg.LockDir != "" && !slices.Contains(dirs, cfg.LockDir) && !strings.Contains(cfg.LockDir, ":") {
		dirs = append(dirs, cfg.LockDir)
	}
	return append(env,
		"PATH="+strings.Join(append(dirs, path), ":"),
		"PWD="+cfg.Home,
		"BTW_SESSION="+cfg.Session,
		"BTW_LOCK="+cfg.Lock,
		"BTW_NODE="+cfg.Node,
	)
}

// mark is a variable as it stands in an environment between two NULs.
func mark(name, value string) []byte {
	return []byte("\x00" + name + "=" + value + "\x00")
}

// marked says whether process pid was given all of marks. A zombie has no environment.
func marked(pid int, marks [][]byte) (bool, error) {
	env, err := environ(pid)
	if err != nil || len(marks) == 0 {
		return false, err
	}
	for _, m := range marks {
		if !bytes.Contains(env, m) {
			return false, nil
		}
	}
	return true, nil
}
