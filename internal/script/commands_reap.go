package script

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// noteAfter is how long what a reaped leader has left in its group may stay unnoted: one look is for all that end within.
const noteAfter = 20 * time.Millisecond

// serve reaps, and tells what has ended, until c.over.
func (c *Commands) serve(children chan os.Signal) {
	defer signal.Stop(children)
	ready := make(chan struct{})
	close(ready)
	var note <-chan time.Time
	noted := make(chan time.Duration, 1) // how long it took
	pauseBefore := noteAfter
	for c.reap(); ; {
		c.mu.Lock()
		var first Ended
		var out chan<- Ended
		var tidy <-chan struct{}
		if len(c.queue) > 0 {
			first, out = c.queue[0], c.ended
		}
		if len(c.empty) > 0 {
			tidy = ready
		}
		if c.unnoted && note == nil {
			note = time.After(pauseBefore)
		}
		c.mu.Unlock()
		select {
		case <-children:
			c.reap()
		case <-c.wake:
		case out <- first:
			c.mu.Lock()
			c.queue = c.queue[1:]
			c.mu.Unlock()
		case <-tidy:
			c.removeOne()
		case <-note:
			c.mu.Lock()
			c.unnoted = false
			c.mu.Unlock()
			note = make(chan time.Time) // until this one is done
			c.done.Go(func() { noted <- c.note() })
		case took := <-noted:
			note, pauseBefore = nil, max(noteAfter, 10*took)
		case <-c.over:
			return
		}
	}
}

// rouse has serve look at what it has to do.
func (c *Commands) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// reap takes away all children that have ended.
func (c *Commands) reap() {
	for pid := zombie(); pid != 0; pid = zombie() {
		if c.bury(pid) {
			continue
		}
		c.starting.Lock() // it may be one that was started just now
		if !c.bury(pid) {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG|anyChild, nil)
		}
		c.starting.Unlock()
	}
}

// bury reaps a command that has ended; false if pid is none.
func (c *Commands) bury(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[pid] == nil {
		return false
	}
	var ws unix.WaitStatus
	if got, err := unix.Wait4(pid, &ws, unix.WNOHANG|anyChild, nil); err != nil || got != pid {
		return true // whoever it was has gone
	}
	status := ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	c.finish(pid, status)
	return true
}

// lost is told of the end of a command that is no child.
func (c *Commands) lost(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.running[pid]; r != nil && r.adopted {
		c.finish(pid, -1)
		c.rouse()
	}
}

// finish notes the end of a command; c.mu is held.
func (c *Commands) finish(pid, status int) {
	r := c.running[pid]
	delete(c.running, pid)
	if g := c.groups[pid]; g != nil {
		if unix.Kill(-pid, 0) == unix.ESRCH {
			delete(c.groups, pid)
		} else {
			g.reaped = true
			c.unnoted = c.unnoted || c.dir == "" || c.loose
		}
	}
	end := Ended{Key: r.key, PID: pid, Status: status, At: time.Now()}
	switch {
	case r.failed:
	case r.pending:
		r.early = &end
	default:
		c.queue = append(c.queue, end)
	}
	if c.dir != "" {
		c.empty = append(c.empty, r.key)
	}
}

// removeOne removes the cgroup of a key, if nothing is left in it.
func (c *Commands) removeOne() {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.mu.Lock()
	key := c.empty[0]
	c.empty = c.empty[1:]
	c.mu.Unlock()
	removeEmpty(c.cgroup(key))
}

// note sees what reaped leaders have left, while their groups tell whose it is.
func (c *Commands) note() (took time.Duration) {
	began := time.Now()
	c.looking.Lock()
	defer c.looking.Unlock()
	_, _ = c.pass(nil) // if it fails the next look sees less
	return time.Since(began)
}

// Adopt follows what is alive of a key and was started by another process, as by this daemon before it died. The oldest
// counts as the command, for nobody knows better: its end is told. It is 0 if nothing is alive.
func (c *Commands) Adopt(key string) (pid int, err error) {
	found, err := c.look([]string{key})
	if err != nil {
		return 0, err
	}
	p, ok := eldest(found[key])
	if !ok {
		return 0, nil
	}
	c.mu.Lock()
	if c.running[p.pid] != nil {
		c.mu.Unlock()
		return p.pid, nil
	}
	c.running[p.pid] = &running{key: key, adopted: true}
	c.mu.Unlock()
	switch err := c.follow.add(p); {
	case err == nil:
	case errors.Is(err, unix.ESRCH):
		c.lost(p.pid)
	default:
		c.mu.Lock()
		delete(c.running, p.pid)
		c.mu.Unlock()
		return 0, fmt.Errorf("cannot follow process %d of %q: %w", p.pid, key, err)
	}
	return p.pid, nil
}

// eldest is the process that others of them come from, rather than from it; then the oldest, then a leader.
func eldest(of map[int]proc) (first proc, ok bool) {
	younger := func(p, than proc) bool {
		_, pCame := of[p.ppid]
		_, came := of[than.ppid]
		switch {
		case pCame != came:
			return pCame
		case p.start != than.start:
			return p.start > than.start
		case (p.pid == p.pgrp) != (than.pid == than.pgrp):
			return p.pid != p.pgrp
		}
		return p.pid > than.pid
	}
	for _, p := range of {
		if !ok || younger(first, p) {
			first, ok = p, true
		}
	}
	return first, ok
}
