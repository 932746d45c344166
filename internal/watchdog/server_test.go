package watchdog

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/sim/virtual"
)

// A memDevice remembers what was written to it. With a fault it takes nothing.
type memDevice struct {
	mu     sync.Mutex
	bytes  string
	closed bool
	fault  error

	first, last time.Time     // food
	hungry      time.Duration // the longest time without
}

func (d *memDevice) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != nil {
		return 0, d.fault
	}
	d.bytes += string(b)
	now := time.Now()
	if d.first.IsZero() {
		d.first, d.last = now, now
	}
	d.hungry, d.last = max(d.hungry, now.Sub(d.last)), now
	return len(b), nil
}

func (d *memDevice) Close() error {
	d.closed = true
	return nil
}

func (d *memDevice) breaks(fault error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// feeds is how often it was fed.
func (d *memDevice) feeds() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.bytes, "\x00")
}

// A memListener is a listener within a bubble.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return &net.UnixAddr{} }

// facts are the attributes of all that was logged as an error.
type facts struct {
	slog.Handler
	mu  sync.Mutex
	all map[string]string
}

func (f *facts) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (f *facts) Handle(_ context.Context, r slog.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		f.all[a.Key] = a.Value.String()
		return true
	})
	return nil
}

// A node is a server that runs, on a machine of its own.
type node struct {
	*Server
	t       *testing.T
	device  *memDevice
	l       *memListener
	ends    chan os.Signal
	ended   chan error
	logged  *facts
	stopped chan string
}

// newNode runs a server on a device with a timeout of 10 s: it is fed every 2.5 s, at once first.
func newNode(t *testing.T, clock lease.Clock) *node {
	n := &node{
		t: t, device: &memDevice{}, l: &memListener{conns: make(chan net.Conn), done: make(chan struct{})},
		ends: make(chan os.Signal), ended: make(chan error, 1), logged: &facts{all: map[string]string{}}, stopped: make(chan string, 9),
	}
	n.Server = New(Config{
		Node: "n1", Device: &Device{Timeout: 10 * time.Second, to: n.device}, Clock: clock,
		Log: slog.New(n.logged), Stopped: func(pkg string) { n.stopped <- pkg },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.ended <- n.Run(ctx, n.l, n.ends) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return n
}

// dial is a deadman's connection.
func (n *node) dial() *Client {
	n.t.Helper()
	ours, theirs := net.Pipe()
	n.l.conns <- theirs
	c := newClient(ours)
	n.t.Cleanup(func() { _ = c.Close() })
	if err := c.hello(callLimit); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// in is the kill end that is d away.
func (n *node) in(d time.Duration) lease.Time { return n.Clock.Now().Add(d) }

func (n *node) fed(want int) {
	n.t.Helper()
	if got := n.device.feeds(); got != want {
		n.t.Errorf("the device was fed %d times, want %d", got, want)
	}
}

func (n *node) ok(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Error(err)
	}
}

// refused wants err to be the server's word that it does not feed any more because of pkg.
func (n *node) refused(err error, pkg string) {
	n.t.Helper()
	var refusal Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Error(), `"`+pkg+`"`) {
		n.t.Errorf("the answer is %v, want a refusal because of %q", err, pkg)
	}
}

// The device is fed while K + 1 s, by the node's own clock, is to come, and never from then on.
func TestLate(t *testing.T) {
	for _, row := range []struct {
		name  string
		rate  float64
		kill  time.Duration // since the start; it is said after 9 s
		feeds int           // in a minute: at 0, 2.5, 5, ... s
		late  bool          // already when it is said
	}{
		{"a turn when the grace is over", 1, 34 * time.Second, 14, false},
		{"a turn just before that", 1, 34001 * time.Millisecond, 15, false},
		{"a clock that runs fast", 1.08, 36 * time.Second, 14, false},
		{"a clock that runs slow", 0.92, 36 * time.Second, 17, false},
		{"over at once", 1, 8 * time.Second, 4, true},
		{"almost over at once", 1, 8001 * time.Millisecond, 4, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual.Test(t, func(t *testing.T) {
				n := newNode(t, lease.Scaled(row.rate))
				c := n.dial()
				time.Sleep(9 * time.Second)
				if err := c.Hold("p", lease.Reading(row.kill, row.kill), 0); (err != nil) != row.late {
					t.Errorf("Hold = %v, want an error: %v", err, row.late)
				}
				time.Sleep(time.Minute)
				n.fed(row.feeds)
				n.refused(c.Hold("q", n.in(time.Minute), 0), "p")
				n.refused(c.Clear("p"), "p")
				if len(n.stopped) != 1 || <-n.stopped != "p" {
					t.Error("it was not told, once, that p stopped it")
				}
				if n.logged.all["package"] != "p" || n.logged.all["node"] != "n1" {
					t.Errorf("the log names %v, want package p and node n1", n.logged.all)
				}
			})
		})
	}
}

