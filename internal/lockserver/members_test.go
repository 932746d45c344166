package lockserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
)

// edit changes lock_servers on the servers called on, and tells those that run; others read it
// at their start.
func (c *testCluster) edit(list []string, on ...string) {
	c.list = list
	for _, entry := range on {
		if s := c.hosts[entry]; s != nil {
			s.Reload(list)
		}
	}
}

// voters waits until the leader knows all of list, and no other, as voters.
func (c *testCluster) voters(limit time.Duration, list ...string) {
	c.t.Helper()
	c.eventually(limit, fmt.Sprint("the voters are ", list), func() bool {
		for _, s := range c.hosts {
			if status := s.status(); status.Open {
				var voters []string
				for _, m := range status.Servers {
					host := c.hosts[entryOf(m.ID)]
					if m.Voter && (host == nil || host.self.ID == m.ID) {
						voters = append(voters, entryOf(m.ID))
					}
				}
				return api.SameServers(voters, list) && len(status.Servers) == len(list)
			}
		}
		return false
	})
}

// hold is a session on host x that holds p and renews it. lost says whether it was ever lost.
func (c *testCluster) hold() (lost func() bool, stop func()) {
	c.t.Helper()
	x := c.session("x", three...)
	h, err := x.Acquire(c.t.Context(), wish("p"))
	if err != nil {
		c.t.Fatal(err)
	}
	turn := keep(h)
	return func() bool { return isLost(h) }, func() {
		turn()
		x.stop()
	}
}

// ends waits until the server called entry has ended by itself, with err.
func (c *testCluster) ends(entry string, want error) {
	c.t.Helper()
	select {
	case err := <-c.hosts[entry].done:
		if !errors.Is(err, want) {
			c.t.Errorf("%s ended with %v, want %v", entry, err, want)
		}
		delete(c.hosts, entry)
	case <-time.After(time.Minute):
		c.t.Fatalf("%s has not ended: %v", entry, want)
	}
}

// Case B9: three servers grown to five live, and then two cut off from three: one cluster, whose
// two have no say. A holder notices nothing.
func TestGrowToFive(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		lost, stop := c.hold()
		defer stop()
		five := []string{"a", "b", "c", "d", "e"}
		c.edit(five, three...)
		time.Sleep(20 * time.Second) // two are not there yet: nothing changes
		c.voters(time.Second, three...)
		c.start("d")
		c.start("e")
		c.voters(20*time.Second, five...)
		if lost() {
			t.Error("the holder lost its lock while the cluster grew")
		}
		two := []string{"a", "b"}
		for _, entry := range two {
			c.net.Isolate(entry, []string{"c", "d", "e", "x"}, true)
		}
		c.leader(two...)
		y := c.session("y", two...)
		defer y.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if h, err := y.Acquire(ctx, wish("q")); err == nil {
			t.Errorf("two of five servers gave a lock away: %+v", h)
		}
		if lost() {
			t.Error("the holder lost its lock, which three of five servers knew")
		}
		for _, entry := range two {
			c.net.Isolate(entry, []string{"c", "d", "e", "x"}, false)
		}
		c.list = five
		for _, entry := range []string{"d", "e"} {
			defer c.stop(entry)
		}
	})
}

// A cluster shrinks, also by its leader, which hands over first; a holder notices nothing.
func TestShrink(t *testing.T) {
	five := []string{"a", "b", "c", "d", "e"}
	inCluster(t, Off{}, five, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		lost, stop := c.hold()
		defer stop()
		rest := slices.DeleteFunc(slices.Clone(five), func(e string) bool { return e == leader })[1:]
		c.edit(rest, five...)
		c.voters(30*time.Second, rest...)
		if lost() {
			t.Error("the holder lost its lock while the cluster shrank")
		}
		for _, entry := range five {
			if !slices.Contains(rest, entry) {
				c.ends(entry, ErrLeft)
			}
		}
	})
}

// Nothing changes while a server that can be reached has another list, or no majority of the new
// list is there.
func TestListsDiffer(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		c.edit([]string{"a", "b", "c", "d"}, leader)
		c.start("d")
		defer c.stop("d")
		time.Sleep(30 * time.Second)
		c.voters(time.Second, three...)
		if got := c.hosts[leader].status().Waiting; !strings.Contains(got, "to have the same lock_servers") {
			t.Errorf("the leader waits for %q", got)
		}
		c.edit([]string{"a", "b", "c", "d"}, three...)
		c.voters(20*time.Second, "a", "b", "c", "d")
	})
}

// A dead server is replaced by a change of the list.
func TestReplaceDead(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		lost, stop := c.hold()
		defer stop()
		dead := c.others(leader)[0]
		c.crash(dead)
		list := append(slices.DeleteFunc(slices.Clone(three), func(e string) bool { return e == dead }), "d")
		c.edit(list, three...)
		c.start("d")
		defer c.stop("d")
		c.voters(40*time.Second, list...)
		if lost() {
			t.Error("the holder lost its lock")
		}
	})
}

