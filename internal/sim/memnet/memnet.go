// Package memnet is a network in memory for virtual time (testing/synctest): hosts by name, one
// listener on each, links that can be cut, slow, or lose what they carry. Tests and simulations run
// on it what else runs on TCP.
package memnet

import (
	"container/heap"
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Delay is how long a packet takes where nothing else was said.
const Delay = time.Millisecond

// A Net is a network between hosts in one process, in virtual time. A packet takes delay, or as
// long as its link says. A packet on a cut link is not lost: it is held, as by TCP, until the cut
// is healed. The Net is made to be cheap: it has one timer for all packets, and a packet wakes only
// the one who waits for it.
type Net struct {
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*listener
	cuts      map[[2]string]bool
	slow      map[[2]string]func() time.Duration // how long a packet takes, from and to whom
	off       map[string]bool                    // hosts that are down; true: the whole machine, so a dial to it hangs
	conns     map[*conn]bool
	changed   chan struct{} // closed when cuts or listeners change: for who dials
	coming    arrivals      // ends to which a packet is on its way
	timer     *time.Timer   // for the first of them
	armed     time.Time     // zero: the timer does not run
}

// New is a network without hosts.
func New() *Net {
	n := &Net{
		delay: Delay, listeners: map[string]*listener{}, cuts: map[[2]string]bool{},
		slow: map[[2]string]func() time.Duration{}, off: map[string]bool{}, conns: map[*conn]bool{}, changed: make(chan struct{}),
	}
	n.timer = time.AfterFunc(time.Hour, n.arrive)
	n.timer.Stop()
	return n
}

// Cut holds all packets from the host from to the host to.
func (n *Net) Cut(from, to string) { n.Set(from, to, true) }

// Set cuts the link between two hosts in one direction, or heals it.
func (n *Net) Set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = cut
	if !cut {
		n.deliver(from, to)
	}
	n.tell()
}

// IsCut says whether the link is cut in that direction.
func (n *Net) IsCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]string{from, to}]
}

// Conns is how many connections host has with hosts whose names begin with prefix.
func (n *Net) Conns(host, prefix string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == host && strings.HasPrefix(c.peer.host, prefix) {
			count++
		}
	}
	return count
}

// Heal mends all links: nothing is cut or slow any more.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	clear(n.slow)
	now := time.Now()
	for c := range n.conns {
		c.take(now)
	}
	n.tell()
}

// tell wakes who dials. The caller holds n.mu.
func (n *Net) tell() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Isolate cuts, or heals, host from and to all others.
func (n *Net) Isolate(host string, others []string, cut bool) {
	for _, o := range others {
		n.Set(host, o, cut)
		n.Set(o, host, cut)
	}
}

// SetDelay changes how long packets take.
func (n *Net) SetDelay(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// SetSlow makes packets from from to to take as long as delay says each time; nil is the usual.
// They stay in order, as TCP has them.
func (n *Net) SetSlow(from, to string, delay func() time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[[2]string{from, to}] = delay
}

// Release delivers what was sent on a cut link before t, and goes on holding the rest.
func (n *Net) Release(from, to string, t time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == to && c.peer.host == from {
			for i := range c.in {
				c.in[i].free = c.in[i].free || c.in[i].sent.Before(t)
			}
		}
	}
	n.deliver(from, to)
}

// deliver looks again at the packets of one link. The caller holds n.mu.
func (n *Net) deliver(from, to string) {
	for c := range n.conns {
		if c.host == to && c.peer.host == from {
			c.take(time.Now())
		}
	}
}

// Forget makes the connections between two hosts carry nothing any more, without telling either of
// them, as a firewall does that has lost its table.
func (n *Net) Forget(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == a && c.peer.host == b || c.host == b && c.peer.host == a {
			c.dead = true
		}
	}
}

// Crash ends all connections of host without a word.
func (n *Net) Crash(host string) {
	n.Reset(func(a, _ string) bool { return a == host })
}

// Reset ends those connections from a to b for which which(a, b) is true.
func (n *Net) Reset(which func(a, b string) bool) {
	n.resetEnds(func(end, peer *conn) bool { return which(peer.host, end.host) && !peer.closed })
}

// resetEnds tells the ends for which which(end, peer) is true that their peer is gone.
func (n *Net) resetEnds(which func(end, peer *conn) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if which(c, c.peer) {
			c.reset, c.peer.closed = true, true
			delete(n.conns, c.peer)
			c.wake.Broadcast()
			c.peer.wake.Broadcast()
		}
	}
}