// The feeding stops exactly when the grace is over, not at the loop's next turn: a message between
// the two is too late.
func TestAlarm(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		c := n.dial()
		n.ok(c.Hold("late", n.in(40*time.Second), 0))
		n.ok(c.Hold("p", n.in(10*time.Second), 0))
		time.Sleep(11*time.Second - time.Millisecond)
		synctest.Wait()
		if len(n.stopped) > 0 {
			t.Error("it stopped before the grace was over")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if len(n.stopped) == 0 {
			t.Error("it did not stop when the grace was over")
		}
	})
}

// Of its two clocks a node believes the one that has gone farther.
func TestBothClocks(t *testing.T) {
	t.Parallel()
	kill := lease.Reading(100*time.Second, 50*time.Second)
	for _, row := range []struct {
		name      string
		boot, raw time.Duration
		fed       bool
	}{
		{"before", 100 * time.Second, 50 * time.Second, true},
		{"just before the grace is over", 101*time.Second - 1, 51*time.Second - 1, true},
		{"over by both", 101 * time.Second, 51 * time.Second, false},
		{"the machine slept", 101 * time.Second, 10 * time.Second, false},
		{"the boot clock is slewed", 90 * time.Second, 51 * time.Second, false},
	} {
		device := &memDevice{}
		s := New(Config{Device: &Device{to: device}, Clock: still(lease.Reading(row.boot, row.raw)), Log: slog.New(slog.DiscardHandler)})
		s.held["p"] = hold{end: kill}
		s.feed()
		if got := device.feeds() == 1; got != row.fed {
			t.Errorf("%s: fed = %v, want %v", row.name, got, row.fed)
		}
	}
}

// still is a clock that stands still, with alarms that never come.
type still lease.Time

func (s still) Now() lease.Time                      { return lease.Time(s) }
func (still) AfterFunc(time.Duration, func()) func() { return func() {} }

// Even if the alarm does not come, the next message is too late.
func TestTooLate(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) still { return still(lease.Reading(d, d)) }
	for _, late := range []message{
		{Package: "p", Clear: true},
		{Package: "p", End: &reading{int64(time.Hour), int64(time.Hour)}},
		{Hello: true},
	} {
		s := New(Config{Device: &Device{to: &memDevice{}}, Clock: at(time.Second), Log: slog.New(slog.DiscardHandler)})
		if err := s.take(message{Package: "p", End: readingOf(at(2 * time.Second).Now())}); err != nil {
			t.Error(err)
		}
		s.Clock = at(3 * time.Second)
		if err := s.take(late); err == nil {
			t.Errorf("%+v was taken", late)
		}
	}
}

// resetAt is when the device resets the machine, since the start: its timeout after its last food.
func (d *memDevice) resetAt(timeout time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last.Sub(d.first) + timeout
}

// since is how long ago it was fed first.
func (d *memDevice) since() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.first)
}

// longest is the longest time without food.
func (d *memDevice) longest() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hungry
}

