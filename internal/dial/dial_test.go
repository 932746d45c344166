package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A world is a name service and hosts, in virtual time.
type world struct {
	mu     sync.Mutex
	names  map[string][]string // nil: the name service is down
	slow   time.Duration       // of the name service; < 0: it does not answer
	mute6  bool                // it does not answer questions for IPv6 addresses
	hosts  map[string]host     // by address; who is not there does not answer
	order  []string            // of the tries
	opened int                 // connections that are open
}

// A host is how one address behaves.
type host struct {
	connects, proves time.Duration // how long that takes; < 0: for ever
	refuses, unfit   error
}

var errUnfit = errors.New("it has another cluster key")

func (w *world) dialer() *Dialer {
	return &Dialer{lookup: w.lookup, lookup4: w.lookup4, connect: w.connect, known: map[string]memory{}}
}

func wait(ctx context.Context, d time.Duration) error {
	if d < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) lookup(ctx context.Context, host string) ([]string, error) {
	w.mu.Lock()
	ips, slow := slices.Clone(w.names[host]), w.slow
	if w.mute6 {
		slow = -1
	}
	w.mu.Unlock()
	if err := wait(ctx, slow); err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return ips, nil
}

func (w *world) lookup4(ctx context.Context, _, host string) (ips []netip.Addr, err error) {
	w.mu.Lock()
	words, slow := slices.Clone(w.names[host]), w.slow
	w.mu.Unlock()
	for _, word := range words {
		if ip := netip.MustParseAddr(word); ip.Is4() {
			ips = append(ips, netip.AddrFrom16(ip.As16()))
		}
	}
	return ips, wait(ctx, slow)
}

// A link is a connection.
type link struct {
	net.Conn
	ip string
	w  *world
}

func (l *link) Close() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.opened--
	return nil
}

func (w *world) connect(ctx context.Context, addr string) (net.Conn, error) {
	ip, port, err := net.SplitHostPort(addr)
	if err != nil || port != "4114" {
		return nil, errors.Join(err, errors.New("another port"))
	}
	w.mu.Lock()
	w.order = append(w.order, ip)
	h, ok := w.hosts[ip]
	w.mu.Unlock()
	if !ok {
		h.connects = -1
	}
	if err := wait(ctx, h.connects); err != nil {
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	if h.refuses != nil {
		return nil, &net.OpError{Op: "dial", Err: h.refuses}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	return &link{ip: ip, w: w}, nil
}

func (w *world) prove(ctx context.Context, raw net.Conn) (net.Conn, error) {
	l := raw.(*link)
	w.mu.Lock()
	h := w.hosts[l.ip]
	w.mu.Unlock()
	if err := wait(ctx, h.proves); err != nil || h.unfit != nil {
		return nil, errors.Join(err, h.unfit, l.Close())
	}
	return l, nil
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// dials expects that h2 is had at ip within limit; ip "" is at none.
func (w *world) dials(t *testing.T, d *Dialer, ip string, limit time.Duration) error {
	t.Helper()
	before := w.opened
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := d.Dial(ctx, "h2:4114", w.prove)
	took := time.Since(begin)
	synctest.Wait() // until who lost is gone
	w.mu.Lock()
	defer w.mu.Unlock()
	got := ""
	if err == nil {
		got = conn.(*link).ip
		before++
	}
	if got != ip || took > limit {
		t.Errorf("had at %q after %v (%v), want at %q within %v; tried %v", got, took, err, ip, limit, w.order)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than a line: %q", err)
	}
	if w.opened != before {
		t.Errorf("%d connections stay open, want %d", w.opened, before)
	}
	w.order = nil
	return err
}

const six, four, far = "fd00:77::92", "10.77.0.12", "10.78.0.12"

// An address that does not work costs a quarter of a second once, and nothing at all where it says
// so at once: whatever it is that does not work.
func TestNextAddress(t *testing.T) {
	t.Parallel()
	refused := host{refuses: syscall.ECONNREFUSED}
	good := host{connects: 5 * time.Millisecond, proves: 10 * time.Millisecond}
	for name, row := range map[string]struct {
		first host
		took  time.Duration
	}{
		"it is dead":                    {host{connects: -1}, Delay},
		"it refuses":                    {refused, 0},
		"it accepts and says nothing":   {host{proves: -1}, Delay},
		"it leads to somebody else":     {host{unfit: errUnfit}, 0},
		"it is unreachable after 100ms": {host{connects: 100 * time.Millisecond, refuses: syscall.EHOSTUNREACH}, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{names: map[string][]string{"h2": {six, four}}, hosts: map[string]host{six: row.first, four: good}}
				d := w.dialer()
				_ = w.dials(t, d, four, row.took+20*time.Millisecond)
				_ = w.dials(t, d, four, 20*time.Millisecond) // it is remembered
				// The remembered one dies in the same way, and the other lives.
				w.set(func() { w.hosts[six], w.hosts[four] = good, row.first })
				_ = w.dials(t, d, six, row.took+20*time.Millisecond)
				_ = w.dials(t, d, six, 20*time.Millisecond)
			})
		})
	}
}

