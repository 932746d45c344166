package lockserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

// A slowConn is a connection of a process that stands still now and then, when an answer has come.
type slowConn struct {
	net.Conn
	node *simNode
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if d := c.node.draw(0, 3*time.Second); d < time.Second {
		c.node.rest(context.Background(), d)
	}
	return n, err
}

func (n *simNode) dialSlowly(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := n.sim.c.net.On(n.name).Dial(ctx, addr)
	return slowConn{conn, n}, err
}

// asScript takes a lock and holds it by one dex-lock after the other, and gives it back by dex-release. As often
// as not a loop in the background calls dex-lock too; what that has begun when the lock is given back goes on.
func (n *simNode) asScript(ctx context.Context, name string) {
	var o *holding
	var loop sync.WaitGroup
	var over atomic.Bool
	defer loop.Wait()
	defer over.Store(true)
	if !n.sim.quiet.Load() && n.draw(0, 2) == 0 {
		loop.Go(func() {
			for !over.Load() && ctx.Err() == nil {
				n.dexLock(ctx, n.second, name, time.Now())
				n.rest(ctx, n.draw(10*time.Millisecond, n.times[name].Timeout/4))
			}
		})
	}
	until := time.Now().Add(n.draw(10*time.Second, time.Minute))
	for called := time.Now(); ctx.Err() == nil && time.Now().Before(until); n.rest(ctx, n.times[name].Timeout/4) {
		if n.isPaused() {
			continue
		}
		had := n.dexLock(ctx, n.client, name, called)
		if had == nil && o != nil {
			return
		}
		if o = had; o == nil {
			called = time.Now()
		}
	}
	over.Store(true)
	if o != nil {
		n.dexRelease(ctx, name, o)
	}
}

// dexLock is one dex-lock. It is nil if that does not exit with 0, and else what the node holds then.
func (n *simNode) dexLock(ctx context.Context, client *lockclient.Client, name string, called time.Time) *holding {
	s, err := lockclient.OpenSingle(client, n.name, lockclient.NewFiles(n.temp), name, n.times[name])
	if err != nil {
		n.sim.violate(name, "dex-lock on %s: %v", n.name, err)
		return nil
	}
	result, _ := s.Try(ctx)
	if !result.Held() {
		return nil
	}
	kept, err := n.kept(name)
	if err != nil {
		n.sim.violate(name, "dex-lock on %s: %v", n.name, err)
		return nil
	}
	if kept.end.Left(n.clock.Now()) <= 0 { // another has changed it in this moment: it is told all the same
		kept.end = n.clock.Now()
	}
	return n.sim.told(&holding{
		single: true,
		lock:   name, node: n.name, session: kept.session, term: kept.term, called: called, got: time.Now(), on: n.clock,
		long: n.times[name].Timeout, ends: func() (end, kill lease.Time) { return kept.end, kept.end.Add(n.times[name].Stop) },
	}, string(result))
}

// told notes that a dex-lock said, by its exit status, that the node of now holds the lock. It returns the holding that
// this belongs to: the one that the node has in that term already, or else now. If the node had given that term back,
// it has it again.
func (h *history) told(now *holding, result string) *holding {
	h.mu.Lock()
	var before *holding
	for _, o := range h.holdings {
		if o.lock == now.lock && o.session == now.session && o.term == now.term {
			before = o
		}
	}
	if before != nil && before.gaveUp.IsZero() {
		before.ends = now.ends
		h.noteLocked(now.lock, "%s (%.6s), term %d: %s", now.node, now.session, now.term, result)
		h.mu.Unlock()
		return before
	}
	now.again = before != nil
	h.mu.Unlock()
	h.hold(now)
	return now
}

// dexRelease is one dex-release after the other, until one succeeds.
func (n *simNode) dexRelease(ctx context.Context, name string, o *holding) {
	n.asked("/v1/release", o.releaseRequest())
	for ctx.Err() == nil {
		called := time.Now()
		n.sim.givesBack(n.name, name, called, time.Time{})
		s, err := lockclient.OpenSingle(n.client, n.name, lockclient.NewFiles(n.temp), name, n.times[name])
		if err == nil && s.Release(ctx) == nil {
			n.sim.givesBack(n.name, name, called, time.Now())
			return
		}
		n.rest(ctx, time.Second)
	}
}

// givesBack notes that a node calls dex-release: nothing of what it was told before counts any more. freed is when
// that succeeded, or zero. For a moment after the call a dex-lock may still be told that the node holds the lock.
func (h *history) givesBack(node, name string, called, freed time.Time) {
	const moment = 20 * time.Millisecond
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.holdings {
		if o.node == node && o.lock == name && o.gaveUp.IsZero() {
			o.update()
		}
		switch {
		case o.node != node || o.lock != name || !o.freed.IsZero() || o.got.After(called.Add(moment)):
			continue
		case o.gaveUp.IsZero() && o.kill.Before(called):
			continue // it was over before
		case o.gaveUp.IsZero():
			if o.gaveUp = called; o.got.After(called) {
				o.gaveUp = o.got
			}
		}
		o.freed = freed
	}
	if freed.IsZero() {
		h.noteLocked(name, "%s calls dex-release", node)
	} else {
		h.noteLocked(name, "%s has given it back, as was called for at %v", node, h.since(called))
	}
}

// A keptLease is what dex-lock keeps between two calls.
type keptLease struct {
	session string
	term    uint64
	end     lease.Time
}

func (n *simNode) kept(name string) (k keptLease, err error) {
	b, err := os.ReadFile(filepath.Join(n.dir, name+"_lease"))
	if err != nil {
		return k, err
	}
	var boot string
	var seq uint64
	var end time.Duration
	if _, err := fmt.Sscan(string(b), &k.session, &boot, &k.term, &seq, &end); err != nil {
		return k, err
	}
	k.end = lease.Reading(end, end) // its two clocks are one
	return k, nil
}
