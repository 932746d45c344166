package lockserver

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A stepping clock is one whose readings can be put forward: the one of the boot as after a
// suspend, the raw one as by a clock that runs wild.
type stepping struct {
	base lease.Clock

	mu        sync.Mutex
	boot, raw time.Duration
	timers    map[*int]func()
}

func newStepping() *stepping { return &stepping{base: lease.Scaled(1), timers: map[*int]func(){}} }

// Now is the time with all steps.
func (s *stepping) Now() lease.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.base.Now().Boot()
	return lease.Reading(now+s.boot, now+s.raw)
}

// AfterFunc looks again after each step, as a timer on CLOCK_BOOTTIME does.
func (s *stepping) AfterFunc(d time.Duration, f func()) (stop func()) {
	end := s.Now().Add(d)
	id := new(int)
	var look func()
	look = func() {
		left := end.Left(s.Now())
		s.mu.Lock()
		_, waits := s.timers[id]
		if waits && left <= 0 {
			delete(s.timers, id)
		}
		s.mu.Unlock()
		switch {
		case !waits:
		case left <= 0:
			f()
		default:
			s.base.AfterFunc(left, look)
		}
	}
	s.mu.Lock()
	s.timers[id] = look
	s.mu.Unlock()
	s.base.AfterFunc(d, look)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.timers, id)
	}
}

// step puts the readings forward.
func (s *stepping) step(boot, raw time.Duration) {
	s.mu.Lock()
	s.boot, s.raw = s.boot+boot, s.raw+raw
	var looks []func()
	for _, look := range s.timers {
		looks = append(looks, look)
	}
	s.mu.Unlock()
	for _, look := range looks {
		go look()
	}
}

// withClock is a session on host that goes by clock.
func (c *testCluster) withClock(host string, clock lease.Clock) *holder {
	h := c.session(host)
	h.client.Clock = clock
	return h
}

// A server whose clock is put forward by hours, while it leads, believes the reading that shows
// less: nobody gets the lock of a holder that is heard, nor before the kill end of one that is not.
func TestServerClockSteps(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		boot, raw time.Duration
	}{{"boot", 5 * time.Hour, 0}, {"raw", 0, 5 * time.Hour}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				clocks := map[string]*stepping{}
				for _, entry := range three {
					clocks[entry] = newStepping()
					c.hosts[entry].Clock, c.hosts[entry].machine.clock = clocks[entry], clocks[entry]
				}
				c.crash(c.leader()) // no lease was given by the clocks of before
				leader := c.leader()
				x, y := c.session("x"), c.session("y")
				defer x.stop()
				defer y.stop()
				h := mustAcquire(t, x, wish("p"))
				defer keep(h)()
				got := acquireLater(t, y, wish("p"))
				time.Sleep(20 * time.Second)
				clocks[leader].step(row.boot, row.raw)
				time.Sleep(20 * time.Second)
				notYet(t, got, "after a step of the leader's clock")
				c.net.Isolate("x", three, true)
				time.Sleep(3 * time.Second)
				clocks[leader].step(row.boot, row.raw)
				<-h.Lost()
				if at, kill := <-got, killAt(x, h); at.Before(kill.Add(500 * time.Millisecond)) {
					t.Errorf("granted %v before the kill end and the margin", kill.Sub(at))
				}
				c.net.Isolate("x", three, false)
			})
		})
	}
}

// A holder whose clock is put forward by hours believes the reading that shows more: the lock is
// lost at once, whatever the servers would say, and the kill end has come; and it can have it
// again.
func TestHolderClockSteps(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		boot, raw time.Duration
	}{{"boot", 5 * time.Hour, 0}, {"raw", 0, 5 * time.Hour}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				c.leader()
				clock := newStepping()
				x := c.withClock("x", clock)
				defer x.stop()
				h := mustAcquire(t, x, wish("p"))
				stop := keep(h)
				time.Sleep(20 * time.Second)
				begin := time.Now()
				clock.step(row.boot, row.raw)
				<-h.Lost()
				if took := time.Since(begin); took > 0 {
					t.Errorf("lost %v after the step, want at once", took)
				}
				if _, kill := h.Ends(); kill.Left(clock.Now()) > 0 {
					t.Error("the kill end is still to come")
				}
				stop()
				again := mustAcquire(t, x, wish("p"))
				defer keep(again)()
				if again.Term <= h.Term {
					t.Errorf("had again in term %d, want one after %d", again.Term, h.Term)
				}
				time.Sleep(20 * time.Second)
				if isLost(again) {
					t.Error("the lock was lost again, on a clock that goes well")
				}
			})
		})
	}
}

