package lockserver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A host stands still for a while, as far as the others can see, and goes on: what was sent to
// it, and by it, arrives then.
func TestStalls(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		who  string
		long time.Duration
	}{
		{"client", 6 * time.Second},
		{"follower", 30 * time.Second},
		{"leader", 500 * time.Millisecond},
		{"leader", 30 * time.Second},
	} {
		t.Run(fmt.Sprint(row.who, row.long), func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				x, y := c.session("x"), c.session("y")
				defer x.stop()
				defer y.stop()
				w := wish("p")
				w.Pace = time.Second
				h := mustAcquire(t, x, w)
				defer keep(h)()
				got := acquireLater(t, y, w)
				time.Sleep(5 * time.Second)
				leader := c.leader()
				host := map[string]string{"client": "x", "follower": c.others(leader)[0], "leader": leader}[row.who]
				all := append(c.others(host), "x", "y")
				c.net.Isolate(host, all, true)
				time.Sleep(row.long)
				c.net.Isolate(host, all, false)
				time.Sleep(testTimes.Silence())
				notYet(t, got, "after the stall")
				if isLost(h) {
					t.Error("the stall cost the holder its lock")
				}
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
				<-got
			})
		})
	}
}

// A client that stands still for longer than its lease has lost the lock when it goes on, though
// its renewals of before arrive then; the next had it not before the kill end and the margin.
func TestStallOfHolderTooLong(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		got := acquireLater(t, y, wish("p"))
		time.Sleep(9 * time.Second)
		c.net.Isolate("x", three, true)
		<-h.Lost()
		kill := killAt(x, h)
		end, _ := h.Ends()
		if at := <-got; at.Before(kill.Add(500 * time.Millisecond)) {
			t.Errorf("granted %v before the kill end and the margin", kill.Sub(at))
		}
		before := c.agreed("p")
		c.net.Isolate("x", three, false)
		time.Sleep(3 * time.Second)
		if late, _ := h.Ends(); late != end {
			t.Error("an answer that came late moved the end of the lease")
		}
		if k := c.agreed("p"); k != before {
			t.Errorf("what came late made of %+v: %+v", before, k)
		}
	})
}

// What a leader was asked while it stood still it does not acknowledge when it goes on: another
// leads by then, and has a holder of its own.
func TestThawedLeader(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		old := c.leader()
		x, y := c.session("x", old), c.session("y", c.others(old)...)
		defer x.stop()
		defer y.stop()
		h := mustAcquire(t, x, wish("p")) // its loop does not turn: the test renews
		renew := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := x.client.RenewOnce(ctx, x.Owner.Session, "p", h.Term)
			return err
		}
		if err := renew(time.Second); err != nil {
			t.Fatal(err)
		}
		stands := append(c.others(old), "x", "y")
		c.net.Isolate(old, stands, true)
		got := acquireLater(t, y, wish("p"))
		<-got
		asked := make(chan error, 1)
		go func() { asked <- renew(time.Second) }() // on a connection of before; it waits in the kernel
		time.Sleep(100 * time.Millisecond)
		c.net.Isolate(old, stands, false)
		if err := <-asked; err == nil {
			t.Error("a leader of before acknowledged a renewal after another had the lock")
		}
		if k := c.agreed("p"); k.Session != y.Owner.Session {
			t.Errorf("the servers say %+v, want the lock to be y's", k)
		}
	})
}

// Links that carry only one way: the holder keeps its lock as long as it, or another server for
// it, reaches a leader that reaches a majority.
func TestOneWayCuts(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		cut  func(c *testCluster, leader string, others []string)
	}{
		{"client to leader", func(c *testCluster, leader string, _ []string) { c.net.Cut("x", leader) }},
		{"leader to client", func(c *testCluster, leader string, _ []string) { c.net.Cut(leader, "x") }},
		{"client to followers", func(c *testCluster, _ string, others []string) {
			c.net.Cut("x", others[0])
			c.net.Cut("x", others[1])
		}},
		{"leader to a follower", func(c *testCluster, leader string, others []string) { c.net.Cut(leader, others[0]) }},
		{"a follower to the leader", func(c *testCluster, leader string, others []string) { c.net.Cut(others[0], leader) }},
		{"a follower to the other", func(c *testCluster, _ string, others []string) { c.net.Cut(others[0], others[1]) }},
		{"leader to all servers", func(c *testCluster, leader string, others []string) {
			c.net.Cut(leader, others[0])
			c.net.Cut(leader, others[1])
		}},
		{"all servers to the leader", func(c *testCluster, leader string, others []string) {
			c.net.Cut(others[0], leader)
			c.net.Cut(others[1], leader)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				leader := c.leader()
				x, y := c.session("x"), c.session("y")
				defer x.stop()
				defer y.stop()
				h := mustAcquire(t, x, wish("p"))
				defer keep(h)()
				got := acquireLater(t, y, wish("p"))
				time.Sleep(3 * time.Second)
				row.cut(c, leader, c.others(leader))
				time.Sleep(2 * time.Minute)
				notYet(t, got, "with the link cut")
				if isLost(h) {
					t.Error("the holder lost its lock")
				}
				for _, from := range append(three, "x") {
					c.net.Isolate(from, append(three, "x"), false)
				}
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
				<-got
			})
		})
	}
}

// lossy is a link that takes 200 ms and loses three packets in ten, as TCP shows it: what is lost
// is sent again after 200 ms more than the way there and back, then after twice that, and so on.
func lossy(seed uint64) func() time.Duration {
	r := rand.New(rand.NewPCG(seed, 0))
	const way = 200 * time.Millisecond
	return func() time.Duration {
		delay := way
		for again := 3 * way; r.IntN(10) < 3; again *= 2 {
			delay += again
		}
		return delay
	}
}

// A holder behind a link that loses three packets in ten keeps its lock; one at the other end
// of whose lease nobody hears it for once loses it in time, like any other.
func TestLossyLinks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				c.leader()
				x, y := c.session("x"), c.session("y")
				defer x.stop()
				defer y.stop()
				for i, entry := range three {
					c.net.SetSlow("x", entry, lossy(seed+uint64(10*i)))
					c.net.SetSlow(entry, "x", lossy(seed+uint64(10*i+5)))
				}
				w := wish("p")
				w.Times.Timeout = 30 * time.Second
				h := mustAcquire(t, x, w)
				defer keep(h)()
				got := acquireLater(t, y, w)
				time.Sleep(10 * time.Minute)
				notYet(t, got, "behind a lossy link")
				if isLost(h) {
					t.Error("the holder lost its lock")
				}
				c.net.Isolate("x", three, true)
				<-h.Lost()
				kill := killAt(x, h)
				if at := <-got; at.Before(kill.Add(500 * time.Millisecond)) {
					t.Errorf("granted %v before the kill end and the margin", kill.Sub(at))
				}
				c.net.Isolate("x", three, false)
			})
		})
	}
}
