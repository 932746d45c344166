package failover

import (
	"context"
)

// A pause is what [Manager.Pause] asks the loop for: that one begins, or ends.
type pause struct {
	begin bool
	ready chan struct{} // closed when nothing is being done any more
}

// Pause waits until nothing is being done about the package, in a state that another program can
// go on from, and holds the manager there: its lock is renewed, but no status is asked for and no
// lock. resume lets it go on; it must be called, unless this process becomes another program. ok
// is false where ctx ended before.
func (m *Manager) Pause(ctx context.Context) (resume func(), ok bool) {
	p := pause{true, make(chan struct{})}
	resume = func() {
		select {
		case m.pauses <- pause{}:
		case <-m.ended:
		}
	}
	select {
	case m.pauses <- p:
	case <-m.ended:
		return func() {}, true
	case <-ctx.Done():
		return func() {}, false
	}
	select {
	case <-p.ready:
		return resume, true
	case <-m.ended:
		return func() {}, true
	case <-ctx.Done():
		resume()
		return func() {}, false
	}
}

// Ended is closed when Run has returned.
func (m *Manager) Ended() <-chan struct{} { return m.ended }

// pause does as p says. A pause that was in force before ends in any case.
func (m *Manager) pause(ctx context.Context, p pause) {
	if m.paused != nil {
		m.mu.Lock()
		close(m.gate)
		m.mu.Unlock()
		m.paused = nil
		if m.state.Pkg == StandBy && m.state.phase == "" {
			m.carryOut(ctx, doSeek)
		}
	}
	if !p.begin {
		return
	}
	m.mu.Lock()
	m.gate = make(chan struct{})
	m.mu.Unlock()
	m.paused = &p
	if m.state.Pkg == StandBy && m.state.phase == "" {
		m.cancel(slotSeek) // what is on its way is given back
	}
}

// tryPause tells who asked for a pause that it is in force, if nothing is being done now. The loop
// calls it at every turn.
func (m *Manager) tryPause() {
	if m.paused == nil || isClosed(m.paused.ready) || m.busy.Load() > 0 {
		return
	}
	still := false
	switch {
	case m.state.Pkg == StandBy && m.state.phase == "":
		still = m.asked == nil || isClosed(m.asked)
	case m.state.Pkg == Running, m.state.phase == resting:
		still = true
	}
	if still {
		close(m.paused.ready)
	}
}

// passGate waits while the manager is paused, and says whether ctx is still good.
func (m *Manager) passGate(ctx context.Context) bool {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-ctx.Done():
		return false
	}
}
