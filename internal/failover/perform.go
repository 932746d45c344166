package failover

import (
	"context"
	"fmt"
	"strings"
	"time"

	"backtowork/internal/lease"
)

// The loop never waits for what it began. Who waits instead, and what comes of it:
//
//	carryOut            begins what the machine asked for
//	postWhen            runs a wait in a goroutine, whose event then comes to the loop's inbox
//	postLockWhen        the same, where a lock comes with the event
//	queueAction         the same, for what kills or runs scripts: one at a time
//	queueScript         queues one script: its start, stop or status, with all that must come before
//	runScript           runs a script and waits for its end, within a goroutine of those
//	runScriptPatiently  does so again for as long as the script cannot be run at all
//	launchScript        starts a script in a goroutine of its own: that alone may hang, on a bad disk

// postWhen runs wait in a goroutine, with the slot's earlier use cancelled, and posts the event
// that it returns, if it returns one.
func (m *Manager) postWhen(ctx context.Context, s slot, wait func(context.Context) (event, bool)) {
	m.postLockWhen(ctx, s, func(ctx context.Context) (posted, bool) {
		e, ok := wait(ctx)
		return posted{event: e}, ok
	})
}

// postLockWhen is postWhen for a wait that brings a lock, or the error that ends the manager. One
// that comes when the loop has ended is given back.
func (m *Manager) postLockWhen(ctx context.Context, s slot, wait func(context.Context) (posted, bool)) {
	m.cancel(s)
	use, all := m.uses[s], ctx
	ctx, m.cancels[s] = context.WithCancel(ctx)
	m.tasks.Go(func() {
		p, ok := wait(ctx)
		if !ok {
			return
		}
		p.slot, p.use = s, use
		select {
		case m.inbox <- p:
		case <-all.Done():
			m.discard(p)
		}
	})
}

// queueAction is postWhen for what runs scripts or kills the package, in slotAction. What was there
// before is cancelled, and must have ended before wait begins: two scripts of one package must
// not run at once. Only what kills all of them (kills) does not wait for that.
func (m *Manager) queueAction(ctx context.Context, kills bool, wait func(context.Context) (event, bool)) {
	before, done := m.acting, make(chan struct{})
	m.acting = done
	m.postWhen(ctx, slotAction, func(ctx context.Context) (event, bool) {
		defer close(done)
		if !kills && before != nil {
			<-before
		}
		return wait(ctx)
	})
}

// cancel ends the slot's use: it is told to give up, and what it posts all the same is discarded.
func (m *Manager) cancel(s slot) {
	m.uses[s]++
	if stop := m.cancels[s]; stop != nil {
		stop()
	}
}

