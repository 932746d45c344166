package script

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// NotRun is the status of an action that never ran, or whose answer does not count: see Err. It says
// nothing of the package.
const NotRun = -1

// Action is one run of the script.
type Action struct {
	r    *Runner
	proc *os.Process
	pid  int
	mark []byte // in the environment of every process of this action

	told   *os.File // a pipe: the child writes why it could not become the script
	asks   bool     // it is a status, or a stop: it can be run again
	stops  bool     // it is a stop
	silent bool     // it does not write to the log

	done   chan struct{}
	status int   // valid when done is closed
	err    error // as status: why that is NotRun

	// guarded by r.mu
	ended  bool
	reaped bool
	kills  int            // how many kills are at work: the leader may not be reaped meanwhile
	known  map[int]uint64 // start times, by pid, of what is known to belong to it
}

// Start runs `packages/NAME action`. It returns an error if nothing can be started now; that is not
// the package's fault, not even if its script is missing or cannot be executed. A failure that
// shows only in the child makes an Action that ends with NotRun. The reason is written to the log,
// once.
func (r *Runner) Start(action string, term uint64, previous string, unfenced ...string) (*Action, error) {
	return r.StartTo(nil, action, term, previous, unfenced...)
}

// StartTo is Start with another standard output than the log, where one is given.
func (r *Runner) StartTo(stdout *os.File, action string, term uint64, previous string, unfenced ...string) (*Action, error) {
	return r.launch([]string{action}, stdout, ofLock(term, previous, unfenced)...)
}

// ofLock is what the environment of an action says of the lock.
func ofLock(term uint64, previous string, unfenced []string) []string {
	return []string{"BTW_TERM=" + strconv.FormatUint(term, 10), "BTW_PREVIOUS=" + previous, "BTW_UNFENCED=" + strings.Join(unfenced, " ")}
}

// launch starts the script with args; env is added to the environment that all actions have. Where
// no stdout is given it is the log.
func (r *Runner) launch(args []string, stdout *os.File, env ...string) (*Action, error) {
	c := child{argv: append([]string{r.path()}, args...)}
	switch {
	case r.cfg.Embedded && (args[0] == "start" || args[0] == "stop"):
		c.shell = embedded
	default:
		c.shell = r.cfg.Shell
	}
	return r.launchAs(args[0], c, stdout, env...)
}

// path is the script's, from the home.
func (r *Runner) path() string { return "packages/" + r.cfg.Name }

func (r *Runner) cannotRun(err error) error {
	err = fmt.Errorf("cannot run %s: %w", r.path(), err)
	r.complain(err)
	return err
}

// launchAs starts c, which does the action with the script.
func (r *Runner) launchAs(action string, c child, stdout *os.File, env ...string) (_ *Action, err error) {
	c.dir, c.told = r.cfg.Home, true
	id := rand.Text()
	a := &Action{r: r, mark: mark("BTW_ACTION", id), done: make(chan struct{}), known: make(map[int]uint64)}
	a.stops = action == "stop"
	a.asks = a.stops || action == "status"
	defer func() {
		if err != nil {
			err = r.cannotRun(err)
		}
	}()
	told, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer tell.Close()
	attr := &os.ProcAttr{
		Env:   append(slices.Clone(r.env), append(env, "BTW_ACTION="+id)...),
		Files: append(r.files(a, stdout), tell),
	}
	expected.begin()
	proc, err := r.exec(c, attr)
	expected.end(proc)
	if err != nil {
		told.Close()
		return nil, err
	}
	a.proc, a.pid, a.told = proc, proc.Pid, told
	if r.tree != nil && !r.inTree() {
		_ = r.tree.act.add(a.pid) // it ran outside for a moment; what it starts from now on is inside
	}
	r.mu.Lock()
	r.running[a] = struct{}{}
	r.mu.Unlock()
	go a.wait()
	return a, nil
}

// exec starts what is to become, in the cgroup if that can be.
func (r *Runner) exec(what child, attr *os.ProcAttr) (*os.Process, error) {
	plain := &syscall.SysProcAttr{Setpgid: true}
	attr.Sys = plain
	if !r.inTree() {
		return what.start(attr)
	}
	proc, err := r.tree.act.exec(attr, what.start)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) { // the cgroup was removed just now: enter makes it anew
		proc, err = r.tree.act.exec(attr, what.start)
	}
	if err == nil {
		return proc, nil
	}
	again := !refused(err)
	attr.Sys = plain
	if proc, err = what.start(attr); err == nil {
		if again { // it ran outside for a moment; what it starts from now on is inside
			_ = r.tree.act.add(proc.Pid)
			return proc, nil
		}
		r.mu.Lock()
		r.forkIn = false
		r.mu.Unlock()
		r.Logf("back-to-work: cannot start scripts inside a cgroup here; moving them there afterwards")
		return proc, nil
	}
	return proc, err
}

// starter is what starts a process.
type starter func(*os.ProcAttr) (*os.Process, error)

// exec has a process started in the cgroup c.
func (c *cgroup) exec(attr *os.ProcAttr, start starter) (*os.Process, error) {
	dir, err := c.enter()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	attr.Sys = c.inside(*attr.Sys, dir)
	return start(attr)
}

func (r *Runner) inTree() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forkIn
}

// refused says whether err is what an old kernel, or a container, answers to a clone into a cgroup.
func refused(err error) bool {
	return slices.ContainsFunc([]error{
		unix.ENOSYS, unix.EPERM, unix.EACCES, unix.EINVAL, unix.E2BIG,
		unix.EOPNOTSUPP, unix.EBUSY, unix.EBADF, unix.ENODEV,
	}, func(e error) bool { return errors.Is(err, e) })
}

// Done is closed when the script's own process has ended.
func (a *Action) Done() <-chan struct{} { return a.done }

// Status is the exit status after Done; 128 + n if signal n ended it, NotRun if it says nothing.
func (a *Action) Status() int { return a.status }

// Err is why the status is NotRun, after Done.
func (a *Action) Err() error { return a.err }

// wait learns of the script's end without reaping it, then reaps it unless a kill needs its number.
func (a *Action) wait() {
	a.status = awaitEnd(a.pid)
	a.judge()
	a.r.mu.Lock()
	if a.status == 128+int(unix.SIGKILL) && a.kills == 0 && a.r.tree != nil {
		a.r.tree.act.killed.Store(true) // not by us: another process may have killed the whole cgroup
	}
	a.ended = true
	a.r.mu.Unlock()
	close(a.done)
	a.r.mu.Lock()
	a.reap()
	a.r.mu.Unlock()
	expected.reapOrphans()
}

// reap lets the leader go if nobody needs it any more; r.mu is held.
func (a *Action) reap() {
	if !a.ended || a.kills > 0 || a.reaped {
		return
	}
	if !a.r.forkIn {
		a.noteLeft()
	}
	expected.reap(a.proc)
	a.reaped = true
	delete(a.r.running, a)
}

// noteLeft remembers what the script left behind, while it still stands in the script's group or
// has an environment that tells whose it is.
func (a *Action) noteLeft() {
	procs, err := processes()
	if err != nil {
		return
	}
	left := make(map[int]proc)
	for pid, p := range procs {
		if pid == a.pid || p.zombie {
			continue
		}
		if p.pgrp == a.pid || p.ppid == os.Getpid() && a.marked(pid) {
			left[pid] = p
			a.known[pid] = p.start
		}
	}
	a.r.remember(left, procs)
}

// marked says whether the environment of process pid shows that it comes from this action.
func (a *Action) marked(pid int) bool {
	ok, _ := marked(pid, [][]byte{a.mark})
	return ok
}
