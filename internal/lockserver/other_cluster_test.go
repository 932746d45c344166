package lockserver

import (
	"context"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lock"
)

// Rule 11. A node that meets another cluster waits for as long as the holder that it saw in the old one may run, if
// that lives by longer times than it does itself; also when it was started again in between.
func TestOtherClusterLongHolder(t *testing.T) {
	for _, again := range []bool{false, true} {
		inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
			x, disk := c.session("x"), memoryDir(t)
			y := c.sessionOf("y", c.client("y"), disk)
			defer x.stop()
			w := wish("p")
			w.Times = lock.Times{Timeout: 40 * time.Second, Stop: time.Minute}
			h := mustAcquire(t, x, w)
			stop := keep(h)
			limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := y.Acquire(limited, wish("p")); err == nil {
				t.Fatal("both have it")
			}
			if again {
				y.stop()
				y = c.sessionOf("y", c.client("y"), disk)
			}
			defer y.stop()
			stop()
			c.net.Isolate("x", three, true)
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
			mustAcquire(t, y, wish("p"))
			if _, kill := h.Ends(); kill.Left(x.client.Clock.Now()) > 0 {
				t.Errorf("had %v before the kill end of the holder in the old cluster", kill.Left(x.client.Clock.Now()))
			}
			c.net.Isolate("x", three, false)
		})
	}
}

// Rule 11. While servers of the old cluster still work, the wait has not begun: here one that began anew by force, and
// is cut off from them, is asked first.
func TestOtherClusterStillWorks(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, disk := c.session("x", "b", "c"), memoryDir(t)
		defer x.stop()
		y := c.sessionOf("y", c.client("y"), disk)
		defer keep(mustAcquire(t, x, wish("p")))()
		h := mustAcquire(t, y, wish("q"))
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		y.stop()
		c.stop("a")
		c.net.Isolate("a", []string{"b", "c"}, true)
		c.force("a")
		c.start("a")
		c.eventually(20*time.Second, "a cluster of its own", func() bool { return c.hosts["a"].status().Open })
		y = c.sessionOf("y", c.client("y"), disk)
		defer y.stop()
		limited, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for _, entry := range []string{"b", "c"} {
			time.Sleep(time.Second)
			if k := c.hosts[entry].state("p").Lock; !k.Held() {
				t.Fatalf("%s says that nobody has it", entry)
			}
		}
		// The servers that were left behind hear nothing of the holder's: as in a new cluster of an older copy.
		got := make(chan error, 1)
		go func() {
			_, err := y.Acquire(limited, wish("r"))
			got <- err
		}()
		time.Sleep(time.Minute)
		if why := y.client.Waits("r"); !strings.Contains(why, "still work in the old one") {
			t.Errorf("while the old cluster works it says that it waits for %q", why)
		}
		if err := <-got; err == nil {
			t.Error("a lock of another cluster was had while the old one works")
		}
		for _, entry := range []string{"b", "c"} {
			c.stop(entry)
		}
		begin, why := time.Now(), make(chan string, 1)
		time.AfterFunc(10*time.Second, func() { why <- y.client.Waits("r") })
		mustAcquire(t, y, wish("r"))
		if during, after := <-why, y.client.Waits("r"); !strings.Contains(during, " s, when nothing of the old one can run") || after != "" {
			t.Errorf("it says that it waits for %q, and then for %q", during, after)
		}
		if took := time.Since(begin); took < testTimes.Silence()-5*time.Second {
			t.Errorf("had %v after the old cluster was last heard, want T+S+m", took)
		}
		c.net.Isolate("a", []string{"b", "c"}, false)
	})
}
