package failover

import (
	"context"
	"slices"
	"strings"
	"time"

	"backtowork/internal/lease"
)

// scriptGrace is how long a script that is killed may take to end by itself.
const scriptGrace = 500 * time.Millisecond

// post runs wait in a goroutine, with the slot's earlier use cancelled, and posts the event
// that it returns, if it returns one.
func (m *Manager) post(ctx context.Context, s slot, wait func(context.Context) (event, bool)) {
	m.send(ctx, s, func(ctx context.Context) (posted, bool) {
		e, ok := wait(ctx)
		return posted{event: e}, ok
	})
}

func (m *Manager) send(ctx context.Context, s slot, wait func(context.Context) (posted, bool)) {
	m.cancel(s)
	run, all := m.runs[s], ctx
	ctx, m.stops[s] = context.WithCancel(ctx)
	m.tasks.Go(func() {
		p, ok := wait(ctx)
		if !ok {
			return
		}
		p.slot, p.run = s, run
		select {
		case m.inbox <- p:
		case <-all.Done():
			m.discard(p)
		}
	})
}

// act is post for what runs scripts: one at a time. It begins when what was there before has
// been killed, unless it is what kills.
func (m *Manager) act(ctx context.Context, kills bool, wait func(context.Context) (event, bool)) {
	before, done := m.acting, make(chan struct{})
	m.acting = done
	m.post(ctx, slotAction, func(ctx context.Context) (event, bool) {
		defer close(done)
		if !kills && before != nil {
			<-before
		}
		return wait(ctx)
	})
}

// cancel ends the slot's use: nothing that it posts counts any more.
func (m *Manager) cancel(s slot) {
	m.runs[s]++
	if stop := m.stops[s]; stop != nil {
		stop()
	}
}

// after posts e in d of package time.
func (m *Manager) after(ctx context.Context, s slot, d time.Duration, kind eventKind) {
	m.post(ctx, s, func(ctx context.Context) (event, bool) {
		return event{kind: kind}, sleep(ctx, d)
	})
}

// sleep says whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// perform does one thing that the machine asked for.
func (m *Manager) perform(ctx context.Context, d do) {
	switch d {
	case doSeek:
		m.seek(ctx)
	case doGiveUp:
		m.cancel(slotSeek)
	case doStatus:
		m.watch(ctx, 0)
	case doWatch:
		m.watch(ctx, m.params.Pace-time.Since(m.began))
	case doStart:
		m.run(ctx, "start", 0, m.params.StartTimeout, evStarted, evStartTimeout)
	case doSettle:
		m.unsettled = true
	case doStop:
		m.stop(ctx)
	case doCheck:
		m.check(ctx, 0)
	case doLater:
		m.check(ctx, m.params.Pace)
	case doSick:
		m.after(ctx, slotSick, m.params.Timeout, evUnhealthy)
	case doWell:
		m.cancel(slotSick)
	case doRelease:
		m.release(ctx)
	case doRest:
		m.rest(ctx)
	case doKillEnd:
		m.armKillEnd(ctx)
	case doExit:
	}
}

// seek asks for the lock, once what an earlier question brought has been given back: it is the
// same session's, and its release would free the lock that is had by then.
func (m *Manager) seek(ctx context.Context) {
	p, before, settled := m.params, m.asked, make(chan struct{})
	m.asked = settled
	m.send(ctx, slotSeek, func(ctx context.Context) (posted, bool) {
		if before != nil {
			<-before
		}
		if ctx.Err() != nil {
			close(settled)
			return posted{}, false
		}
		l, err := m.Locker.Acquire(ctx, m.Package, p.times(), p.Pace, p.Priority)
		if ctx.Err() != nil && l == nil {
			close(settled)
			return posted{}, false
		}
		return posted{event: event{kind: evLocked}, lock: l, err: err, settled: settled}, true
	})
}

// A launched is what came of starting an action.
type launched struct {
	action Action
	err    error
}

