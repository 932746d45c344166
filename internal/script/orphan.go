package script

import (
	"errors"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// This process is the subreaper: what scripts leave behind becomes its child. So it stays in reach,
// and must be reaped here. It is not left to process 1, which may reap nobody: a dead process that
// is not reaped looks alive to kill -0, and to a status or stop script that uses it. So orphans are
// reaped as soon as the kernel tells of them.
//
// Children that other code of this process waits for must not be reaped here. They are told apart
// so: os.StartProcess (so os/exec too) keeps a pidfd of each child until the child was waited for
// or released, and opens it in the same system call that makes the child. A zombie child of which
// this process has no pidfd is an orphan. Therefore no child may be started with syscall.ForkExec.
//
// Where the kernel has no pidfd (before 5.4), only those are reaped that a runner saw alive as its
// own and that this package has not started itself. Other zombies stay until this process ends.

// expected is the children that this package has started and waits for: one list for the whole
// process, because orphans and children belong to the process, not to a Runner.
var expected = children{pids: make(map[int]struct{}), runners: make(map[*Runner]struct{})}

type children struct {
	mu       sync.Mutex
	pids     map[int]struct{}
	starting int  // how many are being started: their pids are not known yet
	handles  bool // os.Process has pidfds

	reaping sync.Mutex // one at a time

	joining sync.Mutex
	runners map[*Runner]struct{} // guarded by mu
	leave   func()               // ends follow; guarded by joining
}

// join has orphans reaped until r is gone again.
func (c *children) join(r *Runner) {
	c.joining.Lock()
	defer c.joining.Unlock()
	c.mu.Lock()
	c.runners[r] = struct{}{}
	c.mu.Unlock()
	if c.leave == nil {
		c.leave = c.follow()
	}
}

// part is the end of join.
func (c *children) part(r *Runner) {
	c.joining.Lock()
	defer c.joining.Unlock()
	c.mu.Lock()
	delete(c.runners, r)
	last := len(c.runners) == 0
	c.mu.Unlock()
	if last && c.leave != nil {
		c.leave()
		c.leave = nil
	}
}

// follow reaps orphans whenever a child has ended, until the function that it returns is called.
func (c *children) follow() (leave func()) {
	signals, over, done := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, unix.SIGCHLD)
	go func() {
		defer close(done)
		for {
			select {
			case <-signals:
				c.reapOrphans()
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
		<-done
	}
}

func (c *children) begin() {
	c.mu.Lock()
	c.starting++
	c.mu.Unlock()
}

// end notes the child; nil if none was started.
func (c *children) end(proc *os.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting--
	if proc != nil {
		c.pids[proc.Pid] = struct{}{}
		c.handles = proc.WithHandle(func(uintptr) {}) == nil
	}
}

// reap waits for a child that has ended.
func (c *children) reap(proc *os.Process) {
	_, _ = proc.Wait()
	c.mu.Lock()
	delete(c.pids, proc.Pid)
	c.mu.Unlock()
}

// reapOrphans reaps the zombies among the processes that this process inherited. If there is no
// zombie at all, it costs one system call.
func (c *children) reapOrphans() {
	c.reaping.Lock()
	defer c.reaping.Unlock()
	for range 3 { // while one is reaped, others end, and the kernel's list of children may miss some
		if zombie() == 0 {
			return
		}
		zombies := zombieChildren()
		orphans := c.orphans(slices.Collect(maps.Keys(zombies)), c.known(zombies))
		for _, pid := range orphans {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		if len(orphans) == 0 {
			return
		}
	}
}

// zombieChildren is those children of this process, by pid. Each thread has a list of its own,
// where the kernel has such lists.
func zombieChildren() map[int]proc {
	zombies := make(map[int]proc)
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for field := range strings.FieldsSeq(string(data)) {
			pid, _ := strconv.Atoi(field)
			if p, err := readProc(pid); err == nil && p.zombie {
				zombies[pid] = p
			}
		}
	}
	if len(lists) > 0 {
		return zombies
	}
	procs, _ := processes()
	for pid, p := range procs {
		if p.zombie && p.ppid == os.Getpid() {
			zombies[pid] = p
		}
	}
	return zombies
}

// known returns those of zombies that a runner saw alive as its package's.
func (c *children) known(zombies map[int]proc) (pids []int) {
	c.mu.Lock()
	runners := slices.Collect(maps.Keys(c.runners))
	c.mu.Unlock()
	for _, r := range runners {
		r.mu.Lock()
		for pid, p := range zombies {
			if start, ok := r.seen[pid]; ok && start == p.start {
				pids = append(pids, pid)
			}
		}
		r.mu.Unlock()
	}
	return pids
}

// orphans picks from the zombie children those that nobody in this process waits for.
func (c *children) orphans(zombies, ours []int) []int {
	if len(zombies) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	zombies = slices.DeleteFunc(zombies, func(pid int) bool { _, started := c.pids[pid]; return started })
	awaited := make(map[int]struct{})
	switch {
	case len(zombies) == 0: // as at most ends: a look at all handles is not cheap
	case c.handles:
		var err error
		if awaited, err = handles(); err != nil {
			return nil
		}
	case c.starting > 0:
		return nil
	default:
		zombies = ours
	}
	var found []int
	for _, pid := range zombies {
		_, waits := awaited[pid]
		if _, started := c.pids[pid]; !waits && !started {
			found = append(found, pid)
		}
	}
	return found
}

// handles returns the processes of which this process holds a pidfd.
func handles() (map[int]struct{}, error) {
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		return nil, err
	}
	pids := make(map[int]struct{})
	for _, e := range entries {
		data, err := os.ReadFile("/proc/self/fdinfo/" + e.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue // closed meanwhile, so it was waited for
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "Pid:"); ok {
				if pid, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
					pids[pid] = struct{}{}
				}
			}
		}
	}
	return pids, nil
}
