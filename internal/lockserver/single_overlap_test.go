package lockserver

import (
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// overlaps are questions of a dex-lock during which a dex-release comes and goes.
var overlaps = map[string]struct {
	before, during time.Duration // timeouts of a call before, 0 for none, and of that which is overtaken
	late           bool          // the question itself is on its way, not only the answer
}{
	"renewal":           {before: testTimes.Timeout, during: testTimes.Timeout},
	"late renewal":      {before: testTimes.Timeout, during: testTimes.Timeout, late: true},
	"acquire":           {during: testTimes.Timeout},
	"late acquire":      {during: testTimes.Timeout, late: true},
	"other times":       {before: testTimes.Timeout, during: 2 * testTimes.Timeout},
	"late, other times": {before: testTimes.Timeout, during: 2 * testTimes.Timeout, late: true},
}

// A dex-release that overlaps a dex-lock is not undone by it: the lock is free, and who held it is
// told so, also later by calls that reach no server.
func TestSingleReleaseOverlaps(t *testing.T) {
	for name, o := range overlaps {
		t.Run(name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				revived := releaseOverlaps(t, c, lockclient.Off{}, o.before, o.during, o.late)
				if revived != "" {
					t.Errorf("%s", revived)
				}
			})
		})
	}
	for _, name := range []string{"renewal", "acquire"} {
		t.Run("without the rule, "+name, func(t *testing.T) {
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				o := overlaps[name]
				if revived := releaseOverlaps(t, c, lockclient.Off{Overlap: true}, o.before, o.during, o.late); revived == "" {
					t.Error("nothing is seen of it")
				}
			})
		})
	}
}

// releaseOverlaps has a dex-lock hang while the lock is released and another node takes it, and says
// what is wrong with what it is told.
func releaseOverlaps(t *testing.T, c *testCluster, off lockclient.Off, before, during time.Duration, late bool) (revived string) {
	files := lockclient.NewFiles(t.TempDir())
	client := func(host string) *lockclient.Client {
		client := c.client(host)
		client.Off = off
		return client
	}
	hangs, other := client("x"), client("x'")
	defer hangs.Close()
	defer other.Close()
	open := func(client *lockclient.Client, name string, timeout time.Duration) *lockclient.Single {
		t.Helper()
		s, err := lockclient.OpenSingle(client, "x", files, name, lock.Times{Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	leader := c.hosts[c.leader()]
	for _, name := range []string{"q", "q", "p"}[:2+min(1, int(before))] { // q is for a connection with the leader
		if got, err := open(hangs, name, max(before, time.Second)).Try(t.Context()); got != lockclient.Got {
			t.Fatalf("Try = %s, %v", got, err)
		}
	}
	cut := func(cut bool) {
		for _, entry := range three {
			if late {
				c.net.Set("x", entry, cut)
			}
			c.net.Set(entry, "x", cut)
		}
	}
	cut(true)
	told, overtaken := make(chan lockclient.Result, 1), open(hangs, "p", during)
	go func() {
		result, _ := overtaken.Try(t.Context())
		told <- result
	}()
	time.Sleep(300 * time.Millisecond)
	begin := time.Now()
	if err := open(other, "p", during).Release(t.Context()); err != nil || time.Since(begin) > time.Second {
		t.Errorf("Release = %v, after %v", err, time.Since(begin))
	}
	if !late {
		nextNode(t, other)
	}
	cut(false)
	if got := <-told; got.Held() {
		revived = "a dex-lock that was overtaken by the release is told: " + string(got)
	}
	c.net.Isolate("x", three, true)
	defer c.net.Isolate("x", three, false)
	if got, _ := open(hangs, "p", during).Try(t.Context()); got.Held() {
		revived = "and the next one, cut off: " + string(got)
	}
	if k := leader.state("p").Lock; late && k.Held() {
		t.Errorf("nobody has the lock, and it is %+v", k)
	}
	return revived
}

// nextNode has another node take the lock, which it must have at once.
func nextNode(t *testing.T, client *lockclient.Client) {
	t.Helper()
	y, err := lockclient.OpenSingle(client, "y", lockclient.NewFiles(t.TempDir()), "p", testTimes)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := y.Try(t.Context()); got != lockclient.Got {
		t.Errorf("the next node is told %s, %v", got, err)
	}
}

// Two dex-locks at the same time: what is kept is what the servers know last, and a release frees it.
func TestSingleTwoAtOnce(t *testing.T) {
	for _, before := range []bool{false, true} {
		inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
			client, slow := c.client("x"), c.client("x'")
			defer client.Close()
			defer slow.Close()
			files := lockclient.NewFiles(t.TempDir())
			open := func(client *lockclient.Client, seconds int) *lockclient.Single {
				s, err := lockclient.OpenSingle(client, "x", files, "p", lock.Times{Timeout: time.Duration(seconds) * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			leader := c.hosts[c.leader()]
			if before {
				if got, err := open(client, 10).Try(t.Context()); got != lockclient.Got {
					t.Fatal(got, err)
				}
			}
			for i := range 10 {
				delay := func() time.Duration { return time.Duration(i) * 10 * time.Millisecond }
				for _, entry := range three {
					c.net.SetSlow(entry, "x'", delay)
				}
				told := make(chan lockclient.Result, 2)
				for j, client := range []*lockclient.Client{slow, client} {
					s := open(client, 10+i*j)
					go func() {
						result, _ := s.Try(t.Context())
						told <- result
					}()
				}
				for range 2 {
					if got := <-told; !got.Held() && got != lockclient.Busy {
						t.Errorf("one of two is told %s", got)
					}
				}
				if got, err := open(client, 10).Try(t.Context()); got != lockclient.Got || !leader.state("p").Lock.Held() {
					t.Errorf("after both: %s, %v", got, err)
				}
			}
			if err := open(client, 10).Release(t.Context()); err != nil || leader.state("p").Lock.Held() {
				t.Errorf("after the release (%v) the lock is %+v", err, leader.state("p").Lock)
			}
		})
	}
}

// A slewedClock is one whose CLOCK_BOOTTIME chrony slews.
type slewedClock struct {
	lease.Clock
	boot float64
}

func (c slewedClock) Now() lease.Time {
	now := c.Clock.Now()
	return lease.Reading(time.Duration(float64(now.Boot())*c.boot), now.Raw())
}

// Between two calls a dex-lock goes by both clocks of the host (rule 1): with one of them slewed, its
// lease is over when another may have the lock.
func TestSingleSlewed(t *testing.T) {
	for _, rate := range []float64{0.92, 1, 1.08} {
		inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
			client := c.client("x")
			client.Clock = slewedClock{client.Clock, rate}
			defer client.Close()
			files, times := lockclient.NewFiles(t.TempDir()), lock.Times{Timeout: 30 * time.Second}
			try := func() lockclient.Result {
				s, err := lockclient.OpenSingle(client, "x", files, "p", times)
				if err != nil {
					t.Fatal(err)
				}
				result, _ := s.Try(t.Context())
				return result
			}
			c.leader()
			time.Sleep(5 * time.Minute) // the clocks are apart
			if got := try(); got != lockclient.Got {
				t.Fatal(got)
			}
			c.net.Isolate("x", three, true)
			defer c.net.Isolate("x", three, false)
			time.Sleep(20 * time.Second)
			if got := try(); got != lockclient.TimingOut {
				t.Errorf("at %v, in the middle: %s", rate, got)
			}
			time.Sleep(5*time.Second + 500*time.Millisecond) // the tries take 3 s each
			if got := try(); got.Held() {
				t.Errorf("at %v, when another may have the lock: %s", rate, got)
			}
		})
	}
}
