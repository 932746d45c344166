package lockserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// simFenceLimit is how long a node may take to power off another.
const simFenceLimit = 8 * time.Second

// leave notes that what runs under o has no manager any more. The caller holds the history's mu.
func (n *simNode) leave(o *holding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left[o.lock] = o
}

// leftBehind is what runs under no manager, of the lock called name; nil is nothing.
func (n *simNode) leftBehind(name string) *holding {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.left[name]
	delete(n.left, name)
	return o
}

// adopt takes over what the manager before has left, as often as not; else that runs on until its
// kill end, as it does if it cannot be adopted. So long this manager does not ask for the lock.
func (n *simNode) adopt(ctx context.Context, session *lockclient.Session, name string) {
	o := n.leftBehind(name)
	if o == nil || n.draw(0, 4) == 0 {
		return
	}
	n.rest(ctx, n.draw(0, 4*time.Second))
	end, _ := o.ends()
	f := lockclient.PriorLease{Session: o.session, Term: o.term, Sent: end.Add(-o.lives.Timeout), Times: o.lives}
	called := time.Now()
	h := session.Adopt(ctx, lockclient.Wish{Name: name, Times: n.times[name], Pace: n.pace}, f)
	if isLost(h) {
		var kill time.Time
		n.sim.set(o, "is not adopted", func() {
			o.ends = h.Ends
			o.update()
			kill = o.kill
		})
		n.rest(ctx, time.Until(kill))
		return
	}
	next := &holding{
		lock: name, node: n.name, session: session.Owner.Session, term: h.Term, called: called, got: time.Now(),
		ends: h.Ends, on: n.clock, long: o.lives.Timeout, lives: o.lives, from: o.session,
		previous: h.Previous, unfenced: h.Unfenced(),
	}
	n.sim.set(o, "is adopted", func() { o.adopted = next.got })
	n.sim.hold(next)
	n.asked("/v1/acquire", api.AcquireRequest{Name: name, Owner: session.Owner, Times: f.Times, From: f.Session, Own: f.Term})
	n.has(ctx, h, next)
}

// settle says that what the lock is for has begun.
func (n *simNode) settle(ctx context.Context, h *lockclient.Held, o *holding) {
	n.asked("/v1/settled", api.SettledRequest{ReleaseRequest: o.releaseRequest()})
	limited, cancel := context.WithTimeout(ctx, n.draw(time.Second, 5*time.Second))
	defer cancel()
	_ = h.Settled(limited)
}

// blocks leaves the lock behind with what cannot be stopped, now and then, until a person frees it.
func (n *simNode) blocks(ctx context.Context, h *lockclient.Held, o *holding) bool {
	if n.draw(0, 12) != 0 || ctx.Err() != nil || isLost(h) {
		return false
	}
	n.asked("/v1/block", api.BlockRequest{ReleaseRequest: o.releaseRequest(), Reason: "again"})
	limited, cancel := context.WithTimeout(ctx, n.draw(time.Second, 10*time.Second))
	err := h.Block(limited, "it cannot be stopped")
	cancel()
	if err != nil {
		return false
	}
	n.sim.set(o, "has blocked it", func() { o.blocked = true })
	for ctx.Err() == nil && n.sim.now(o.lock).Term == o.term && n.sim.now(o.lock).Held() {
		n.rest(ctx, time.Second)
	}
	return true
}

// now is a lock as the servers' log has it.
func (h *history) now(name string) lock.Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table[name]
}

// admin frees blocked locks, after a while, once nothing of them runs any more.
func (s *sim) admin(ctx context.Context) {
	client := s.c.client("admin", s.entries...)
	defer client.Close()
	for patience := 0; ctx.Err() == nil; patience++ {
		s.nodes[0].rest(ctx, 5*time.Second)
		for _, name := range s.locks {
			if k := s.now(name); k.Blocked != "" && s.stopped(name, k, patience%5 == 0) {
				q := api.UnblockRequest{ReleaseRequest: api.ReleaseRequest{Name: name, Term: k.Term, Session: k.Session}, Node: k.Node} // the person is there
				s.nodes[0].asked("/v1/unblock", q)
				limited, cancel := context.WithTimeout(ctx, 10*time.Second)
				a, err := client.Unblock(limited, name, k.Term, k.Session, k.Node)
				cancel()
				if err == nil {
					s.unblocked(name, k, a.Changed)
				}
			}
		}
	}
}

