package lockserver

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lockserver/store"
)

// A step is conditional on the log entry that the servers were last changed by.
func TestPrevIndex(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		l := c.leader()
		conf := c.hosts[l].configuration()
		index, _ := c.hosts[l].configured()
		if len(conf.Servers) != 3 || index == 0 {
			t.Errorf("%d servers, prevIndex %d: a step is conditional on nothing", len(conf.Servers), index)
		}
	})
}

// A step that comes late changes nothing.
func TestStaleStep(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		l := c.leader()
		s := c.hosts[l]
		index, _ := s.configured()
		c.edit([]string{"a", "b", "c", "d"}, three...)
		c.start("d")
		defer c.stop("d")
		c.voters(20*time.Second, "a", "b", "c", "d")
		if err := s.take(s.node(), step{promote, "e/never-seen"}, index); err == nil {
			t.Errorf("a step from an old configuration was taken: an unknown server is a voter now: %v", s.servers())
		}
	})
}

// A list without any server of the cluster is refused; where its servers have begun a cluster of their own, the old one does not go on beside it.
func TestReplaceAll(t *testing.T) {
	for name, test := range map[string]struct{ from, to []string }{
		"three by three": {three, []string{"d", "e", "f"}},
		"one by one":     {[]string{"a"}, []string{"d"}},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, test.from, func(t *testing.T, c *testCluster) {
				c.leader()
				x := c.session("x", test.from...)
				defer x.stop()
				h, err := x.Acquire(t.Context(), wish("p"))
				if err != nil {
					t.Fatal(err)
				}
				defer keep(h)()
				c.edit(test.to, test.from...)
				for _, e := range test.to {
					c.start(e)
					defer c.stop(e)
				}
				y := c.session("y", test.to...)
				defer y.stop()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				h2, err := y.Acquire(ctx, wish("p"))
				time.Sleep(40 * time.Second)
				if err == nil && !isLost(h) {
					t.Errorf("two holders for 40 s and more: term %d of %s.., term %d of %s..", h.Term, c.hosts["a"].self.Cluster[:4], h2.Term, c.hosts["d"].self.Cluster[:4])
				}
				if len(test.from) > 1 {
					t.Logf("a waits for %q", c.hosts["a"].status().Waiting)
				} else if err := <-c.hosts["a"].done; !errors.Is(err, ErrLeft) { // it was alone, and has nothing to do any more
					t.Errorf("a ended with %v", err)
				} else {
					delete(c.hosts, "a")
				}
			})
		})
	}
}

// What a leader waited for is forgotten with its leadership.
func TestStaleWaiting(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		l := c.leader()
		c.edit([]string{"a", "b", "c", "d"}, three...)
		time.Sleep(10 * time.Second)
		c.transfer(l, c.others(l)[1])
		c.edit(three, three...)
		time.Sleep(time.Minute)
		if w := c.hosts[l].status().Waiting; w != "" {
			t.Errorf("%s, %s, waits for %q", l, c.hosts[l].status().Role, w)
		}
	})
}

// A server that was reached at the birth, but whose list was changed before it took the record, is born all the same.
func TestBirthListChanged(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		for _, e := range three {
			c.stop(e)
		}
		s := &testServer{}
		if err := os.Remove(c.stateDir("c") + "/raft.db"); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(c.stateDir("c")+"/raft.db", s.fatal)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Close(), os.Remove(c.config("c", s).Mark), unborn(c.stateDir("c"))); err != nil {
			t.Fatal(err)
		}
		c.list = []string{"a", "b", "c", "d"}
		for _, e := range three {
			c.start(e)
		}
		select {
		case err := <-c.hosts["c"].done:
			t.Errorf("c ended with %v", err)
			delete(c.hosts, "c")
		case <-time.After(30 * time.Second):
		}
	})
}

// A server that was removed while it was cut off, or down, says so when it comes back, and is taken in again when it is listed.
func TestRemovedComesBack(t *testing.T) {
	for name, down := range map[string]bool{"cut off": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) { removedComesBack(t, c, down) })
		})
	}
}

func removedComesBack(t *testing.T, c *testCluster, down bool) {
	lost, stop := c.hold()
	defer stop()
	gone := c.others(c.leader())[0]
	stay := c.others(gone)
	if down {
		c.stop(gone)
	} else {
		c.net.Isolate(gone, append(slices.Clone(stay), "d", "x"), true)
	}
	time.Sleep(12 * time.Second)
	old, list := c.list, append(slices.Clone(stay), "d")
	for _, e := range stay {
		c.hosts[e].Reload(list)
	}
	c.list = list
	c.start("d")
	defer c.stop("d")
	c.voters(60*time.Second, list...)
	time.Sleep(30 * time.Second) // raft tells it once more after a pause, 10 s at most: it is not to hear of that
	c.list = old
	if down {
		c.start(gone)
	} else {
		c.net.Isolate(gone, append(slices.Clone(list), "x"), false)
	}
	time.Sleep(30 * time.Second)
	if st := c.hosts[gone].status(); !strings.Contains(st.Waiting, "it was removed") {
		t.Errorf("a removed server that comes back says %q: %s, leader %q, term %d, servers %v", st.Waiting, st.Role, st.Leader, st.Term, st.Servers)
	}
	for _, e := range append(list, gone) {
		c.hosts[e].Reload(old)
	}
	c.voters(60*time.Second, old...)
	c.eventually(5*time.Second, gone+" waits no more", func() bool { return c.hosts[gone].status().Waiting == "" })
	if lost() {
		t.Error("lost")
	}
	select {
	case err := <-c.hosts["d"].done:
		t.Log("d", err)
		delete(c.hosts, "d")
	case <-time.After(time.Minute):
		t.Error("d has not ended")
	}
}

// Leaders crash in the middle of steps, again and again.
func TestCrashInSteps(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		five := []string{"a", "b", "c", "d", "e"}
		c.edit(five, three...)
		c.start("d")
		c.start("e")
		defer func() { c.stop("d"); c.stop("e") }()
		for i := range 12 {
			time.Sleep(time.Duration(137*(i+3)) * time.Millisecond)
			l := c.leader()
			c.crash(l)
			time.Sleep(time.Duration(311*(i%5)) * time.Millisecond)
			c.start(l)
		}
		c.voters(60*time.Second, five...)
	})
}

// A cluster of one whose list is longer serves only while it has looked lately, and all were there to be
// taken in (rule 11).
func TestAloneOnlyWhileItLooks(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		s := c.hosts["a"]
		s.mu.Lock()
		s.current = []string{"a", "b"}
		s.mu.Unlock()
		for ago, serves := range map[time.Duration]bool{0: true, trustedLooks - 1: true, trustedLooks: false} {
			s.mu.Lock()
			s.grows = s.Clock.Now().Add(-ago)
			s.mu.Unlock()
			if why := s.loneliness(); (why == "") != serves {
				t.Errorf("%v after the last look: %q", ago, why)
			}
		}
		s.mu.Lock()
		s.grows = lease.Time{}
		s.mu.Unlock()
		if s.loneliness() == "" {
			t.Error("it serves, and has never seen all")
		}
		s.mu.Lock()
		s.current = []string{"a"}
		s.mu.Unlock()
	})
}