// A lease that a script keeps from call to call ends by the clock of the host too.
func TestSingleClockSteps(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		c.leader()
		clock := newStepping()
		client := c.client("x")
		defer client.Close()
		client.Clock = clock
		files := lockclient.NewFiles(t.TempDir())
		try := func(want lockclient.Result) {
			t.Helper()
			s, err := lockclient.OpenSingle(client, "x", files, "p", testTimes)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Try(t.Context()); got != want {
				t.Errorf("Try = %s (%v), want %s", got, err, want)
			}
		}
		try(lockclient.Got)
		time.Sleep(5 * time.Second)
		try(lockclient.Got)
		clock.step(2*time.Hour, 0)
		try(lockclient.TimedOut)
	})
}

// No rule goes by the wall clock. A time.Time has one inside, which shows when it is turned into
// something else; the rules themselves have no time.Now at all.
func TestNoWallClock(t *testing.T) {
	t.Parallel()
	wall := regexp.MustCompile(`\.(Unix|UnixNano|UnixMilli|UnixMicro|UTC|Local|Format|Clock|YearDay|Weekday)\(|time\.(Parse|Date)\(|\.Round\(0\)|CLOCK_REALTIME`)
	decidesNothing := map[string]bool{
		"../lockserver/store/code.go": true, // when a log entry was appended, which raft only shows
	}
	now := regexp.MustCompile(`time\.(Now|Since|Until)\(`)
	for _, dir := range []string{"api", "lock", "lease", "lockserver", "lockserver/store", "lockclient", "failover"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || decidesNothing[file] {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := wall.FindAll(text, -1); found != nil {
				t.Errorf("%s goes by the wall clock: %q", file, found)
			}
			if dir == "lock" && now.Match(text) {
				t.Errorf("%s asks what time it is: the rules are told", file)
			}
		}
	}
}

// Case B8: nodes with different times. Whoever holds the lock, the servers wait by its own, not
// by those of who asks; and by others only when a change of them is in the log.
func TestDifferentTimes(t *testing.T) {
	t.Parallel()
	long := lock.Times{Timeout: 60 * time.Second, Stop: 30 * time.Second}
	short := lock.Times{Timeout: 6 * time.Second, Stop: 2 * time.Second}
	for _, row := range []struct {
		name                    string
		holder, changed, asking lock.Times
	}{
		{"long, then short", long, long, short},
		{"short, then long", short, short, long},
		{"made longer", short, long, short},
		{"made shorter", long, short, long},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
				x, y := c.session("x"), c.session("y")
				defer x.stop()
				defer y.stop()
				w := wish("p")
				w.Times, w.Pace = row.holder, time.Second
				h := mustAcquire(t, x, w)
				defer keep(h)()
				w.Times = row.asking
				got := acquireLater(t, y, w)
				time.Sleep(5 * time.Second)
				seq := uint64(1)
				if row.changed != row.holder {
					if err := h.Change(t.Context(), row.changed); err != nil {
						t.Fatal(err)
					}
					seq = 2
				}
				if k := c.agreed("p"); k.Times != row.changed || k.Seq != seq {
					t.Errorf("the log says %+v in seq %d, want %+v in %d", k.Times, k.Seq, row.changed, seq)
				}
				if row.changed.Timeout < row.holder.Timeout {
					time.Sleep(5 * time.Second) // the lease that was given is not made shorter
				}
				cut := time.Now()
				c.net.Isolate("x", three, true)
				<-h.Lost()
				if took := time.Since(cut); took > row.changed.Timeout || took < row.changed.Timeout-2*time.Second {
					t.Errorf("lost %v after the cut, want about %v", took, row.changed.Timeout)
				}
				kill := killAt(x, h)
				at := <-got
				if at.Before(kill.Add(500 * time.Millisecond)) {
					t.Errorf("granted %v before the kill end and the margin", kill.Sub(at))
				}
				if took := at.Sub(cut); took > row.changed.Silence()+time.Second {
					t.Errorf("granted %v after the cut, want %v", took, row.changed.Silence())
				}
				c.net.Isolate("x", three, false)
			})
		})
	}
}
