package memnet

import (
	"container/heap"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A packet is on its way to an end of a connection. A packet without data tells that the other end
// was closed.
type packet struct {
	data      []byte
	sent, due time.Time
	free      bool // not held by a cut any more
}

// A conn is one end of a connection, guarded by its Net's mutex.
type conn struct {
	net  *Net
	host string
	peer *conn
	wake *sync.Cond // for who reads

	in       []packet // on the way to this end
	expected bool     // this end is in the net's coming
	here     []byte   // has arrived
	eof      bool     // the peer closed, and that has arrived
	reset    bool
	closed   bool
	dead     bool // what is written is lost, and nothing comes

	readBy, writeBy time.Time
	alarm           *time.Timer // wakes who reads
	alarmAt         time.Time   // zero: it does not run
}

func newConn(n *Net, host string) *conn {
	return &conn{net: n, host: host, wake: sync.NewCond(&n.mu)}
}

var errReset = errors.New("connection reset")

// take moves the packets that are due to here, unless the link is cut. The caller holds the net's
// mu.
func (c *conn) take(now time.Time) {
	cut := c.net.cuts[[2]string{c.peer.host, c.host}]
	taken := 0
	for _, p := range c.in {
		if p.due.After(now) || cut && !p.free || c.dead {
			break
		}
		taken++
		c.here = append(c.here, p.data...)
		c.eof = c.eof || p.data == nil
	}
	if taken > 0 {
		c.in = append(c.in[:0], c.in[taken:]...)
		c.wake.Broadcast()
	}
	if len(c.in) > 0 && c.in[0].due.After(now) && !c.expected && !c.closed && !c.dead {
		c.expected = true
		heap.Push(&c.net.coming, arrival{c.in[0].due, c})
		c.net.arm()
	}
}

// Read reads what has arrived.
func (c *conn) Read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.reset:
			return 0, errReset
		case len(b) == 0:
			return 0, nil
		case len(c.here) > 0:
			n := copy(b, c.here)
			if c.here = c.here[n:]; len(c.here) == 0 {
				c.here = nil
			}
			return n, nil
		case c.eof:
			return 0, io.EOF
		case !c.readBy.IsZero() && !time.Now().Before(c.readBy):
			return 0, os.ErrDeadlineExceeded
		}
		c.setAlarm()
		c.wake.Wait()
	}
}

// setAlarm makes sure that a reader is woken at its deadline. Most deadlines are moved on before
// they are reached: so a running alarm is left as it is, and set again if it comes too early. The
// caller holds the net's mu.
func (c *conn) setAlarm() {
	if c.readBy.IsZero() || !c.alarmAt.IsZero() && !c.readBy.Before(c.alarmAt) {
		return
	}
	c.alarmAt = c.readBy
	if c.alarm != nil {
		c.alarm.Reset(time.Until(c.readBy))
		return
	}
	c.alarm = time.AfterFunc(time.Until(c.readBy), func() {
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		c.alarmAt = time.Time{}
		c.wake.Broadcast()
	})
}

// Write sends.
func (c *conn) Write(b []byte) (int, error) {
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
	case len(b) > 0:
		c.net.send(c.peer, packet{data: append([]byte(nil), b...)})
	}
	return len(b), nil
}

// Close ends the connection; the peer reads what was sent before.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	delete(c.net.conns, c)
	if c.alarm != nil {
		c.alarm.Stop()
	}
	c.wake.Broadcast()
	if !c.dead {
		c.net.send(c.peer, packet{})
	}
	return nil
}

// LocalAddr is the name of this end's host.
func (c *conn) LocalAddr() net.Addr { return Addr(c.host) }

// RemoteAddr is the name of the other end's host.
func (c *conn) RemoteAddr() net.Addr { return Addr(c.peer.host) }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline says until when Read waits.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy = t
	if !t.IsZero() && (c.alarmAt.IsZero() || t.Before(c.alarmAt)) {
		c.wake.Broadcast() // the reader sets the alarm anew
	}
	return nil
}

// SetWriteDeadline says until when Write sends.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.writeBy = t
	return nil
}
