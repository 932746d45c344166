package lockserver

import (
	"context"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// Rule 2: an acquire whose answer was lost gives no lease until a renewal sent afterwards is
// acknowledged.
func TestAcquireAnswerLost(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		warm, err := x.Acquire(t.Context(), wish("other"))
		if err != nil {
			t.Fatal(err)
		}
		if err := warm.Release(t.Context()); err != nil { // now it is connected to the leader, and nothing else goes there
			t.Fatal(err)
		}
		for _, entry := range three {
			c.net.Cut(entry, "x") // every answer is lost
		}
		got := make(chan *lockclient.Held, 1)
		go func() {
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Error(err)
			}
			got <- h
		}()
		time.Sleep(30 * time.Second)
		select {
		case <-got:
			t.Fatal("a lock was had without an answer")
		default:
		}
		leader := c.hosts[c.leader()]
		if k := leader.state("p").Lock; k.Node != "x" {
			t.Fatalf("the servers say %+v, want the lock to be x's", k)
		}
		healed := x.client.Clock.Now()
		c.net.Isolate("x", three, false)
		h := <-got
		if end, _ := h.Ends(); end.Left(healed.Add(testTimes.Timeout)) < 0 {
			t.Error("the lease counts from before the answers came")
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Rule 2: the lease ends at L to the moment, and an answer that comes later changes nothing.
func TestLeaseEnds(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		time.Sleep(7 * time.Second)
		for _, entry := range three {
			c.net.Cut(entry, "x")
		}
		time.Sleep(2500 * time.Millisecond) // a renewal is on its way and acknowledged
		end, _ := h.Ends()
		left := end.Left(x.client.Clock.Now())
		begin := time.Now()
		<-h.Lost()
		if after := time.Since(begin); after != left {
			t.Errorf("lost after %v, want %v", after, left)
		}
		c.net.Isolate("x", three, false)
		time.Sleep(time.Second)
		if late, _ := h.Ends(); late != end {
			t.Error("an answer moved the end of a lease that was over")
		}
	})
}

// Rule 2: a manager whose loop hangs does not renew.
func TestLoopHangs(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		alive, err := x.Acquire(t.Context(), wish("alive"))
		if err != nil {
			t.Fatal(err)
		}
		hung, err := x.Acquire(t.Context(), wish("hung"))
		if err != nil {
			t.Fatal(err)
		}
		stop := keep(alive)
		stopHung := keep(hung)
		time.Sleep(20 * time.Second)
		stopHung()
		begin := time.Now()
		<-hung.Lost()
		if after := time.Since(begin); after < testTimes.Timeout-time.Second || after > testTimes.Timeout+3*time.Second {
			t.Errorf("lost %v after its loop hung, want about T", after)
		}
		if isLost(alive) {
			t.Error("the lock of a loop that turns was lost with it")
		}
		stop()
	})
}

// Rule 20: shorter times bind when they are sent, longer ones when they are in the log. A shorter timeout is not
// sent before the lock was renewed.
func TestChange(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		longer := lock.Times{Timeout: 20 * time.Second, Stop: 3 * time.Second}
		if err := h.Change(t.Context(), longer); err != nil {
			t.Fatal(err)
		}
		end, kill := h.Ends()
		if left := end.Left(x.client.Clock.Now()); left < 19*time.Second {
			t.Errorf("after the change the lease has %v left, want nearly 20s", left)
		}
		if kill != end.Add(longer.Stop) {
			t.Error("the kill end does not go by the new stop timeout")
		}
		c.net.Isolate("x", three, true)
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { done <- h.Change(ctx, lock.Times{Timeout: 4 * time.Second, Stop: 9 * time.Second}) }()
		if err := <-done; err == nil {
			t.Error("a change that nobody heard of succeeded")
		}
		if e, k := h.Ends(); e != end || k != kill {
			t.Errorf("a change that was not sent moved the ends by %v and %v", end.Left(e), kill.Left(k))
		}
		c.net.Isolate("x", three, false)
		if err := h.Change(t.Context(), lock.Times{Timeout: 4 * time.Second, Stop: 9 * time.Second}); err != nil {
			t.Fatal(err)
		}
		end, kill = h.Ends()
		if left := end.Left(x.client.Clock.Now()); left > 4*time.Second || kill != end.Add(9*time.Second) {
			t.Errorf("after the change the lease has %v left, and %v from there to the kill end", left, end.Left(kill))
		}
	})
}

// A stand-by with a priority leaves a free lock to others for so long.
func TestPriority(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		w := wish("p")
		h, err := x.Acquire(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		w.Delay = 3 * time.Second
		got := make(chan time.Time, 1)
		go func() {
			if _, err := y.Acquire(t.Context(), w); err != nil {
				t.Error(err)
			}
			got <- time.Now()
		}()
		time.Sleep(5 * time.Second)
		begin := time.Now()
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := (<-got).Sub(begin); took < w.Delay || took > w.Delay+100*time.Millisecond {
			t.Errorf("the lock was taken %v after the release, want %v", took, w.Delay)
		}
	})
}