// One server grows to three: its locks go on. While the others are not all there it serves nobody,
// since they might be clusters of their own.
func TestGrowFromOne(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		lost, stop := c.hold()
		c.edit(three, "a")
		c.ends("a", ErrAgain)
		c.start("a")
		c.start("b")
		c.start("c")
		defer c.stop("b")
		defer c.stop("c")
		c.voters(20*time.Second, three...)
		if lost() {
			t.Error("the holder lost its lock while the cluster grew")
		}
		stop()
	})
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		lost, stop := c.hold()
		defer stop()
		c.edit(three, "a")
		c.ends("a", ErrAgain)
		c.start("a")
		c.start("b")
		defer c.stop("b")
		time.Sleep(30 * time.Second)
		if !lost() {
			t.Error("a cluster of one with a longer list went on serving without the others")
		}
	})
}

// A server that lost its state comes back as another, is taken in, and votes again. The lock that
// is held the whole time is not lost, nor given to another.
func TestLostState(t *testing.T) {
	cases := map[string]func(c *testCluster, dir string) error{
		"all of it": func(_ *testCluster, dir string) error { return os.RemoveAll(dir) },
		"identity":  func(_ *testCluster, dir string) error { return os.Remove(dir + "/identity") },
		"database":  func(_ *testCluster, dir string) error { return os.Remove(dir + "/raft.db") },
		"tally":     func(_ *testCluster, dir string) error { return os.Remove(dir + "/../writes") },
	}
	for name, lose := range cases {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				leader := c.leader()
				lost, stop := c.hold()
				defer stop()
				entry := c.others(leader)[0]
				id := c.hosts[entry].self.ID
				c.stop(entry)
				if err := lose(c, c.stateDir(entry)); err != nil {
					t.Fatal(err)
				}
				c.start(entry)
				if got := c.hosts[entry].status(); got.ID == id || !got.Lost || got.Role != "waiting" {
					t.Errorf("after the loss the server is %s %s, lost: %v; it was %s", got.Role, got.ID, got.Lost, id)
				}
				c.voters(40*time.Second, three...)
				c.stop(c.others(leader)[1]) // now its vote is needed
				time.Sleep(30 * time.Second)
				if lost() {
					t.Error("the holder lost its lock")
				}
			})
		})
	}
}

// An old copy of the state is found out, however it was put back; also one of before the last
// start, with everything that counts it, because the others remember.
func TestOldCopy(t *testing.T) {
	overwrite := func(from, to string) error {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o600) // in place: the same inode
	}
	cases := map[string]struct {
		files   []string // that are copied, and put back
		restart bool     // between the copying and the putting back
		renamed bool     // put back as other files
	}{
		"database, in place":               {[]string{"state/raft.db"}, false, false},
		"database, as another file":        {[]string{"state/raft.db"}, false, true},
		"state, in place":                  {[]string{"state/raft.db", "state/identity"}, false, false},
		"everything of before, in place":   {[]string{"state/raft.db", "state/identity", "writes"}, true, false},
		"everything of before, other file": {[]string{"state/raft.db", "state/identity", "writes"}, true, true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				leader := c.leader()
				entry := c.others(leader)[0]
				home, id := c.dir+"/"+entry+"/", c.hosts[entry].self.ID
				c.stop(entry)
				for _, name := range test.files {
					if err := overwrite(home+name, home+strings.ReplaceAll(name, "/", "-")+".copy"); err != nil {
						t.Fatal(err)
					}
				}
				c.start(entry)
				lost, stop := c.hold()
				defer stop()
				time.Sleep(2 * time.Second)
				c.stop(entry)
				if test.restart {
					c.start(entry)
					time.Sleep(5 * time.Second)
					c.stop(entry)
				}
				for _, name := range test.files {
					if test.renamed {
						if err := os.Remove(home + name); err != nil {
							t.Fatal(err)
						}
					}
					if err := overwrite(home+strings.ReplaceAll(name, "/", "-")+".copy", home+name); err != nil {
						t.Fatal(err)
					}
				}
				c.start(entry)
				time.Sleep(time.Second)
				if len(c.hosts[entry].done) > 0 { // it was told, and begins again
					c.ends(entry, ErrAgain)
					c.start(entry)
				}
				if now := c.hosts[entry].status(); now.ID == id {
					t.Errorf("on an old copy the server is still %s, %s", now.ID, now.Role)
				}
				c.voters(40*time.Second, three...)
				if lost() {
					t.Error("the holder lost its lock")
				}
			})
		})
	}
}

// Case B7: with two of three servers wiped while the holder is cut off, nobody else is given its
// lock, and what is left says why.
func TestTwoOfThreeWiped(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		left := c.leader()
		lost, stop := c.hold()
		defer stop()
		c.net.Isolate("x", three, true)
		for _, entry := range c.others(left) {
			c.stop(entry)
			if err := os.RemoveAll(c.stateDir(entry)); err != nil {
				t.Fatal(err)
			}
			c.start(entry)
		}
		y := c.session("y")
		defer y.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if h, err := y.Acquire(ctx, wish("p")); err == nil {
			t.Errorf("a lock was given by servers that know nothing: %+v", h)
		}
		if !lost() {
			t.Error("the holder that is cut off still has its lock after 5 minutes")
		}
		for _, entry := range c.others(left) {
			if got := c.hosts[entry].status(); !strings.Contains(got.Waiting, "--force-new-cluster") {
				t.Errorf("%s waits for %q, which does not say what to do", entry, got.Waiting)
			}
		}
		c.net.Isolate("x", three, false)
	})
}
