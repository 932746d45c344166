package lockserver

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/lockclient"
)

// startAs starts a server whose lock_servers is list.
func (c *testCluster) startAs(entry string, list ...string) {
	c.t.Helper()
	was := c.list
	c.list = list
	c.start(entry)
	c.list = was
}

// twoAlone runs test on a, which its lock_servers names alone, and a free host b. Both are in cluster_nodes.
func twoAlone(t *testing.T, switched Off, test func(*testing.T, *testCluster)) {
	t.Helper()
	inCluster(t, switched, nil, func(t *testing.T, c *testCluster) {
		c.nodes = []string{"a", "b"}
		defer c.stop("a")
		defer c.stop("b")
		c.startAs("a", "a")
		c.leader()
		test(t, c)
	})
}

// bothBorn stops a, and lets b begin a cluster of its own meanwhile, which gives the lock p to y.
func (c *testCluster) bothBorn() (y *holder, h *lockclient.Held) {
	c.t.Helper()
	c.stop("a")
	c.startAs("b", "b")
	c.leader()
	y = c.session("y", "b")
	return y, mustAcquire(c.t, y, wish("p"))
}

func (c *testCluster) waitsFor(entry, why string) bool {
	s := c.hosts[entry].status()
	return strings.Contains(s.Waiting, why)
}

// Two hosts of one cluster_nodes, each with a lock server that its own lock_servers names alone: the
// second is not born while the first is there, and the first serves nobody while it sees the second.
// When one of the two is gone the other goes on.
func TestTwoAlone(t *testing.T) {
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		x := c.session("x", "a")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		c.startAs("b", "b")
		c.eventually(5*time.Second, "b waits for a", func() bool { return c.waitsFor("b", "a, which cluster_nodes names too, to be in the same cluster") })
		c.eventually(5*time.Second, "a waits for b", func() bool {
			return c.waitsFor("a", "b, which cluster_nodes names too, to have the same lock_servers: it has b")
		})
		c.eventually(testTimes.Timeout+time.Second, "the lock is lost", func() bool { return isLost(h) })
		if s := c.hosts["b"].status(); s.Cluster != "" {
			t.Errorf("b is in cluster %s", s.Cluster)
		}
		c.net.Isolate("a", []string{"b"}, true)
		time.Sleep(time.Minute)
		if !c.waitsFor("a", "b, which") || c.hosts["b"].status().Cluster != "" {
			t.Errorf("parted, a waits for %q, and b is in cluster %q", c.hosts["a"].status().Waiting, c.hosts["b"].status().Cluster)
		}
		c.net.Isolate("a", []string{"b"}, false)
		c.stop("b")
		begin := time.Now()
		h = mustAcquire(t, x, wish("p"))
		if took := time.Since(begin); took > testTimes.Silence()+5*time.Second {
			t.Errorf("with b gone the lock was had after %v", took)
		}
	})
}

// Two such clusters that were both born, since nobody of the other was there, serve nobody once they meet.
func TestTwoAloneMeet(t *testing.T) {
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		y, h := c.bothBorn()
		defer y.stop()
		defer keep(h)()
		c.startAs("a", "a")
		c.eventually(testTimes.Timeout+lookAside+time.Second, "the lock of b's cluster is lost", func() bool { return isLost(h) })
		x := c.session("x", "a")
		defer x.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if h, err := x.Acquire(ctx, wish("p")); err == nil {
			t.Errorf("a gave term %d beside b", h.Term)
		}
		// An admin decides: b's lock_servers is a, so b's server has nothing to do any more.
		c.hosts["b"].Reload([]string{"a"})
		if err := <-c.hosts["b"].done; !errors.Is(err, ErrLeft) {
			t.Errorf("b ended with %v, want ErrLeft", err)
		}
		delete(c.hosts, "b")
		mustAcquire(t, x, wish("p"))
	})
}

// The leases that a rival gave run until their kill ends, even if the rival is gone, as it is while an admin mends its
// lock_servers.
func TestRivalLeavesLeases(t *testing.T) {
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		y, h := c.bothBorn()
		defer y.stop()
		defer keep(h)()
		c.startAs("a", "a")
		c.eventually(10*time.Second, "a waits for b", func() bool { return c.waitsFor("a", "b, which cluster_nodes names too") })
		c.crash("b")
		x := c.session("x", "a")
		defer x.stop()
		mustAcquire(t, x, wish("p"))
		if _, kill := h.Ends(); kill.Left(y.client.Clock.Now()) > 0 {
			t.Errorf("a gave the lock %v before the kill end of who has it of b", kill.Left(y.client.Clock.Now()))
		}
	})
}

