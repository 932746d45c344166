package lockserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// Rule 16. A blocked lock stays with its holder, dead or alive, over a change of leader too.
func TestRule16Blocked(t *testing.T) {
	withAndWithout(t, Off{Blocked: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer y.stop()
			h := mustAcquire(t, x, wish("p"))
			if err := h.Block(t.Context(), "stop failed: exit 3"); err != nil {
				t.Fatal(err)
			}
			x.stop()
			c.crash(c.leader())
			ctx, cancel := context.WithTimeout(t.Context(), 3*testTimes.Silence())
			defer cancel()
			if _, err := y.Acquire(ctx, wish("p")); err == nil {
				harm = "a blocked lock was given away"
			}
		})
		return harm
	})
}

// The holder renews on, and may say another reason; a person frees the lock, once, and it must be the
// one that was seen.
func TestBlockAndUnblock(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		stop := keep(h)
		for _, reason := range []string{"stop failed: exit 3", "stop hangs", "stop hangs"} {
			if err := h.Block(t.Context(), reason); err != nil {
				t.Fatal(err)
			}
			if k := c.agreed("p"); k.Blocked != reason || k.Term != h.Term {
				t.Errorf("the servers say %+v, want it blocked: %s", k, reason)
			}
		}
		if err := h.Block(t.Context(), "two\nlines"); err != nil || c.agreed("p").Blocked != "two lines" {
			t.Errorf("a reason of two lines: %v, %q, want it in one", err, c.agreed("p").Blocked)
		}
		if err := h.Change(t.Context(), lock.Times{Timeout: 20 * time.Second, Stop: time.Second}); err != nil {
			t.Errorf("the times of a blocked lock cannot be changed: %v", err)
		}
		got := acquireLater(t, y, wish("p"))
		time.Sleep(2 * time.Minute)
		notYet(t, got, "blocked")
		if isLost(h) {
			t.Error("a blocked lock was lost, though it was renewed")
		}
		state := c.hosts[c.leader()].state("p")
		var shown api.State
		if err := c.post(c.leader(), "/v1/wait", api.WaitRequest{Name: "p"}, &shown); err != nil || shown.Left != 0 || shown.Lock != state.Lock {
			t.Errorf("wait shows %+v, %v, want %+v without an end", shown, err, state.Lock)
		}
		for _, wrong := range []struct {
			term    uint64
			session string
		}{{h.Term + 1, x.Owner.Session}, {h.Term, y.Owner.Session}, {h.Term, ""}} {
			if a, err := y.client.Unblock(t.Context(), "p", wrong.term, wrong.session, "y"); err != nil || a.Changed {
				t.Errorf("unblocked as %+v: %+v, %v", wrong, a, err)
			}
		}
		begin := time.Now()
		if a, err := y.client.Unblock(t.Context(), "p", h.Term, x.Owner.Session, "x"); err != nil || !a.Changed || a.Lock.Held() {
			t.Fatalf("unblock: %+v, %v", a, err)
		}
		if took := (<-got).Sub(begin); took > 100*time.Millisecond {
			t.Errorf("the stand-by had the lock %v after it was unblocked", took)
		}
		<-h.Lost()
		stop()
		if a, err := y.client.Unblock(t.Context(), "p", h.Term, x.Owner.Session, "y"); err != nil || a.Changed || a.Lock.Node != "y" {
			t.Errorf("unblocked twice: %+v, %v", a, err)
		}
		if err := h.Block(t.Context(), "late"); !errors.Is(err, lockclient.ErrLost) {
			t.Errorf("Block of a lock that is lost = %v", err)
		}
		if k := c.agreed("p"); k.Blocked != "" {
			t.Errorf("the next holder's lock is blocked: %+v", k)
		}
	})
}

// Block tries until the servers have it, while the lock is renewed as ever.
func TestBlockAnswerLost(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		done := make(chan error, 1)
		c.deafen("x", true)
		go func() { done <- h.Block(t.Context(), "stuck") }()
		time.Sleep(6 * time.Second)
		c.deafen("x", false)
		if err := <-done; err != nil || isLost(h) {
			t.Fatalf("Block = %v; lost %v", err, isLost(h))
		}
		c.net.Isolate("x", three, true)
		<-h.Lost()
		c.net.Isolate("x", three, false)
		// The session itself has it again, and then it is not blocked any more.
		again := mustAcquire(t, x, wish("p"))
		if k := c.agreed("p"); k.Term != again.Term || k.Blocked != "" {
			t.Errorf("after it was had again the servers say %+v", k)
		}
		if err := again.Block(t.Context(), "stuck again"); err != nil {
			t.Fatal(err)
		}
		if err := again.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if k := c.agreed("p"); k.Held() || k.Blocked != "" {
			t.Errorf("after the release the servers say %+v", k)
		}
	})
}

// A blocked lock is adopted blocked: what could not be stopped is still there.
func TestAdoptBlocked(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		h := mustAcquire(t, x, wish("p"))
		if err := h.Block(t.Context(), "stuck"); err != nil {
			t.Fatal(err)
		}
		x.stop()
		n := c.next(x)
		defer n.stop()
		second := n.Adopt(t.Context(), wish("p"), former(x, h))
		if k := c.agreed("p"); isLost(second) || k.Blocked != "stuck" || k.Term != second.Term {
			t.Errorf("adopted: lost %v; the servers say %+v", isLost(second), k)
		}
	})
}

// Whatever is wrong with a request about blocking or fencing, nothing is done.
func TestHoldingRequestsRefused(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		of := api.ReleaseRequest{Name: "p", Term: h.Term, Session: x.Owner.Session}
		nameless := api.ReleaseRequest{Term: h.Term, Session: x.Owner.Session}
		before := c.agreed("p")
		for _, q := range []replay{
			{"/v1/block", api.BlockRequest{ReleaseRequest: of}},
			{"/v1/block", api.BlockRequest{ReleaseRequest: of, Reason: strings.Repeat("x", lock.MaxReason+1)}},
			{"/v1/block", api.BlockRequest{ReleaseRequest: nameless, Reason: "stuck"}},
			{"/v1/unblock", api.UnblockRequest{ReleaseRequest: of}},
			{"/v1/unblock", api.UnblockRequest{ReleaseRequest: nameless, Node: "y"}},
			{"/v1/settled", api.SettledRequest{ReleaseRequest: nameless}},
			{"/v1/settled", api.SettledRequest{ReleaseRequest: of, Node: "a b"}},
			{"/v1/fence", api.FenceRequest{ReleaseRequest: of, By: lock.Owner{Node: "y", Session: "0123456789"}}},
			{"/v1/fence", api.FenceRequest{ReleaseRequest: of, By: lock.Owner{Node: "y", Session: "0123456789"}, Limit: 600_001}},
			{"/v1/fence", api.FenceRequest{ReleaseRequest: of, By: lock.Owner{Node: "y", Session: "0"}, Limit: 1000}},
			{"/v1/fence", api.FenceRequest{ReleaseRequest: of, By: lock.Owner{Session: "0123456789"}, Limit: 1000}},
			{"/v1/fenced", api.FencedRequest{ReleaseRequest: of, OK: true}},
			{"/v1/fenced", api.FencedRequest{ReleaseRequest: nameless, By: "0123456789", OK: true}},
		} {
			if err := c.post(c.leader(), q.path, q.body, new(any)); err == nil || !strings.HasPrefix(err.Error(), "400") {
				t.Errorf("%s %+v: %v, want 400", q.path, q.body, err)
			}
		}
		if k := c.agreed("p"); k != before {
			t.Errorf("refused requests made of %+v: %+v", before, k)
		}
	})
}
