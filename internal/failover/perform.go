package failover

import (
	"context"
	"fmt"
	"strings"
	"time"

	"backtowork/internal/lease"
)

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
		m.killFirst = m.state.adopts
		m.run(ctx, "start", 0, m.params.StartTimeout, evStarted, evStartTimeout)
	case doSettle:
		m.unsettled, m.unseen = true, true
		m.settled(ctx)
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
	case doResume:
		m.resume(ctx)
	case doClear:
		m.clear(ctx)
	case doAlarm:
		m.alarm(ctx)
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

// resume asks for the lock of an earlier manager. What that had begun is killed at once, and nothing else
// begins before that is done, whether the lock is had or not: a start that nobody waits for would go on
// beside the stop.
func (m *Manager) resume(ctx context.Context) {
	starting := m.From.Doing == Unknown || m.From.Doing == Starting
	killed := make(chan error, 1)
	go func() { killed <- m.Scripts.KillUnfinished(starting) }()
	m.send(ctx, slotSeek, func(ctx context.Context) (posted, bool) {
		l := m.Locker.Resume(ctx, m.Package, m.params.Pace)
		if ctx.Err() != nil {
			return posted{}, false
		}
		if err := <-killed; err != nil {
			m.Say.Error(err.Error())
		}
		kind := evResumed
		if isClosed(l.Lost()) {
			kind = evForfeited
		}
		return posted{event: event{kind: kind}, lock: l, settled: make(chan struct{})}, true
	})
}

// clear kills what is left of an earlier run, and asks whether that is all: what is no process, a flag or a mount,
// nothing kills, and another node may have the package.
func (m *Manager) clear(ctx context.Context) {
	grace, limit := m.params.killGrace(), m.params.Timeout
	again := m.cleared
	m.cleared = true
	m.act(ctx, true, func(ctx context.Context) (event, bool) {
		if again && !sleep(ctx, m.params.Pace) {
			return event{}, false
		}
		alive := m.killAll(ctx, grace)
		if alive == "" {
			if code, ok := m.statusOf(ctx, limit); ok && (code == up || code == degraded) {
				alive = fmt.Sprintf("what its status says (%d)", code)
			}
		}
		return event{kind: evCleared, alive: alive}, true
	})
}

// alarm is for a package that cannot be shown to be down here: the host is reset, if that was
// asked for; else the lock is blocked, for as long as there is a lock.
func (m *Manager) alarm(ctx context.Context) {
	if m.params.SelfFence && m.Reset != nil {
		m.Say.Info("self_fence=reboot: resetting this host now.")
		m.Reset()
	}
	if m.state.lost {
		return
	}
	m.alarmed = true
	l, why := m.lock, strings.ReplaceAll(m.why, "\n", "; ")
	m.Notes.Put("blocked", why+"\n")
	m.post(ctx, slotBlock, func(ctx context.Context) (event, bool) {
		if err := l.Block(ctx, why); err != nil && ctx.Err() == nil {
			m.Say.Error("the lock servers do not know that the lock is blocked: " + err.Error())
		}
		return event{}, false
	})
}

// killTime is when what is left of a package whose lock is lost gets TERM: k before the kill
// end, so that all of it, and the last status, are over by then.
func (m *Manager) killTime() lease.Time {
	_, kill := m.lock.Ends()
	return kill.Add(-m.params.killGrace())
}

// settled tells the servers that the package has begun here.
func (m *Manager) settled(ctx context.Context) {
	l := m.lock
	m.post(ctx, slotSettled, func(ctx context.Context) (event, bool) {
		_ = l.Settled(ctx) // else those nodes stay named, which costs a fence at most
		return event{}, false
	})
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

// reaped is how long it may take until the parent of what was killed has taken note: for kill -0, and a
// status that uses it, it is there till then.
const reaped = 300 * time.Millisecond

// check kills, in wait, whatever is left of the package, and asks for its status. Where the
// lock is lost that is over by the kill end; a status asked for after it has its time. A package that is
// up though nothing of it is left is asked twice.
func (m *Manager) check(ctx context.Context, wait time.Duration) {
	grace, limit, lost := m.params.killGrace()/2, m.params.Timeout, m.state.lost
	spare, letGo := !m.params.KillLeftovers && !lost, m.params.ReleaseAfterFailure && !m.params.SelfFence
	_, kill := m.lock.Ends()
	m.act(ctx, true, func(ctx context.Context) (event, bool) {
		if !sleep(ctx, wait) {
			return event{}, false
		}
		alive := m.what(ctx, spare, grace)
		within := func() time.Duration {
			if left := kill.Left(m.Clock.Now()); lost && left > 0 {
				return min(limit, left)
			}
			return limit
		}
		code, ok := m.statusOf(ctx, within())
		if ok && code == 0 && alive == "" && wait == 0 && sleep(ctx, min(reaped, within()/2)) {
			code, ok = m.statusOf(ctx, within())
		}
		if ok && alive == "" { // the status itself may have left something
			if left, err := m.Scripts.Alive(); left != "" || err != nil {
				alive = m.what(ctx, spare, 0)
			}
		}
		return event{kind: evChecked, code: code, alive: alive, letGo: letGo}, ok
	})
}

// noteLimit is how long a release waits for the state files: a disk that hangs must not keep
// the lock.
const noteLimit = time.Second

// release tells the servers, for as long as it takes: the lock is renewed till then. The role
// on the disk is stand-by before another node can be active.
func (m *Manager) release(ctx context.Context) {
	l, lost, blocked := m.lock, m.state.lost, m.alarmed
	m.post(ctx, slotRelease, func(ctx context.Context) (event, bool) {
		if lost { // who watches is to know that before a disk that is slow
			l.Done()
		}
		m.syncNotes(ctx)
		if lost && blocked { // the servers keep it for this node all the same
			ctx, cancel := context.WithTimeout(ctx, discardLimit)
			defer cancel()
			_ = l.Release(ctx) // else somebody unblocks it
		}
		return event{kind: evReleased}, lost || l.Release(ctx) == nil
	})
}

// syncNotes waits until the state files are written, for a moment.
func (m *Manager) syncNotes(ctx context.Context) {
	written := make(chan struct{})
	go func() {
		if err := m.Notes.Sync(); err != nil {
			m.Say.Error(err.Error())
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
	m.cancel(slotBlock)
	m.cancel(slotSettled)
	lost := m.state.lost
	m.lock.Done()
	m.lock, m.From = nil, nil // what an earlier manager left was of that lock alone
	m.alarmed = false
	m.Notes.Put("blocked", "")
	if m.ran {
		m.fails = 0
	}
	pause := m.params.Pace
	if !lost {
		pause = max(pause, min(pause<<min(m.fails, 10), time.Minute))
		m.fails++
	}
	m.noteFails(pause)
	m.ran = false
	m.after(ctx, slotRelease, pause, evRested)
}

// noteFails tells users how often the package failed here, and for how many seconds this node rests.
func (m *Manager) noteFails(pause time.Duration) {
	if m.fails == 0 {
		m.Notes.Put("failures", "")
		return
	}
	m.Notes.Put("failures", fmt.Sprintf("%d %d\n", m.fails, int(pause.Seconds())))
}