// A neighbour that is silent keeps a cluster of one from its birth, and does not stop one that was born.
func TestAloneBesideSilence(t *testing.T) {
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		c.net.PowerOff("b", true)
		x := c.session("x", "a")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		time.Sleep(time.Minute)
		c.stop("a")
		c.startAs("a", "a")
		time.Sleep(time.Minute)
		if isLost(h) {
			t.Error("a holder lost its lock since a neighbour is down")
		}
		c.stop("a")
		if err := c.unmake("a"); err != nil {
			t.Fatal(err)
		}
		c.startAs("a", "a")
		time.Sleep(time.Minute)
		if s := c.hosts["a"].status(); s.Cluster != "" || !strings.Contains(s.Waiting, "--force-new-cluster") {
			t.Errorf("beside a silent host a is in cluster %q, and waits for %q", s.Cluster, s.Waiting)
		}
		c.stop("a")
		c.force("a") // an admin says that b is down for good
		c.startAs("a", "a")
		c.leader()
		c.stop("a")
		if err := c.unmake("a"); err != nil {
			t.Fatal(err)
		}
		c.startAs("a", "a")
		time.Sleep(time.Minute)
		c.net.Power("b")
		c.leader()
	})
}

// A neighbour with another cluster key is a rival too: two that were set up apart made each their own.
func TestAloneBesideOtherKey(t *testing.T) {
	other, err := clusterkey.Create(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		ours := c.key
		c.key = other
		c.startAs("b", "b")
		c.key = ours
		c.eventually(5*time.Second, "a waits for b's key", func() bool { return c.waitsFor("a", "b, which cluster_nodes names too, to have the same cluster key") })
		if _, _, err := c.hosts["a"].speaks(); err == nil {
			t.Error("a serves beside a cluster with another key")
		}
	})
}

// One lock server for several nodes is a cluster, and grows into several while it serves.
func TestAloneGrows(t *testing.T) {
	twoAlone(t, Off{}, func(t *testing.T, c *testCluster) {
		x := c.session("x", "a")
		defer x.stop()
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		c.startAs("b", "a", "b")
		time.Sleep(time.Minute)
		if isLost(h) {
			t.Fatalf("the lock was lost while b waits to be taken in: %s", c.hosts["a"].status().Waiting)
		}
		c.hosts["a"].Reload([]string{"a", "b"})
		if err := <-c.hosts["a"].done; !errors.Is(err, ErrAgain) {
			t.Fatal(err)
		}
		c.startAs("a", "a", "b")
		c.eventually(time.Minute, "two voters", func() bool { return len(c.hosts["b"].status().Servers) == 2 })
	})
}

// With the rule off both hand out the lock.
func TestTwoAloneCatches(t *testing.T) {
	twoAlone(t, Off{Lone: true}, func(t *testing.T, c *testCluster) {
		c.startAs("b", "b")
		x, y := c.session("x", "a"), c.session("y", "b")
		defer x.stop()
		defer y.stop()
		mustAcquire(t, x, wish("p"))
		mustAcquire(t, y, wish("p"))
	})
}

func TestRivalOf(t *testing.T) {
	t.Parallel()
	alone := identity{ID: "a/1", Cluster: "A"}
	forced, unborn := alone, identity{ID: "a/1"}
	forced.Forced = true
	for _, row := range []struct {
		name  string
		self  identity
		said  api.Status
		rival bool
	}{
		{"itself, by another name", alone, api.Status{ID: "a/1", Cluster: "A", List: []string{"a"}}, false},
		{"itself, unborn", unborn, api.Status{ID: "a/1", List: []string{"a"}}, false},
		{"of the same cluster once", alone, api.Status{ID: "b/2", Cluster: "A", List: []string{"b"}}, false},
		{"of another cluster", alone, api.Status{ID: "b/2", Cluster: "B", List: []string{"a", "b"}}, true},
		{"of another cluster, itself unborn", unborn, api.Status{ID: "b/2", Cluster: "B", List: []string{"b"}}, true},
		{"both unborn", unborn, api.Status{ID: "b/2", List: []string{"b"}}, true},
		{"waits to be taken in", alone, api.Status{ID: "b/2", List: []string{"b", "a"}}, false},
		{"would begin with others", alone, api.Status{ID: "b/2", List: []string{"b", "c"}}, true},
		{"the old cluster's, which cannot go on", forced, api.Status{ID: "b/2", Cluster: "B", List: []string{"a", "b", "c"}}, false},
		{"the old cluster, which goes on", forced, api.Status{ID: "b/2", Cluster: "B", Leader: "b"}, true},
	} {
		if got := row.self.rivalOf(row.said); (got != "") != row.rival {
			t.Errorf("%s: %q", row.name, got)
		}
	}
}
