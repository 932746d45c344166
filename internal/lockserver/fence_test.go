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

// A holder that is gone, but whose node stands by for the lock again, is not powered off, by itself or by another: it
// was booted, perhaps under another name, or its manager was. Once it is silent it is.
func TestFenceSparesStandBy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"x", "x-new"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) { fenceSparesStandBy(t, c, name) })
		})
	}
}

// fenceSparesStandBy has the node of the holder come back under that name.
func fenceSparesStandBy(t *testing.T, c *testCluster, name string) {
	dir := memoryDir(t)
	x, y := c.sessionOf("x", c.client("x"), dir), c.session("y")
	defer y.stop()
	w, b, self := wish("p"), &switchboard{took: time.Second}, &switchboard{took: time.Second}
	w.Times = slowStop
	mustAcquire(t, x, w)
	x.stop() // without a release
	again, ended := c.sessionOf(name, c.client("x"), dir), make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		w := fencing(self)
		w.Times, w.StandBy = slowStop, true
		_, _ = again.Acquire(ctx, w)
	}()
	other := acquireLater(t, y, fencing(b))
	time.Sleep(slowStop.Timeout + time.Minute)
	if len(b.called()) > 0 || len(self.called()) > 0 {
		t.Fatalf("%v was powered off by y, %v by itself, though it stands by", b.nodes, self.nodes)
	}
	notYet(t, other, "while the time is not over")
	c.net.Isolate("x", append(c.others(""), "y"), true)
	time.Sleep(10 * time.Second)
	if calls := b.called(); len(calls) != 1 {
		t.Errorf("fenced %d times after it was cut off, want once", len(calls))
	}
	<-other
	giveUp()
	c.net.Isolate("x", append(c.others(""), "y"), false)
	<-ended
	again.stop()
}

// Where a lock can be had only by a fence, a holder's node that stands by for the lock again is powered off all the
// same, if its disk does not know that it had the lock: otherwise neither that node nor any other could ever have it.
func TestFenceRequiredOfForgetful(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer y.stop()
		b := &switchboard{took: time.Second}
		w := fencing(b)
		w.Times, w.FenceRequired, w.StandBy = slowStop, true, true
		mustAcquire(t, x, w)
		x.stop()                                            // without a release
		again, ended := c.session("x"), make(chan struct{}) // on a disk that knows nothing
		ctx, giveUp := context.WithCancel(t.Context())
		go func() {
			defer close(ended)
			w := w
			w.Fence = nil
			_, _ = again.Acquire(ctx, w)
		}()
		limited, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		if _, err := y.Acquire(limited, w); err != nil || len(b.called()) != 1 {
			t.Errorf("fenced %d times, want once: %v", len(b.called()), err)
		}
		giveUp()
		<-ended
		again.stop()
	})
}

// A fence that takes the only lock server with it succeeds when that is up again: the node is not powered off again.
func TestFenceTakesTheServer(t *testing.T) {
	t.Parallel()
	one := []string{"a"}
	inCluster(t, Off{}, one, func(t *testing.T, c *testCluster) {
		x, y := c.session("a"), c.session("y")
		defer y.stop()
		w := wish("p")
		w.Times, w.FenceRequired = slowStop, true
		mustAcquire(t, x, w)
		x.stop() // without a release
		b := &switchboard{}
		w.FenceLimit = 20 * time.Second
		w.Fence = func(ctx context.Context, node string) error {
			c.stop("a")
			time.AfterFunc(3*time.Minute, func() { c.start("a") }) // it is booted
			return b.powerOff(ctx, node)
		}
		limited, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := y.Acquire(limited, w); err != nil || len(b.called()) != 1 {
			t.Errorf("fenced %d times, want once: %v", len(b.called()), err)
		}
	})
}

// That a session stood by, before it had the lock, is no reason not to power its node off.
func TestFenceStaleClaims(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y, z := c.session("x"), c.session("y"), c.session("z")
		defer x.stop()
		defer y.stop()
		defer z.stop()
		w := wish("p")
		w.StandBy, w.Times = true, lock.Times{Timeout: 2 * time.Second, Stop: 4 * time.Minute}
		first := mustAcquire(t, z, w)
		keepFirst := keep(first)
		got := acquireLater(t, x, w)
		time.Sleep(10 * time.Second)
		keepFirst()
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-got
		c.net.Isolate("x", append(c.others(""), "y", "z"), true)
		cut := time.Now()
		b := &switchboard{took: time.Second}
		mustAcquire(t, y, fencing(b))
		if calls := b.called(); len(calls) != 1 || calls[0].Sub(cut) > w.Times.Timeout+time.Second {
			t.Errorf("fenced at %v after the cut at %v, want once, when the holder was silent for %v", calls, cut, w.Times.Timeout)
		}
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