// A remembered address is no jail, and one that is slow but works is not given up for another.
func TestSlowAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"h2": {four, far}}, hosts: map[string]host{
			four: {connects: 400 * time.Millisecond}, far: {connects: -1},
		}}
		d := w.dialer()
		_ = w.dials(t, d, four, 400*time.Millisecond)
		w.set(func() { w.hosts[far] = host{connects: 50 * time.Millisecond} })
		_ = w.dials(t, d, far, Delay+50*time.Millisecond)
		_ = w.dials(t, d, far, 50*time.Millisecond)
	})
}

// Where nothing works it is told why: who is there says more than who is not.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		hosts map[string]host
		is    error
		dial  bool // the error is of connecting
	}{
		"dead":           {map[string]host{}, context.DeadlineExceeded, true},
		"refused":        {map[string]host{six: {refuses: syscall.ECONNREFUSED}, four: {refuses: syscall.ECONNREFUSED}}, syscall.ECONNREFUSED, true},
		"refused, other": {map[string]host{six: {refuses: syscall.ECONNREFUSED}, four: {unfit: errUnfit}}, errUnfit, false},
		"refused, mute":  {map[string]host{six: {refuses: syscall.ECONNREFUSED}, four: {proves: -1}}, context.DeadlineExceeded, false},
		"other, dead":    {map[string]host{six: {unfit: errUnfit}}, errUnfit, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{names: map[string][]string{"h2": {six, four, six}}, hosts: row.hosts}
				err := w.dials(t, w.dialer(), "", time.Second)
				if n := strings.Count(err.Error(), ";"); n > 1 {
					t.Errorf("an address was tried twice: %v", err)
				}
				var op *net.OpError
				if dial := errors.As(err, &op) && op.Op == "dial"; !errors.Is(err, row.is) || dial != row.dial {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// Without a name service the addresses that it said last are used, all of them, and while it
// answers none that it does not say.
func TestNameService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"h2": {four, far}}, hosts: map[string]host{four: {}}}
		d := w.dialer()
		_ = w.dials(t, d, four, 0)
		names := w.names
		w.set(func() { w.names = nil })
		_ = w.dials(t, d, four, 0)
		w.set(func() { w.slow, w.hosts = -1, map[string]host{far: {}} })
		_ = w.dials(t, d, far, lookupLimit+Delay)
		w.set(func() { w.slow, w.names = 0, map[string][]string{"h2": {six}} })
		_ = w.dials(t, d, "", time.Second)
		w.set(func() { w.names, w.hosts = names, map[string]host{four: {}, far: {}} })
		_ = w.dials(t, d, far, 0)

		fresh := w.dialer()
		w.set(func() { w.names = nil })
		var dns *net.DNSError
		if err := w.dials(t, fresh, "", 0); !errors.As(err, &dns) {
			t.Errorf("a name that is not known: %v", err)
		}
		w.set(func() { w.slow = -1 })
		if err := w.dials(t, fresh, "", time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a name service that hangs: %v", err)
		}
	})
}

// A host without a name service and /etc/hosts, such as a bare root, still knows what localhost is.
func TestLocalhostWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		ips, err := w.dialer().addresses(t.Context(), "localhost")
		if err != nil || len(ips) != 2 || ips[0].String() != "127.0.0.1" || ips[1].String() != "::1" {
			t.Errorf("its addresses are %v, %v", ips, err)
		}
		if ips, err := w.dialer().addresses(t.Context(), "h1"); err == nil {
			t.Errorf("the addresses of h1 are %v", ips)
		}
	})
}

// A name service that does not answer questions for IPv6 addresses is asked for the others alone.
func TestMuteForSix(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"h2": {six, four}}, hosts: map[string]host{four: {}}, mute6: true}
		d := w.dialer()
		_ = w.dials(t, d, four, familyDelay)
		w.set(func() { w.mute6 = false })
		_ = w.dials(t, d, four, 0)
		w.set(func() { w.mute6, w.hosts = true, map[string]host{six: {}} }) // its other address is not forgotten
		_ = w.dials(t, d, six, familyDelay+Delay)
	})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ ips, good, want string }{
		{"a", "", "a"},
		{"a b 1 2", "", "a 1 b 2"},
		{"1 2 3 a", "", "1 a 2 3"},
		{"a b 1 2", "2", "2 a 1 b"},
		{"a b 1 2", "3", "a 1 b 2"},
		{"1 2 3", "3", "3 1 2"},
	} {
		var ips []netip.Addr
		name := func(word string) netip.Addr {
			switch {
			case word == "":
				return netip.Addr{}
			case strings.Contains("123", word):
				return netip.MustParseAddr("10.0.0." + word)
			}
			return netip.MustParseAddr("fd00::" + word)
		}
		for word := range strings.FieldsSeq(row.ips) {
			ips = append(ips, name(word))
		}
		var got []string
		for _, ip := range order(ips, name(row.good)) {
			s := ip.String()
			got = append(got, s[len(s)-1:])
		}
		if text := strings.Join(got, " "); text != row.want {
			t.Errorf("order(%s, %s) = %s, want %s", row.ips, row.good, text, row.want)
		}
	}
}

// On real sockets: a literal address, a name, and one that nobody listens at.
func TestSystem(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		conn, err := New().Dial(t.Context(), net.JoinHostPort(host, port), nil)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New().Dial(t.Context(), net.JoinHostPort("127.0.0.2", port), nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("where nobody listens: %v", err)
	}
	if _, err := New().Dial(t.Context(), "localhost", nil); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("without a port: %v", err)
	}
}
