package lockserver

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lockserver/store"
)

// Two of five servers, the leader among them, are wiped at once.
func TestTwoOfFive(t *testing.T) {
	five := []string{"a", "b", "c", "d", "e"}
	inCluster(t, Off{}, five, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		lost, stop := c.hold()
		defer stop()
		for _, e := range []string{leader, c.others(leader)[0]} {
			c.stop(e)
			_ = os.RemoveAll(c.stateDir(e))
			c.start(e)
		}
		c.voters(60*time.Second, five...)
		if lost() {
			t.Error("lost")
		}
	})
}

// An old copy that was started as often as the server itself, while cut off, is found out by its runs.
func TestOldCopyCatchesUp(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		old := c.others(leader)[0]
		home, id := c.dir+"/"+old+"/", c.hosts[old].self.ID
		c.stop(old)
		files := map[string][]byte{}
		for _, f := range []string{"state/raft.db", "state/identity", "writes", "mark"} {
			b, err := os.ReadFile(home + f)
			if err != nil {
				t.Fatal(err)
			}
			files[f] = b
		}
		c.start(old)
		time.Sleep(5 * time.Second)
		c.stop(old)
		for f, b := range files {
			if err := os.WriteFile(home+f, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c.net.Isolate(old, c.others(old), true)
		c.start(old)
		time.Sleep(3 * time.Second)
		c.stop(old)
		c.start(old)
		time.Sleep(3 * time.Second)
		c.net.Isolate(old, c.others(old), false)
		time.Sleep(10 * time.Second)
		c.ends(old, ErrAgain)
		c.start(old)
		if now := c.hosts[old].status(); now.ID == id {
			t.Errorf("on an old copy, started twice while cut off, the server is still %s, %s", now.ID, now.Role)
		}
	})
}

// A file system that learns to tell birth times makes nobody forget.
func TestBirthTimeLearned(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		id := c.hosts["b"].self.ID
		c.stop("b")
		f := c.stateDir("b") + "/identity"
		b, _ := os.ReadFile(f)
		var self identity
		_ = json.Unmarshal(b, &self)
		self.File.Born = 0
		b, _ = json.Marshal(self)
		_ = os.WriteFile(f, b, 0o600)
		c.start("b")
		if c.hosts["b"].self.ID != id {
			t.Error("set aside because the kernel knows birth times now")
		}
	})
}

// A cluster begun by force does not go on beside the old one, if that comes back.
func TestForcedBesideOld(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		for _, e := range three {
			c.stop(e)
		}
		c.force("a")
		c.start("a")
		c.leader()
		y := c.session("y")
		defer y.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h2, err := y.Acquire(ctx, wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h2)()
		c.start("b")
		c.start("c")
		c.leader("a")
		time.Sleep(20 * time.Second)
		x := c.session("x", "b", "c")
		defer x.stop()
		h, err := x.Acquire(ctx, wish("p"))
		time.Sleep(20 * time.Second)
		if err == nil && !isLost(h2) {
			t.Errorf("two holders: terms %d and %d", h.Term, h2.Term)
		}
	})
}

// A cluster that was begun by force, and grew, is like others when it is alone again.
func TestForcedForEver(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		c.stop("a")
		c.force("a")
		c.start("a")
		c.leader()
		c.edit([]string{"a", "b"}, "a")
		c.ends("a", ErrAgain)
		c.start("a")
		c.start("b")
		c.voters(20*time.Second, "a", "b")
		c.edit([]string{"a"}, "a", "b")
		c.voters(20*time.Second, "a")
		c.ends("b", ErrLeft)
		c.edit([]string{"a", "b"}, "a") // b is in a cluster of its own by now, or nobody knows
		time.Sleep(time.Minute)
		if s := c.hosts["a"]; s != nil {
			if why := s.loneliness(); why == "" {
				t.Errorf("alone with a longer list, and serves: it was forced once; waits %q", s.status().Waiting)
			}
		}
	})
}

// A force that is cut short leaves no server that takes part in the old cluster with another table.
func TestForceCutShort(t *testing.T) {
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
		for _, e := range three {
			c.stop(e)
		}
		cfg := c.config("a", &testServer{})
		mark, _ := os.ReadFile(cfg.Mark)
		_ = os.Remove(cfg.Mark)
		if err := os.MkdirAll(cfg.Mark+"/x", 0o700); err != nil { // cannot be written
			t.Fatal(err)
		}
		server, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.ForceNewCluster(); err == nil {
			t.Fatal("no error")
		} else {
			t.Log(err)
		}
		_ = server.Close()
		_ = os.RemoveAll(cfg.Mark)
		if err := os.WriteFile(cfg.Mark, mark, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, e := range three {
			c.start(e)
		}
		c.leader()
		time.Sleep(5 * time.Second)
		h, err = x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		time.Sleep(2 * time.Second)
		t.Logf("a: %+v %s", c.hosts["a"].state("p").Lock, c.hosts["a"].self.ID)
		t.Logf("b: %+v", c.hosts["b"].state("p").Lock)
		t.Logf("a knows %v", c.hosts["a"].servers())
		c.edit([]string{"a", "b", "c", "d"}, three...)
		c.start("d")
		defer c.stop("d")
		c.voters(20*time.Second, "a", "b", "c", "d")
		leader := c.leader()
		if leader != "a" {
			c.transfer(leader, "a")
		}
		y := c.session("y")
		defer y.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if h2, err := y.Acquire(ctx, wish("p")); err == nil && !isLost(h) {
			t.Errorf("two holders: terms %d and %d", h.Term, h2.Term)
		}
	})
}

