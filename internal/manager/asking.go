package manager

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
)

// A package begins when it has said its parameters, whatever becomes of the others of its group. But where none of
// them can begin, the group is refused; and so it is where one that runs from before cannot be gone on with.

// askedAtOnce is how many packages are asked for their parameters at a time.
const askedAtOnce = 8

// ask has all members asked for their parameters, in their order; but those first that run from before, since
// their leases do not wait. It goes on when ctx ends after stop was called.
func (g *Group) ask(ctx context.Context) (stop func() bool) {
	queue := make(chan *member, len(g.members))
	for _, before := range []bool{true, false} {
		for _, m := range g.members {
			if (m.predecessor != nil) == before {
				m.ctx, m.giveUp = context.WithCancel(context.WithoutCancel(ctx))
				queue <- m
			}
		}
	}
	close(queue)
	var able sync.Once
	var bad atomic.Int64
	for range min(askedAtOnce, len(g.members)) {
		g.askers.Go(func() {
			for m := range queue {
				m.fault = m.prepare(m.ctx)
				close(m.asked)
				if m.fault == nil || int(bad.Add(1)) == len(g.members) {
					able.Do(func() { close(g.able) })
				}
			}
		})
	}
	return context.AfterFunc(ctx, g.stopAsking)
}

func (g *Group) stopAsking() {
	for _, m := range g.members {
		if m.giveUp != nil {
			m.giveUp()
		}
	}
}

// first waits until one member can begin, and all can that run from before.
func (g *Group) first() error {
	var faults []error
	for _, m := range g.members {
		if m.predecessor != nil {
			<-m.asked
			faults = append(faults, m.fault)
		}
	}
	<-g.able
	if err := errors.Join(faults...); err != nil {
		return err
	}
	for _, m := range g.members {
		if m.isAble() {
			return nil
		}
	}
	return g.Asked()
}

// Asked waits until all packages were asked for their parameters, and returns what is wrong with those of the
// packages that are not begun.
func (g *Group) Asked() error {
	var faults []error
	for _, m := range g.members {
		<-m.asked
		faults = append(faults, m.fault)
	}
	return errors.Join(faults...)
}

// prepare asks the package for its parameters, and finds out what is left of it.
func (m *member) prepare(ctx context.Context) error {
	params, err := m.read(ctx)
	if err != nil {
		return AboutPackage(m.pkg, err)
	}
	if err := m.findLeft(params); err != nil {
		return err
	}
	if params.SelfFence {
		if m.reset, err = m.Reset(); err != nil && m.predecessor == nil {
			return err
		}
	}
	m.live(params)
	m.keepRecord(m.last)
	return nil
}

// findLeft looks whether processes of the package are left: also in units of systemd, those of params and, where
// something may be left by the record, its own. What is left was set up by what the record says.
func (m *member) findLeft(params failover.Params) error {
	before, knows := m.lived, m.predecessor != nil || m.clear
	units := params.Standing()
	if before != nil && knows { // its processes count as alive
		units = before.standing().And(units)
	}
	m.scripts.SetUnits(units.Units)
	left, err := m.scripts.Alive()
	if err != nil {
		return err
	}
	if m.predecessor == nil && left != "" {
		m.clear, m.leaves, knows = true, true, true
	}
	m.mu.Lock() // the deadman may just be told of it
	defer m.mu.Unlock()
	if before != nil && knows {
		m.free = false
	} else {
		m.lived = nil
	}
	return nil
}

// read asks the package for its parameters. What runs is not stopped because they became bad: this manager
// then lives by those of the last one.
func (m *member) read(ctx context.Context) (failover.Params, error) {
	p, err := failover.ReadParams(ctx, m.scripts, m.Node)
	if err == nil && m.lived != nil && m.predecessor != nil {
		err = p.InsteadOf(m.lived.Params)
	}
	if err == nil || m.lived == nil || m.predecessor == nil || ctx.Err() != nil || m.Seen.Strict {
		return p, err
	}
	m.refused = oneLine(err) + ". going on with the parameters of before."
	return m.lived.Params, nil
}

// refuse ends a package that cannot be begun, in a group that was. Nobody goes on with it, so nobody is to watch it.
func (m *member) refuse() error {
	err := ErrNotBegun
	if m.halted.Load() {
		m.say.Info("halted before the package had said its parameters.")
		err = nil
	} else {
		m.say.Error(oneLine(m.fault) + ". the package is not begun.")
	}
	if m.leaves {
		m.over()
		defer close(m.closed)
	}
	m.undo()
	return err
}

// over tells the deadman that there is nothing to watch any more.
func (m *member) over() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // longer than to replace a deadman
	defer cancel()
	_ = m.link.Sure(ctx, deadman.Word{Package: m.pkg, Phase: deadman.Free, Over: true}) // else it finds out
}

// ErrNotBegun is of a group in which a package cannot be begun. What is wrong was said.
var ErrNotBegun = errors.New("a package is not begun")

// isAble says whether the member was asked for its parameters, and they are good.
func (m *member) isAble() bool { return isClosed(m.asked) && m.fault == nil }

// hasEnded says whether there is nothing to go on with.
func (m *member) hasEnded() bool { return isClosed(m.closed) }

func isClosed[C chan struct{} | <-chan struct{}](c C) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
