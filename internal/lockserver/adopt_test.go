package lockserver

import (
	"context"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// former is the prior lease that a manager which dies leaves behind, for the next manager on its node.
func former(x *holder, h *lockclient.Held) lockclient.PriorLease {
	end, _ := h.Ends()
	return lockclient.PriorLease{Session: x.Owner.Session, Term: h.Term, Sent: end.Add(-testTimes.Timeout), Times: testTimes}
}

// next is a manager on the node of x after x was killed: it has the same clock, as one host has.
func (c *testCluster) next(x *holder) *holder {
	n := c.session(x.Owner.Node)
	n.client.Clock = x.client.Clock
	return n
}

// Rule 18. A lease that runs is taken over with what runs under it, in a new term; the node before
// stays what it was, and who waits goes on waiting.
func TestAdopt(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		z := c.session("z")
		before := mustAcquire(t, z, wish("p"))
		if err := before.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		z.stop()
		x, y := c.session("x"), c.session("y")
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		got := acquireLater(t, y, wish("p"))
		time.Sleep(5 * time.Second)
		x.stop() // its process is killed
		time.Sleep(3 * time.Second)
		f := former(x, h)
		n := c.next(x)
		defer n.stop()
		begin := n.client.Clock.Now()
		w := wish("p")
		w.Times.Timeout = time.Hour // as in a changed script: that is for later
		second := n.Adopt(t.Context(), w, f)
		if isLost(second) || second.Term != h.Term+1 || second.Previous != "z" {
			t.Fatalf("adopted: term %d, previous %q, lost %v; want term %d after z", second.Term, second.Previous, isLost(second), h.Term+1)
		}
		end, kill := second.Ends()
		if end.Left(begin.Add(testTimes.Timeout)) < 0 || kill != end.Add(testTimes.Stop) {
			t.Error("the lease does not count from when the adoption was asked for, by the former times")
		}
		if k := c.agreed("p"); k.Session != n.Owner.Session || k.Times != testTimes || k.Previous != "z" {
			t.Errorf("the servers say %+v", k)
		}
		stop := keep(second)
		time.Sleep(time.Minute)
		notYet(t, got, "after the adoption")
		stop()
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-got
	})
}

// An adoption whose answer was lost is asked for again under the new session, and the node before
// is still what it was.
func TestAdoptAnswerLost(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		h := mustAcquire(t, x, wish("p"))
		x.stop()
		f := former(x, h)
		n := c.next(x)
		defer n.stop()
		warm := mustAcquire(t, n, wish("other")) // so that it is connected
		defer keep(warm)()
		c.deafen("x", true)
		got := make(chan *lockclient.Held, 1)
		go func() { got <- n.Adopt(t.Context(), wish("p"), f) }()
		c.eventually(3*time.Second, "it is made", func() bool { return c.agreed("p").Session == n.Owner.Session })
		before := c.agreed("p")
		time.Sleep(2 * time.Second)
		c.net.Reset(func(a, b string) bool { return a == "x" || b == "x" }) // and with them the answer
		c.deafen("x", false)
		second := <-got
		if isLost(second) || second.Term <= before.Term || second.Previous != "" {
			t.Errorf("adopted in term %d after one of %d; lost %v, previous %q", second.Term, before.Term, isLost(second), second.Previous)
		}
		if k := c.agreed("p"); k.Term != second.Term {
			t.Errorf("the servers say %+v, want term %d", k, second.Term)
		}
	})
}