// after posts an event of that kind when d is over.
func (m *Manager) after(ctx context.Context, s slot, d time.Duration, kind eventKind) {
	m.postWhen(ctx, s, func(ctx context.Context) (event, bool) {
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

// carryOut begins one thing that the machine asked for, and waits for nothing.
func (m *Manager) carryOut(ctx context.Context, d do) {
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
		if m.dealt {
			m.token.Previous, m.token.Unfenced = m.Node, nil
		}
		m.killFirst = m.state.adopts
		m.queueScript(ctx, "start", 0, m.params.StartTimeout, evStarted, evStartTimeout)
	case doSettle:
		m.dealt = true
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
	case doForgive:
		m.fails = 0
		m.noteFails(0)
	case doExit:
	}
}

// seek asks for the lock. It first waits until a lock that an earlier seek brought was taken or given
// back: both are this session's, and that release would free the lock that is had by then.
func (m *Manager) seek(ctx context.Context) {
	p, before, settled := m.params, m.asked, make(chan struct{})
	m.asked = settled
	m.postLockWhen(ctx, slotSeek, func(ctx context.Context) (posted, bool) {
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

// resume asks for the lock of an earlier manager. Meanwhile it kills the scripts which that had begun, and
// waits for this in any case: a start that nobody waits for would go on beside the stop.
func (m *Manager) resume(ctx context.Context) {
	starting := m.From.Doing == Unknown || m.From.Doing == Starting
	killed := make(chan error, 1)
	go func() { killed <- m.Scripts.KillUnfinished(starting) }()
	m.postLockWhen(ctx, slotSeek, func(ctx context.Context) (posted, bool) {
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

// clear kills what is left of an earlier run, and then asks for the status: a mount or a flag on a disk is no
// process and cannot be killed, but may mean that the package is up here while another node has it.
func (m *Manager) clear(ctx context.Context) {
	grace, limit := m.params.killGrace(), m.params.Timeout
	again := m.cleared
	m.cleared = true
	m.queueAction(ctx, true, func(ctx context.Context) (event, bool) {
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

// alarm keeps other nodes from a package that cannot be shown to be down here: it resets this host,
// if the parameters say so; else it blocks the lock, if that is not lost already.
func (m *Manager) alarm(ctx context.Context) {
	why := strings.ReplaceAll(m.why, "\n", "; ")
	if m.Kept != nil {
		m.Kept(why, m.state.lost)
	}
	if m.params.SelfFence && m.Reset != nil {
		m.Say.Info("self_fence=reboot: resetting this host now.")
		m.Reset()
	}
	if m.state.lost {
		m.Notes.Put("blocked", why+"; the lock is lost: stop it by hand, now\n")
		return
	}
	m.alarmed = true
	l := m.lock
	m.Notes.Put("blocked", why+"\n")
	m.postWhen(ctx, slotBlock, func(ctx context.Context) (event, bool) {
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
	m.postWhen(ctx, slotSettled, func(ctx context.Context) (event, bool) {
		_ = l.Settled(ctx) // else those nodes stay named, which costs a fence at most
		return event{}, false
	})
}

// armKillEnd posts evKillTime when the kill time has come.
func (m *Manager) armKillEnd(ctx context.Context) {
	at := m.killTime()
	m.postWhen(ctx, slotKillEnd, func(ctx context.Context) (event, bool) {
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

// reaped is how long the parent of a killed process may take to wait for it. Until then kill -0, and a
// status script that uses it, find the process there.
const reaped = 300 * time.Millisecond

// check waits for wait, kills whatever is left of the package, and asks for its status. Where the lock is
// lost, the status must answer by the kill end; one that is asked for later has all its time. A status
// that says up though nothing of the package is alive is asked once more, see reaped.
func (m *Manager) check(ctx context.Context, wait time.Duration) {
	grace, limit, lost := m.params.killGrace()/2, m.params.Timeout, m.state.lost
	retries := m.params.Retries
	spare, letGo := !m.params.KillLeftovers && !lost, m.params.ReleaseAfterFailure && !m.params.SelfFence
	_, kill := m.lock.Ends()
	m.queueAction(ctx, true, func(ctx context.Context) (event, bool) {
		if !sleep(ctx, wait) {
			return event{}, false
		}
		alive := m.killUnlessSpared(ctx, spare, grace)
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
				alive = m.killUnlessSpared(ctx, spare, 0)
			}
		}
		return event{kind: evChecked, code: code, alive: alive, letGo: letGo, retries: retries}, ok
	})
}

// noteLimit is how long a release waits until the state files are written: a disk that hangs must
// not keep the lock.
const noteLimit = time.Second

// release gives the lock back, and renews it until the servers have taken note, however long that
// takes. The state files are written first: no two nodes' files are to say active at once.
func (m *Manager) release(ctx context.Context) {
	l, lost, blocked := m.lock, m.state.lost, m.alarmed
	m.postWhen(ctx, slotRelease, func(ctx context.Context) (event, bool) {
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

// syncNotes waits until the state files are written, but no longer than noteLimit.
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

// rest forgets the lock, and has this node ask for it again after a pause: pace, and after failures
// of the package itself twice as long each time, up to a minute.
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
