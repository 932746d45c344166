package deadman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/sim/virtual"
)

// A host is a deadman and the managers that it watches, in virtual time. The deadman's hands only
// write down what they are to do.
type host struct {
	t     *testing.T
	clock lease.Clock
	rate  float64
	ctx   context.Context
	ended chan struct{} // closed when the deadman has ended
	begun chan *peer    // the managers that were revived

	stopTakes   map[string]time.Duration // by package; hang for ever
	reviveTakes time.Duration
	reviveFails bool

	mu    sync.Mutex
	done  []string
	said  []string
	words []Word // that were to be stopped
	heard []Word
	open  []io.Closer
}

const hang = time.Duration(-1)

// bubble runs a story on a host whose clock runs at rate, and sees to it that nothing is left of it.
func bubble(t *testing.T, rate float64, story func(*host)) {
	t.Helper()
	virtual.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &host{
			t: t, clock: lease.Scaled(rate), rate: rate, ctx: ctx, ended: make(chan struct{}), begun: make(chan *peer, 10),
			stopTakes: map[string]time.Duration{},
		}
		defer func() {
			cancel()
			synctest.Wait() // each end knows that the story is over, before it loses the other
			for _, c := range h.open {
				_ = c.Close()
			}
			synctest.Wait()
			if !h.hasEnded() {
				t.Error("the deadman goes on though its context has ended")
			}
		}()
		story(h)
	})
}

// note writes down what was done, with the host's time, down to the millisecond.
func (h *host) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, fmt.Sprint(h.clock.Now().Boot().Truncate(time.Millisecond).Seconds(), " ", fmt.Sprintf(format, args...)))
}

func (h *host) KillManager()     { h.note("kill manager") }
func (h *host) Kill(pkg string)  { h.note("kill %s", pkg) }
func (h *host) Begin(pkg string) { h.note("begin %s", pkg) }
func (h *host) Heard(w Word) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, w)
}

func (h *host) Update(o Origin)          { h.note("update %s %s", o.Package, o.Params) }
func (h *host) LetGo(pkg string, _ bool) { h.note("let go %s", pkg) }

func (h *host) say(line journal.Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, line.Words())
}

func (h *host) Stop(ctx context.Context, w Word) {
	h.note("stop %s", w.Package)
	h.mu.Lock()
	h.words = append(h.words, w)
	takes := h.stopTakes[w.Package]
	h.mu.Unlock()
	if takes == hang {
		<-ctx.Done()
		return
	}
	h.sleep(takes)
}

// sleep is for d on the host's clock, if the story goes on for so long.
func (h *host) sleep(d time.Duration) {
	over := make(chan struct{})
	defer h.clock.AfterFunc(d, func() { close(over) })()
	select {
	case <-over:
	case <-h.ctx.Done():
	}
}

func (h *host) Revive(packages []string) (io.ReadWriteCloser, error) {
	h.sleep(h.reviveTakes)
	h.note("revive %s", strings.Join(packages, " "))
	if h.reviveFails {
		return nil, errors.New("cannot start a manager: no such file")
	}
	ours, theirs := h.pipe()
	h.begun <- &peer{h, theirs, newWire(theirs)}
	return ours, nil
}

// pipe is a connection that does not outlive the story.
func (h *host) pipe() (ours, theirs net.Conn) {
	ours, theirs = net.Pipe()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = append(h.open, ours, theirs)
	return ours, theirs
}

// A peer is a manager.
type peer struct {
	h    *host
	conn io.ReadWriteCloser
	wire *wire
}

// spawn starts a deadman.
func (h *host) spawn() (io.ReadWriteCloser, func(), error) {
	ours, theirs := h.pipe()
	go func() {
		defer close(h.ended)
		hello, conn, err := Greet(ours)
		if err != nil {
			h.t.Error(err)
			return
		}
		d := &Deadman{Hands: h, Say: h.say, Clock: h.clock, Version: "1.2", PID: 77}
		d.Run(h.ctx, hello, conn)
	}()
	return theirs, func() { h.t.Error("the deadman was killed") }, nil
}

// start starts a deadman, and is the manager that did so.
func (h *host) start(packages ...string) *peer {
	h.t.Helper()
	c, _, _ := h.spawn()
	p := &peer{h, c, newWire(c)}
	hello := Hello{PID: 5}
	for _, name := range packages {
		hello.Packages = append(hello.Packages, Origin{Package: name, Mark: "mark-" + name})
	}
	if a := p.ask(question{Hello: &hello}); a.Version != "1.2" || a.PID != 77 || a.Words != nil {
		h.t.Errorf("the answer to the first hello is %+v", a)
	}
	return p
}

func (p *peer) ask(q question) (a answer) {
	p.h.t.Helper()
	if err := p.wire.send(q); err != nil {
		p.h.t.Fatalf("at %v: cannot ask the deadman: %v", p.h.clock.Now(), err)
	}
	if err := p.wire.receive(&a); err != nil {
		p.h.t.Fatalf("at %v: the deadman does not answer: %v", p.h.clock.Now(), err)
	}
	return a
}

func (p *peer) says(words ...Word) {
	p.h.t.Helper()
	if a := p.ask(question{Words: words}); a.Error != "" {
		p.h.t.Errorf("the answer to %+v is %+v", words, a)
	}
}

// dies is that the manager is killed: its connection is closed.
func (p *peer) dies() {
	_ = p.conn.Close()
	synctest.Wait()
}

// revived is the manager that was revived, before it says hello.
func (h *host) revived() *peer {
	h.t.Helper()
	synctest.Wait()
	select {
	case p := <-h.begun:
		return p
	default:
		h.t.Fatalf("at %v no manager was revived; %q", h.clock.Now(), h.log())
		return nil
	}
}

// adopts is what the manager hears that it has to go on with.
func (p *peer) adopts() *Attached {
	p.h.t.Helper()
	at, err := Attach(p.conn, func(int) func() { return func() { _ = p.conn.Close() } }, Hello{PID: 6})
	if err != nil {
		p.h.t.Fatalf("at %v: %v", p.h.clock.Now(), err)
	}
	p.wire = at.conn
	return at
}

// wantHungUp is that the deadman wants nothing of this manager any more.
func (p *peer) wantHungUp() {
	p.h.t.Helper()
	var err error
	go func() { _, err = p.conn.Read(make([]byte, 1)) }()
	synctest.Wait()
	if !errors.Is(err, io.EOF) {
		p.h.t.Errorf("reading from the deadman: %v, want EOF", err)
	}
}

// until sleeps until the host's clock shows seconds.
func (h *host) until(seconds float64) {
	h.t.Helper()
	left := at(seconds).Left(h.clock.Now())
	if left < 0 {
		h.t.Fatalf("it is %v already, not %v", h.clock.Now(), seconds)
	}
	h.sleep(left)
	synctest.Wait()
}

func (h *host) log() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.done)
}

// want is all that was done.
func (h *host) want(want ...string) {
	h.t.Helper()
	if got := h.log(); !slices.Equal(got, want) {
		h.t.Errorf("done:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (h *host) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

func (h *host) wantEnded(want bool) {
	h.t.Helper()
	synctest.Wait()
	if got := h.hasEnded(); got != want {
		h.t.Errorf("at %v: ended: %v, want %v", h.clock.Now(), got, want)
	}
}
