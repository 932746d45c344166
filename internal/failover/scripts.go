package failover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// scriptGrace is how long a script that is killed may take to end by itself.
const scriptGrace = 500 * time.Millisecond

// A launched is what came of starting an action.
type launched struct {
	action Action
	err    error
}

// script runs an action of the package script, at most for limit. It returns its exit status,
// hangs where it had to be killed, or notRun. ok is false where ctx ended it. Starting it may hang too,
// on a disk that does: then what it starts in the end is killed at once.
func (m *Manager) script(ctx context.Context, action string, limit time.Duration) (code int, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	m.busy.Add(1)
	defer m.busy.Add(-1)
	over := time.NewTimer(limit)
	defer over.Stop()
	begun := m.launch(ctx, action)
	var a Action
	select {
	case l := <-begun:
		if ctx.Err() != nil && l.action == nil {
			return 0, false
		}
		if l.err != nil {
			m.couldNotRun(action, l.err)
			return notRun, true
		}
		a = l.action
	case <-over.C:
		go discardAction(begun)
		return hangs, true
	case <-ctx.Done():
		go discardAction(begun)
		return 0, false
	}
	select {
	case <-a.Done():
		return m.statusAfter(action, a), true
	case <-over.C:
		a.Kill(scriptGrace)
		return hangs, true
	case <-ctx.Done():
		a.Kill(scriptGrace)
		return 0, false
	}
}

// statusAfter is what an action that has ended ended with.
func (m *Manager) statusAfter(action string, a Action) int {
	code := a.Status()
	if code >= 0 {
		m.couldNotRun(action, nil)
		return code
	}
	why, ok := a.(interface{ Err() error })
	if !ok {
		m.couldNotRun(action, errNotRun)
	} else {
		m.couldNotRun(action, why.Err())
	}
	return notRun
}

var errNotRun = errors.New("it says nothing of itself")

// couldNotRun tells why a script could not be run, once until one can (nil).
func (m *Manager) couldNotRun(action string, err error) {
	m.mu.Lock()
	was := m.notRunFor
	m.notRunFor = ""
	if err != nil {
		m.notRunFor = err.Error()
	}
	now := m.notRunFor
	m.mu.Unlock()
	if now != "" && now != was {
		m.Say.Error("the " + action + " script could not be run: " + now)
	}
}

// persist is script, tried again while the script cannot be run, for limit in all. A start is not: it has
// begun nothing, and another node may be able to.
func (m *Manager) persist(ctx context.Context, action string, pace, limit time.Duration) (code int, ok bool) {
	for end := time.Now().Add(limit); ; {
		if action == "status" && !m.passGate(ctx) {
			return 0, false
		}
		code, ok = m.script(ctx, action, limit)
		rest := time.Until(end)
		if !ok || code != notRun || action == "start" || rest <= 0 {
			return code, ok
		}
		if !sleep(ctx, min(pace, limit/4, rest)) {
			return 0, false
		}
	}
}

// launch starts an action in a goroutine of its own.
func (m *Manager) launch(ctx context.Context, action string) <-chan launched {
	begun, done := make(chan launched, 1), make(chan struct{})
	m.mu.Lock()
	m.launching = append(slices.DeleteFunc(m.launching, isClosed), done)
	m.mu.Unlock()
	go func() {
		defer close(done)
		if ctx.Err() != nil {
			begun <- launched{nil, ctx.Err()}
			return
		}
		a, err := m.Scripts.Start(action, m.token)
		begun <- launched{a, err}
	}()
	return begun
}

// discardAction kills an action that was started too late.
func discardAction(begun <-chan launched) {
	if l := <-begun; l.err == nil {
		l.action.Drop()
	}
}

// killAll kills whatever is left of the package, and returns what is alive for all that. Scripts
// that are just being started are waited for, but not for long: the kill comes first.
func (m *Manager) killAll(ctx context.Context, grace time.Duration) (alive string) {
	m.mu.Lock()
	m.launching = slices.DeleteFunc(m.launching, isClosed)
	pending := slices.Clone(m.launching)
	m.mu.Unlock()
	alive = m.killOnce(grace)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for _, launching := range pending {
		select {
		case <-launching:
			continue
		case <-ctx.Done():
		case <-limit.C:
		}
		return strings.TrimPrefix(alive+", a script that hangs before it runs", ", ")
	}
	if len(pending) > 0 {
		return m.killOnce(0)
	}
	return alive
}