// A release whose outcome is not known may come late. It must not free a term that the same
// session goes on with.
func TestLateRelease(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		for i := range 20 {
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range three {
				c.net.Cut("x", entry)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			if err := h.Release(ctx); err == nil {
				t.Error("a release that nobody heard of succeeded")
			}
			cancel()
			heal := time.AfterFunc(time.Duration(i)*time.Millisecond, func() { c.net.Isolate("x", three, false) })
			again, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			heal.Stop()
			if again.Term <= h.Term {
				t.Fatalf("after a release of term %d the session holds term %d", h.Term, again.Term)
			}
			stop := keep(again)
			time.Sleep(5 * time.Second)
			if k := c.hosts[c.leader()].state("p").Lock; isLost(again) || k.Term != again.Term || !k.Held() {
				t.Fatalf("the holder of term %d lost it; the servers say %+v", again.Term, k)
			}
			stop()
			if err := again.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Rule 3: a holder that learns that another has the lock kills at once: its kill end is now.
func TestAnotherHolds(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		// As after a loss of the servers' memory: by the log, not by the rules.
		leader := c.hosts[c.leader()]
		thief := lock.Owner{Node: "y", Session: "another session"}
		e := lock.Entry{Kind: lock.Acquire, Name: "p", Term: h.Term, Session: x.Owner.Session, RaftTerm: leader.node().CurrentTerm(), Owner: thief, Times: testTimes}
		if now, err := leader.apply(t.Context(), e); err != nil || !now.changed {
			t.Fatalf("cannot prepare: %+v, %v", now, err)
		}
		<-h.Lost()
		if _, kill := h.Ends(); kill.Left(x.client.Clock.Now()) > 0 {
			t.Error("another holds the lock, and the kill end is still to come")
		}
	})
}

// A session that lost its lock, and has it again because nobody else asked, has it in a new
// term and with the times that it wishes now. What was on its way about the old term, here a
// change to short times, is void: the servers would wait less than the holder lives.
func TestOwnLockAgain(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		first, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		late := api.ChangeRequest{
			ReleaseRequest: api.ReleaseRequest{Name: "p", Term: first.Term, Session: x.Owner.Session},
			Seq:            1, Times: lock.Times{Timeout: 5 * time.Second, Stop: 5 * time.Second},
		}
		c.net.Isolate("x", three, true)
		<-first.Lost()
		c.net.Isolate("x", three, false)
		w := wish("p")
		w.Times.Timeout = time.Minute
		h, err := x.Acquire(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if h.Term <= first.Term {
			t.Errorf("had again in term %d, want one after %d", h.Term, first.Term)
		}
		leader := c.hosts[c.leader()]
		if k := leader.state("p").Lock; k.Times != w.Times {
			t.Errorf("the servers go by %+v, want %+v", k.Times, w.Times)
		}
		if a, err := leader.change(t.Context(), leader.Clock.Now(), late); err != nil || a.Changed {
			t.Errorf("a late change of the old term: %+v, %v", a, err)
		}
		defer keep(h)()
		time.Sleep(20 * time.Second)
		c.net.Isolate("x", three, true)
		if _, err := y.Acquire(t.Context(), wish("p")); err != nil {
			t.Fatal(err)
		}
		if end, _ := h.Ends(); end.Left(x.client.Clock.Now()) > 0 {
			t.Error("two holders")
		}
		c.net.Isolate("x", three, false)
	})
}

// A lease that was judged over, for a grant that then did not come about, does not lock out the
// session that still has the lock.
func TestJudgedForNobody(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		c.net.Isolate("x", three, true)
		<-h.Lost()
		time.Sleep(time.Minute)
		m := c.hosts[c.leader()].machine
		m.mu.Lock()
		if left, err := m.leases.Judge("p", m.table.Get("p"), m.clock.Now()); left != 0 || err != nil {
			t.Errorf("Judge = %v, %v", left, err)
		}
		m.mu.Unlock()
		c.net.Isolate("x", three, false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := x.Acquire(ctx, wish("p")); err != nil {
			t.Errorf("the session cannot have its own lock again: %v", err)
		}
	})
}

// A timeout that gets shorter between two renewals must not cost the lock.
func TestShorterTimeout(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		w := wish("p")
		w.Times.Timeout, w.Pace = time.Minute, 20*time.Second
		h, err := x.Acquire(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		time.Sleep(15 * time.Second)
		if err := h.Change(t.Context(), lock.Times{Timeout: 10 * time.Second, Stop: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if isLost(h) {
			t.Error("the lock was lost over a shorter timeout")
		}
	})
}

// A connection for questions on which nothing comes back any more is found out, however busy it is.
func TestDeadQuestionConnection(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		w := wish("p")
		w.Pace = 500 * time.Millisecond
		h, err := x.Acquire(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		time.Sleep(10 * time.Second)
		leader := c.leader()
		c.net.Forget(leader, c.others(leader)[0])
		time.Sleep(time.Minute)
		c.crash(c.others(leader)[1])
		time.Sleep(30 * time.Second)
		if isLost(h) {
			t.Error("the lock was lost: the leader still waits for answers on a dead connection")
		}
	})
}
