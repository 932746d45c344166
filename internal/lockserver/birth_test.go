package lockserver

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/lockserver/store"
)

// A node that meets another cluster than the one that it knows asks for no lock before all
// leases of the old one are over.
func TestOtherCluster(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
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
			if err := c.unmake(entry); err != nil {
				t.Fatal(err)
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

// A server whose list differs, or that is missing, keeps a new cluster from beginning, and is named.
func TestBirthWaits(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		for _, entry := range three {
			c.stop(entry)
			if err := c.unmake(entry); err != nil {
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
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.eventually(5*time.Second, "a cluster", func() bool { return c.hosts["c"].status().Cluster != "" })
		for _, entry := range three {
			c.stop(entry)
		}
		// As if the host had crashed after the record was written, before the rest.
		s := &testServer{}
		db, err := store.Open(c.stateDir("c")+"/raft.db", s.fatal)
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
		if db, err = store.Open(c.stateDir("c")+"/raft.db", s.fatal); err != nil {
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
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return err
	}
	id.Cluster = ""
	if id.File, err = store.FileOf(dir + "/raft.db"); err != nil {
		return err
	}
	if b, err = json.Marshal(id); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(dir+"/../writes", []byte("0\n"), 0o600), os.WriteFile(dir+"/identity", b, 0o600))
}

// A leader that ends in good order hands over: nobody waits for an election, and a holder
// does not notice.
func TestLeaderEnds(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
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
		c.net.Crash(c.others(leader)[0])
		c.stop(c.others(leader)[0])
		begin = time.Now()
		c.stop(leader)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the leader took %v to end", took)
		}
	})
}

// The log is cut short behind snapshots, a follower that lags too far gets one, and a restarted
// server goes on from one. Nothing of the locks is lost on the way.
func TestSnapshots(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
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
		if first, err := c.hosts[leader].self.store.FirstIndex(); err != nil || first < 50 {
			t.Errorf("the leader's log begins at %d, %v: it was never cut short", first, err)
		}
		c.start(lagging)
		same := func() bool { return c.hosts[lagging].state("p").Lock == c.hosts[leader].state("p").Lock }
		c.eventually(30*time.Second, "the follower has the lock's state", same) // raft tries a server that was down for long only every 10 s or 20
		c.stop(leader)
		c.start(leader)
		c.eventually(10*time.Second, "the restarted server has the lock's state", same)
		if k := c.hosts[leader].state("p").Lock; isLost(h) || k.Term < 41 || k.Term != h.Term {
			t.Errorf("after snapshots and restarts the lock is %+v, lost: %v", c.hosts[leader].state("p").Lock, isLost(h))
		}
	})
}

// A crash in the middle of the first entry's writing is finished at the next start.
func TestBirthCrashInBootstrap(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		c.stop("a")
		s := &testServer{}
		if err := os.Remove(c.stateDir("a") + "/raft.db"); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(c.stateDir("a")+"/raft.db", s.fatal)
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
		if err := errors.Join(db.Set(birthKey, []byte(record)), db.SetUint64([]byte(store.TermKey), 1), db.Close(),
			os.Remove(c.config("a", s).Mark), unborn(c.stateDir("a"))); err != nil {
			t.Fatal(err)
		}
		c.start("a")
		c.leader()
	})
}

// Each lock waits for its own times on meeting another cluster, from the first meeting on.
func TestMeetTwoLocks(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		files := lockclient.NewFiles(t.TempDir())
		if err := files.SetCluster("another"); err != nil {
			t.Fatal(err)
		}
		client := c.client("x")
		defer client.Close()
		s := lockclient.NewSession(client, "x", files)
		short, long := wish("a"), wish("b")
		long.Times = lock.Times{Timeout: time.Minute, Stop: time.Minute}
		begin := time.Now()
		for _, w := range []lockclient.Wish{short, long, short} {
			h, err := s.Acquire(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < w.Times.Silence() || took > long.Times.Silence()+time.Second {
				t.Errorf("%s was had %v after the meeting, want at least %v", w.Name, took, w.Times.Silence())
			}
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// Where the cluster cannot be noted the lock is had all the same, once.
func TestClusterNotNoted(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		dir := t.TempDir()
		if err := os.MkdirAll(dir+"/cluster/x", 0o755); err != nil {
			t.Fatal(err)
		}
		client := c.client("x")
		defer client.Close()
		s := lockclient.NewSession(client, "x", lockclient.NewFiles(dir))
		h, err := s.Acquire(t.Context(), wish("p"))
		if err != nil || h.Term > 2 {
			t.Fatalf("Acquire = %+v, %v", h, err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		// A late copy of an acquire of one's own lock takes no lock that is free by now.
		leader := c.hosts[c.leader()]
		q := api.AcquireRequest{Name: "p", Owner: s.Owner, Times: testTimes, Own: h.Term}
		if a, err := leader.acquire(t.Context(), leader.Clock.Now(), q); err != nil || a.Granted {
			t.Errorf("a late acquire of a released lock: %+v, %v", a, err)
		}
	})
}

// A server is born once: not again into another cluster, nor into one that was to begin without it.
func TestBornOnce(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		s := c.hosts["a"]
		cluster := s.self.Cluster
		for _, record := range []birth{{"another", []string{s.self.ID}}, {"another", []string{"a/another"}}} {
			if err := s.born(record); err == nil {
				t.Errorf("it was born again, into %v", record)
			}
		}
		if err := s.born(birth{cluster, []string{s.self.ID}}); err != nil || s.self.Cluster != cluster {
			t.Errorf("in its own cluster: %v; it is in %s, was in %s", err, s.self.Cluster, cluster)
		}
		if _, err := os.Stat(s.Mark); err != nil {
			t.Error(err)
		}
	})
}

// What keeps the servers a, b and c from beginning a cluster, by what b and c say of themselves (rule 11).
func TestMissing(t *testing.T) {
	t.Parallel()
	said := func(entry string, change func(*api.Status)) api.Status {
		s := api.Status{Entry: entry, ID: entry + "/1", List: []string{"c", "b", "a"}}
		if change != nil {
			change(&s)
		}
		return s
	}
	for _, row := range []struct {
		name, want string
		b          func(*api.Status)
		silent     bool
	}{
		{"nothing", "", nil, false},
		{"one does not answer", "b to be reached", nil, true},
		{"one is in a cluster", "the cluster that b is in", func(s *api.Status) { s.Marked, s.Cluster = true, "another" }, false},
		{"one was in a cluster, and lost its state", "the cluster that b is in", func(s *api.Status) { s.Marked, s.Lost = true, true }, false},
		{"one has another list", "b to have the same lock_servers", func(s *api.Status) { s.List = []string{"a", "b"} }, false},
		{"one is another", "b to go by that name: it calls itself d", func(s *api.Status) { s.Entry = "d" }, false},
	} {
		others := map[string]api.Status{"b": said("b", row.b), "c": said("c", nil)}
		if row.silent {
			delete(others, "b")
		}
		s := &Server{Config: Config{Entry: "a"}, current: three}
		if got := s.missing(others); (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s: it waits for %q, want %q", row.name, got, row.want)
		}
	}
}
