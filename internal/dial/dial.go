// Package dial connects to a host by its name, whichever of its addresses works, and also while
// the name service is down.
//
// The addresses of a name are tried side by side (RFC 8305, "happy eyeballs"): the next one when
// the last has failed or let [Delay] go by, IPv6 and IPv4 by turns, first the one that was good
// last. A connection counts only when it is proved, by a TLS handshake say: an address that
// accepts connections and then says nothing is no better than a dead one.
package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Delay is how long one address may take before the next is tried too.
const Delay = 250 * time.Millisecond

// A Prove turns a new connection into the one that is wanted, by a TLS handshake say; or it closes the
// connection and says why.
type Prove = func(ctx context.Context, raw net.Conn) (net.Conn, error)

// A Dialer connects to hosts, and remembers the addresses of each. It may be used by many
// goroutines at once.
type Dialer struct {
	lookup  func(ctx context.Context, host string) ([]string, error)
	lookup4 func(ctx context.Context, network, host string) ([]netip.Addr, error)
	connect func(ctx context.Context, addr string) (net.Conn, error)

	mu    sync.Mutex
	known map[string]memory // by host
}

// New is a dialer by the system's name service and TCP.
func New() *Dialer {
	var d net.Dialer
	return &Dialer{
		lookup:  net.DefaultResolver.LookupHost,
		lookup4: net.DefaultResolver.LookupNetIP,
		connect: func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) },
		known:   map[string]memory{},
	}
}

// Dial is the first proved connection to addr, a host and a port. A nil prove takes any.
func (d *Dialer) Dial(ctx context.Context, addr string, prove Prove) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	if prove == nil {
		prove = func(_ context.Context, raw net.Conn) (net.Conn, error) { return raw, nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := race{dialer: d, port: port, prove: prove, results: make(chan result, len(ips))}
	won, err := r.run(ctx, ips)
	if err == nil {
		d.remember(host, func(m *memory) { m.good = won.ip })
	}
	return won.conn, err
}

// A race is one try to connect to all addresses of a host.
type race struct {
	dialer  *Dialer
	port    string
	prove   Prove
	results chan result // it has room for all
	won     atomic.Bool // a connection was proved: others are closed
}

// A result is what came of one address.
type result struct {
	ip     netip.Addr
	conn   net.Conn
	failed error
	proof  bool // it was connected, and failed to be proved
}

// run tries ips until one works, or all have failed. All end soon after ctx does.
func (r *race) run(ctx context.Context, ips []netip.Addr) (result, error) {
	next := time.NewTimer(0)
	defer next.Stop()
	var unproved, unreached faults
	for running := 0; running > 0 || len(ips) > 0; {
		select {
		case <-next.C:
			if len(ips) == 0 || ctx.Err() != nil {
				ips = nil
				continue
			}
			ip := ips[0]
			ips = ips[1:]
			running++
			go func() { r.results <- r.try(ctx, ip) }() // ends with ctx
			next.Reset(Delay)
		case got := <-r.results:
			running--
			switch {
			case got.conn != nil:
				return got, nil
			case got.proof:
				unproved = append(unproved, got.failed)
			default:
				unreached = append(unreached, got.failed)
			}
			next.Reset(0)
		}
	}
	switch {
	case len(unproved) > 0: // that says more: somebody is there
		return result{}, unproved
	case len(unreached) > 0:
		return result{}, unreached
	}
	return result{}, ctx.Err()
}

// faults is why no address works, on one line.
type faults []error

func (f faults) Error() string {
	var all []string
	for _, err := range f {
		all = append(all, err.Error())
	}
	return strings.Join(all, "; ")
}

func (f faults) Unwrap() []error { return f }

// try tries one address. A connection that is proved after another has won is closed.
func (r *race) try(ctx context.Context, ip netip.Addr) result {
	raw, err := r.dialer.connect(ctx, net.JoinHostPort(ip.String(), r.port))
	if err != nil {
		return result{ip: ip, failed: err}
	}
	conn, err := r.prove(ctx, raw)
	switch {
	case err != nil:
		return result{ip: ip, failed: err, proof: true}
	case !r.won.CompareAndSwap(false, true):
		return result{ip: ip, failed: errors.Join(context.Canceled, conn.Close())}
	}
	return result{ip: ip, conn: conn}
}
