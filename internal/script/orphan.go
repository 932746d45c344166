package script

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Without a cgroup this process is the subreaper: what scripts leave behind becomes its child, so
// that it stays in reach, and has to be reaped here. Children that other code of this process
// waits for must not be: they are told apart by what only their parent has. os.StartProcess
// (so os/exec too) keeps a pidfd of each child until it was waited for or let go, and
// opens it in the same system call that makes the child. A zombie child that no pidfd of this process
// refers to is nobody's, hence an orphan. Children must therefore not be started with syscall.ForkExec.
//
// Where the kernel has no pidfd (before 5.4) only those are reaped that a runner saw alive as its own and
// that this package has not started itself; other zombies stay until this process ends.

// expected is the children that this package has started and waits for: one list for the whole
// process, because orphans and children belong to the process, not to a Runner.
var expected = children{pids: make(map[int]struct{})}

type children struct {
	mu       sync.Mutex
	pids     map[int]struct{}
	starting int  // being started: their pids are not known yet
	handles  bool // os.Process has pidfds

	reaping sync.Mutex
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

func becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep hold of what scripts leave running: %w", err)
	}
	return nil
}

// reapOrphans takes away the zombies among the processes that this process inherited.
func (r *Runner) reapOrphans() {
	expected.reaping.Lock()
	defer expected.reaping.Unlock()
	procs, err := processes()
	if err != nil {
		return
	}
	r.mu.Lock()
	var zombies, ours []int
	for pid, p := range procs {
		if !p.zombie || p.ppid != os.Getpid() {
			continue
		}
		zombies = append(zombies, pid)
		if start, ok := r.seen[pid]; ok && start == p.start {
			ours = append(ours, pid)
		}
	}
	r.mu.Unlock()
	for _, pid := range expected.orphans(zombies, ours) {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// orphans picks from the zombie children those that nobody in this process waits for.
func (c *children) orphans(zombies, ours []int) []int {
	if len(zombies) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	awaited := make(map[int]struct{})
	switch {
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

// handles is the processes that this process holds a pidfd of.
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
