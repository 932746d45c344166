package lockserver

import (
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// dex-lock: other times than at the last call are had in a new term; a call that the servers do
// not hear leaves the lease as short as both say.
func TestSingleOtherTimes(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
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
		if k := c.hosts[c.leader()].state("p").Lock; k.Times.Timeout != 300*time.Second || k.Term != 2 {
			t.Errorf("the servers go by %v in term %d, want 300s in term 2", k.Times.Timeout, k.Term)
		}
		c.net.Isolate("x", three, true)
		if got := try(10); got != lockclient.TimingOut {
			t.Errorf("a shorter lease that nobody heard of: %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := try(300); got.Held() {
			t.Errorf("after the shorter lease: %s", got)
		}
		c.net.Isolate("x", three, false)
	})
}

// A lock whose release was not answered is not gone on with, and the next release frees it.
func TestSingleRelease(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
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
		c.net.Isolate("x", three, true)
		if err := open().Release(t.Context()); err == nil {
			t.Error("a release that nobody heard of succeeded")
		}
		c.net.Isolate("x", three, false)
		if err := open().Release(t.Context()); err != nil {
			t.Error(err)
		}
		if k := leader.state("p").Lock; k.Held() {
			t.Errorf("after the release the lock is %+v", k)
		}
		// An acquire whose answer is lost, then a release: nothing may stay taken.
		for _, entry := range three {
			c.net.Cut(entry, "x")
		}
		if got, _ := open().Try(t.Context()); got != lockclient.NoMajority {
			t.Errorf("Try without answers = %s", got)
		}
		c.net.Isolate("x", three, false)
		time.Sleep(time.Second)
		if err := open().Release(t.Context()); err != nil {
			t.Error(err)
		}
		if k := leader.state("p").Lock; k.Held() {
			t.Errorf("after a lost acquire and a release the lock is %+v", k)
		}
	})
}

// An acquire for other times that was not answered may be made late: then the lock is in a term
// that the next calls must find out about, and live by.
func TestSingleLateOwnAcquire(t *testing.T) {
	const long, short = time.Minute, 10 * time.Second
	for _, story := range []string{"late", "release", "renew"} {
		t.Run(story, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				client := c.client("x")
				defer client.Close()
				files := lockclient.NewFiles(t.TempDir())
				open := func(timeout time.Duration) *lockclient.Single {
					t.Helper()
					s, err := lockclient.OpenSingle(client, "x", files, "p", lock.Times{Timeout: timeout})
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				try := func(timeout time.Duration, want lockclient.Result) {
					t.Helper()
					if got, err := open(timeout).Try(t.Context()); got != want {
						t.Errorf("Try(%v) = %s (%v), want %s", timeout, got, err, want)
					}
				}
				leader := c.hosts[c.leader()]
				try(long, lockclient.Got)
				k := leader.state("p").Lock
				c.net.Isolate("x", three, true)
				try(short, lockclient.TimingOut)
				c.net.Isolate("x", three, false)
				late := func() {
					q := api.AcquireRequest{Name: "p", Owner: k.Owner, Times: lock.Times{Timeout: short}, Own: k.Term}
					if _, err := leader.acquire(t.Context(), leader.Clock.Now(), q); err != nil {
						t.Error(err)
					}
				}
				switch story {
				case "late":
					try(short, lockclient.Got)
					begin := time.Now()
					late()
					if got := leader.state("p").Lock; got.Times.Timeout != short || time.Since(begin) > time.Second {
						t.Errorf("after a late acquire the lock is %+v", got)
					}
				case "release":
					late()
					if err := open(long).Release(t.Context()); err != nil {
						t.Error(err)
					}
					if got := leader.state("p").Lock; got.Held() {
						t.Errorf("after the release the lock is %+v", got)
					}
				case "renew":
					late()
					try(long, lockclient.Got)
					late()
					if got := leader.state("p").Lock; got.Times.Timeout != long {
						t.Errorf("the holder was told %v, the servers go by %v", long, got.Times.Timeout)
					}
				}
			})
		})
	}
}
