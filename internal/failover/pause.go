package failover

import (
	"context"
)

// A pause is asked for by [Manager.Pause].
type pause struct {
	begin bool
	ready chan struct{}
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

// pause begins or ends a pause.
func (m *Manager) pause(ctx context.Context, p pause) {
	if m.paused != nil {
		m.mu.Lock()
		close(m.gate)
		m.mu.Unlock()
		m.paused = nil
		if m.state.Pkg == StandBy && m.state.phase == "" {
			m.perform(ctx, doSeek)
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

// tryPause tells who waits for a pause that there is one.
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

// passGate waits while the manager is paused; false where ctx ends.
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
