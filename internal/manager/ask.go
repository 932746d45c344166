package manager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/failover"
)

// A Request is what a user asks of a manager about one of its packages. It goes over a socket: it must get
// through where the disk is full, read-only, or hangs, and leave nothing behind where it fails.
type Request struct {
	What string `json:"what"`
	Text string `json:"text,omitempty"`
}

// What a manager can be asked for, beside what is an order ([failover.Order]).
const (
	Halt    = "halt"
	Upgrade = "upgrade" // Text is the path of the program to become; there is an answer only where that failed
	State   = "state"
	Await   = "await" // there is an answer when there is an [Outcome] after the one whose number is Text
)

// An Answer is what a manager says to a request.
type Answer struct {
	Error   string `json:"error,omitempty"` // why not
	Version string `json:"version"`         // of its program
	Node    string `json:"node"`            // this host's name, as the manager knows it
	Doing   string `json:"doing"`           // the state of the package
	Run     string `json:"run,omitempty"`   // a new one for each program that a process becomes: what the one was asked the next may not know

	// Silent is for how many seconds the lock servers have not answered, where that is longer than it should be.
	Silent int `json:"silent,omitempty"`

	// Waits says why they are not asked for the lock now, where that is for longer than usual.
	Waits string `json:"waits,omitempty"`

	// Asked says how the package's status is answered, where that is not by its script's own shell.
	Asked string `json:"asked,omitempty"`

	Outcomes int     `json:"outcomes,omitempty"` // how many there were
	Outcome  Outcome `json:"outcome,omitzero"`
}

// answer does what a user asks of the package's manager.
func (m *member) answer(ctx context.Context, q Request) Answer {
	a := Answer{Version: m.Version, Node: m.Node, Run: m.Group.run, Outcomes: m.outcomes.number()}
	switch q.What {
	case Halt:
		m.signal(syscall.SIGTERM)
	case Upgrade:
		a.Error = m.upgrade(ctx, q.Text).Error()
	case State:
		a.Silent, a.Waits = m.silentFor()
		if by, ok := m.scripts.(interface{ HowAsked() string }); ok {
			a.Asked = by.HowAsked()
		}
	case Await:
		return m.outcomes.answer(ctx, q.Text, a)
	default:
		if o := failover.Order(q.What); o.Known() {
			m.order(o)
			break
		}
		a.Error = fmt.Sprintf("it does not know how to %s", q.What)
	}
	if manager := m.manager.Load(); manager != nil {
		a.Doing = string(manager.Doing())
	}
	return a
}

// silentFor is [Answer.Silent], or [Answer.Waits]: who is not asked is not silent. A manager asks the servers at least every pace, but for a time that it leaves a free lock
// to others, and for the minute at most in which it rests.
func (m *member) silentFor() (seconds int, waits string) {
	const usual = 10 * time.Second
	manager := m.manager.Load()
	if manager == nil || manager.Doing() == failover.Failed { // without a manager it has no parameters yet
		return 0, ""
	}
	if waits := m.session.Client().Waits(m.pkg); waits != "" {
		return 0, waits
	}
	p, silence := m.parameters(), m.session.Client().Silence()
	if silence < usual+2*p.Pace+p.Priority {
		return 0, ""
	}
	return int(silence.Seconds()), ""
}

// ErrNobody is why a request was not answered: there is no manager now, or it ended before it answered.
var ErrNobody = errors.New("no manager answers")

const askFile = "ask"

// listen listens for requests about the package whose directory is dir. Where no socket can be made in
// there, it has a name that stands on no disk instead.
func listen(dir, home, name string) (net.Listener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	_ = os.Remove(filepath.Join(dir, askFile)) // of a manager that is dead
	l, err := net.Listen("unix", within(d))
	if err != nil {
		return net.Listen("unix", nowhere(home, name))
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the directory goes as a whole, or to the next manager
	return l, os.Chmod(filepath.Join(dir, askFile), 0o600)
}

// within is a path of the socket in the directory d that is always short: the kernel takes no long ones.
func within(d *os.File) string { return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), askFile) }

// nowhere is the name of a package's socket that stands on no disk.
func nowhere(home, name string) string {
	sum := sha256.Sum256([]byte(home + "\x00" + name))
	return "@back-to-work/" + hex.EncodeToString(sum[:16])
}

// askLimit is how long a user's process may take to send its request.
const askLimit = 5 * time.Second

// serve answers requests until l is closed, each in a goroutine of open: one who is slow holds up nobody.
func serve(l net.Listener, open *sync.WaitGroup, answer func(Request) Answer) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is left: it is tried again
			time.Sleep(askLimit / 10)
			continue
		}
		open.Go(func() {
			defer c.Close()
			var q Request
			if !trusted(c) || c.SetReadDeadline(time.Now().Add(askLimit)) != nil || json.NewDecoder(c).Decode(&q) != nil {
				return
			}
			_ = json.NewEncoder(c).Encode(answer(q)) // who asked may be gone
		})
	}
}

// trusted says whether the other end of c is a process of root, or of the user that this one runs as.
func trusted(c net.Conn) bool {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		user, err := peerOf(int(fd))
		ok = err == nil && (user == 0 || user == os.Geteuid())
	})
	return ok && err == nil
}

// Ask asks the package's manager on this node. The error is [ErrNobody] where nobody answered. An answer that
// says why not is no error.
func (h Home) Ask(ctx context.Context, name string, q Request) (a Answer, err error) {
	c, err := h.dial(ctx, name)
	if err != nil {
		return a, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
	if json.NewEncoder(c).Encode(q) != nil || json.NewDecoder(c).Decode(&a) != nil {
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		return a, ErrNobody
	}
	return a, nil
}

func (h Home) dial(ctx context.Context, name string) (net.Conn, error) {
	var dialer net.Dialer
	var c net.Conn
	d, err := os.Open(h.Path(name))
	if err == nil {
		defer d.Close()
		c, err = dialer.DialContext(ctx, "unix", within(d))
	}
	if err != nil && !errors.Is(err, os.ErrPermission) {
		c, err = dialer.DialContext(ctx, "unix", nowhere(string(h), name))
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("cannot ask the manager of package %s: %w", name, os.ErrPermission)
	case err != nil:
		return nil, ErrNobody
	case !trusted(c):
		_ = c.Close()
		return nil, ErrNobody
	}
	return c, nil
}
