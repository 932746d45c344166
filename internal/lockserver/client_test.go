package lockserver

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// Rule 2: an acquire whose answer was lost gives no lease until a renewal sent afterwards is
// acknowledged.
func TestAcquireAnswerLost(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		warm, err := x.Acquire(t.Context(), wish("other")) // so that it is connected
		if err != nil {
			t.Fatal(err)
		}
		defer keep(warm)()
		for _, entry := range three {
			c.net.cut(entry, "x") // every answer is lost
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
		c.net.isolate("x", three, false)
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
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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
			c.net.cut(entry, "x")
		}
		time.Sleep(2500 * time.Millisecond) // a renewal is on its way and acknowledged
		end, _ := h.Ends()
		left := end.Left(x.client.Clock.Now())
		begin := time.Now()
		<-h.Lost()
		if after := time.Since(begin); after != left {
			t.Errorf("lost after %v, want %v", after, left)
		}
		c.net.isolate("x", three, false)
		time.Sleep(time.Second)
		if late, _ := h.Ends(); late != end {
			t.Error("an answer moved the end of a lease that was over")
		}
	})
}

// Rule 2: a manager whose loop hangs does not renew.
func TestLoopHangs(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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

// Rule 20: shorter times bind at once, longer ones when they are in the log.
func TestChange(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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
		c.net.isolate("x", three, true)
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { done <- h.Change(ctx, lock.Times{Timeout: 4 * time.Second, Stop: 9 * time.Second}) }()
		time.Sleep(1100 * time.Millisecond) // it has tried to renew before
		end, kill = h.Ends()
		if left := end.Left(x.client.Clock.Now()); left > 4*time.Second {
			t.Errorf("a shorter timeout that nobody heard of leaves %v, want at most 4s", left)
		}
		if kill != end.Add(3*time.Second) {
			t.Error("a longer stop timeout counts before the servers know it")
		}
		if err := <-done; err == nil {
			t.Error("a change that nobody heard of succeeded")
		}
		c.net.isolate("x", three, false)
	})
}

// A node that meets another cluster than the one that it knows asks for no lock before all
// leases of the old one are over.
func TestOtherCluster(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, entry := range three {
			c.stop(entry)
			for _, path := range []string{c.stateDir(entry), c.config(entry, &testServer{}).Mark} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, entry := range three {
			c.start(entry)
		}
		c.leader()
		begin := time.Now()
		if _, err := x.Acquire(t.Context(), wish("p")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < testTimes.Silence() {
			t.Errorf("a lock of another cluster was taken after %v, want at least T+S+m", took)
		}
	})
}

// A stand-by with a priority leaves a free lock to others for so long.
func TestPriority(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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

// A server whose list differs, or that is missing, keeps a new cluster from beginning, and is named.
func TestBirthWaits(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		for _, entry := range three {
			c.stop(entry)
			if err := errors.Join(os.RemoveAll(c.stateDir(entry)), os.RemoveAll(c.config(entry, &testServer{}).Mark)); err != nil {
				t.Fatal(err)
			}
		}
		c.start("a")
		c.start("b")
		time.Sleep(time.Minute)
		if got := c.hosts["a"].status(); got.Role != "waiting" || !strings.Contains(got.Waiting, "c to be reached") {
			t.Errorf("with c missing a is %s, waiting for %q", got.Role, got.Waiting)
		}
		c.list = []string{"a", "b", "c", "d"}
		c.start("c")
		c.list = three
		time.Sleep(time.Minute)
		if got := c.hosts["a"].status(); got.Role != "waiting" || !strings.Contains(got.Waiting, "c to have the same lock_servers") {
			t.Errorf("with another list on c a is %s, waiting for %q", got.Role, got.Waiting)
		}
		c.stop("c")
		c.start("c")
		c.leader()
	})
}

// A server that was reached at the birth but crashed before it took the record is born later.
func TestBirthCrash(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.eventually(5*time.Second, "a cluster", func() bool { return c.hosts["a"].status().Cluster != "" })
		for _, entry := range three {
			c.stop(entry)
		}
		// As if the host had crashed after the record was written, before the rest.
		s := &testServer{}
		db, err := openStore(c.stateDir("c")+"/raft.db", s.fatal)
		if err != nil {
			t.Fatal(err)
		}
		record, err := db.Get(birthKey)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Close(), os.Remove(c.stateDir("c")+"/raft.db")); err != nil {
			t.Fatal(err)
		}
		if db, err = openStore(c.stateDir("c")+"/raft.db", s.fatal); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set(birthKey, record), db.Close(), os.Remove(c.config("c", s).Mark), unborn(c.stateDir("c"))); err != nil {
			t.Fatal(err)
		}
		c.start("c")
		c.start("b")
		c.leader("a")
	})
}

