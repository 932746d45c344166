package lockserver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A switchboard powers nodes off for a test, and knows when it was told to.
type switchboard struct {
	took time.Duration // how long it takes
	err  error         // what comes of it
	hang bool          // it ends only with its context
	deaf bool          // it does not even end with that

	mu    sync.Mutex
	calls []time.Time
	nodes []string
}

func (b *switchboard) powerOff(ctx context.Context, node string) error {
	b.mu.Lock()
	b.calls, b.nodes = append(b.calls, time.Now()), append(b.nodes, node)
	b.mu.Unlock()
	if b.deaf {
		time.Sleep(10 * time.Minute)
		return nil
	}
	if b.hang {
		<-ctx.Done()
		return nil
	}
	select {
	case <-time.After(b.took):
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *switchboard) called() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// fencing is a wish for p by a stand-by that fences with b.
func fencing(b *switchboard) lockclient.Wish {
	w := wish("p")
	w.Fence, w.FenceLimit = b.powerOff, 20*time.Second
	return w
}

// slowStop is times with a stop so long that fencing is worth it.
var slowStop = lock.Times{Timeout: 10 * time.Second, Stop: 4 * time.Minute}

// cutHolder has x take p with times, and lose its connection to all.
func (c *testCluster) cutHolder(x *holder, times lock.Times) (h *lockclient.Held, cut time.Time) {
	c.t.Helper()
	w := wish("p")
	w.Times = times
	h = mustAcquire(c.t, x, w)
	stop := keep(h)
	time.Sleep(20 * time.Second)
	c.net.Isolate(x.Owner.Node, append(c.others(""), "y", "z"), true)
	stop()
	return h, time.Now()
}

// Rule 19. A holder that was silent for T is powered off, not earlier, and then its lock is had at once.
func TestFence(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y, z := c.session("x"), c.session("y"), c.session("z")
		defer x.stop()
		defer y.stop()
		defer z.stop()
		b := &switchboard{took: 3 * time.Second}
		h, _ := c.cutHolder(x, slowStop)
		end, _ := h.Ends()
		lost := time.Now().Add(end.Left(x.client.Clock.Now()))
		second := mustAcquire(t, y, fencing(b))
		had := time.Now()
		plain := acquireLater(t, z, wish("p"))
		calls := b.called()
		if len(calls) != 1 || b.nodes[0] != "x" {
			t.Fatalf("fenced %d times: %v", len(calls), b.nodes)
		}
		if after := calls[0].Sub(lost); after < 0 || after > time.Second {
			t.Errorf("fenced %v after the lease's end, want at once", after)
		}
		if after := had.Sub(calls[0]); after < b.took || after > b.took+200*time.Millisecond {
			t.Errorf("had %v after the fencing began, want %v", after, b.took)
		}
		if k := c.agreed("p"); k.Fenced || k.BeingFenced() || k.Term != second.Term || k.Previous != "x" {
			t.Errorf("the servers say %+v", k)
		}
		stop := keep(second)
		time.Sleep(time.Minute)
		notYet(t, plain, "while the next holder renews")
		stop()
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-plain
	})
}

// Where every fence fails, a person's word that the node is off opens the lock at once; but not while the
// holder is heard.
func TestDeclareOff(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y, z := c.session("x"), c.session("y"), c.session("z")
		defer x.stop()
		defer y.stop()
		defer z.stop()
		w := fencing(&switchboard{err: errors.New("no route to the power switch")})
		w.FenceRequired = true
		c.cutHolder(x, slowStop)
		k := c.agreed("p")
		for _, wait := range []time.Duration{0, slowStop.Timeout + 5*time.Second} {
			time.Sleep(wait)
			if _, err := z.DeclareOff(t.Context(), "p", k); !errors.Is(err, lockclient.ErrNotSilent) {
				t.Fatalf("while the holder may not have stopped: %v", err)
			}
		}
		got := acquireLater(t, y, w)
		time.Sleep(slowStop.Silence() + time.Minute)
		notYet(t, got, "while no fence succeeded")
		begin := time.Now()
		for {
			_, err := z.DeclareOff(t.Context(), "p", k)
			if err == nil {
				break
			}
			if !errors.Is(err, lockclient.ErrBeingFenced) || time.Since(begin) > time.Minute {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if at := <-got; time.Since(at) > time.Second {
			t.Errorf("had %v before", time.Since(at))
		}
		if _, err := z.DeclareOff(t.Context(), "p", k); !errors.Is(err, lockclient.ErrNotSilent) {
			t.Errorf("of the next holder: %v", err)
		}
	})
}