// stopped says whether nothing of what a blocked lock is about runs any more. With stop the person who comes
// stops what the holder could not stop.
func (s *sim) stopped(name string, k lock.Lock, stop bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.holdings {
		if o.update(); o.lock != name || !o.over().After(time.Now()) {
			continue
		}
		if !o.blocked || o.term != k.Term || !stop {
			return false
		}
		o.gaveUp = time.Now()
		s.noteLocked(name, "%s, term %d: a person has stopped it", o.node, o.term)
	}
	return true
}

// unblocked notes that the servers freed k.
func (s *sim) unblocked(name string, k lock.Lock, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(name, "unblocked in term %d: %v", k.Term, changed)
	for _, o := range s.holdings {
		if o.lock == name && o.term == k.Term && !o.gaveUp.IsZero() && o.freed.IsZero() {
			o.freed = time.Now()
		}
	}
}

// fence powers off a node that was silent for too long, or fails to, or hangs.
func (n *simNode) fence(ctx context.Context, name, node string) error {
	n.sim.mayFence(name, n.name, node)
	n.rest(ctx, n.draw(0, simFenceLimit))
	what := n.draw(0, 10)
	n.sim.note(name, "%s fences %s: %d", n.name, node, what)
	i := slices.IndexFunc(n.sim.nodes, func(o *simNode) bool { return o.name == node })
	switch {
	case i < 0 || n.sim.nodes[i].single || what < 3:
		return errors.New("no answer from the power switch")
	case what < 5:
		<-ctx.Done()
		return nil
	}
	off := make(chan struct{})
	target := n.sim.nodes[i]
	target.mu.Lock()
	target.dying = append(target.dying, off)
	if target.crash != nil {
		target.crash()
	}
	target.mu.Unlock()
	select {
	case <-off:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mayFence checks whether by may power off node now: the servers must have agreed to that, and the lease of
// node must be over.
func (h *history) mayFence(name, by, node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.table[name]; k.Node == node && k.Fencing.By.Node != by {
		h.violated(name, "%s is to be powered off by %s, and the servers' log knows nothing of that", node, by)
	}
	for _, o := range h.holdings {
		if o.update(); o.lock == name && o.node == node && h.table[name].Term == o.term && time.Until(o.end) > time.Second {
			h.violated(name, "%s is to be powered off %v before the end of its lease", node, time.Until(o.end))
		}
	}
}

// powerOff ends all that runs on a node, where that can be powered off now. Nothing of it is left that could be adopted.
func (n *simNode) powerOff() {
	n.mu.Lock()
	dying := n.dying
	if n.dying = nil; dying != nil {
		clear(n.left)
	}
	n.mu.Unlock()
	if dying == nil {
		return
	}
	n.sim.died(n.name)
	for _, off := range dying {
		close(off)
	}
}

// died notes that nothing runs on a node any more.
func (h *history) died(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked("", "%s is powered off", node)
	for _, o := range h.holdings {
		if o.node == node && o.died.IsZero() {
			o.died = time.Now()
		}
	}
}

// crashHolder crashes a manager that holds a lock: its next one may adopt that, unless it is cut off
// for long enough to be fenced.
func (s *sim) crashHolder() {
	s.mu.Lock()
	var holders []string
	for _, o := range s.holdings[max(0, len(s.holdings)-20):] {
		if o.update(); o.over().After(time.Now()) {
			holders = append(holders, o.node)
		}
	}
	s.mu.Unlock()
	for _, n := range s.nodes {
		if n.single || !slices.Contains(holders, n.name) {
			continue
		}
		if s.rng.IntN(3) > 0 {
			s.c.net.Isolate(n.name, s.others(n.name), true)
			s.later(s.span(5*time.Second, 40*time.Second), func() { s.c.net.Isolate(n.name, s.others(n.name), false) })
		}
		n.mu.Lock()
		if n.crash != nil {
			n.crash()
		}
		n.mu.Unlock()
		return
	}
}
