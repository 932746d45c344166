package lockserver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"backtowork/internal/lockclient"
)

// Rule 19. Whoever lost the lock by silence stays named in it, also when the next holder fails to make sure that it
// is off, gives the lock back and has it again; until a holder has begun well. Case 84.
func TestRule19Unfenced(t *testing.T) {
	t.Parallel()
	withAndWithout(t, Off{Unfenced: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			c.leader()
			c.silence("x")
			y, z := c.session("y"), c.session("z")
			defer y.stop()
			defer z.stop()
			told := func(of *holder, previous string, unfenced ...string) *lockclient.Held {
				h := mustAcquire(t, of, wish("p"))
				if _, got := h.Terms(); got != previous || !slices.Equal(h.Unfenced(), unfenced) {
					harm = of.Owner.Node + " is told of " + got
				}
				return h
			}
			for range 2 { // its start fails
				release(t, told(y, "x", "x"))
			}
			release(t, told(z, "x", "x"))
			c.silence("x") // it is back, and silent again
			h := told(y, "x", "x")
			if err := h.Settled(t.Context()); err != nil {
				t.Error(err)
			}
			if k := c.agreed("p"); k.Unfenced != "" || k.Term != h.Term {
				t.Errorf("when it has begun the servers say %+v", k)
			}
			release(t, h)
			release(t, told(z, "y"))
		})
		return harm
	})
}

func release(t *testing.T, h *lockclient.Held) {
	t.Helper()
	if err := h.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// Many nodes may be named; each that is powered off for sure is named no more; who adopts a lock is told of them too.
func TestUnfencedNodes(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		c.silence("w")
		c.silence("w") // it was booted again, and is nobody's but its own
		if k := c.agreed("p"); k.Unfenced != "" {
			t.Errorf("after its own silence w is named: %+v", k)
		}
		c.silence("x")
		c.silence("y")
		b := &switchboard{took: time.Second}
		z := c.session("z")
		h := mustAcquire(t, z, fencing(b)) // y is powered off
		if h.Previous != "x" || !slices.Equal(h.Unfenced(), []string{"w", "x"}) {
			t.Errorf("z is told of %v, the newest %q", h.Unfenced(), h.Previous)
		}
		z.stop()
		n := c.next(z)
		defer n.stop()
		second := n.Adopt(t.Context(), wish("p"), former(z, h))
		if isLost(second) || second.Previous != "x" || !slices.Equal(second.Unfenced(), h.Unfenced()) {
			t.Errorf("who adopts it (lost: %v) is told of %v", isLost(second), second.Unfenced())
		}
		c.crash(c.leader())
		if err := second.Settled(t.Context()); err != nil {
			t.Error(err)
		}
		if err := second.Settled(t.Context()); err != nil {
			t.Errorf("settled twice: %v", err)
		}
		release(t, second)
		w := c.session("w")
		defer w.stop()
		if third := mustAcquire(t, w, wish("p")); len(third.Unfenced()) > 0 || third.Previous != "z" {
			t.Errorf("then w is told of %v, %q", third.Unfenced(), third.Previous)
		}
	})
}

// Only the holder, in its term, can say that it has begun; it tries until the servers have it.
func TestSettled(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		c.silence("x")
		y := c.session("y")
		defer y.stop()
		h := mustAcquire(t, y, wish("p"))
		defer keep(h)()
		c.deafen("y", true)
		done := make(chan error, 1)
		go func() { done <- h.Settled(t.Context()) }()
		time.Sleep(5 * time.Second)
		c.deafen("y", false)
		if err := <-done; err != nil || c.agreed("p").Unfenced != "" {
			t.Errorf("Settled = %v; the servers name %q", err, c.agreed("p").Unfenced)
		}
		release(t, h)
		c.silence("x")
		late := mustAcquire(t, y, wish("p"))
		c.net.Isolate("y", three, true)
		<-late.Lost()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := late.Settled(ctx); !errors.Is(err, lockclient.ErrLost) {
			t.Errorf("Settled of a lock that is lost = %v", err)
		}
		c.net.Isolate("y", three, false)
		if told := c.silence("x"); !slices.Equal(told.Unfenced(), []string{"y"}) {
			t.Errorf("x is told of %v", told.Unfenced())
		}
	})
}

// The node that falls silent may be the leader's, and the next leader one that has just been started again.
func TestUnfencedLeader(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		host := c.leader()
		for _, other := range c.others(host) {
			c.stop(other)
			c.start(other)
			c.leader()
		}
		time.Sleep(2 * lookSeldom)
		x, y := c.session(host), c.session("y")
		defer x.stop()
		defer y.stop()
		mustAcquire(t, x, wish("p"))
		c.net.Isolate(host, append(c.others(host), "y"), true)
		if h := mustAcquire(t, y, wish("p")); !slices.Equal(h.Unfenced(), []string{host}) {
			t.Errorf("y is told of %v", h.Unfenced())
		}
		c.net.Isolate(host, append(c.others(host), "y"), false)
	})
}
