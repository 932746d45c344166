package deadman

import (
	"context"
	"fmt"
	"io"
	"strings"

	"backtowork/internal/journal"
	"backtowork/internal/lease"
)

// Hands are what a deadman acts with. None of them may wait for anything, but Stop and Revive, each of which
// is called in a goroutine of its own.
type Hands interface {
	KillManager()                                         // kills the manager, whatever that is doing
	Revive(packages []string) (io.ReadWriteCloser, error) // starts a manager that goes on with packages
	Stop(ctx context.Context, w Word)                     // climbs the stop ladder: nothing is left at w.Kill
	Kill(pkg string)                                      // kills all that is left of a package, at once
	Begin(pkg string)                                     // starts an ordinary manager
	Heard(w Word)                                         // is told what the manager said of a package
	Update(o Origin)                                      // is told that a package has other parameters
	LetGo(pkg string, free bool)                          // lets another act on a package; free: nothing of it runs
}

// A Deadman watches one manager.
type Deadman struct {
	Hands
	Say     journal.Log // to the admin
	Clock   lease.Clock
	Version string
	PID     int

	m       *machine
	origins map[string]Origin
	conn    *wire // with the manager; nil or a stand-in where there is none
	inbox   chan posted
	done    chan string // packages that Stop has done with
	ended   bool
}

// A posted is what came of the connection conn: a message of the manager (q), a connection with a manager that
// was started (begun), or with neither of them its end.
type posted struct {
	conn  *wire
	q     *question
	begun *wire
}

// Greet reads the hello of the manager that has started this process.
func Greet(c io.ReadWriteCloser) (*Hello, *Conn, error) {
	w := newWire(c)
	var q question
	if err := w.receive(&q); err != nil {
		return nil, nil, fmt.Errorf("the manager said nothing: %w", err)
	}
	if q.Hello == nil || len(q.Hello.Packages) == 0 {
		return nil, nil, fmt.Errorf("the manager did not say for what")
	}
	return q.Hello, &Conn{w, q.Words}, nil
}

// A Conn is the connection with a manager that was greeted.
type Conn struct {
	w     *wire
	words []Word // that it said with its hello: it may be killed before it says more
}

// Refuse tells the manager why there is no deadman.
func (c *Conn) Refuse(why error) error { return c.w.send(answer{Error: why.Error()}) }

// Run watches the manager on c that said h, until nothing is left to watch or ctx ends.
func (d *Deadman) Run(ctx context.Context, h *Hello, c *Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.inbox, d.done, d.origins = make(chan posted), make(chan string), map[string]Origin{}
	var names []string
	for _, o := range h.Packages {
		names = append(names, o.Package)
		d.origins[o.Package] = o
	}
	d.m = newMachine(d.Clock.Now(), names)
	d.attach(ctx, c.w)
	d.perform(ctx, d.heard(c.words))
	d.answer(answer{Version: d.Version, PID: d.PID})
	for !d.ended {
		due := make(chan struct{})
		cancelDue := func() {}
		if at, ok := d.m.next(); ok {
			cancelDue = lease.At(d.Clock, at, func() { close(due) })
		}
		select {
		case p := <-d.inbox:
			d.took(ctx, p)
		case name := <-d.done:
			d.perform(ctx, d.m.stopped(name))
		case <-due:
		case <-ctx.Done():
			return
		}
		cancelDue()
		d.perform(ctx, d.m.due(d.Clock.Now()))
	}
}

// attach makes conn the connection with the manager, and begins to read it.
func (d *Deadman) attach(ctx context.Context, conn *wire) {
	d.conn = conn
	go func() {
		for {
			p := posted{conn: conn, q: new(question)}
			if conn.receive(p.q) != nil {
				p.q = nil
			}
			select {
			case d.inbox <- p:
			case <-ctx.Done():
				return
			}
			if p.q == nil {
				return
			}
		}
	}()
}

