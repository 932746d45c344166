//go:build linux

package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/sim/virtual"

	"golang.org/x/sys/unix"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	const refused = "refused"
	for _, row := range []struct{ line, answer, held string }{
		{`{"hello":true}`, `{"ok":true,"spans":true,"timeout_ms":10000}`, ""},
		{`{"package":"p","end":{"boot":7000000000,"raw":6000000000}}`, `{"ok":true}`, "p"},
		{`{"package":"p","clear":true}`, `{"ok":true}`, ""},
		{``, refused, ""},
		{`{}`, refused, ""},
		{`not json`, refused, ""},
		{`{"package":"p"}`, refused, ""},
		{`{"package":"p","hello":true}`, refused, ""},
		{`{"package":"p","clear":true,"end":{"boot":7,"raw":6}}`, refused, ""},
		{`{"clear":true}`, refused, ""},
		{`{"end":{"boot":7,"raw":6}}`, refused, ""},
		{`{"package":"p","end":{}}`, refused, ""},
		{`{"package":"p","end":{"boot":7}}`, refused, ""},
		{`{"package":"p","end":{"boot":9223372036854775807,"raw":6}}`, refused, ""},
		{`{"package":"p","clear":true,"pause":true}`, refused, ""},
		{`{"package":"p","clear":true} {"package":"q","clear":true}`, refused, ""},
	} {
		s := New(Config{
			Device: &Device{Timeout: 10 * time.Second, to: &memDevice{}},
			Clock:  still(lease.Reading(time.Second, time.Second)), Log: slog.New(slog.DiscardHandler),
		})
		r := s.answer([]byte(row.line))
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(b); got != row.answer && (row.answer != refused || r.OK || r.Error == "") {
			t.Errorf("the answer to %s is %s, want %s", row.line, got, row.answer)
		}
		if s.names() != row.held {
			t.Errorf("after %s is held: %q, want %q", row.line, s.names(), row.held)
		}
	}
}

// What a client says is what a server takes, to the nanosecond.
func TestReading(t *testing.T) {
	t.Parallel()
	at := lease.Reading(math.MaxInt32*time.Second+1, time.Hour+2)
	if got := readingOf(at).time(); got != at {
		t.Errorf("%v became %v", at, got)
	}
}

// No call takes longer than its limit, though it may have to wait for another's first.
func TestClientWaitsNoLonger(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newClient(ours)
		var all sync.WaitGroup
		all.Go(func() { // answers one call, slowly, and reads the next
			line := make([]byte, maxLine)
			_, _ = theirs.Read(line)
			time.Sleep(400 * time.Millisecond)
			_, _ = theirs.Write([]byte(`{"ok":true}` + "\n"))
			_, _ = theirs.Read(line)
		})
		begin := time.Now()
		for _, row := range []struct {
			after, over time.Duration // since begin
			want        error
		}{
			{0, 400 * time.Millisecond, nil},
			{100 * time.Millisecond, 600 * time.Millisecond, errSilent},
			{200 * time.Millisecond, 600 * time.Millisecond, errSilent}, // the connection is of no use by then
			{time.Second, time.Second, errSilent},
		} {
			all.Go(func() {
				time.Sleep(row.after)
				err := c.Clear("p")
				if over := time.Since(begin); !errors.Is(err, row.want) || over != row.over {
					t.Errorf("a call after %v: %v, over at %v; want %v at %v", row.after, err, over, row.want, row.over)
				}
			})
		}
		all.Wait()
	})
}

// An answer that comes late is not taken for the answer to the next question.
func TestClientAfterLateAnswer(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := newClient(ours)
		var server sync.WaitGroup
		server.Go(func() {
			defer theirs.Close()
			_, _ = theirs.Read(make([]byte, maxLine))
			time.Sleep(600 * time.Millisecond)
			_, _ = theirs.Write([]byte(`{"ok":true}` + "\n"))
		})
		if err := c.Hold("p", lease.Reading(1, 1), 0); !errors.Is(err, errSilent) {
			t.Errorf("Hold = %v, want %v", err, errSilent)
		}
		time.Sleep(200 * time.Millisecond)
		begin := time.Now()
		if err := c.Clear("p"); err == nil || time.Since(begin) != 0 {
			t.Errorf("the next call: %v after %v, want an error at once", err, time.Since(begin))
		}
		server.Wait()
	})
}

// A refusal does not end the connection.
func TestRefusal(t *testing.T) {
	virtual.Test(t, func(t *testing.T) {
		c := newNode(t, lease.Scaled(1)).dial()
		if c.Timeout != 10*time.Second {
			t.Errorf("the device's timeout is said to be %v, want 10s", c.Timeout)
		}
		var refusal Refusal
		if err := c.Hold("", lease.Reading(1, 1), 0); !errors.As(err, &refusal) {
			t.Errorf("no package: %v, want a refusal", err)
		}
		if err := c.Clear("p"); err != nil {
			t.Error(err)
		}
	})
}

// realServer runs a server with real sockets on l until the test ends.
func realServer(t *testing.T, l net.Listener) {
	s := New(Config{Device: &Device{Timeout: 10 * time.Second, to: &memDevice{}}, Clock: lease.System(), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx, l, nil) }) // it ends with ctx
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// A home may be deeper than a socket's address is long, and what a dead server left is in nobody's way.
func TestSocket(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"short", strings.Repeat("deep/", 40)} {
		path := filepath.Join(t.TempDir(), dir, "watchdog.sock")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(path); !errors.Is(err, unix.ENOENT) {
			t.Errorf("with no server: %v, want %v", err, unix.ENOENT)
		}
		dead, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(path); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("with a dead server: %v, want %v", err, unix.ECONNREFUSED)
		}
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		realServer(t, l)
		c, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Hold("p", lease.System().Now().Add(time.Hour), 0), c.Clear("p"), c.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestWelcome(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		uid, own uint32
		welcome  bool
	}{{0, 0, true}, {0, 7, true}, {7, 7, true}, {7, 0, false}, {8, 7, false}} {
		if got := welcome(row.uid, row.own); got != row.welcome {
			t.Errorf("welcome(%d, %d) = %v, want %v", row.uid, row.own, got, row.welcome)
		}
	}
}

// Another user is refused, whatever the file system would let it do.
func TestPeer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	l, err := net.Listen("unix", "@"+filepath.Join(t.TempDir(), "s")) // no file, no rights to it
	if err != nil {
		t.Fatal(err)
	}
	realServer(t, l)
	name := l.Addr().String()
	c, err := Dial(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: this thread is another user's from here on
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			done <- errno
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
		}
		if err != nil {
			done <- err
			return
		}
		conn, err := net.FileConn(os.NewFile(uintptr(fd), "socket"))
		if err == nil {
			err = newClient(conn).hello(callLimit)
		}
		done <- err
	}()
	var refusal Refusal
	if err := <-done; !errors.As(err, &refusal) || !strings.Contains(refusal.Error(), "65534") {
		t.Errorf("another user: %v, want a refusal that names it", err)
	}
}
