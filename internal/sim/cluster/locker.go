package cluster

import (
	"context"
	"errors"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/manager"
)

// A locker wraps a manager's Locker: it records the locks that the manager gets, and gives nothing
// to a process that is dead or stands still.
type locker struct {
	*manager.Locker
	j *job
	p *process
}

// powerOff powers a node off, or fails, or hangs.
func (h hands) powerOff(ctx context.Context, name string) error {
	if !h.p.acts() {
		return errDead
	}
	h.s.mu.Lock()
	takes, luck, limit := time.Duration(h.rng.Int64N(int64(4*time.Second))), h.rng.IntN(10), h.pkg.Params.FenceTimeout
	h.s.noteLocked(h.pkg, "%s: %s fences %s", h.node.name, h.p.name, name)
	h.s.mu.Unlock()
	switch luck {
	case 0:
		return errors.New("no answer")
	case 1:
		takes += limit
	}
	select {
	case <-time.After(takes):
	case <-h.p.ctx.Done(): // the fence goes on without the process that began it
		<-time.After(takes)
	}
	for _, n := range h.s.nodes {
		if n.isCalled(name) {
			h.s.resetNode(n)
		}
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.count(h.pkg, "fenced")
	return nil
}

// Acquire waits for the lock.
func (l *locker) Acquire(ctx context.Context, name string, times lock.Times, pace, delay time.Duration) (failover.Lock, error) {
	got, err := l.Locker.Acquire(ctx, name, times, pace, delay)
	if err != nil {
		return nil, err
	}
	h := l.has(got)
	l.j.s.mu.Lock()
	defer l.j.s.mu.Unlock()
	l.j.s.result.Grants++
	term, previous := h.Terms()
	l.j.pkg.granted(l.j.node.name, term, previous, h.Unfenced())
	l.j.s.noteLocked(l.j.pkg, "%s: %s has the lock, in term %d", l.j.node.name, l.p.name, term)
	return h, nil
}

// Resume asks for the lock of an earlier manager.
func (l *locker) Resume(ctx context.Context, name string, pace time.Duration) failover.Lock {
	h := l.has(l.resume(ctx, name, pace))
	l.p.adopted.Store(true)
	l.j.s.mu.Lock()
	defer l.j.s.mu.Unlock()
	end, kill := h.Ends()
	now := l.j.node.clock.Now()
	lost := isClosed(h.Lost())
	if !lost {
		l.j.s.result.Adoptions++
		l.j.adopted = l.j.pkg.Params.Adopt && !l.j.halted && l.Doing == failover.Running && l.j.up() && len(l.j.procs) == 1
	}
	l.j.s.noteLocked(l.j.pkg, "%s: %s adopts: lost: %v, L in %v, K in %v", l.j.node.name, l.p.name, lost, end.Left(now), kill.Left(now))
	return h
}

func (l *locker) resume(ctx context.Context, name string, pace time.Duration) failover.Lock {
	if l.j.s.Off.Adoption {
		return l.sameSession(ctx, pace)
	}
	return l.Locker.Resume(ctx, name, pace)
}

// has records which lock the node has now.
func (l *locker) has(got failover.Lock) *held {
	h := &held{Lock: got, l: l}
	l.p.acts()
	l.j.s.mu.Lock()
	defer l.j.s.mu.Unlock()
	if l.p.alive() {
		j := l.j
		j.lease, j.released, j.kill, j.moved, j.session, j.by = h, false, lease.Time{}, time.Now(), l.Session.Owner.Session, l.p
		j.arm()
	}
	return h
}

// A held is a lock that a manager has.
type held struct {
	failover.Lock
	l    *locker
	late lease.Time // the kill end, if rule 3 is off and it moves
}

// Settled says that the package has begun.
func (h *held) Settled(ctx context.Context) error {
	if !h.l.p.acts() {
		return errDead
	}
	j := h.l.j
	j.s.mu.Lock()
	if !j.started {
		j.s.violateLocked(j.pkg, "%s: the servers are told of a start that has not succeeded", j.node.name)
	}
	j.s.mu.Unlock()
	return h.Lock.Settled(ctx)
}

// Turn says that the loop has turned: it does not while the process stands still.
func (h *held) Turn(doing failover.PkgState) {
	if h.l.p.acts() {
		h.Lock.Turn(doing)
	}
}

// Ends returns L, the lease's end, and K, the kill end.
func (h *held) Ends() (end, kill lease.Time) {
	end, kill = h.Lock.Ends()
	if !h.l.j.s.Off.KillEnd || !isClosed(h.Lost()) {
		return end, kill
	}
	if h.late == (lease.Time{}) {
		h.late = h.l.j.node.clock.Now().Add(h.l.j.pkg.Params.StopTimeout)
	}
	return end, h.late
}

// Change makes the holder live by other times.
func (h *held) Change(ctx context.Context, times lock.Times) error {
	if !h.l.p.acts() {
		return errDead
	}
	if h.l.j.s.Off.Smaller {
		h.tellOnly(ctx, times)
	}
	err := h.change(ctx, times)
	h.l.j.s.note(h.l.j.pkg, "%s: %s lives by %v: %v", h.l.j.node.name, h.l.p.name, times, err)
	return err
}

func (h *held) change(ctx context.Context, times lock.Times) error {
	if h.l.j.s.Off.Smaller {
		return nil
	}
	return h.Lock.Change(ctx, times)
}

// Release gives the lock back.
func (h *held) Release(ctx context.Context) error {
	if !h.l.p.acts() {
		return errDead
	}
	h.l.j.s.releasing(h.l)
	err := h.release(ctx)
	if err == nil && h.l.p.acts() {
		h.l.j.s.mu.Lock()
		defer h.l.j.s.mu.Unlock()
		if h.l.j.lease == h {
			h.l.j.released = true
			h.l.j.s.noteLocked(h.l.j.pkg, "%s: %s gave the lock back", h.l.j.node.name, h.l.p.name)
			h.l.j.check()
		}
	}
	return err
}

func (h *held) release(ctx context.Context) error {
	if h.l.j.s.Off.Release {
		return h.tellRelease(ctx)
	}
	return h.Lock.Release(ctx)
}

// Block leaves the lock with this node.
func (h *held) Block(ctx context.Context, reason string) error {
	if !h.l.p.acts() {
		return errDead
	}
	err := h.Lock.Block(ctx, reason)
	h.l.j.s.note(h.l.j.pkg, "%s: %s blocks the lock: %s: %v", h.l.j.node.name, h.l.p.name, reason, err)
	if err == nil {
		h.l.j.s.mu.Lock()
		h.l.j.s.result.Blocked++
		h.l.j.pkg.blocked = true
		h.l.j.s.mu.Unlock()
	}
	return err
}
