package lockserver

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The limits of what one client, which is to say one address, may ask of a server. Honest use is
// far below them: they keep one that went wild from taking the others' share.
const (
	requestsASecond = 50000 // of any kind
	changesASecond  = 5000  // acquire, release, change: they cost disk
	listsASecond    = 100   // answers that are long, or have all servers asked
	burstSeconds    = 2     // as many of each of these as come in so many seconds may come at once

	maxWaits   = 10000 // of stand-bys, at a time
	maxWatches = 1000
	oneClient  = 4 // one client may have at most 1/oneClient of these

	maxHeader = 16 << 10 // bytes
	smallBody = 16 << 10 // bytes, of a request about one lock
	maxRenew  = 10000    // locks in a renewal
	maxHost   = 100      // characters of what tells a host from others
)

// The limits of connections that have not shown yet that they may be here.
const (
	lobbySeats    = 512 // in all
	lobbyEach     = 64  // of one address
	strangersEach = 200 // handshakes a second that cost public-key work, of one address
	strangersAll  = 400 // and in all; members of the cluster are not counted
)

// A rate bounds how often each client does something.
type rate struct {
	every time.Duration // between two, in the long run
	burst time.Duration // how far a client may run ahead of that
	turns turns
}

func newRate(aSecond int) *rate {
	return &rate{every: time.Second / time.Duration(aSecond), burst: burstSeconds * time.Second}
}

// take returns nought if who may do it now, and else how long it is until it may.
func (r *rate) take(who string) (wait time.Duration) { return r.turns.take(who, r.every, r.burst) }

// Turns are when each of many may do something again.
type turns struct {
	mu    sync.Mutex
	due   map[string]time.Time // when each would be back at its pace; a time that is past means as much as no entry
	sweep int                  // size at which the map is swept
}

func (t *turns) take(who string, every, burst time.Duration) (wait time.Duration) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.due[who]
	if due.Before(now) {
		due = now
	}
	if wait := due.Sub(now) + every - burst; wait > 0 {
		return wait
	}
	if t.due == nil {
		t.due = map[string]time.Time{}
	}
	t.due[who] = due.Add(every)
	if len(t.due) > t.sweep {
		for w, at := range t.due {
			if !at.After(now) {
				delete(t.due, w)
			}
		}
		t.sweep = 2*len(t.due) + 100
	}
	return 0
}

// A crowd bounds how many requests wait at a time.
type crowd struct {
	most int

	mu   sync.Mutex
	here map[string]int // by client
	all  int
}

func newCrowd(most int) *crowd { return &crowd{most: most, here: map[string]int{}} }

// enter lets who into the crowd until leave is called, if there is room. "" stands for the clients
// of other servers, which have counted them already.
func (c *crowd) enter(who string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.all >= c.most:
		return nil, fault{status: http.StatusServiceUnavailable, after: time.Second, error: fmt.Errorf("%d clients wait here already", c.all)}
	case who != "" && c.here[who] >= c.most/oneClient:
		return nil, fault{status: http.StatusTooManyRequests, after: time.Second, error: fmt.Errorf("%d requests of this client wait already", c.here[who])}
	}
	c.here[who]++
	c.all++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.here[who]--; c.here[who] == 0 {
			delete(c.here, who)
		}
	}, nil
}

// A lobby is where connections are that have not shown yet that they may be here. When it is
// full the one that came first of the address that has most goes: so whoever floods it shortens
// its own time, not that of others.
type lobby struct {
	seats, each int

	mu   sync.Mutex
	from map[string][]net.Conn // by address, in the order in which they came
	all  int
}

func newLobby(seats, each int) *lobby {
	return &lobby{seats: seats, each: each, from: map[string][]net.Conn{}}
}

// enter lets conn in, and says whether another had to go for it.
func (l *lobby) enter(conn net.Conn) (crowded bool) {
	host := clientAt(conn.RemoteAddr().String())
	l.mu.Lock()
	defer l.mu.Unlock()
	most := host
	if crowded = len(l.from[host]) >= l.each; !crowded && l.all >= l.seats {
		crowded = true
		for h, conns := range l.from {
			if len(conns) > len(l.from[most]) {
				most = h
			}
		}
	}
	if crowded {
		_ = l.from[most][0].Close() // its handshake fails by that
		l.drop(most, 0)
	}
	l.from[host] = append(l.from[host], conn)
	l.all++
	return crowded
}

// drop forgets the i-th connection of host. The caller holds l.mu.
func (l *lobby) drop(host string, i int) {
	l.all--
	if l.from[host] = slices.Delete(l.from[host], i, i+1); len(l.from[host]) == 0 {
		delete(l.from, host)
	}
}

// leave takes conn out, if it is there.
func (l *lobby) leave(conn net.Conn) {
	host := clientAt(conn.RemoteAddr().String())
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.from[host], conn); i >= 0 {
		l.drop(host, i)
	}
}

// clientAt is the client that has the remote address addr: its host, without the port.
func clientAt(addr string) string {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr
	}
	return at.Addr().Unmap().String()
}