func TestForceAfterTally(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		x := c.session("x")
		defer x.stop()
		for range 5 {
			h, err := x.Acquire(t.Context(), wish("p"))
			if err != nil {
				t.Fatal(err)
			}
			_ = h.Release(t.Context())
		}
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range three {
			c.stop(e)
			if err := os.Remove(c.dir + "/" + e + "/writes"); err != nil {
				t.Fatal(err)
			}
		}
		cfg := c.config("a", &testServer{})
		cfg.Forcing = true
		server, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := server.Knows(); strings.Contains(got, "nothing") {
			t.Errorf("before it is forced it knows %q", got)
		}
		if _, err := server.ForceNewCluster(); err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		c.start("a")
		c.leader()
		if k := c.hosts["a"].state("p").Lock; k.Term != h.Term+forcedRaise || !k.Held() {
			t.Errorf("the new cluster knows %+v, want the old lock with its term raised", k)
		}
	})
}

// What a server makes of the present start of another server, of which it saw last the start number 5, called e.
func TestRemember(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name           string
		starts         uint64
		run, past      string
		outrun, refuse bool
	}{
		{"the same start", 5, "e", "d", false, false},
		{"two live servers of one id", 5, "x", "d", false, true},
		{"the next start", 6, "f", "de", false, false},
		{"a later start", 8, "h", "defg", false, false},
		{"an earlier start", 4, "d", "c", true, true},
		{"an old copy, started as often", 6, "y", "dx", true, true},
		{"an old copy, started more often", 8, "y", "dxyz", true, true},
		{"so much later that it does not name that start", 30, "y", "wx", false, false},
	} {
		db, err := store.Open(t.TempDir()+"/raft.db", func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		me := newSelf(Config{})
		me.store = db
		all := func() []string { return []string{"b/1"} }
		if _, err := me.remember("b/1", sighting{5, "e"}, []string{"d"}, all); err != nil {
			t.Fatal(err)
		}
		outrun, err := me.remember("b/1", sighting{row.starts, row.run}, strings.Split(row.past, ""), all)
		if outrun != row.outrun || (err != nil) != row.refuse {
			t.Errorf("%s: outrun %v, %v", row.name, outrun, err)
		}
		seen, err := me.seen()
		if want := max(5, row.starts); err != nil || row.refuse && seen["b/1"] != (sighting{5, "e"}) || !row.refuse && seen["b/1"].Starts != want {
			t.Errorf("%s: then it remembers %v, %v", row.name, seen, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Why the state of a server that was in a cluster is not believed (rule 12).
func TestDoubt(t *testing.T) {
	t.Parallel()
	was := store.FileID{Inode: 5, Born: 7}
	for _, row := range []struct {
		name, want string
		file       store.FileID
		missing    int // writes of the database
		change     func(*self)
	}{
		{"none", "", was, 0, nil},
		{"none: the database may be ahead", "", was, -1, nil},
		{"none: birth times are not told", "", store.FileID{Inode: 5}, 0, nil},
		{"another file", "a copy", store.FileID{Inode: 6, Born: 7}, 0, nil},
		{"another file that has its number", "a copy", store.FileID{Inode: 5, Born: 8}, 0, nil},
		{"an old copy in place", "the last 2 writes are missing", was, 2, nil},
		{"no count", "not known any more", was, 0, func(me *self) { _ = os.Remove(me.tallyFile()) }},
		{"others remember more", errOutrun.Error(), was, 0, func(me *self) { me.Outrun = true }},
	} {
		dir := t.TempDir()
		db, err := store.Open(dir+"/raft.db", func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(5) {
			if err := db.SetUint64([]byte("k"), i+1); err != nil {
				t.Fatal(err)
			}
		}
		me := newSelf(Config{Mark: dir + "/mark"})
		me.store, me.File = db, was
		if err := os.WriteFile(me.tallyFile(), strconv.AppendInt(nil, int64(5+row.missing), 10), 0o600); err != nil {
			t.Fatal(err)
		}
		if row.change != nil {
			row.change(me)
		}
		if got := me.doubt(row.file); (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A server whose number of starts another remembers already, from a start that it does not know of, runs on
// an old copy: it finds that out before it takes part.
func TestOutrunByOne(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		time.Sleep(time.Second) // all have met
		starts := c.hosts["b"].self.Starts
		c.stop("b")
		file := c.stateDir("b") + "/identity"
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var self identity
		if err := json.Unmarshal(b, &self); err != nil {
			t.Fatal(err)
		}
		self.Starts = starts - 1 // as it was before its last start
		if b, err = json.Marshal(self); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c.start("b")
		c.ends("b", ErrAgain)
		c.start("b")
		if now := c.hosts["b"].self.ID; now == self.ID {
			t.Errorf("on an old copy of its state b is still %s", now)
		}
	})
}
