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

	"backtowork/internal/sim/virtual"

	"backtowork/internal/journal"
)

// How a fake deadman is.
const (
	well = "well"
	mute = "mute" // it hears all and answers nothing
	deaf = "deaf" // it answers a hello, and reads no more
)

// A pit is a link, and where its deadmen come from.
type pit struct {
	t     *testing.T
	ctx   context.Context
	begin time.Time
	link  *Link

	mu     sync.Mutex
	health string        // of all deadmen
	slow   time.Duration // how long each answer takes
	fails  bool          // no deadman can be started
	undead bool          // a kill does not end them: they hang in the kernel
	conns  []net.Conn    // to the deadmen
	log    []string
}

// links runs a story with a link for packages.
func links(t *testing.T, packages string, story func(*pit)) {
	t.Helper()
	virtual.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &pit{t: t, ctx: ctx, begin: time.Now(), health: well}
		hello := Hello{PID: 5}
		for name := range strings.FieldsSeq(packages) {
			hello.Packages = append(hello.Packages, Origin{Package: name, Mark: "mark-" + name})
		}
		p.link = NewLink(hello, p.spawn, func(journal.Line) {}, func() { p.note("none") })
		defer func() {
			cancel()
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, c := range p.conns {
				_ = c.Close()
			}
		}()
		story(p)
	})
}

func (p *pit) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprint(time.Since(p.begin).Seconds(), ": ", fmt.Sprintf(format, args...)))
}

func (p *pit) is(health string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health = health
}

func (p *pit) fail(fails bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = fails
}

func (p *pit) how() (health string, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health, p.slow
}

func (p *pit) spawn() (io.ReadWriteCloser, func(), error) {
	p.mu.Lock()
	fails := p.fails
	p.mu.Unlock()
	if fails {
		return nil, nil, errors.New("no such file")
	}
	ours, kill := p.deadman()
	return ours, kill, nil
}

// deadman is a fake deadman, and what kills it.
func (p *pit) deadman() (ours net.Conn, kill func()) {
	ours, theirs := net.Pipe()
	p.mu.Lock()
	p.conns = append(p.conns, theirs)
	n := len(p.conns)
	p.mu.Unlock()
	go p.serve(n, newWire(theirs))
	return ours, sync.OnceFunc(func() {
		p.note("kill %d", n)
		if !p.undead {
			_ = theirs.Close()
		}
	})
}

// serve is the n'th deadman.
func (p *pit) serve(n int, w *wire) {
	for {
		var q question
		if err := w.receive(&q); err != nil {
			if errors.Is(err, io.EOF) {
				p.note("%d is hung up on", n)
			}
			return
		}
		p.note("%d hears %s", n, q)
		health, slow := p.how()
		if health == mute {
			continue
		}
		select {
		case <-time.After(slow):
		case <-p.ctx.Done():
			return
		}
		if w.send(answer{Version: "1.2", Words: []Word{held("p", 10, 30)}, Origins: []Origin{{Package: "p", Mark: "mark-p"}}}) != nil || health == deaf {
			return
		}
	}
}

func (q question) String() string {
	if q.Hello != nil {
		return fmt.Sprintf("hello %d %v", q.Hello.PID, q.Hello.Packages)
	}
	var words []string
	for _, w := range q.Words {
		words = append(words, fmt.Sprint(w.Package, " ", w.Phase))
		if w.Over {
			words[len(words)-1] = w.Package + " over"
		}
	}
	said := strings.Join(words, ", ")
	if q.Origins != nil {
		said += fmt.Sprint(" ", q.Origins)
	}
	return said
}

func (o Origin) String() string { return o.Package + "=" + o.Mark }

// start starts the first deadman of p and q, and the link.
func (p *pit) start() {
	p.t.Helper()
	if err := p.link.Open(); err != nil {
		p.t.Fatal(err)
	}
	p.run()
	p.want("0: 1 hears "+helloPQ, "0: 1 hears p free, q free")
}

const helloPQ = "hello 5 [p=mark-p q=mark-q]"

func (p *pit) run() {
	go p.link.Run(p.ctx)
	synctest.Wait()
}

// dies is that the last deadman was killed.
func (p *pit) dies() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.conns[len(p.conns)-1].Close()
}

// want is all that happened since it was called last.
func (p *pit) want(want ...string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.log, want) {
		p.t.Errorf("at %v\n  %s\nwant\n  %s", time.Since(p.begin), strings.Join(p.log, "\n  "), strings.Join(want, "\n  "))
	}
	p.log = nil
}

// sure calls Sure, and writes down when it has returned.
func (p *pit) sure(w Word) {
	go func() { p.note("sure: %v", p.link.Sure(p.ctx, w)) }()
	synctest.Wait()
}
