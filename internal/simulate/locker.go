package simulate

import (
	"context"
	"errors"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A locker is the manager's, seen from outside: what it gets is noted, and a process that does not
// run gets nothing.
type locker struct {
	*guarded.Locker
	m *manager
}

func (m *manager) locker() failover.Locker {
	return &locker{&guarded.Locker{Session: m.session, Link: m.link, Former: m.former, Note: m.remember, Wish: m.wish}, m}
}

// wish is what the manager says of fencing when it asks for the lock.
func (m *manager) wish(w *lockclient.Wish) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if p := m.params; p.Fence != "" {
		w.Fence, w.FenceLimit, w.FenceRequired = m.fence, p.FenceTimeout, p.FenceRequired
	}
}

// fence powers a node off, or fails, or hangs.
func (m *manager) fence(ctx context.Context, name string) error {
	if !m.p.acts() {
		return errDead
	}
	m.s.mu.Lock()
	takes, luck, limit := time.Duration(m.rng.Int64N(int64(4*time.Second))), m.rng.IntN(10), m.params.FenceTimeout
	m.s.noteLocked(m.pkg, "%s: %s fences %s", m.node.name, m.p.name, name)
	m.s.mu.Unlock()
	switch luck {
	case 0:
		return errors.New("no answer")
	case 1:
		takes += limit
	}
	select {
	case <-time.After(takes):
	case <-m.p.ctx.Done(): // what it has begun goes on
		<-time.After(takes)
	}
	for _, n := range m.s.nodes {
		if n.name == name {
			m.s.resetNode(n)
		}
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.s.count(m.pkg, "fenced")
	return nil
}

// Acquire waits for the lock.
func (l *locker) Acquire(ctx context.Context, name string, times lock.Times, pace, delay time.Duration) (failover.Lock, error) {
	got, err := l.Locker.Acquire(ctx, name, times, pace, delay)
	if err != nil {
		return nil, err
	}
	h := l.has(got)
	l.m.s.mu.Lock()
	defer l.m.s.mu.Unlock()
	l.m.s.result.Grants++
	term, _ := h.Terms()
	l.m.s.noteLocked(l.m.pkg, "%s: %s has the lock, in term %d", l.m.node.name, l.m.p.name, term)
	return h, nil
}

// Resume asks for the lock of an earlier manager.
func (l *locker) Resume(ctx context.Context, name string, pace time.Duration) failover.Lock {
	h := l.has(l.resume(ctx, name, pace))
	l.m.s.mu.Lock()
	defer l.m.s.mu.Unlock()
	end, kill := h.Ends()
	now := l.m.node.clock.Now()
	lost := isClosed(h.Lost())
	if !lost {
		l.m.s.result.Adoptions++
		l.m.adopted = l.m.params.Adopt && !l.m.halted && l.m.doing.Doing == failover.Running && l.m.up() && len(l.m.procs) == 1
	}
	l.m.s.noteLocked(l.m.pkg, "%s: %s adopts: lost: %v, L in %v, K in %v", l.m.node.name, l.m.p.name, lost, end.Left(now), kill.Left(now))
	return h
}

func (l *locker) resume(ctx context.Context, name string, pace time.Duration) failover.Lock {
	if l.m.s.Off.Adoption {
		return l.sameSession(ctx, pace)
	}
	return l.Locker.Resume(ctx, name, pace)
}

// has notes what the node has now.
func (l *locker) has(got failover.Lock) *held {
	h := &held{Lock: got, m: l.m}
	l.m.p.acts()
	l.m.s.mu.Lock()
	defer l.m.s.mu.Unlock()
	if l.m.p.alive() {
		l.m.lease, l.m.released, l.m.kill, l.m.moved = h, false, lease.Time{}, time.Now()
		l.m.world.arm()
	}
	return h
}

// A held lock is a manager's.
type held struct {
	failover.Lock
	m    *manager
	late lease.Time // of a kill end that is not absolute
}

// Turn says that the loop has turned: it does not while the process stands still.
func (h *held) Turn(doing failover.PkgState) {
	if h.m.p.acts() {
		h.Lock.Turn(doing)
	}
}

// Ends is L and K.
func (h *held) Ends() (end, kill lease.Time) {
	end, kill = h.Lock.Ends()
	if !h.m.s.Off.KillEnd || !isClosed(h.Lost()) {
		return end, kill
	}
	if h.late == (lease.Time{}) {
		h.late = h.m.node.clock.Now().Add(h.m.params.StopTimeout)
	}
	return end, h.late
}

// Change makes the holder live by other times.
func (h *held) Change(ctx context.Context, times lock.Times) error {
	if !h.m.p.acts() {
		return errDead
	}
	if h.m.s.Off.Smaller {
		h.tellOnly(ctx, times)
	}
	err := h.change(ctx, times)
	h.m.s.note(h.m.pkg, "%s: %s lives by %v: %v", h.m.node.name, h.m.p.name, times, err)
	return err
}

func (h *held) change(ctx context.Context, times lock.Times) error {
	if h.m.s.Off.Smaller {
		return nil
	}
	return h.Lock.Change(ctx, times)
}

// Release gives the lock back.
func (h *held) Release(ctx context.Context) error {
	if !h.m.p.acts() {
		return errDead
	}
	h.m.s.releasing(h.m)
	err := h.release(ctx)
	if err == nil && h.m.p.acts() {
		h.m.s.mu.Lock()
		defer h.m.s.mu.Unlock()
		if h.m.lease == h {
			h.m.released = true
			h.m.s.noteLocked(h.m.pkg, "%s: %s gave the lock back", h.m.node.name, h.m.p.name)
			h.m.check()
		}
	}
	return err
}

func (h *held) release(ctx context.Context) error {
	if h.m.s.Off.Release {
		return h.tellRelease(ctx)
	}
	return h.Lock.Release(ctx)
}

// Block leaves the lock with this node.
func (h *held) Block(ctx context.Context, reason string) error {
	if !h.m.p.acts() {
		return errDead
	}
	err := h.Lock.Block(ctx, reason)
	h.m.s.note(h.m.pkg, "%s: %s blocks the lock: %s: %v", h.m.node.name, h.m.p.name, reason, err)
	if err == nil {
		h.m.s.mu.Lock()
		h.m.s.result.Blocked++
		h.m.pkg.blocked = true
		h.m.s.mu.Unlock()
	}
	return err
}