// A package that is not renewed, and that nobody sees down, has the machine reset by its kill end: before
// the lock servers give the lock away, and not before the kill end. One that is renewed, or seen down in the
// last moment, does not.
func TestResetByKillEnd(t *testing.T) {
	const timeout, span = 10 * time.Second, 40 * time.Second
	for _, row := range []struct {
		name   string
		span   time.Duration
		clear  time.Duration    // after the last renewal; 0 for never
		resets [2]time.Duration // after the last renewal, from and to; none for never
	}{
		{"never seen down", span, 0, [2]time.Duration{span, span + Late}},
		{"seen down in time", span, 39 * time.Second, [2]time.Duration{}},
		{"seen down in the last moment", span, span, [2]time.Duration{}},
		{"too short to be guarded", 15 * time.Second, 0, [2]time.Duration{15*time.Second + 7500*time.Millisecond, 15*time.Second + Grace + timeout}},
		{"just long enough", 15001 * time.Millisecond, 0, [2]time.Duration{15 * time.Second, 15001*time.Millisecond + Late}},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual.Test(t, func(t *testing.T) {
				n := newNode(t, lease.Scaled(1))
				c := n.dial()
				const renewals = 20
				for range renewals { // each is heard of in the last moment
					n.ok(c.Hold("p", n.in(row.span-row.span/3), row.span))
					time.Sleep(row.span / 3)
				}
				n.ok(c.Hold("p", n.in(row.span), row.span))
				renewed := n.device.since()
				if n.device.resetAt(timeout) < renewed || n.device.longest() >= timeout {
					t.Fatalf("the machine is reset, though the package is renewed: without food for %v", n.device.longest())
				}
				if row.clear > 0 {
					time.Sleep(row.clear)
					n.ok(c.Clear("p"))
				}
				time.Sleep(5 * time.Minute)
				reset := n.device.resetAt(timeout) - renewed
				switch never := row.resets[1] == 0; {
				case never && (reset < 5*time.Minute || n.device.longest() > timeout+Late):
					t.Errorf("reset %v after the last renewal", reset)
				case !never && (reset < row.resets[0] || reset > row.resets[1]):
					t.Errorf("reset %v after the last renewal, want %v", reset, row.resets)
				}
			})
		})
	}
}

// An alarm that comes late costs a little, and not a turn of the loop.
func TestLateAlarm(t *testing.T) {
	const timeout, span, late = 10 * time.Second, 16 * time.Second, 80 * time.Millisecond
	for start := time.Duration(0); start < timeout/4; start += 300 * time.Millisecond {
		virtual.Test(t, func(t *testing.T) {
			n := newNode(t, lateAlarm{lease.Scaled(1), late})
			c := n.dial()
			time.Sleep(start)
			n.ok(c.Hold("p", n.in(span), span))
			time.Sleep(time.Minute)
			if reset := n.device.resetAt(timeout) - start - span; reset < Late-again-late || reset > Late {
				t.Errorf("held %v after the start: reset %v after the kill end", start, reset)
			}
		})
	}
}

// A lateAlarm is a clock whose alarms come late.
type lateAlarm struct {
	lease.Clock
	late time.Duration
}

func (l lateAlarm) AfterFunc(d time.Duration, f func()) func() {
	return l.Clock.AfterFunc(max(d, 0)+l.late, f)
}