// unborn makes the identity in dir that of a server that is in no cluster.
func unborn(dir string) error {
	b, err := os.ReadFile(dir + "/identity")
	if err != nil {
		return err
	}
	id := string(b)[:strings.Index(string(b), `,"cluster"`)] + `,"cluster":""}`
	return os.WriteFile(dir+"/identity", []byte(id), 0o600)
}

// A changed list of lock servers is refused with a clear line, and a wiped server waits.
func TestChangedListAndWiped(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		c.stop("c")
		c.list = []string{"a", "b", "c", "d"}
		s := &testServer{}
		server, err := Open(c.config("c", s))
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot change the lock servers") {
			t.Errorf("with a changed list Run = %v", err)
		}
		c.list = three
		if err := os.RemoveAll(c.stateDir("c")); err != nil {
			t.Fatal(err)
		}
		c.start("c")
		time.Sleep(time.Minute)
		if got := c.hosts["c"].status(); got.Role != "waiting" || !strings.Contains(got.Waiting, "lost its state") {
			t.Errorf("a wiped server is %s, waiting for %q", got.Role, got.Waiting)
		}
		// It passes requests on.
		x := c.session("x", "c")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A leader that ends in good order hands over: nobody waits for an election, and a holder
// does not notice.
func TestLeaderEnds(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		time.Sleep(time.Second)
		c.stop(leader)
		begin := time.Now()
		c.leader()
		if took := time.Since(begin); took > 300*time.Millisecond {
			t.Errorf("another leader after %v, want at once", took)
		}
		c.start(leader)
		time.Sleep(5 * time.Second)
		// The best of the others has just crashed: then it is the third.
		leader = c.leader()
		c.net.crash(c.others(leader)[0])
		c.stop(c.others(leader)[0])
		begin = time.Now()
		c.stop(leader)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the leader took %v to end", took)
		}
	})
}

// A release whose outcome is not known may come late. It must not free a term that the same
// session goes on with.
func TestLateRelease(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		for i := range 20 {
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range three {
				c.net.cut("x", entry)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			if err := h.Release(ctx); err == nil {
				t.Error("a release that nobody heard of succeeded")
			}
			cancel()
			heal := time.AfterFunc(time.Duration(i)*time.Millisecond, func() { c.net.isolate("x", three, false) })
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
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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

// The log is cut short behind snapshots, a follower that lags too far gets one, and a restarted
// server goes on from one. Nothing of the locks is lost on the way.
func TestSnapshots(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		c.logs = logSizes{snapshotAt: 50, kept: 10}
		for _, entry := range three {
			c.stop(entry)
			c.start(entry)
		}
		leader := c.leader()
		lagging := c.others(leader)[0]
		c.stop(lagging)
		x := c.session("x")
		defer x.stop()
		for range 40 {
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		time.Sleep(5 * time.Minute) // raft looks every two minutes or so
		if first, err := c.hosts[leader].store.FirstIndex(); err != nil || first < 50 {
			t.Errorf("the leader's log begins at %d, %v: it was never cut short", first, err)
		}
		c.start(lagging)
		same := func() bool { return c.hosts[lagging].state("p").Lock == c.hosts[leader].state("p").Lock }
		c.eventually(10*time.Second, "the follower has the lock's state", same)
		c.stop(leader)
		c.start(leader)
		c.eventually(10*time.Second, "the restarted server has the lock's state", same)
		if k := c.hosts[leader].state("p").Lock; isLost(h) || k.Term < 41 || k.Term != h.Term {
			t.Errorf("after snapshots and restarts the lock is %+v, lost: %v", c.hosts[leader].state("p").Lock, isLost(h))
		}
	})
}

// A session that lost its lock, and has it again because nobody else asked, has it in a new
// term and with the times that it wishes now. What was on its way about the old term, here a
// change to short times, is void: the servers would wait less than the holder lives.
func TestOwnLockAgain(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("x"), c.session("y")
		defer x.stop()
		defer y.stop()
		first, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		late := lock.ChangeRequest{
			ReleaseRequest: lock.ReleaseRequest{Name: "p", Term: first.Term, Session: x.Owner.Session},
			Seq:            1, Times: lock.Times{Timeout: 5 * time.Second, Stop: 5 * time.Second},
		}
		c.net.isolate("x", three, true)
		<-first.Lost()
		c.net.isolate("x", three, false)
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
		c.net.isolate("x", three, true)
		if _, err := y.Acquire(t.Context(), wish("p")); err != nil {
			t.Fatal(err)
		}
		if end, _ := h.Ends(); end.Left(x.client.Clock.Now()) > 0 {
			t.Error("two holders")
		}
		c.net.isolate("x", three, false)
	})
}

