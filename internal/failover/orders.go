package failover

import (
	"context"
	"os"
	"strings"
	"syscall"
)

// An Order is what a user asks of a manager that runs.
type Order string

// The orders.
const (
	Look   Order = "unblock" // look again at a package that was blocked, now
	Forget Order = "clear"   // the failures until now do not count
	Reread Order = "reload"  // read the package's parameters again
)

// orders are what is done at each.
var orders = map[Order]func(*Manager, context.Context){
	Look:   func(m *Manager, ctx context.Context) { m.handle(ctx, event{kind: evLook}) },
	Forget: (*Manager).forget,
	Reread: func(m *Manager, ctx context.Context) { m.reread(ctx, "asked to reload.") },
}

// Known says whether there is such an order.
func (o Order) Known() bool { return orders[o] != nil }

// order does what a user asks for.
func (m *Manager) order(ctx context.Context, o Order) {
	if o.Known() {
		orders[o](m, ctx)
	}
}

// forget lets the package be tried again at once.
func (m *Manager) forget(ctx context.Context) {
	m.fails, m.ran = 0, false
	m.noteFails(0)
	if m.state.phase == resting {
		m.postWhen(ctx, slotRelease, func(context.Context) (event, bool) { return event{kind: evRested}, true })
	}
}

// signal halts the package, or at USR1 reads its parameters again.
func (m *Manager) signal(ctx context.Context, sig os.Signal) {
	names := map[os.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGTERM: "TERM"}
	if name, ok := names[sig]; ok {
		m.handle(ctx, event{kind: evTerm, signal: name})
		return
	}
	m.reread(ctx, "received signal SIGUSR1.")
}

// reread reads the package's parameters again, in a goroutine: a script that hangs must not hold up the loop.
func (m *Manager) reread(ctx context.Context, why string) {
	m.Say.Info(why + " re-reading package parameters.")
	before := m.params
	m.tasks.Go(func() {
		p, err := ReadParams(ctx, m.Scripts, m.Node)
		if err == nil {
			err = p.InsteadOf(before)
		}
		if err != nil {
			m.Say.Error(strings.ReplaceAll(err.Error(), "\n", "; ") + ". the old parameters stay.")
			return
		}
		for _, w := range p.Warnings() {
			m.Say.Warning(w)
		}
		select {
		case m.fresh <- p:
		case <-ctx.Done():
		}
	})
}

// change tells the servers the times of new parameters, by which they then judge the lock. A manager
// that only asks for the lock asks anew.
func (m *Manager) change(ctx context.Context) {
	if m.lock == nil || m.state.lost { // a kill end that runs is not moved
		if m.state.Pkg == StandBy && m.state.phase == "" && m.paused == nil {
			m.carryOut(ctx, doSeek) // with the new times
		}
		return
	}
	l, times := m.lock, m.params.times()
	m.postWhen(ctx, slotChange, func(ctx context.Context) (event, bool) {
		if err := l.Change(ctx, times); err != nil && ctx.Err() == nil {
			m.Say.Error("the lock servers do not know the new parameters: " + err.Error())
		}
		return event{}, false
	})
}
