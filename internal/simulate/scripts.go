package simulate

import (
	"context"
	"slices"
	"time"

	"backtowork/internal/failover"
)

// Hands are a process's on a package: what package script is in the real program.
type hands struct {
	*world
	p *process
}

// afterKill is how long what was sent SIGKILL is waited for.
const afterKill = time.Second

// Echo says a parameter.
func (h hands) Echo(_ context.Context, name string) (string, error) {
	if !h.p.acts() {
		return "", errDead
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.pkg.Params.Values()[name], nil
}

// Start begins a script.
func (h hands) Start(what string, _ uint64, _ string) (failover.Action, error) {
	if !h.p.acts() {
		return nil, errDead
	}
	if what == "start" {
		h.s.starting(h)
		if !h.p.acts() {
			return nil, errDead
		}
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return deed{h.begin(what, h.p.name), h}, nil
}

// Settle makes what a start left running the service.
func (h hands) Settle() error {
	if !h.p.acts() {
		return errDead
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	for _, p := range h.procs {
		if p.action == nil || p.action.main != p {
			p.action = nil
		}
	}
	return nil
}

// KillAll ends all that there is of the package.
func (h hands) KillAll(grace time.Duration) (string, error) {
	if h.s.Off.LetLive {
		return "", nil
	}
	return h.sweep(grace, func(*proc) bool { return true })
}

// sweep sends TERM to some, and KILL after grace, and says what is alive of them for all that.
func (h hands) sweep(grace time.Duration, which func(*proc) bool) (string, error) {
	left := func() []*proc {
		return slices.DeleteFunc(slices.Clone(h.procs), func(p *proc) bool { return !which(p) })
	}
	for _, kill := range []bool{false, true} {
		limit := grace
		if kill {
			limit = afterKill
		}
		if limit == 0 {
			continue
		}
		if !h.p.acts() {
			return "", errDead
		}
		h.s.mu.Lock()
		for _, p := range left() {
			h.signal(p, kill)
		}
		h.s.mu.Unlock()
		if !h.await(limit, func() bool { return len(left()) == 0 }) {
			continue
		}
		break
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return words(left()), nil
}

// await waits until ok, at most for limit; the world is locked when ok is asked.
func (h hands) await(limit time.Duration, ok func() bool) bool {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		h.s.mu.Lock()
		yes, changed := ok(), h.changed
		h.s.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-changed:
		case <-over.C:
			return false
		case <-h.p.ctx.Done():
			return false
		}
	}
}

// Alive is what there is of the package.
func (h hands) Alive() (string, error) {
	if !h.p.acts() {
		return "", errDead
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return words(h.procs), nil
}

// KillUnfinished kills what no start has left for good.
func (h hands) KillUnfinished(bool) error {
	_, err := h.sweep(0, func(p *proc) bool { return p.action != nil })
	return err
}

// reset is self_fence=reboot.
func (h hands) reset() {
	if h.p.acts() {
		h.s.wg.Go(func() { h.s.resetNode(h.node) })
		<-h.p.ctx.Done()
	}
}

// A deed is an action as the process that began it sees it.
type deed struct {
	*action
	h hands
}

// Done is closed when the script has ended.
func (d deed) Done() <-chan struct{} { return d.done }

// Status is its exit status.
func (d deed) Status() int {
	d.w.s.mu.Lock()
	defer d.w.s.mu.Unlock()
	return d.code
}

// Kill ends it, with what it has left unsettled.
func (d deed) Kill(grace time.Duration) {
	_, _ = d.h.sweep(grace, func(p *proc) bool { return p.action == d.action })
}

// Drop ends it at once, and nothing else.
func (d deed) Drop() { d.Kill(0) }