// A lease that was judged over, for a grant that then did not come about, does not lock out the
// session that still has the lock.
func TestJudgedForNobody(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		c.net.isolate("x", three, true)
		<-h.Lost()
		time.Sleep(time.Minute)
		m := c.hosts[c.leader()].machine
		m.mu.Lock()
		if left, err := m.leases.Judge("p", m.table.Get("p"), m.clock.Now()); left != 0 || err != nil {
			t.Errorf("Judge = %v, %v", left, err)
		}
		m.mu.Unlock()
		c.net.isolate("x", three, false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := x.Acquire(ctx, wish("p")); err != nil {
			t.Errorf("the session cannot have its own lock again: %v", err)
		}
	})
}

// dex-lock: other times than at the last call are had in a new term; a call that the servers do
// not hear leaves the lease as short as both say.
func TestSingleOtherTimes(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		client := c.client("x")
		defer client.Close()
		files := lockclient.NewFiles(t.TempDir())
		try := func(seconds int) lockclient.Result {
			t.Helper()
			s, err := lockclient.OpenSingle(client, "x", files, "p", lock.Times{Timeout: time.Duration(seconds) * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			result, _ := s.Try(t.Context())
			return result
		}
		c.leader()
		if got := try(10); got != lockclient.Got {
			t.Fatalf("first try: %s", got)
		}
		if got := try(300); got != lockclient.Got {
			t.Fatalf("a longer lease: %s", got)
		}
		if k := c.hosts[c.leader()].state("p").Lock; k.Timeout != 300*time.Second || k.Term != 2 {
			t.Errorf("the servers go by %v in term %d, want 300s in term 2", k.Timeout, k.Term)
		}
		c.net.isolate("x", three, true)
		if got := try(10); got != lockclient.TimingOut {
			t.Errorf("a shorter lease that nobody heard of: %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := try(300); got.Held() {
			t.Errorf("after the shorter lease: %s", got)
		}
		c.net.isolate("x", three, false)
	})
}

// A lock whose release was not answered is not gone on with, and the next release frees it.
func TestSingleRelease(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
		client := c.client("x")
		defer client.Close()
		files := lockclient.NewFiles(t.TempDir())
		open := func() *lockclient.Single {
			t.Helper()
			s, err := lockclient.OpenSingle(client, "x", files, "p", testTimes)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		leader := c.hosts[c.leader()]
		if got, err := open().Try(t.Context()); got != lockclient.Got {
			t.Fatalf("Try = %s, %v", got, err)
		}
		c.net.isolate("x", three, true)
		if err := open().Release(t.Context()); err == nil {
			t.Error("a release that nobody heard of succeeded")
		}
		c.net.isolate("x", three, false)
		if err := open().Release(t.Context()); err != nil {
			t.Error(err)
		}
		if k := leader.state("p").Lock; k.Held() {
			t.Errorf("after the release the lock is %+v", k)
		}
		// An acquire whose answer is lost, then a release: nothing may stay taken.
		for _, entry := range three {
			c.net.cut(entry, "x")
		}
		if got, _ := open().Try(t.Context()); got != lockclient.NoMajority {
			t.Errorf("Try without answers = %s", got)
		}
		c.net.isolate("x", three, false)
		time.Sleep(time.Second)
		if err := open().Release(t.Context()); err != nil {
			t.Error(err)
		}
		if k := leader.state("p").Lock; k.Held() {
			t.Errorf("after a lost acquire and a release the lock is %+v", k)
		}
	})
}

// A timeout that gets shorter between two renewals must not cost the lock.
func TestShorterTimeout(t *testing.T) {
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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
	inCluster(t, off{}, three, func(t *testing.T, c *testCluster) {
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
		c.net.forget(leader, c.others(leader)[0])
		time.Sleep(time.Minute)
		c.crash(c.others(leader)[1])
		time.Sleep(30 * time.Second)
		if isLost(h) {
			t.Error("the lock was lost: the leader still waits for answers on a dead connection")
		}
	})
}

// A crash in the middle of the first entry's writing is finished at the next start.
func TestBirthCrashInBootstrap(t *testing.T) {
	inCluster(t, off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		c.stop("a")
		s := &testServer{}
		if err := os.Remove(c.stateDir("a") + "/raft.db"); err != nil {
			t.Fatal(err)
		}
		db, err := openStore(c.stateDir("a")+"/raft.db", s.fatal)
		if err != nil {
			t.Fatal(err)
		}
		id, err := os.ReadFile(c.stateDir("a") + "/identity")
		if err != nil {
			t.Fatal(err)
		}
		var self identity
		if err := json.Unmarshal(id, &self); err != nil {
			t.Fatal(err)
		}
		record := `{"cluster":"` + self.Cluster + `","ids":["` + self.ID + `"]}`
		if err := errors.Join(db.Set(birthKey, []byte(record)), db.SetUint64([]byte(termKey), 1), db.Close(),
			os.Remove(c.config("a", s).Mark), unborn(c.stateDir("a"))); err != nil {
			t.Fatal(err)
		}
		c.start("a")
		c.leader()
	})
}