// took handles what came of a connection. What comes of an earlier one than the present counts for nothing.
func (d *Deadman) took(ctx context.Context, p posted) {
	now := d.Clock.Now()
	switch {
	case p.conn != d.conn: // of an earlier manager
		if p.begun != nil {
			_ = p.begun.Close() // too late: it hears so
		}
	case p.begun != nil:
		d.attach(ctx, p.begun)
	case p.q == nil:
		d.hangUp()
		d.perform(ctx, d.m.gone(now))
	case p.q.Hello != nil:
		d.m.back(now)
		if names := d.m.managers(); len(names) > 0 {
			d.Say.Info(fmt.Sprintf("process %d goes on with %s.", p.q.Hello.PID, strings.Join(names, ", ")))
		}
		d.answer(d.what())
	default:
		deeds := d.heard(p.q.Words)
		for _, o := range p.q.Origins {
			d.origins[o.Package] = o
			d.Update(o)
		}
		d.answer(answer{})
		d.perform(ctx, deeds)
	}
}

// heard puts the manager's words into the machine.
func (d *Deadman) heard(words []Word) (deeds []deed) {
	for _, w := range words {
		if d.m.watches(w.Package) { // else it comes too late
			d.Heard(w)
		}
		deeds = append(deeds, d.m.said(w, d.Clock.Now())...)
	}
	return deeds
}

// what is the answer to a manager that goes on: what there is to go on with.
func (d *Deadman) what() answer {
	a := answer{Version: d.Version, PID: d.PID}
	for _, name := range d.m.managers() {
		a.Words = append(a.Words, d.m.duties[name].Word)
		a.Origins = append(a.Origins, d.origins[name])
	}
	return a
}

func (d *Deadman) answer(a answer) {
	_ = d.conn.send(a) // who does not hear it is gone
}

func (d *Deadman) hangUp() {
	if d.conn != nil {
		_ = d.conn.Close()
		d.conn = nil
	}
}

func (d *Deadman) perform(ctx context.Context, deeds []deed) {
	for _, todo := range deeds {
		d.do(ctx, todo)
	}
}

func (d *Deadman) do(ctx context.Context, todo deed) {
	switch todo.do {
	case kill:
		d.Say.Info(fmt.Sprintf("the kill end of package %s has come: killing what is left.", todo.pkg))
		d.Kill(todo.pkg)
	case killManager:
		d.Say.Info("the manager does not answer: killing it.")
		d.KillManager()
		if d.conn != nil { // its connection may stay open, where it hangs in the kernel
			d.hangUp()
			d.perform(ctx, d.m.gone(d.Clock.Now()))
		}
	case revive:
		d.revive(ctx, todo.revives)
	case stop:
		w := d.m.duties[todo.pkg].Word
		d.Say.Info(fmt.Sprintf("stopping package %s.", todo.pkg))
		go func() {
			d.Stop(ctx, w)
			select {
			case d.done <- todo.pkg:
			case <-ctx.Done():
			}
		}()
	case begin:
		d.Begin(todo.pkg)
	case letGo:
		d.LetGo(todo.pkg, !todo.runs)
	case unwatched:
		d.Say.Info("no manager goes on.")
	case end:
		d.ended = true
	}
}

// revive starts a manager, in a goroutine: that may hang where the disk does. Until it is there, waits stands
// for its connection, so that one that comes too late is known by it.
func (d *Deadman) revive(ctx context.Context, packages []string) {
	d.Say.Info(fmt.Sprintf("the manager has ended without a word: starting another for %s.", strings.Join(packages, ", ")))
	waits := &wire{Closer: io.NopCloser(nil)}
	d.conn = waits
	go func() {
		p := posted{conn: waits}
		if c, err := d.Revive(packages); err == nil {
			p.begun = newWire(c)
		} else {
			d.Say.Error(err.Error())
		}
		select {
		case d.inbox <- p:
		case <-ctx.Done():
		}
	}()
}
