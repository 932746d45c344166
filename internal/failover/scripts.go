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

// A launched is what came of launchScript: an action that runs, or why there is none.
type launched struct {
	action Action
	err    error
}

// runScript runs an action of the package script and waits for its end, at most for limit. code is its exit
// status, hangs where it had to be killed, or notRun. ok is false where ctx ended it. The launch may hang too,
// on a disk that does; it counts as hangs, and what it starts in the end is killed at once.
func (m *Manager) runScript(ctx context.Context, action string, limit time.Duration) (code int, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	m.busy.Add(1)
	defer m.busy.Add(-1)
	over := time.NewTimer(limit)
	defer over.Stop()
	begun := m.launchScript(ctx, action)
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

// statusAfter is the exit status of an action that has ended; notRun, and the reason told, where
// the script turned out not to have run.
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

// couldNotRun tells why a script could not be run, but no reason twice in a row. A nil err says that
// one could.
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

// runScriptPatiently is runScript, tried again for as long as the script cannot be run, for limit in all:
// a host may be short of memory for a moment. A start is tried once: nothing has begun here yet, and another
// node may be able to run it.
func (m *Manager) runScriptPatiently(ctx context.Context, action string, pace, limit time.Duration) (code int, ok bool) {
	for end := time.Now().Add(limit); ; {
		if action == "status" && !m.passGate(ctx) {
			return 0, false
		}
		code, ok = m.runScript(ctx, action, limit)
		rest := time.Until(end)
		if !ok || code != notRun || action == "start" || rest <= 0 {
			return code, ok
		}
		if !sleep(ctx, min(pace, limit/4, rest)) {
			return 0, false
		}
	}
}

// launchScript starts an action in a goroutine of its own, and returns at once.
func (m *Manager) launchScript(ctx context.Context, action string) <-chan launched {
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

// killAll kills whatever is left of the package, and returns what is alive even so. A script that is just
// being launched may begin after the kill: it is waited for, though not for long, and killed too.
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

// queueScript queues a script to begin after wait, and posts how it ended: the event ended with its exit
// status, or hung. First it makes what a start left running the service, and kills what an earlier
// manager may have left, where either is due.
func (m *Manager) queueScript(ctx context.Context, action string, wait, limit time.Duration, ended, hung eventKind) {
	settle, kill, grace, pace, l := m.unsettled, m.killFirst, m.params.killGrace(), m.params.Pace, m.lock
	m.unsettled, m.killFirst = false, false
	unseen := action == "status" && m.unseen && m.state.Pkg == Running
	m.unseen = m.unseen && !unseen
	if settle {
		m.busy.Add(1) // what is not the service yet would be killed by whoever goes on
	}
	m.queueAction(ctx, false, func(ctx context.Context) (event, bool) {
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
		code, ok := m.runScriptPatiently(ctx, action, pace, limit)
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
const NotKillable = "its status is up, and no process of it is to be found: nothing of this package can be killed here. For a flag or an address that is as it should be; a daemon would be out of reach."

// seeKillable warns where no process of the package is to be found.
func (m *Manager) seeKillable() {
	if alive, err := m.Scripts.Alive(); alive == "" && err == nil {
		m.Say.Warning(NotKillable)
	}
}

// watch queues the status script, to begin in d.
func (m *Manager) watch(ctx context.Context, d time.Duration) {
	d = max(d, 0)
	m.began = time.Now().Add(d)
	m.queueScript(ctx, "status", d, m.params.Timeout, evStatus, evStatusHangs)
}

// stop queues the stop script, unless the kill end is so near that no script may start.
func (m *Manager) stop(ctx context.Context) {
	if m.state.lost && m.killTime().Left(m.Clock.Now()) <= 0 {
		return // evKillTime is on its way
	}
	m.queueScript(ctx, "stop", 0, m.params.StopTimeout, evStopped, evStopTimeout)
}

// killUnlessSpared is killAll; but what is to be spared (kill_leftovers=no) is only looked at.
func (m *Manager) killUnlessSpared(ctx context.Context, spare bool, grace time.Duration) string {
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

// statusOf runs the status script and waits for its answer. One that was killed has not answered, and is asked
// again: at the kill end the deadman kills whatever there is, this script too. One that could not be
// run is asked again as well, since it may be for a moment only.
func (m *Manager) statusOf(ctx context.Context, limit time.Duration) (code int, ok bool) {
	for range 3 {
		if code, ok = m.runScript(ctx, "status", limit); code != killed && code != notRun {
			break
		}
	}
	return code, ok
}