func (m *Manager) killOnce(grace time.Duration) (alive string) {
	alive, err := m.Scripts.KillAll(grace)
	if err != nil {
		m.Say.Error(err.Error())
		return err.Error()
	}
	return alive
}

func isClosed[C chan struct{} | <-chan struct{}](c C) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// run posts how an action ended: as ended with its code, or as hung. What a start left running
// is made the service first.
func (m *Manager) run(ctx context.Context, action string, wait, limit time.Duration, ended, hung eventKind) {
	settle, kill, grace, pace, l := m.unsettled, m.killFirst, m.params.killGrace(), m.params.Pace, m.lock
	m.unsettled, m.killFirst = false, false
	unseen := action == "status" && m.unseen && m.state.Pkg == Running
	m.unseen = m.unseen && !unseen
	if settle {
		m.busy.Add(1) // what is not the service yet would be killed by whoever goes on
	}
	m.act(ctx, false, func(ctx context.Context) (event, bool) {
		if settle {
			if err := m.Scripts.Settle(); err != nil {
				m.Say.Error(err.Error())
			}
			m.busy.Add(-1)
		}
		if kill {
			if alive := m.killAll(ctx, grace); alive != "" {
				m.Say.Error("of an earlier run is still alive: " + alive)
				return event{kind: hung}, true
			}
		}
		if !sleep(ctx, wait) {
			return event{}, false
		}
		if action == "start" && m.Starting != nil {
			m.Starting(ctx)
		}
		if end, _ := l.Ends(); action == "start" && end.Left(m.Clock.Now()) <= 0 {
			return event{}, false // this process stood still: that the lock is lost is on its way
		}
		code, ok := m.persist(ctx, action, pace, limit)
		if unseen && code == up {
			m.seeKillable()
		}
		if code == hangs || code == notRun && action == "status" {
			return event{kind: hung}, ok
		}
		return event{kind: ended, code: code}, ok
	})
}

// NotKillable is said of a package that is up with nothing of it to be found (SAFETY.md rule 4).
const NotKillable = "its status is up, and no process of it is to be found: nothing of this package can be killed here."

// seeKillable says so, if there is nothing.
func (m *Manager) seeKillable() {
	if alive, err := m.Scripts.Alive(); alive == "" && err == nil {
		m.Say.Warning(NotKillable)
	}
}

// watch asks for the status in d.
func (m *Manager) watch(ctx context.Context, d time.Duration) {
	d = max(d, 0)
	m.began = time.Now().Add(d)
	m.run(ctx, "status", d, m.params.Timeout, evStatus, evStatusHangs)
}

// stop runs the stop script, unless the kill end is so near that no script may start.
func (m *Manager) stop(ctx context.Context) {
	if m.state.lost && m.killTime().Left(m.Clock.Now()) <= 0 {
		return // evKillTime is on its way
	}
	m.run(ctx, "stop", 0, m.params.StopTimeout, evStopped, evStopTimeout)
}

// what is alive of the package, after what is left was killed, unless it is to be spared
// (kill_leftovers=no).
func (m *Manager) what(ctx context.Context, spare bool, grace time.Duration) string {
	if !spare {
		return m.killAll(ctx, grace)
	}
	alive, err := m.Scripts.Alive()
	if err != nil {
		return err.Error()
	}
	return alive
}

// killed is the exit status of a script that somebody killed.
const killed = 128 + 9

// statusOf asks for the status. One that was killed says nothing, and is asked again: the deadman
// kills at the kill end whatever there is. So is one that could not be run: for a moment, perhaps.
func (m *Manager) statusOf(ctx context.Context, limit time.Duration) (code int, ok bool) {
	for range 3 {
		if code, ok = m.script(ctx, "status", limit); code != killed && code != notRun {
			break
		}
	}
	return code, ok
}
