package lockserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/lock"
)

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
	x.stop()        // without a release
	synctest.Wait() // until its files say that it had the lock
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
		ctx, giveUp := context.WithCancel(t.Context())
		w := fencing(b)
		w.Fence = func(ctx context.Context, node string) error {
			giveUp() // it is off, and does not have the lock as everybody may then
			return b.powerOff(ctx, node)
		}
		w.Times, w.FenceRequired, w.StandBy = slowStop, true, true
		mustAcquire(t, x, w)
		x.stop()                                            // without a release
		again, ended := c.session("x"), make(chan struct{}) // on a disk that knows nothing
		go func() {
			defer close(ended)
			w := w
			w.Fence = nil
			_, _ = again.Acquire(ctx, w)
		}()
		limited, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
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