// script runs an action of the package script, at most for limit. It returns its exit status,
// or hangs where it had to be killed. ok is false where ctx ended it. Starting it may hang too,
// on a disk that does: then what it starts in the end is killed at once.
func (m *Manager) script(ctx context.Context, action string, limit time.Duration) (code int, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
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
			m.Say("error: " + l.err.Error())
			return 127, true
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
		return a.Status(), true
	case <-over.C:
		a.Kill(scriptGrace)
		return hangs, true
	case <-ctx.Done():
		a.Kill(scriptGrace)
		return 0, false
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
		a, err := m.Scripts.Start(action, m.term, m.previous)
		begun <- launched{a, err}
	}()
	return begun
}

// discardAction kills an action that was started too late.
func discardAction(begun <-chan launched) {
	if l := <-begun; l.err == nil {
		l.action.Kill(0)
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
		m.Say("error: " + err.Error())
		return err.Error()
	}
	return alive
}

func isClosed(c chan struct{}) bool {
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
	settle := m.unsettled
	m.unsettled = false
	m.act(ctx, false, func(ctx context.Context) (event, bool) {
		if settle {
			if err := m.Scripts.Settle(); err != nil {
				m.Say("error: " + err.Error())
			}
		}
		if !sleep(ctx, wait) {
			return event{}, false
		}
		code, ok := m.script(ctx, action, limit)
		if code == hangs {
			return event{kind: hung}, ok
		}
		return event{kind: ended, code: code}, ok
	})
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

// killTime is when what is left of a package whose lock is lost gets TERM: k before the kill
// end, so that all of it, and the last status, are over by then.
func (m *Manager) killTime() lease.Time {
	_, kill := m.lock.Ends()
	return kill.Add(-m.params.killGrace())
}

func (m *Manager) armKillEnd(ctx context.Context) {
	at := m.killTime()
	m.post(ctx, slotKillEnd, func(ctx context.Context) (event, bool) {
		due := make(chan struct{})
		defer lease.At(m.Clock, at, func() { close(due) })()
		select {
		case <-due:
			return event{kind: evKillTime}, true
		case <-ctx.Done():
			return event{}, false
		}
	})
}

// check kills, in wait, whatever is left of the package, and asks for its status. Where the
// lock is lost that is over by the kill end; a status asked for after it has its time.
func (m *Manager) check(ctx context.Context, wait time.Duration) {
	grace, limit, lost := m.params.killGrace()/2, m.params.Timeout, m.state.lost
	_, kill := m.lock.Ends()
	m.act(ctx, true, func(ctx context.Context) (event, bool) {
		if !sleep(ctx, wait) {
			return event{}, false
		}
		alive := m.killAll(ctx, grace)
		if left := kill.Left(m.Clock.Now()); lost && left > 0 {
			limit = min(limit, left)
		}
		code, ok := m.script(ctx, "status", limit)
		return event{kind: evChecked, code: code, alive: alive}, ok
	})
}

// noteLimit is how long a release waits for the state files: a disk that hangs must not keep
// the lock.
const noteLimit = time.Second

// release tells the servers, for as long as it takes: the lock is renewed till then. The role
// on the disk is stand-by before another node can be active.
func (m *Manager) release(ctx context.Context) {
	l, lost := m.lock, m.state.lost
	m.post(ctx, slotRelease, func(ctx context.Context) (event, bool) {
		m.syncNotes(ctx)
		return event{kind: evReleased}, lost || l.Release(ctx) == nil
	})
}

// syncNotes waits until the state files are written, for a moment.
func (m *Manager) syncNotes(ctx context.Context) {
	written := make(chan struct{})
	go func() {
		if err := m.Notes.Sync(); err != nil {
			m.Say("error: " + err.Error())
		}
		close(written)
	}()
	limit := time.NewTimer(noteLimit)
	defer limit.Stop()
	select {
	case <-written:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// rest is the time before this node asks for the lock again: pace, and after failures of the
// package itself twice as long each time, up to a minute.
func (m *Manager) rest(ctx context.Context) {
	m.cancel(slotLost)
	m.cancel(slotKillEnd)
	m.cancel(slotChange)
	lost := m.state.lost
	m.lock = nil
	if m.ran {
		m.fails = 0
	}
	pause := m.params.Pace
	if !lost {
		pause = max(pause, min(pause<<min(m.fails, 10), time.Minute))
		m.fails++
	}
	m.ran = false
	m.after(ctx, slotRelease, pause, evRested)
}