// If alarms cannot be had (they come at once), the turns of the loop do the work, and nothing loops
// without a pause.
func TestNoAlarms(t *testing.T) {
	t.Parallel()
	c := &noAlarms{Clock: lease.System()}
	s := New(Config{Device: &Device{Timeout: 10 * time.Second, to: &memDevice{}}, Clock: c, Log: slog.New(slog.DiscardHandler)})
	if err := s.take(message{Package: "p", End: readingOf(c.Now().Add(time.Minute)), Span: time.Minute.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	c.called.Wait()
	if n := c.calls.Load(); n != 1 {
		t.Errorf("%d alarms were set, want one", n)
	}
}

// noAlarms is a clock as it is where a process has no file descriptors left.
type noAlarms struct {
	lease.Clock
	calls  atomic.Int64
	called sync.WaitGroup
}

func (c *noAlarms) AfterFunc(_ time.Duration, f func()) func() {
	if c.calls.Add(1) < 10 {
		c.called.Go(f)
	}
	return func() {}
}

func TestRenewedAndClear(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		c := n.dial()
		n.ok(c.Hold("p", n.in(10*time.Second), 0))
		n.ok(c.Hold("q", n.in(20*time.Second), 0))
		n.ok(c.Clear("never held"))
		time.Sleep(11*time.Second - time.Millisecond) // in its grace
		n.ok(c.Hold("p", n.in(10*time.Second), 0))
		time.Sleep(9 * time.Second)
		n.ok(c.Clear("q"))
		time.Sleep(2*time.Second - time.Millisecond)
		n.ok(c.Clear("p"))
		time.Sleep(time.Minute)
		n.fed(33) // 82 s
		n.ok(c.Hold("p", n.in(10*time.Second), 0))
	})
}

// A smaller kill end counts at once, as a smaller lease does.
func TestSmallerEnd(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		c := n.dial()
		n.ok(c.Hold("p", n.in(time.Minute), 0))
		n.ok(c.Hold("p", n.in(3*time.Second), 0))
		time.Sleep(time.Minute)
		n.fed(2)
	})
}

// A connection that breaks leaves what was said on it; another deadman may go on from there.
func TestBrokenConnection(t *testing.T) {
	for _, again := range []bool{false, true} {
		virtual.Test(t, func(t *testing.T) {
			n := newNode(t, lease.Scaled(1))
			c := n.dial()
			n.ok(c.Hold("p", n.in(8*time.Second), 0))
			n.ok(c.Close())
			time.Sleep(4 * time.Second)
			want := 4
			if again {
				n.ok(n.dial().Clear("p"))
				want = 26
			}
			time.Sleep(time.Minute)
			n.fed(want)
		})
	}
}

func TestEnd(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		c := n.dial()
		n.ok(c.Hold("p", n.in(10*time.Second), 0))
		n.ends <- syscall.SIGTERM
		n.ends <- syscall.SIGINT
		synctest.Wait()
		if len(n.ended) > 0 {
			t.Fatal("it ended while a package was held")
		}
		n.ok(c.Clear("p"))
		n.ends <- syscall.SIGTERM
		n.ok(<-n.ended)
		if n.device.bytes != "\x00V" || !n.device.closed {
			t.Errorf("the device has %q and is closed: %v; want it fed, disarmed and closed", n.device.bytes, n.device.closed)
		}
		if err := n.take(message{Package: "p", End: readingOf(n.in(time.Second))}); !errors.Is(err, errEnding) {
			t.Errorf("a package that comes at the end: %v, want %v", err, errEnding)
		}
	})
}

// Nothing ends the process once it has stopped to feed, or disarms the device.
func TestNoEndOnceStopped(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		n.ok(n.dial().Hold("p", n.in(time.Second), 0))
		time.Sleep(time.Minute)
		n.ends <- syscall.SIGTERM
		synctest.Wait()
		if len(n.ended) > 0 || n.device.closed || n.device.bytes != "\x00" {
			t.Errorf("ended: %v, closed: %v, device: %q; want none of it", len(n.ended) > 0, n.device.closed, n.device.bytes)
		}
	})
}

// A device that does not take its food for a while is fed again when it does.
func TestFault(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, lease.Scaled(1))
		n.device.breaks(syscall.EIO)
		time.Sleep(6 * time.Second)
		n.fed(1)
		if n.logged.all["node"] != "n1" {
			t.Error("nothing was said of it")
		}
		n.device.breaks(nil)
		time.Sleep(2 * time.Second)
		n.fed(2)
	})
}