// PowerOff ends all connections of host. If silent is false the peers get a reset, as when the
// host's processes are killed; if it is true they get nothing, as when its power fails. Until Power
// is called nobody can connect to the host, nor the host to anybody.
func (n *Net) PowerOff(host string, silent bool) {
	n.mu.Lock()
	n.off[host] = silent
	if silent {
		for c := range n.conns {
			if c.host == host {
				c.closed, c.peer.dead = true, true
				c.wake.Broadcast()
				delete(n.conns, c)
			}
		}
	}
	n.mu.Unlock()
	n.Crash(host)
}

// Power brings a host back. It resets the connections to the host that others still believe to
// have.
func (n *Net) Power(host string) {
	n.mu.Lock()
	delete(n.off, host)
	n.tell()
	n.mu.Unlock()
	n.resetEnds(func(_, peer *conn) bool { return peer.host == host && peer.closed })
}

// send puts a packet on its way to c. The caller holds n.mu.
func (n *Net) send(c *conn, p packet) {
	delay := n.delay
	if slow := n.slow[[2]string{c.peer.host, c.host}]; slow != nil {
		delay = slow()
	}
	p.sent = time.Now()
	p.due = p.sent.Add(delay)
	if len(c.in) > 0 && c.in[len(c.in)-1].due.After(p.due) {
		p.due = c.in[len(c.in)-1].due
	}
	c.in = append(c.in, p)
	if len(c.in) == 1 {
		c.take(p.sent)
	}
}

// arrive delivers what is due, and arms the timer for what comes next.
func (n *Net) arrive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = time.Time{}
	now := time.Now()
	for len(n.coming) > 0 && !n.coming[0].at.After(now) {
		c := heap.Pop(&n.coming).(arrival).to
		c.expected = false
		c.take(now)
	}
	n.arm()
}

// arm has arrive called when the next packet is due. The caller holds n.mu.
func (n *Net) arm() {
	if len(n.coming) == 0 || !n.armed.IsZero() && !n.coming[0].at.Before(n.armed) {
		return
	}
	n.armed = n.coming[0].at
	n.timer.Reset(time.Until(n.armed))
}

// An arrival is when the next packet comes to an end.
type arrival struct {
	at time.Time
	to *conn
}

// arrivals is a heap: the next one first.
type arrivals []arrival

func (c arrivals) Len() int           { return len(c) }
func (c arrivals) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c arrivals) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }

// Push adds an arrival.
func (c *arrivals) Push(x any) { *c = append(*c, x.(arrival)) }

// Pop takes the last one off.
func (c *arrivals) Pop() any {
	last := len(*c) - 1
	a := (*c)[last]
	(*c)[last] = arrival{}
	*c = (*c)[:last]
	return a
}

// On is the network as host sees it.
func (n *Net) On(host string) Host { return Host{n, host} }

// A Host is one host of a network. It can listen once at a time.
type Host struct {
	net  *Net
	host string
}

// An Addr is a host's name.
type Addr string

// Network is "mem".
func (a Addr) Network() string { return "mem" }

// String is the host's name.
func (a Addr) String() string { return string(a) }

// A listener takes the connections to one host.
type listener struct {
	of    Host
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// put hands over a connection, or closes it if nobody listens any more.
func (l *listener) put(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		_ = c.Close()
	}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listening.
func (l *listener) Close() error {
	n := l.of.net
	n.mu.Lock()
	if n.listeners[l.of.host] == l {
		delete(n.listeners, l.of.host)
	}
	n.mu.Unlock()
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the name of the host.
func (l *listener) Addr() net.Addr { return Addr(l.of.host) }

// Listen listens on the host.
func (h Host) Listen() (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	l := &listener{of: h, conns: make(chan net.Conn), done: make(chan struct{})}
	h.net.listeners[h.host] = l
	return l, nil
}

// Dial connects to another host.
func (h Host) Dial(ctx context.Context, entry string) (net.Conn, error) {
	n := h.net
	for {
		n.mu.Lock()
		cut := n.cuts[[2]string{h.host, entry}] || n.cuts[[2]string{entry, h.host}]
		l, changed := n.listeners[entry], n.changed
		silent, off := n.off[entry]
		_, self := n.off[h.host]
		n.mu.Unlock()
		switch {
		case self, !cut && l == nil && !off, !cut && off && !silent:
			return nil, syscall.ECONNREFUSED
		case off:
			cut = true
		}
		if !cut {
			return n.connect(h.host, entry, l), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *Net) connect(from, to string, l *listener) net.Conn {
	a, b := newConn(n, from), newConn(n, to)
	a.peer, b.peer = b, a
	n.mu.Lock()
	n.conns[a], n.conns[b] = true, true
	n.mu.Unlock()
	go l.put(b)
	return a
}
