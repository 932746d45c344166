package script

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Every process that comes out of a command has these in its environment: the name of the Commands, and its key.
const (
	ownerMark = "CLINIT_DAEMON"
	keyMark   = "CLINIT_ENTRY"
)

// Commands keeps hold of many commands side by side, each under a key, and of all that comes out of each. What it says
// of processes is what a [Runner] says of a package's, but at the price of one look for any number of keys, and without
// a descriptor, a thread or a goroutine for each.
//
// A command is the leader of a process group, and each key has a cgroup where there are any. The process that has a
// Commands starts nothing else, has no Runner and no Guard, and waits for no child: all that ends below it is reaped here.
// Without cgroups it is known whose a process is by its environment, its parent, its group, and by having been seen;
// then what leaves all of these between two looks (env -i and setsid) is lost.
//
// All methods may be called at the same time.
type Commands struct {
	name  string
	owner []byte // as it stands in an environment
	dir   string // where the keys' cgroups are; "" without
	null  *os.File

	starting sync.Mutex // while one is started its number is not known yet; and a cgroup must not go meanwhile

	mu      sync.Mutex
	loose   bool             // something of us may be outside of the cgroups
	running map[int]*running // commands that have not ended, by pid
	groups  map[int]*group   // that are, or were, led by a command of ours
	queue   []Ended          // not told yet
	empty   []string         // keys whose cgroups may be empty
	unnoted bool             // a leader was reaped, and of its group some are left

	looking sync.Mutex
	seen    map[int]sighting // what was seen of processes before, by pid
	passes  int              // looks at the whole of /proc

	ended  chan Ended
	wake   chan struct{} // something was put into queue or empty, or unnoted was set
	over   chan struct{}
	done   sync.WaitGroup
	follow *follower
	deaf   chan os.Signal
}

// CommandsConfig says whose commands they are.
type CommandsConfig struct {
	Name   string // one for each daemon, and the same after it is started again; a file name
	Cgroup string // "": the mounted cgroup2; "none": work without; else a cgroup2 directory
}

// running is a command that has not ended.
type running struct {
	key     string
	adopted bool
	pending bool   // it may have failed to become what it is to be
	failed  bool   // it has, and nobody is to be told of its end
	early   *Ended // its end, while pending
}

// group is the process group of a command.
type group struct {
	key    string
	reaped bool // its leader; so the number may become another's when the others have gone
	noted  bool // what was left of it is in seen
}

// Launch says what a command is. Umask, Nice and Limits that are not given are those of this process.
type Launch struct {
	Argv       []string    // the first is the path of the program
	Env        []string    // whole; what tells whose the process is, is added
	Dir        string      // where it runs; "": where this process does
	Files      [3]*os.File // nil is /dev/null
	Credential *syscall.Credential
	Umask      *int
	Nice       *int
	Limits     []Limit
}

// Limit is a limit of resources, as of setrlimit(2). Its name is that of the constant, in small letters: nofile.
type Limit struct {
	Name       string
	Soft, Hard uint64
}

// Ended tells that a command itself has ended; others that came out of it may be alive.
type Ended struct {
	Key    string
	PID    int
	Status int // the exit status; 128 + n if signal n ended it; -1 if nobody knows, since another process had started it
	At     time.Time
}

// NewCommands makes this process the reaper of all that it will start.
func NewCommands(cfg CommandsConfig) (*Commands, error) {
	if cfg.Name == "" || cfg.Name == "." || cfg.Name == ".." || filepath.Base(cfg.Name) != cfg.Name {
		return nil, fmt.Errorf("cannot keep commands of %q: not a name", cfg.Name)
	}
	if err := becomeReaper(); err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot start commands: %w", err)
	}
	c := &Commands{
		name: cfg.Name, owner: mark(ownerMark, cfg.Name), null: null,
		running: make(map[int]*running), groups: make(map[int]*group), seen: make(map[int]sighting),
		ended: make(chan Ended), wake: make(chan struct{}, 1), over: make(chan struct{}), deaf: make(chan os.Signal, 1),
	}
	if c.follow, err = newFollower(); err != nil {
		null.Close()
		return nil, err
	}
	c.dir = cgroupOfAll(cfg)
	// Who was started with & or nohup has signals ignored, and would hand that on. What is heard is not ignored.
	if ignored := ignoredSignals(); len(ignored) > 0 {
		signal.Notify(c.deaf, ignored...)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	c.done.Go(func() { c.serve(children) })
	c.done.Go(func() { c.follow.run(c.lost) })
	return c, nil
}

// Ended is where the end of each command is told, once, and it may be told before Start has returned. It waits, in
// order, for who receives. Close closes it.
func (c *Commands) Ended() <-chan Ended { return c.ended }

