package watchdog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lease"

	"golang.org/x/sys/unix"
)

// maxLine is how long a line on the socket may be, in bytes.
const maxLine = 4096

// A message is what a deadman says: hello, or one of the others about a package.
type message struct {
	Hello   bool     `json:"hello,omitempty"`
	Package string   `json:"package,omitempty"`
	End     *reading `json:"end,omitempty"`
	Span    int64    `json:"span_ms,omitempty"`
	Clear   bool     `json:"clear,omitempty"`
}

// A reading is a lease.Time, in nanoseconds.
type reading struct {
	Boot int64 `json:"boot"`
	Raw  int64 `json:"raw"`
}

func readingOf(t lease.Time) *reading { return &reading{int64(t.Boot()), int64(t.Raw())} }

func (r reading) time() lease.Time {
	return lease.Reading(time.Duration(r.Boot), time.Duration(r.Raw))
}

// A reply is the answer to a message.
type reply struct {
	OK      bool   `json:"ok,omitempty"`
	Spans   bool   `json:"spans,omitempty"`      // it knows what span_ms is; to a hello
	Timeout int64  `json:"timeout_ms,omitempty"` // of the device; to a hello
	Error   string `json:"error,omitempty"`
}

// parse reads a line. It refuses what it does not know: otherwise the sender would believe that it
// is guarded, and would not be.
func parse(line []byte) (m message, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("cannot read %q: %w", line, err)
	}
	said := 0
	for _, is := range []bool{m.Hello, m.Clear, m.End != nil} {
		if is {
			said++
		}
	}
	switch {
	case said != 1 || d.More():
		return m, fmt.Errorf("cannot read %q: one of hello, end and clear is wanted", line)
	case m.Hello != (m.Package == ""):
		return m, fmt.Errorf("cannot read %q: which package?", line)
	case m.End != nil && !m.End.possible(), m.Span < 0, m.Span > 0 && m.End == nil, time.Duration(m.Span) > far/time.Millisecond:
		return m, fmt.Errorf("cannot read %q: not a kill end", line)
	}
	return m, nil
}

// far is more than any clock of a host shows: 146 years, in nanoseconds.
const far = 1 << 62

// possible says whether r can be a time of this host. It is not if a value was left out, or is so
// big that sums with it would overflow.
func (r reading) possible() bool {
	return r.Boot > 0 && r.Boot < far && r.Raw > 0 && r.Raw < far
}

// answer is what the server says to a line.
func (s *Server) answer(line []byte) reply {
	m, err := parse(line)
	if err == nil {
		err = s.take(m)
	}
	switch {
	case err != nil:
		return reply{Error: err.Error()}
	case m.Hello:
		return reply{OK: true, Spans: true, Timeout: s.Device.Timeout.Milliseconds()}
	}
	return reply{OK: true}
}

// names is the packages that are held.
func (s *Server) names() string {
	return strings.Join(slices.Sorted(maps.Keys(s.held)), " ")
}

// serve takes connections from l until ctx ends.
func (s *Server) serve(ctx context.Context, l net.Listener) {
	var talks sync.WaitGroup
	defer talks.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		if err == nil {
			talks.Go(func() { s.talk(ctx, conn) })
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.repeats.Tell(s.Log, journal.Error, "accept", "the watchdog process cannot take a connection: if it has too many files open, raise its limit (ulimit -n)", "reason", err) // out of descriptors, most likely
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// talk answers a deadman until it ends the connection.
func (s *Server) talk(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, maxLine), maxLine)
	answers := json.NewEncoder(conn)
	if err := checkPeer(conn); err != nil {
		s.repeats.Tell(s.Log, journal.Warning, "refused", "a connection is refused: only root, and the user that the watchdog process runs as, may tell it of packages", "reason", err)
		// Read what the deadman says first: one that is cut off while it writes does not see the
		// reason.
		if conn.SetDeadline(time.Now().Add(callLimit)) == nil && lines.Scan() {
			_ = answers.Encode(reply{Error: err.Error()})
		}
		return
	}
	for lines.Scan() {
		if answers.Encode(s.answer(lines.Bytes())) != nil {
			return
		}
	}
}

// checkPeer refuses a process of another user at the other end of a unix socket.
func checkPeer(conn net.Conn) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil // not a unix socket: a test's connection inside this process
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var user uint32
	var process int32
	if e := raw.Control(func(fd uintptr) { user, process, err = peerOf(int(fd)) }); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("cannot learn who asks: %w", err)
	}
	if !welcome(user, uint32(os.Geteuid())) {
		return fmt.Errorf("user %d (process %d) may not talk with the watchdog process", user, process)
	}
	return nil
}

// welcome says whether a process of the user uid may talk with one of the user own.
func welcome(uid, own uint32) bool { return uid == own || uid == 0 }

// Listen makes the socket of a server. It removes the socket of an earlier server, of which the
// caller knows that it has ended.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot make the socket of the watchdog: %w", err)
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: short})
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket of the watchdog: %w", err)
	}
	l.SetUnlinkOnClose(false) // Close would unlink the short name, which leads nowhere by then
	return l, nil
}

// shorten returns another path to the same file if path is too long for a socket. It is good until
// done is called.
func shorten(path string) (short string, done func(), err error) {
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("cannot reach the socket of the watchdog: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}
