package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Guard keeps hold of one command and of all that comes out of it, as a [Runner] does for the
// actions of a package; but the command stands in its caller's process group, at its terminal,
// and in its cgroup: whoever ends those ends it too. A process has at most one Guard and starts
// nothing else: it is the reaper of what the command leaves behind, so all that descends from it
// is the command's.
type Guard struct {
	OnStop     func(pid int) // is called by Reap when the command was stopped
	OnContinue func()        // and when it goes on

	r   *Runner
	pid atomic.Int64 // of the command, until it was reaped; 0 then
}

// NewGuard makes a Guard for what Start starts, and for every process that has BTW_SESSION and
// BTW_LOCK of cfg in its environment, whoever started it. cfg.Name is the name of its cgroup.
func NewGuard(cfg Config) (*Guard, error) {
	switch {
	case filepath.Base(cfg.Name) != cfg.Name: // a lock's name is in it, so it may be longer than one
		return nil, fmt.Errorf("cannot guard %q: not a name", cfg.Name)
	case cfg.Session == "":
		return nil, fmt.Errorf("cannot guard %q without a session", cfg.Name)
	}
	r := &Runner{cfg: cfg, running: make(map[*Action]struct{}), seen: make(map[int]uint64)}
	r.marks = [][]byte{mark("BTW_SESSION", cfg.Session), mark("BTW_LOCK", cfg.Lock)}
	if err := AdoptOrphans(); err != nil {
		return nil, err
	}
	if base := ownCgroup(); base != "" && cfg.Cgroup != "none" {
		r.tree, _ = openTree(base, filepath.Join(base, cfg.Name)) // else it works without
	}
	return &Guard{r: r}, nil
}

// AdoptOrphans makes this process the parent of what its descendants leave behind.
func AdoptOrphans() error { return becomeReaper() }

// ownCgroup is the cgroup2 directory of this process; "" if there is none to be seen.
func ownCgroup() string {
	mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
	mounts := cgroupMounts(string(mountinfo))
	own, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(own)) {
		path, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if found && len(mounts) > 0 && !strings.Contains(path, "/..") { // that is outside of what is mounted
			return filepath.Join(mounts[0], path)
		}
	}
	return ""
}

// Start starts argv, whose first word is a path, in the process group called group, with the limits
// and priorities of process like. It dies with the thread that calls this, which must be locked to
// its goroutine.
func (g *Guard) Start(argv, env []string, files []*os.File, group, like int) error {
	attr := &os.ProcAttr{Env: env, Files: files}
	proc, err := g.exec(child{dir: ".", argv: argv, like: like}, attr, group)
	if err != nil {
		return fmt.Errorf("cannot start %q: %w", argv[0], err)
	}
	g.pid.Store(int64(proc.Pid))
	if p, err := readProc(proc.Pid); err == nil {
		g.r.seen[proc.Pid] = p.start
	}
	return proc.Release() // Reap waits for it
}

// exec starts what is to become, in the cgroup if there is one.
func (g *Guard) exec(what child, attr *os.ProcAttr, group int) (*os.Process, error) {
	plain := endWithParent(syscall.SysProcAttr{Setpgid: true, Pgid: group})
	attr.Sys = &plain
	if g.r.tree == nil {
		return what.start(attr)
	}
	dir, err := g.r.tree.act.enter()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	attr.Sys = g.r.tree.act.inside(plain, dir)
	proc, err := what.start(attr)
	if err == nil || !refused(err) {
		return proc, err
	}
	attr.Sys = &plain
	if proc, err = what.start(attr); err == nil {
		_ = g.r.tree.act.add(proc.Pid) // late, but better than not: its children follow it
	}
	return proc, err
}

// Signal signals the command, if it runs.
func (g *Guard) Signal(sig syscall.Signal) {
	if pid := g.pid.Load(); pid != 0 {
		_ = unix.Kill(int(pid), sig) // nobody else can have this number before the command was reaped
	}
}

// Reap takes away the ended processes below this one. ended says that the command was among them,
// and status is its exit status: 128 + n if signal n ended it. Only one at a time may call it.
func (g *Guard) Reap() (status int, ended bool) {
	for {
		its := int(g.pid.Load())
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG|anyChild|unix.WUNTRACED|unix.WCONTINUED, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid <= 0:
			return status, ended
		case ws.Stopped():
			if pid == its && g.OnStop != nil {
				g.OnStop(pid)
			}
		case ws.Continued():
			if pid == its && g.OnContinue != nil {
				g.OnContinue()
			}
		case pid == its:
			g.pid.Store(0)
			status, ended = ws.ExitStatus(), true
			if ws.Signaled() {
				status = 128 + int(ws.Signal())
			}
		}
	}
}

// look finds all that is the command's and alive.
func (g *Guard) look() (map[int]proc, error) {
	procs, err := processes()
	if err != nil {
		return nil, err
	}
	t := target{marks: g.r.marks, known: make(map[int]uint64)}
	if g.r.tree != nil {
		if t.pids, err = g.r.tree.pids(); err != nil {
			return nil, err
		}
	}
	g.r.mu.Lock()
	for pid, start := range g.r.seen {
		t.known[pid] = start
	}
	g.r.mu.Unlock()
	its := int(g.pid.Load())
	for pid, p := range procs {
		if p.ppid == os.Getpid() && !(pid != its && fosters(pid)) {
			t.known[pid] = p.start
		}
	}
	return g.r.find(t)
}

// KillAll ends everything of the command: SIGTERM, and after grace SIGKILL to what is left. It
// returns what is alive even 1 s after that: processes that hang in the kernel.
func (g *Guard) KillAll(grace time.Duration) ([]Process, error) {
	killAll := func() {
		if g.r.tree != nil {
			g.r.tree.act.killAll()
		}
	}
	defer g.r.killAt(grace, nil, killAll)()
	left, err := sweep(nil, grace, g.r.sure(g.look), killAll)
	return list(left), err
}

// Close removes the cgroup, if nothing runs in it.
func (g *Guard) Close() {
	if g.r.tree == nil {
		return
	}
	g.r.tree.close()
	removeEmpty(g.r.tree.path) // left by guards below this one that were killed
}
