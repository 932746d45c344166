package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/lease"
)

// A process is a process of a node. Its scripts, connections and timers all pass through it, so
// that what it does has an effect only while it runs. If it stands still (SIGSTOP), its acts wait;
// if it is dead, they do nothing.
type process struct {
	name string
	pid  int
	node string // what it calls its host
	in   *world // the package in whose start script it was begun; nil once it has moved out. The simulation's mu guards it

	signals chan os.Signal
	adopted atomic.Bool     // it has gone on with a package, once
	ctx     context.Context // ends with the process
	end     context.CancelFunc

	mu    sync.Mutex
	dead  bool
	gate  chan struct{} // open while the process stands still, else closed
	still int           // for how many reasons it does
	conns map[*gated]bool
}

var errDead = errors.New("the process is dead")

func newProcess(name string, pid int) *process {
	p := &process{name: name, pid: pid, signals: make(chan os.Signal, 8), gate: make(chan struct{}), conns: map[*gated]bool{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	close(p.gate)
	return p
}

// pass waits while the process stands still. It returns false if the process is dead, or if closed
// is closed.
func (p *process) pass(closed <-chan struct{}) bool {
	for {
		p.mu.Lock()
		dead, gate := p.dead, p.gate
		p.mu.Unlock()
		if dead {
			return false
		}
		select {
		case <-gate:
			p.mu.Lock()
			again := !p.dead && p.gate != gate
			p.mu.Unlock()
			if !again {
				return p.alive()
			}
		case <-closed:
			return false
		case <-p.ctx.Done():
			return false
		}
	}
}

// acts is pass without a channel to watch.
func (p *process) acts() bool { return p.pass(nil) }

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

func (p *process) paused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !isClosed(p.gate)
}

// pause makes the process stand still, until resume was called as often.
func (p *process) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.still++; p.still == 1 {
		p.gate = make(chan struct{})
	}
}

// resume takes back one pause.
func (p *process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.still--; p.still == 0 {
		close(p.gate)
	}
}

// kill ends the process, as SIGKILL does, or its own exit: its connections are closed for it.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	conns := p.conns
	p.conns = map[*gated]bool{}
	p.mu.Unlock()
	p.end()
	for c := range conns {
		c.shut()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A clock is the node's clock as a process has it.
type clock struct {
	lease.Clock
	p *process
}

// AfterFunc calls f when the process acts.
func (c clock) AfterFunc(d time.Duration, f func()) func() {
	stopped := make(chan struct{})
	stop := c.Clock.AfterFunc(d, func() {
		if c.p.pass(stopped) && !isClosed(stopped) {
			f()
		}
	})
	var once sync.Once
	return func() {
		stop()
		once.Do(func() { close(stopped) })
	}
}

// A gated is a connection of a process: it works only while the process runs.
type gated struct {
	net.Conn
	p      *process
	closed chan struct{}
	once   sync.Once
	last   atomic.Bool // TLS is in Close, and writes its last message
}

// own makes c one of p's connections.
func (p *process) own(c net.Conn) *gated {
	g := &gated{Conn: c, p: p, closed: make(chan struct{})}
	p.mu.Lock()
	dead := p.dead
	if !dead {
		p.conns[g] = true
	}
	p.mu.Unlock()
	if dead {
		g.shut()
	}
	return g
}

// Read reads when the process acts.
func (g *gated) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if !g.p.pass(g.closed) {
		return 0, net.ErrClosed
	}
	return n, err
}

// SetWriteDeadline is called only by TLS, before its last message. That message must not wait:
// net/http holds a mutex then, and virtual time stands still while anybody waits for a mutex.
func (g *gated) SetWriteDeadline(t time.Time) error {
	g.last.Store(!t.IsZero())
	return g.Conn.SetWriteDeadline(t)
}

// Write writes when the process acts.
func (g *gated) Write(b []byte) (int, error) {
	if g.last.Load() && g.p.paused() {
		return 0, os.ErrDeadlineExceeded
	}
	if !g.p.pass(g.closed) {
		return 0, net.ErrClosed
	}
	return g.Conn.Write(b)
}

// Close closes the connection at once: nobody who closes one may have to wait.
func (g *gated) Close() error {
	g.p.mu.Lock()
	delete(g.p.conns, g)
	g.p.mu.Unlock()
	g.shut()
	return nil
}

// hand gives a connection of p to another process: what p still does with it has no effect.
func (p *process) hand(g *gated, to *process) net.Conn {
	p.mu.Lock()
	delete(p.conns, g)
	p.mu.Unlock()
	s := g.Conn.(*socket).moved()
	g.once.Do(func() { close(g.closed) })
	return to.own(s)
}

func (g *gated) shut() {
	g.once.Do(func() {
		close(g.closed)
		_ = g.Conn.Close()
	})
}

// A socket is one end of a connection between two processes of a node. What is written waits for
// who reads.
type socket struct {
	net.Conn // nil: it has no addresses and no deadlines
	mu       *sync.Mutex
	wake     *sync.Cond
	in       bytes.Buffer
	closed   bool
	peer     *socket
}

func socketPair() (a, b *socket) {
	var mu sync.Mutex
	a, b = &socket{mu: &mu, wake: sync.NewCond(&mu)}, &socket{mu: &mu, wake: sync.NewCond(&mu)}
	a.peer, b.peer = b, a
	return a, b
}

// moved returns a new socket for the same end, and closes s: it is for a process that takes the
// connection over.
func (s *socket) moved() *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := &socket{mu: s.mu, wake: sync.NewCond(s.mu), peer: s.peer}
	_, _ = to.in.Write(s.in.Bytes())
	s.peer.peer = to
	s.closed = true
	s.wake.Broadcast()
	return to
}

// Read reads what the other end wrote.
func (s *socket) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.in.Len() == 0 {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.peer.closed:
			return 0, io.EOF
		}
		s.wake.Wait()
	}
	return s.in.Read(b)
}

// Write is read by the other end.
func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case s.peer.closed:
		return 0, io.ErrClosedPipe
	}
	s.peer.wake.Broadcast()
	return s.peer.in.Write(b)
}

// Close closes both directions.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake.Broadcast()
	s.peer.wake.Broadcast()
	return nil
}
