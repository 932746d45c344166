package lockserver

import (
	"errors"
	"os"
	"testing"
	"time"

	"backtowork/internal/lockclient"
)

// force makes a new cluster of the server called entry, which does not run.
func (c *testCluster) force(entry string) {
	c.t.Helper()
	server, err := Open(c.config(entry, &testServer{}))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := server.ForceNewCluster(); err != nil {
		c.t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// The end of case B7: what is left of the servers begins a new cluster by force. It knows the locks,
// its terms are higher than any of the old one, and the holder of the old one ends in time. Servers
// that leave the old cluster are taken in.
func TestForceNewCluster(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.logs = logSizes{snapshotAt: 5, kept: 2}
		left := c.leader()
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		for _, entry := range three {
			c.stop(entry)
			if entry != left {
				if err := os.RemoveAll(c.stateDir(entry)); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.force(left)
		begin := time.Now()
		c.start(left)
		c.leader()
		if k := c.hosts[left].state("p").Lock; k.Term != h.Term+forcedRaise || k.Session != x.Owner.Session {
			t.Errorf("the new cluster knows %+v, want the old lock with its term raised", k)
		}
		<-h.Lost()
		y := c.session("y")
		defer y.stop()
		again, err := y.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < testTimes.Silence() {
			t.Errorf("another had the lock %v after the new cluster began, want at least T+S+m", took)
		}
		if again.Term <= h.Term+forcedRaise {
			t.Errorf("the term is %d, want more than %d", again.Term, h.Term+forcedRaise)
		}
		if q, err := y.Acquire(t.Context(), wish("unheard")); err != nil || q.Term <= forcedRaise {
			t.Errorf("a lock that the new cluster never heard of = %+v, %v; want a term above %d", q, err, forcedRaise)
		}
		for _, entry := range c.others(left) { // dex-server-init --join
			if err := os.Remove(c.config(entry, &testServer{}).Mark); err != nil {
				t.Fatal(err)
			}
			c.start(entry)
		}
		c.voters(30*time.Second, three...)
		c.stop(left)
		c.leader()
		c.start(left)
	})
}

// A server that knows nothing begins with terms that no old one had.
func TestForceWithoutState(t *testing.T) {
	inCluster(t, Off{}, []string{"a"}, func(t *testing.T, c *testCluster) {
		c.leader()
		c.stop("a")
		if err := os.RemoveAll(c.stateDir("a")); err != nil {
			t.Fatal(err)
		}
		c.force("a")
		c.start("a")
		x := c.session("x")
		defer x.stop()
		h, err := x.Acquire(t.Context(), wish("p"))
		if err != nil || h.Term != forcedRaise+1 {
			t.Errorf("Acquire = %+v, %v; want term %d", h, err, forcedRaise+1)
		}
	})
}

// A node that had a lock before says in which term: a new cluster gives a higher one, whatever it
// knows.
func TestFloor(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		client := c.client("x")
		defer client.Close()
		files := lockclient.NewFiles(t.TempDir())
		files.Had("p", 41, "")
		if err := files.Sync(); err != nil {
			t.Fatal(err)
		}
		h, err := lockclient.NewSession(client, "x", files).Acquire(t.Context(), wish("p"))
		if err != nil || h.Term != 42 {
			t.Fatalf("Acquire = %+v, %v; want term 42", h, err)
		}
		if err := errors.Join(h.Release(t.Context()), files.Sync()); err != nil {
			t.Fatal(err)
		}
		if got := files.Term("p"); got != 42 {
			t.Errorf("after the release the node knows term %d, want 42", got)
		}
	})
}
