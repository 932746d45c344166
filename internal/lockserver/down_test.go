package lockserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// Rule 19. A person who says on another node that a node is off is not believed while that node is heard. Case 30: a
// lock that was blocked, since its package could not be stopped, was freed in this way, and another node started the
// package three seconds later.
func TestRule19Down(t *testing.T) {
	t.Parallel()
	withAndWithout(t, Off{Down: true}, func(t *testing.T, switched Off) (harm string) {
		inCluster(t, switched, three, func(t *testing.T, c *testCluster) {
			x, y := c.session("x"), c.session("y")
			defer x.stop()
			defer y.stop()
			h := mustAcquire(t, x, wish("p"))
			stop := keep(h)
			if err := h.Block(t.Context(), "its status is 0, not 1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if a, err := y.client.Unblock(t.Context(), "p", h.Term, x.Owner.Session, "y"); err != nil || a.Changed || a.Refused == "" {
				harm = "the lock of a node that is heard was freed"
			} else if !strings.HasPrefix(a.Refused, "x is not off: it was heard ") || !a.Lock.Held() {
				t.Errorf("refused: %+v", a)
			}
			stop()
		})
		return harm
	})
}

// A node counts as heard through any of its sessions, for any lock, and while it stands by; and to a new leader, for
// as long as that cannot know better.
func TestIsUp(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, other, y := c.session("x"), c.session("x"), c.session("y")
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		if err := h.Block(t.Context(), "stuck"); err != nil {
			t.Fatal(err)
		}
		x.stop()
		k := c.agreed("p")
		freed := func() bool {
			a, err := y.client.Unblock(t.Context(), "p", k.Term, k.Session, "y")
			if err != nil || a.Changed == (a.Refused != "") {
				t.Fatal(a, err)
			}
			return a.Changed
		}
		long := testTimes.Silence() + time.Second
		stop := keep(mustAcquire(t, other, wish("q")))
		if time.Sleep(long); freed() {
			t.Fatal("while the node renews another lock")
		}
		stop()
		other.stop()
		next := c.session("x")
		wait := acquireLater(t, next, wish("p"))
		if time.Sleep(long); freed() {
			t.Fatal("while the node stands by")
		}
		c.net.Isolate("x", three, true)
		time.Sleep(long - 5*time.Second)
		c.crash(c.leader())
		c.leader()
		if time.Sleep(long - 3*time.Second); freed() {
			t.Fatal("soon after the leader began")
		}
		if time.Sleep(3 * time.Second); !freed() {
			t.Fatal("not when it was silent for long enough")
		}
		c.net.Isolate("x", three, false)
		<-wait
		next.stop()
	})
}

// A person's word that the holder's node is off is not taken while any session of that node is heard. The same is true
// for a node that lost the lock by silence.
func TestDeclaredIsUp(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		c.silence("x")
		other, y, z := c.session("x"), c.session("y"), c.session("z")
		defer y.stop()
		defer z.stop()
		stop := keep(mustAcquire(t, other, wish("q")))
		k := c.agreed("p")
		time.Sleep(testTimes.Timeout + time.Second)
		if state, err := z.DeclareOff(t.Context(), "p", k); !errors.Is(err, lockclient.ErrNotSilent) || state.Silent > 3000 {
			t.Errorf("declared off while it renews another lock: %v, silent %d ms", err, state.Silent)
		}
		h := mustAcquire(t, y, wish("p"))
		if !slices.Equal(h.Unfenced(), []string{"x"}) {
			t.Errorf("y is told of %v", h.Unfenced())
		}
		k = c.agreed("p")
		if a, err := z.client.IsOff(t.Context(), "p", k, "x"); err != nil || a.Changed || a.Refused == "" {
			t.Errorf("it is taken for off while it renews another lock: %+v, %v", a, err)
		}
		stop()
		other.stop()
		release(t, h)
		time.Sleep(testTimes.Silence() + time.Second)
		if a, err := z.client.IsOff(t.Context(), "p", k, "x"); err != nil || a.Changed {
			t.Errorf("of a lock that has changed: %+v, %v", a, err)
		}
		if a, err := z.client.IsOff(t.Context(), "p", c.agreed("p"), "x"); err != nil || !a.Changed || a.Lock.Unfenced != "" {
			t.Errorf("it is off: %+v, %v", a, err)
		}
		state, err := z.client.Look(t.Context(), "p")
		if err != nil || state.Lock != c.agreed("p") || state.Lock == (lock.Lock{}) {
			t.Errorf("Look = %+v, %v", state, err)
		}
	})
}

// A host that was renamed and booted stands by, and no fence of its former name succeeds: then a person's word that
// this is off counts, or nobody could ever have the lock.
func TestDeclareOffRenamed(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		dir := memoryDir(t)
		x, y := c.sessionOf("x", c.client("x"), dir), c.session("y")
		defer y.stop()
		w := fencing(&switchboard{err: errors.New("no such host")})
		w.Times, w.FenceRequired, w.StandBy = slowStop, true, true
		mustAcquire(t, x, w)
		x.stop()                // without a release
		time.Sleep(time.Second) // its L_term is written
		again, ended := c.sessionOf("x-new", c.client("x"), dir), make(chan struct{})
		ctx, giveUp := context.WithCancel(t.Context())
		go func() {
			defer close(ended)
			_, _ = again.Acquire(ctx, w)
		}()
		time.Sleep(slowStop.Silence() - 10*time.Second)
		if _, err := y.DeclareOff(t.Context(), "p", c.agreed("p")); !errors.Is(err, lockclient.ErrNotSilent) {
			t.Errorf("too early: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := y.DeclareOff(t.Context(), "p", c.agreed("p")); err != nil {
			t.Errorf("a person's word does not count: %v", err)
		}
		giveUp()
		<-ended
		again.stop()
	})
}