// Start starts a command. What of the same key is alive is not looked at: not to start what runs already is the caller's
// part. An error that is of the program (no such file, not executable, no format that the kernel knows) can be told by
// its [syscall.Errno], and nothing was started.
//
// The program is started by this process itself. On a disk that hangs between fork and exec that stops the whole
// process, as nothing else here does; it is accepted, because a process in between would double the cost of a start.
// Only with Umask, Nice or Limits there is one, which becomes the program.
func (c *Commands) Start(key string, l Launch) (pid int, err error) {
	defer func() {
		if path := (*os.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		if err != nil {
			err = fmt.Errorf("cannot start %q: %w", strings.Join(l.Argv[:min(1, len(l.Argv))], ""), err)
		}
	}()
	if len(l.Argv) == 0 || key == "" || len(cgroupName(key)) > 255 {
		return 0, syscall.EINVAL
	}
	attr := &os.ProcAttr{Dir: l.Dir, Env: c.environment(key, l.Env), Files: slices.Clone(l.Files[:])}
	for i, f := range attr.Files {
		if f == nil {
			attr.Files[i] = c.null
		}
	}
	attr.Sys = &syscall.SysProcAttr{Setpgid: true, Credential: l.Credential}
	if l.Umask != nil || l.Nice != nil || len(l.Limits) > 0 {
		return c.startPrepared(key, l, attr)
	}
	pid, err = c.begin(key, attr, &running{key: key}, func(attr *os.ProcAttr) (*os.Process, error) {
		return os.StartProcess(l.Argv[0], l.Argv, attr)
	})
	if err != nil && l.Dir != "" {
		if _, wrong := os.Stat(l.Dir); wrong != nil {
			return 0, fmt.Errorf("its directory %q: %w", l.Dir, errors.Unwrap(wrong))
		}
	}
	return pid, err
}

// environment is env, and what tells whose the process is.
func (c *Commands) environment(key string, env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == ownerMark || name == keyMark || name == AsideMark
	})
	return append(env, ownerMark+"="+c.name, keyMark+"="+key)
}

// begin starts the command, and notes it as r.
func (c *Commands) begin(key string, attr *os.ProcAttr, r *running, start starter) (pid int, err error) {
	c.starting.Lock()
	defer c.starting.Unlock()
	proc, err := c.exec(key, attr, start)
	if err != nil {
		return 0, err
	}
	pid = proc.Pid
	c.mu.Lock()
	c.running[pid] = r
	c.groups[pid] = &group{key: key}
	c.mu.Unlock()
	return pid, proc.Release() // serve waits for it
}

// exec starts the command in its cgroup, if that can be. c.starting is held.
func (c *Commands) exec(key string, attr *os.ProcAttr, start starter) (*os.Process, error) {
	defer unblockSignals()()
	if c.dir == "" {
		return start(attr)
	}
	_ = os.Remove(c.cgroup(key)) // what is left of an earlier one, and empty
	if proc, err := c.execFresh(key, attr, start); err == nil || !refused(err) {
		return proc, err
	}
	g, err := openCgroup(c.cgroup(key))
	if err == nil {
		defer g.shut()
		var proc *os.Process
		plain := attr.Sys
		nameGroup(c.cgroup(key), attr.Env)
		if proc, err = g.exec(attr, start); err == nil || !refused(err) {
			if err != nil {
				removeEmpty(c.cgroup(key))
			}
			return proc, err
		}
		attr.Sys = plain
	} else {
		g = nil
	}
	proc, err := start(attr)
	if err != nil { // so it was the program that was refused
		removeEmpty(c.cgroup(key))
		return nil, err
	}
	c.mu.Lock()
	c.loose = true // it ran outside for a moment
	c.mu.Unlock()
	if g != nil {
		_ = g.add(proc.Pid)
	}
	return proc, nil
}

// execFresh is exec for a key that has no cgroup, as most: it is made, and nothing in it need be looked at.
func (c *Commands) execFresh(key string, attr *os.ProcAttr, start starter) (*os.Process, error) {
	path := c.cgroup(key)
	if os.Mkdir(path, 0o755) != nil {
		return nil, syscall.ENOSYS
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, syscall.ENOSYS
	}
	defer dir.Close()
	nameGroup(path, attr.Env)
	into := *attr
	into.Sys = (&cgroup{path: path}).inside(*attr.Sys, dir)
	proc, err := start(&into)
	if err != nil {
		_ = os.Remove(path)
	}
	return proc, err
}

// Close ends the keeping, not the commands. Cgroups in which nothing runs are removed.
func (c *Commands) Close() {
	close(c.over)
	c.follow.close()
	c.done.Wait()
	signal.Stop(c.deaf)
	close(c.ended)
	c.null.Close()
	if c.dir != "" {
		removeEmpty(c.dir)
		_ = os.Remove(filepath.Dir(c.dir))
	}
}