// A fencing that fails opens nothing early, and is tried again after a minute. Nobody is fenced who
// renews, nor for a lock that is blocked.
func TestFenceFails(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		b := &switchboard{took: time.Second, err: errors.New("no route to the power switch")}
		_, cut := c.cutHolder(x, slowStop)
		mustAcquire(t, y, fencing(b))
		if took := time.Since(cut); took < slowStop.Silence()-4*time.Second || took > slowStop.Silence()+time.Second {
			t.Errorf("had %v after the cut, want T+S+m", took)
		}
		calls := b.called()
		if len(calls) < 3 || len(calls) > 5 {
			t.Errorf("fenced %d times in %v", len(calls), slowStop.Silence())
		}
		for i := 1; i < len(calls); i++ {
			if pause := calls[i].Sub(calls[i-1]); pause < time.Minute || pause > 65*time.Second {
				t.Errorf("fenced again after %v, want a minute", pause)
			}
		}
	})
}

// Neither who renews is fenced, nor who blocked the lock, nor one's own node.
func TestNotToBeFenced(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer y.stop()
		b := &switchboard{}
		h := mustAcquire(t, x, wish("p"))
		stop := keep(h)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		go func() {
			time.Sleep(2 * time.Minute)
			if err := h.Block(t.Context(), "stuck"); err != nil {
				t.Error(err)
			}
			stop()
			x.stop()
		}()
		if _, err := y.Acquire(ctx, fencing(b)); err == nil {
			t.Error("a blocked lock was had")
		}
		if calls := b.called(); len(calls) > 0 {
			t.Errorf("fenced %d times", len(calls))
		}
		if a, err := y.client.Unblock(t.Context(), "p", h.Term, x.Owner.Session, "y"); err != nil || !a.Changed {
			t.Fatal(a, err)
		}
		n := c.session("x")
		mustAcquire(t, n, wish("p"))
		n.stop()
		again := c.session("x")
		defer again.stop()
		mustAcquire(t, again, fencing(b))
		if calls := b.called(); len(calls) > 0 {
			t.Errorf("a node was told to power off itself, %d times", len(calls))
		}
	})
}

// A fencing that hangs is over at its limit: then the ordinary wait counts, and a success that
// comes later does not.
func TestFenceHangs(t *testing.T) {
	t.Parallel()
	for _, b := range []*switchboard{{hang: true}, {deaf: true}} {
		inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			_, cut := c.cutHolder(x, lock.Times{Timeout: 10 * time.Second, Stop: 40 * time.Second})
			mustAcquire(t, y, fencing(b))
			if took := time.Since(cut); took < 47*time.Second || took > 52*time.Second {
				t.Errorf("had %v after the cut, want T+S+m", took)
			}
			if n := len(b.called()); n != 1 {
				t.Errorf("fenced %d times", n)
			}
			if b.deaf {
				time.Sleep(10 * time.Minute) // a goroutine must not outlive the test
			}
		})
	}
}

// What comes of a fencing is told to the next leader as well, and that gives the whole T again before
// it lets anybody fence.
func TestFenceOverLeaderChange(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		b := &switchboard{took: 10 * time.Second}
		_, cut := c.cutHolder(x, slowStop)
		time.Sleep(8 * time.Second)
		c.crash(c.leader())
		c.leader()
		opened := time.Now()
		got := acquireLater(t, y, fencing(b))
		c.eventually(time.Minute, "the holder is fenced", func() bool { return len(b.called()) > 0 })
		if after := b.called()[0].Sub(opened); after < slowStop.Timeout-time.Second {
			t.Errorf("fenced %v after a new leader began, want %v", after, slowStop.Timeout)
		}
		leader := c.leader()
		c.start(c.down())
		time.Sleep(2 * time.Second)
		c.crash(leader)
		if at := <-got; at.Sub(cut) > time.Minute {
			t.Errorf("had %v after the cut, though the fencing succeeded", at.Sub(cut))
		}
	})
}

// down is a server that does not run.
func (c *testCluster) down() string {
	for _, entry := range c.list {
		if c.hosts[entry] == nil {
			return entry
		}
	}
	return ""
}
