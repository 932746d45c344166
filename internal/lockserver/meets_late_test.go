package lockserver

import (
	"context"
	"errors"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// deafen holds every answer to host, or lets them through again.
func (c *testCluster) deafen(host string, deaf bool) {
	for _, entry := range c.list {
		c.net.Set(entry, host, deaf)
	}
}

// A change whose answer was lost was made, and once: the session goes on from what the servers
// have.
func TestChangeAnswerLost(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		first := mustAcquire(t, x, wish("p"))
		stop := keep(first)

		longer := lock.Times{Timeout: 20 * time.Second, Stop: 5 * time.Second}
		done := make(chan error, 1)
		c.deafen("x", true)
		go func() { done <- first.Change(t.Context(), longer) }()
		c.eventually(time.Second, "the change is made", func() bool { return c.agreed("p").Times == longer })
		time.Sleep(6 * time.Second) // it is asked for again
		c.deafen("x", false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if k := c.agreed("p"); k.Seq != 2 || k.Times != longer {
			t.Errorf("after a change whose answer was lost the servers say %+v, want seq 2 and %+v", k, longer)
		}

		stop()
	})
}

// A release whose answer was lost was made: the next has the lock. Whatever the session hears
// first then, the answer to another try or that a renewal is refused, it has released the lock
// and not lost it.
func TestReleaseAnswerLost(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		w := wish("p")
		w.Pace = 100 * time.Millisecond
		for phase := range 14 { // of a try and the pause after it
			first := mustAcquire(t, x, w)
			stop := keep(first)
			done := make(chan error, 1)
			c.deafen("x", true)
			go func() { done <- first.Release(t.Context()) }()
			second := mustAcquire(t, y, wish("p"))
			stopSecond := keep(second)
			time.Sleep(5*time.Second + time.Duration(phase)*250*time.Millisecond)
			c.net.Reset(func(a, b string) bool { return a == "x" || b == "x" }) // and with them the answers
			c.deafen("x", false)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			stop()
			if k := c.agreed("p"); k.Term != second.Term || k.Session != y.Owner.Session || isLost(first) {
				t.Errorf("a release that came twice left %+v, want term %d of y; lost: %v", k, second.Term, isLost(first))
			}
			stopSecond()
			if err := second.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// An acquire that its asker gave up may have been made. Asked again, the session has the lock
// in one term, the latest, and what was on its way about the earlier ones is void.
func TestAcquireGivenUp(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		warm := mustAcquire(t, x, wish("other")) // so that it is connected
		stop := keep(warm)
		c.deafen("x", true)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		asked := make(chan error, 1)
		go func() {
			_, err := x.Acquire(ctx, wish("p"))
			asked <- err
		}()
		c.eventually(5*time.Second, "it is made", func() bool { return c.agreed("p").Held() })
		before := c.agreed("p")
		time.Sleep(12 * time.Second)
		c.deafen("x", false)
		if err := <-asked; err == nil {
			t.Fatal("a lock was had after the time to get it was over")
		}
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		if h.Term <= before.Term {
			t.Errorf("had again in term %d, want one after %d", h.Term, before.Term)
		}
		if _, err := x.client.RenewOnce(t.Context(), x.Owner.Session, "p", before.Term); !errors.Is(err, lockclient.ErrLost) {
			t.Errorf("the earlier term was renewed: %v", err)
		}
		got := acquireLater(t, y, wish("p"))
		time.Sleep(30 * time.Second)
		notYet(t, got, "while the lock is renewed")
		if k := c.agreed("p"); k.Term != h.Term || isLost(h) {
			t.Errorf("the holder of term %d: lost %v; the servers say %+v", h.Term, isLost(h), k)
		}
		stop()
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-got
	})
}

// A replay is a request that a session has sent, word for word.
type replay struct {
	path string
	body any
}

// requestsOf is what a session may have sent about a lock, with times that would show.
func requestsOf(s *holder, h *lockclient.Held) []replay {
	shorter, before := lock.Times{Timeout: 5 * time.Second, Stop: time.Second}, h.Term-1
	release := api.ReleaseRequest{Name: "p", Term: h.Term, Session: s.Owner.Session}
	return []replay{
		{"/v1/acquire", api.AcquireRequest{Name: "p", Owner: s.Owner, Times: shorter, Known: &before}},
		{"/v1/acquire", api.AcquireRequest{Name: "p", Owner: s.Owner, Times: shorter, Known: &before, Own: h.Term}},
		{"/v1/change", api.ChangeRequest{ReleaseRequest: release, Seq: 1, Times: shorter}},
		{"/v1/release", release},
		{"/v1/renew", api.RenewRequest{Session: s.Owner.Session, Locks: []api.Renewal{{Name: "p", Term: h.Term}}}},
	}
}

// replay sends requests to every server, and wants nothing to change by it.
func (c *testCluster) replay(old []replay) {
	c.t.Helper()
	before, left := c.agreed("p"), c.hosts[c.leader()].state("p").Left
	for _, r := range old {
		for _, entry := range three {
			if err := c.post(entry, r.path, r.body, new(any)); err != nil {
				c.t.Errorf("%s %+v: %v", r.path, r.body, err)
			}
		}
	}
	if k := c.agreed("p"); k != before {
		c.t.Errorf("old requests made of %+v: %+v", before, k)
	}
	if now := c.hosts[c.leader()].state("p").Left; now > left {
		c.t.Errorf("old requests made the lease longer: %d ms, from %d", now, left)
	}
}

// Requests that come a second time, or late, to whatever server, change nothing: neither the lock
// nor how long its holder may live unheard.
func TestReplays(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		first := mustAcquire(t, x, wish("p"))
		stop := keep(first)
		for _, timeout := range []time.Duration{20 * time.Second, 10 * time.Second} { // seq 1 and 2 are past
			if err := first.Change(t.Context(), lock.Times{Timeout: timeout, Stop: 5 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		ofFirst := requestsOf(x, first)
		c.replay(ofFirst[:1]) // the others are x's right still
		c.replay(ofFirst[2:3])
		stop()
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.replay(ofFirst)
		second := mustAcquire(t, x, wish("p"))
		c.replay(ofFirst)
		ofSecond := requestsOf(x, second)
		c.replay(ofSecond[:1])
		if err := second.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		third := mustAcquire(t, y, wish("p"))
		stop = keep(third)
		c.replay(ofFirst)
		c.replay(ofSecond)
		time.Sleep(10 * time.Second)
		if isLost(third) {
			t.Error("old requests cost the holder its lock")
		}
		stop()
		c.net.Isolate("y", three, true)
		<-third.Lost()
		c.replay(ofFirst) // also while nobody renews it
		c.replay(ofSecond)
		c.net.Isolate("y", three, false)
	})
}
