package lockserver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A memNet is a network between hosts in one process, in virtual time. A packet takes delay.
// What is cut is not lost but held, as TCP does it, until the cut is healed.
type memNet struct {
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*queue
	cuts      map[[2]string]bool
	conns     map[*memConn]bool
	changed   chan struct{}
}

func newMemNet() *memNet {
	return &memNet{
		delay: time.Millisecond, listeners: map[string]*queue{}, cuts: map[[2]string]bool{},
		conns: map[*memConn]bool{}, changed: make(chan struct{}),
	}
}

// wake tells all who wait that something changed. The caller holds n.mu.
func (n *memNet) wake() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// cut holds what from sends to to.
func (n *memNet) cut(from, to string) { n.set(from, to, true) }

func (n *memNet) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = cut
	n.wake()
}

// isolate cuts, or heals, host from and to all others.
func (n *memNet) isolate(host string, others []string, cut bool) {
	for _, o := range others {
		n.set(host, o, cut)
		n.set(o, host, cut)
	}
}

// release delivers what from sent to to before t, and goes on holding the rest.
func (n *memNet) release(from, to string, t time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == from && c.peer.host == to {
			for i := range c.peer.in {
				c.peer.in[i].free = c.peer.in[i].free || c.peer.in[i].sent.Before(t)
			}
		}
	}
	n.wake()
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
	n.wake()
}

// crash ends all connections of host without a word.
func (n *memNet) crash(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.host == host {
			c.closed = true
			c.peer.reset = true
			delete(n.conns, c)
		}
	}
	n.wake()
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
	delete(l.of.net.listeners, l.of.host)
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
		n.mu.Unlock()
		if !cut && listener == nil {
			return nil, errors.New("connection refused")
		}
		if !cut {
			return n.connect(h.host, entry, listener)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *memNet) connect(from, to string, listener *queue) (net.Conn, error) {
	a, b := &memConn{net: n, host: from}, &memConn{net: n, host: to}
	a.peer, b.peer = b, a
	n.mu.Lock()
	n.conns[a], n.conns[b] = true, true
	n.mu.Unlock()
	go listener.put(b)
	return a, nil
}

type packet struct {
	data []byte
	sent time.Time
	free bool // not held by a cut any more
}

type memConn struct {
	net    *memNet
	host   string
	peer   *memConn
	in     []packet // on the way to this end
	eof    bool     // the peer closed
	reset  bool
	closed bool
	dead   bool // what is written is lost

	readBy, writeBy time.Time
}

// Read reads what has arrived.
func (c *memConn) Read(b []byte) (int, error) {
	for {
		c.net.mu.Lock()
		wait, n, err := c.take(b)
		changed := c.net.changed
		deadline := c.readBy
		c.net.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return 0, os.ErrDeadlineExceeded
			}
			wait = min(wait, left)
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// take reads from the first packet if it is here; else it says how long to wait.
func (c *memConn) take(b []byte) (wait time.Duration, n int, err error) {
	const long = time.Hour
	switch {
	case c.closed:
		return 0, 0, net.ErrClosed
	case c.dead:
		return long, 0, nil
	case c.reset:
		return 0, 0, errors.New("connection reset")
	case len(c.in) == 0 && c.eof:
		return 0, 0, io.EOF
	case len(c.in) == 0:
		return long, 0, nil
	}
	p := &c.in[0]
	if c.net.cuts[[2]string{c.peer.host, c.host}] && !p.free {
		return long, 0, nil
	}
	if left := time.Until(p.sent.Add(c.net.delay)); left > 0 {
		return left, 0, nil
	}
	n = copy(b, p.data)
	if p.data = p.data[n:]; len(p.data) == 0 {
		c.in = c.in[1:]
	}
	return 0, n, nil
}

// Write sends.
func (c *memConn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.dead:
		return len(b), nil
	case c.reset || c.eof:
		return 0, errors.New("broken pipe")
	case !c.writeBy.IsZero() && !time.Now().Before(c.writeBy):
		return 0, os.ErrDeadlineExceeded
	}
	c.peer.in = append(c.peer.in, packet{append([]byte(nil), b...), time.Now(), false})
	c.net.wake()
	return len(b), nil
}

// Close ends the connection; the peer reads what was sent before.
func (c *memConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.closed, c.peer.eof = true, true
	delete(c.net.conns, c)
	c.net.wake()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return memAddr(c.host) }
func (c *memConn) RemoteAddr() net.Addr { return memAddr(c.peer.host) }

func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy = t
	c.net.wake()
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.writeBy = t
	return nil
}
