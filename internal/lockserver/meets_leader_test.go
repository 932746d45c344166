package lockserver

import (
	"fmt"
	"testing"
	"time"

	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// leaderLeaves makes the leader go, d from now, and tells when another leads: by handing over, or
// in a crash, after which it comes back.
func (c *testCluster) leaderLeaves(d time.Duration, crash bool) (done <-chan struct{}) {
	over := make(chan struct{})
	old := c.leader()
	next := c.others(old)[0]
	go func() {
		defer close(over)
		time.Sleep(d)
		if crash {
			c.crash(old)
			c.leader()
			c.start(old)
			return
		}
		id := c.hosts[next].self.ID
		// It may fail where another was elected first: that is a change of leader too.
		_ = c.hosts[old].node().LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)).Error()
	}()
	return over
}

// duringChanges runs test with the leader leaving at each stage of what test does.
func duringChanges(t *testing.T, test func(t *testing.T, c *testCluster, leave func() <-chan struct{})) {
	t.Helper()
	for _, crash := range []bool{false, true} {
		for stage := range 5 {
			t.Run(fmt.Sprintf("crash=%v/%d", crash, stage), func(t *testing.T) {
				t.Parallel()
				inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
					c.leader()
					time.Sleep(2 * time.Second)
					c.slowly(20 * time.Millisecond)
					test(t, c, func() <-chan struct{} {
						return c.leaderLeaves(time.Duration(stage)*25*time.Millisecond, crash)
					})
				})
			})
		}
	}
}

// The session has the lock once, and the servers say the same term as it does.
func TestLeaderChangeInAcquire(t *testing.T) {
	t.Parallel()
	duringChanges(t, func(t *testing.T, c *testCluster, leave func() <-chan struct{}) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		left := leave()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		got := acquireLater(t, y, wish("p"))
		<-left
		time.Sleep(testTimes.Silence() + 5*time.Second)
		notYet(t, got, "after the change")
		if k := c.agreed("p"); isLost(h) || k.Term != h.Term || k.Session != x.Owner.Session {
			t.Errorf("the holder of term %d lost it: %v; the servers say %+v", h.Term, isLost(h), k)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-got
	})
}

// A change of leader costs no lease, at whatever moment of a renewal.
func TestLeaderChangeInRenew(t *testing.T) {
	t.Parallel()
	duringChanges(t, func(t *testing.T, c *testCluster, leave func() <-chan struct{}) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		w := wish("p")
		w.Pace = time.Second
		h := mustAcquire(t, x, w)
		defer keep(h)()
		got := acquireLater(t, y, wish("p"))
		time.Sleep(2950 * time.Millisecond) // the next renewal is about to begin
		<-leave()
		time.Sleep(testTimes.Silence() + 5*time.Second)
		notYet(t, got, "after the change")
		if isLost(h) {
			t.Error("the lock was lost with the leader")
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-got
	})
}

// A release is done when it returns: the next holder need not wait, and the session has it again
// only in a later term.
func TestLeaderChangeInRelease(t *testing.T) {
	t.Parallel()
	duringChanges(t, func(t *testing.T, c *testCluster, leave func() <-chan struct{}) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		left := leave()
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-left
		c.leader()
		begin := time.Now()
		second := mustAcquire(t, y, wish("p"))
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("after a release the next had to wait %v", took)
		}
		if second.Term != h.Term+1 || isLost(h) {
			t.Errorf("after a release of term %d the next has %d; lost: %v", h.Term, second.Term, isLost(h))
		}
	})
}

// A change of times is made once, and both sides live by the same.
func TestLeaderChangeInChange(t *testing.T) {
	t.Parallel()
	longer := lock.Times{Timeout: 25 * time.Second, Stop: 7 * time.Second}
	duringChanges(t, func(t *testing.T, c *testCluster, leave func() <-chan struct{}) {
		x := c.session("x")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		left := leave()
		if err := h.Change(t.Context(), longer); err != nil {
			t.Fatal(err)
		}
		<-left
		time.Sleep(5 * time.Second)
		if k := c.agreed("p"); k.Times != longer || k.Seq != 2 || isLost(h) {
			t.Errorf("the servers say %+v, want %+v in seq 2; lost: %v", k, longer, isLost(h))
		}
		end, kill := h.Ends()
		if kill != end.Add(longer.Stop) {
			t.Error("the holder does not live by what the servers know")
		}
	})
}
