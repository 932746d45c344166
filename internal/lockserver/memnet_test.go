package lockserver

import (
	"container/heap"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// A memNet is a network between hosts in one process, in virtual time. A packet takes delay,
// or as long as its link says. What is cut is not lost but held, as TCP does it, until the cut
// is healed. It is made to be cheap: one timer for all packets, and who waits for one packet is
// not woken for another.
type memNet struct {
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*queue
	cuts      map[[2]string]bool
	slow      map[[2]string]func() time.Duration // how long a packet takes, from and to whom
	off       map[string]bool                    // hosts that are down: true if the whole machine is, which refuses nothing
	conns     map[*memConn]bool
	changed   chan struct{} // closed when cuts or listeners change: for who dials
	coming    coming        // ends to which a packet is on its way
	timer     *time.Timer   // for the first of them
	armed     time.Time     // zero: the timer does not run
}

func newMemNet() *memNet {
	n := &memNet{
		delay: time.Millisecond, listeners: map[string]*queue{}, cuts: map[[2]string]bool{},
		slow: map[[2]string]func() time.Duration{}, off: map[string]bool{}, conns: map[*memConn]bool{}, changed: make(chan struct{}),
	}
	n.timer = time.AfterFunc(time.Hour, n.arrive)
	n.timer.Stop()
	return n
}

// cut holds what from sends to to.
func (n *memNet) cut(from, to string) { n.set(from, to, true) }

func (n *memNet) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = cut
	if !cut {
		n.deliver(from, to)
	}
	n.tell()
}

// tell wakes who dials. The caller holds n.mu.
func (n *memNet) tell() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// isolate cuts, or heals, host from and to all others.
func (n *memNet) isolate(host string, others []string, cut bool) {
	for _, o := range others {
		n.set(host, o, cut)
		n.set(o, host, cut)
	}
}

// setDelay changes how long packets take.
func (n *memNet) setDelay(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// setSlow makes packets from from to to take as long as delay says each time; nil is the usual.
// They stay in order, as TCP has them.
func (n *memNet) setSlow(from, to string, delay func() time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow[[2]string{from, to}] = delay
}

// release delivers what from sent to to before t, and goes on holding the rest.
func (n *memNet) release(from, to string, t time.Time) {
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

// deliver looks again at what from sent to to. The caller holds n.mu.
func (n *memNet) deliver(from, to string) {
	for c := range n.conns {
		if c.host == to && c.peer.host == from {
			c.take(time.Now())
		}
	}
}

// forget makes all connections between two hosts carry nothing any more, without a word, as a
// firewall does that forgot them.
func (n *memNet) forget(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == a && c.peer.host == b || c.host == b && c.peer.host == a {
			c.dead = true
		}
	}
}

// crash ends all connections of host without a word.
func (n *memNet) crash(host string) {
	n.reset(func(a, _ string) bool { return a == host })
}

// reset ends the connections from a to b that which says.
func (n *memNet) reset(which func(a, b string) bool) {
	n.resetEnds(func(end, peer *memConn) bool { return which(peer.host, end.host) && !peer.closed })
}

// resetEnds has the ends that which says, given the end and its peer, learn that the peer is gone.
func (n *memNet) resetEnds(which func(end, peer *memConn) bool) {
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

// powerOff ends all connections of host: with a reset, as when its processes are killed, or if
// silent without a word, as when its power fails. Until power nobody connects to it, nor it.
func (n *memNet) powerOff(host string, silent bool) {
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
	n.crash(host)
}

// power brings a host back. What others still take for connections to it is reset.
func (n *memNet) power(host string) {
	n.mu.Lock()
	delete(n.off, host)
	n.tell()
	n.mu.Unlock()
	n.resetEnds(func(_, peer *memConn) bool { return peer.host == host && peer.closed })
}

// send puts a packet on its way to c. The caller holds n.mu.
func (n *memNet) send(c *memConn, p packet) {
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
func (n *memNet) arrive() {
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
func (n *memNet) arm() {
	if len(n.coming) == 0 || !n.armed.IsZero() && !n.coming[0].at.Before(n.armed) {
		return
	}
	n.armed = n.coming[0].at
	n.timer.Reset(time.Until(n.armed))
}

// An arrival is when the next packet comes to an end.
type arrival struct {
	at time.Time
	to *memConn
}

// coming is arrivals, a heap: the next one first.
type coming []arrival

func (c coming) Len() int           { return len(c) }
func (c coming) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c coming) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }

// Push adds an arrival.
func (c *coming) Push(x any) { *c = append(*c, x.(arrival)) }

// Pop takes the last one off.
func (c *coming) Pop() any {
	last := len(*c) - 1
	a := (*c)[last]
	(*c)[last] = arrival{}
	*c = (*c)[:last]
	return a
}

// on is the network as host sees it.
func (n *memNet) on(host string) memHost { return memHost{n, host} }

type memHost struct {
	net  *memNet
	host string
}

type memAddr string

func (a memAddr) Network() string { return "mem" }
func (a memAddr) String() string  { return string(a) }

type memListener struct {
	*queue
	of memHost
}

func (l memListener) Close() error {
	l.of.net.mu.Lock()
	if l.of.net.listeners[l.of.host] == l.queue {
		delete(l.of.net.listeners, l.of.host)
	}
	l.of.net.mu.Unlock()
	return l.queue.Close()
}

// Listen listens on the host.
func (h memHost) Listen() (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	q := newQueue(memAddr(h.host))
	h.net.listeners[h.host] = q
	return memListener{q, h}, nil
}

// Dial connects to another host.
func (h memHost) Dial(ctx context.Context, entry string) (net.Conn, error) {
	n := h.net
	for {
		n.mu.Lock()
		cut := n.cuts[[2]string{h.host, entry}] || n.cuts[[2]string{entry, h.host}]
		listener, changed := n.listeners[entry], n.changed
		silent, off := n.off[entry]
		_, self := n.off[h.host]
		n.mu.Unlock()
		switch {
		case self, !cut && listener == nil && !off, !cut && off && !silent:
			return nil, errors.New("connection refused")
		case off:
			cut = true
		}
		if !cut {
			return n.connect(h.host, entry, listener), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *memNet) connect(from, to string, listener *queue) net.Conn {
	a, b := newMemConn(n, from), newMemConn(n, to)
	a.peer, b.peer = b, a
	n.mu.Lock()
	n.conns[a], n.conns[b] = true, true
	n.mu.Unlock()
	go listener.put(b)
	return a
}