// wantLost fails unless h was lost before it was had, with K at kill, and has nothing to release.
func wantLost(t *testing.T, what string, n *holder, h *lockclient.Held, f lockclient.PriorLease, killNow bool) {
	t.Helper()
	if !isLost(h) {
		t.Fatalf("%s: adopted", what)
	}
	end, kill := h.Ends()
	want := f.Sent.Add(f.Times.Timeout)
	if end != want {
		t.Errorf("%s: the lease ends %v off that of the former one", what, end.Longest(want))
	}
	if killNow && kill.Left(n.client.Clock.Now()) > 0 || !killNow && kill != want.Add(f.Times.Stop) {
		t.Errorf("%s: the kill end is in %v, that of the former lease in %v; now: want %v", what, kill.Left(n.client.Clock.Now()),
			want.Add(f.Times.Stop).Left(n.client.Clock.Now()), killNow)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Errorf("%s: Release = %v", what, err)
	}
	if err := h.Block(t.Context(), "stuck"); err == nil {
		t.Errorf("%s: it can be blocked", what)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_ = h.Change(over, f.Times) // no panic
}

// A lock that is not the earlier session's any more is not adopted, and what is lost has the right ends.
func TestNotAdopted(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		x.stop()
		f := former(x, h)
		n := c.next(x)
		defer n.stop()

		begin := time.Now()
		wantLost(t, "nothing known", n, n.Adopt(t.Context(), wish("p"), lockclient.PriorLease{}), lockclient.PriorLease{}, true)
		old := f
		old.Term--
		wantLost(t, "an earlier term", n, n.Adopt(t.Context(), wish("p"), old), old, false)
		free := f
		free.Session = "of nobody at all"
		wantLost(t, "a free lock", n, n.Adopt(t.Context(), wish("free"), free), free, true)
		wantLost(t, "another's lock", n, n.Adopt(t.Context(), wish("p"), free), free, true)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v to say what is known at once", took)
		}

		c.net.Isolate("x", three, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		wantLost(t, "ctx has ended", n, n.Adopt(ctx, wish("p"), f), f, false)
		cancel()
		at := n.client.Clock.Now()
		left := f.Sent.Add(f.Times.Timeout).Left(at)
		wantLost(t, "the lease has ended", n, n.Adopt(t.Context(), wish("p"), f), f, false)
		if took := n.client.Clock.Now().Longest(at); took != left {
			t.Errorf("Adopt gave up after %v, the lease had %v", took, left)
		}
		wantLost(t, "the lease had ended", n, n.Adopt(t.Context(), wish("p"), f), f, false)
		mustAcquire(t, y, wish("p"))
		c.net.Isolate("x", three, false)
		wantLost(t, "the kill end has passed", n, n.Adopt(t.Context(), wish("p"), f), f, true)
		if k := c.agreed("p"); k.Node != "y" {
			t.Errorf("the servers say %+v, want the lock to be y's", k)
		}
	})
}

// An adoption that is on its way when ctx ends is waited for: else nobody would know of the lock.
func TestAdoptIsNotBrokenOff(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		h := mustAcquire(t, x, wish("p"))
		x.stop()
		n := c.next(x)
		defer n.stop()
		mustAcquire(t, n, wish("other"))
		c.slowly(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		second := n.Adopt(ctx, wish("p"), former(x, h))
		if k := c.agreed("p"); isLost(second) || second.Term != k.Term || k.Session != n.Owner.Session {
			t.Errorf("adopted in term %d, lost %v; the servers say %+v", second.Term, isLost(second), k)
		}
	})
}

// Rule 18. A manager that comes late with the lease of an earlier one must not take the lock from the node
// that has got it since then.
func TestRule18Adopt(t *testing.T) {
	withAndWithout(t, Off{Adopt: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer y.stop()
			h := mustAcquire(t, x, wish("p"))
			x.stop()
			second := mustAcquire(t, y, wish("p"))
			defer keep(second)()
			late := api.AcquireRequest{
				Name: "p", Owner: lock.Owner{Node: "x", Session: "the next of x"}, Times: testTimes, From: x.Owner.Session, Own: h.Term,
			}
			var a api.AcquireAnswer
			if err := c.post(c.leader(), "/v1/acquire", late, &a); err != nil {
				t.Fatal(err)
			}
			if end, _ := second.Ends(); a.Granted && end.Left(y.client.Clock.Now()) > 0 {
				harm = "a lock was adopted that another node holds"
			}
		})
		return harm
	})
}
