package clinit

import "time"

// A State is how a process, that is what has become of an entry, stands.
type State string

// The states of a process.
const (
	Configured State = "CONFIGURED" // not begun
	Setup      State = "SETUP"      // about to be
	Running    State = "RUNNING"    // wait: what is below it in its group waits for its end
	Testing    State = "TESTING"    // test: likewise
	Readying   State = "READYING"   // begun; what is below it waits until its ready command succeeds
	Done       State = "DONE"       // wait: it has ended; once and respawn: it was begun
	Pass       State = "PASS"       // test: it ended with 0
	Fail       State = "FAIL"       // test: it ended otherwise
	Failed     State = "FAILED"     // it could not be run, or was not ready in time
	Pausing    State = "PAUSING"    // respawn: it has ended, and is not begun again yet
	Stopping   State = "STOPPING"   // it was signalled; it, or what it has started, is still there
)

// A process is all that the machine remembers of an entry.
type process struct {
	State    State
	Alive    bool      `json:",omitzero"` // the command itself runs
	Begun    bool      `json:",omitzero"` // it was begun, so something of it may be left
	Level    string    `json:",omitzero"` // the group's, when it was begun
	Restarts int       `json:",omitzero"` // how often it was begun again
	Died     time.Time `json:",omitzero"` // when it ended last
	Rapid    int       `json:",omitzero"` // Cluster::Init: deaths that followed the one before within a second, less the others
	starts   []time.Time
	rests    bool // pausing: until the timer
	signals  int  // how many of the signals of its stop were sent
	Held     bool `json:",omitzero"` // stopped by hand: not begun again until somebody says so, or its group has another level
	ThenGo   bool `json:",omitzero"` // stopping: to be begun again, after a restart by hand
	Unready  bool `json:",omitzero"` // it was begun, and has ended before it was ready, or was not ready in time
}

// settled says whether what is below it in its group need not wait for it.
func (p process) settled() bool {
	switch p.State {
	case Setup, Running, Testing, Readying, Stopping:
		return false
	case Configured:
		return p.Held
	}
	return true
}

// A kind is what can happen to a process.
type kind string

const (
	evStart    kind = "start"
	evStop     kind = "stop"
	evHold     kind = "hold"      // stop, by hand
	evRestart  kind = "restart"   // stop, and begin again
	evBegan    kind = "began"     // what doExec was to begin
	evNotRun   kind = "not run"   // it could not be
	evEnded    kind = "ended"     // the command itself
	evGone     kind = "gone"      // nothing of it is left
	evLeft     kind = "left"      // something of it is, though it has ended itself
	evTimer    kind = "timer"     // of doArm
	evReady    kind = "ready"     // its ready command has succeeded
	evNotReady kind = "not ready" // not in time
)

// kinds is every kind of event, for the table test.
var kinds = []kind{evStart, evStop, evHold, evRestart, evBegan, evNotRun, evEnded, evGone, evLeft, evTimer, evReady, evNotReady}

// An event is something that happened to a process.
type event struct {
	kind   kind
	status int // evEnded: exit status, 128 and more for a signal; unknown
	now    time.Time
}

// unknown is the status of a process that an earlier daemon has begun.
const unknown = -1

// A do is something for the daemon to do for a process. Those that end in an event say so.
type do string

const (
	doExec   do = "exec"   // -> evBegan or evNotRun; later evEnded
	doSignal do = "signal" // all of it
	doKill   do = "kill"   // all of it, with SIGKILL
	doLook   do = "look"   // -> evGone, or evLeft, and again until evGone
	doArm    do = "arm"    // -> evTimer; an earlier one is off
	doOff    do = "off"    // none of these is to come any more
	doReady  do = "ready"  // ask the ready command -> evReady or evNotReady
	doFlap   do = "flap"   // say that it respawns too rapidly
	doStuck  do = "stuck"  // say that SIGKILL does not end it
)

// An order is a do with what it needs.
type order struct {
	do    do
	stage int           // doSignal: 0 for its first signal, 1 for SIGTERM
	after time.Duration // doArm
}

// rules is what an entry says of how its process is to be kept.
type rules struct {
	mode        Mode
	ready       bool          // it has a ready command
	stopTimeout time.Duration // until SIGKILL; SIGTERM comes at a third of it
	hard        bool          // nothing comes between the first signal and SIGKILL, as in IS::Init
	backoff     time.Duration
	keepsLeft   bool // what is left of it when it has ended is nobody's concern
	perStart    bool // IS::Init's rule: more than five starts in ten seconds, whatever it died of
}

// A step is what follows an event.
type step struct {
	process
	orders []order
}

func (s step) and(d do) step { s.orders = append(s.orders, order{do: d}); return s }
func (s step) arm(after time.Duration) step {
	s.orders = append(s.orders, order{do: doArm, after: after})
	return s
}

func (s step) signal(stage int) step {
	s.orders = append(s.orders, order{do: doSignal, stage: stage})
	return s
}
func (s step) in(state State) step     { s.State = state; return s }
func (s step) ends(now time.Time) step { s.Alive, s.Died = false, now; return s }

// next says what follows e for p: the whole machine of a process. An event that a state does not wait for changes
// nothing, and what has ended does not end.
//
//	CONFIGURED --start--> SETUP --began--> RUNNING --ended--> DONE                 wait
//	                            --began--> TESTING --ended--> PASS, FAIL           test
//	                            --began--> (READYING --ready-->) DONE              once, respawn
//	                            --not run--> FAILED, and again after a pause       respawn
//	DONE --ended--> PAUSING --nothing left--> SETUP                                respawn
//	any --stop--> STOPPING --nothing left--> CONFIGURED
func next(p process, r rules, e event) step {
	here := step{process: p}
	if e.kind == evEnded && !p.Alive {
		return here
	}
	switch e.kind {
	case evStop, evHold, evRestart:
		return here.stop(r, e)
	}
	switch p.State {
	case Configured:
		if e.kind == evStart && r.mode != Off {
			return here.begin(r, e.now)
		}
	case Setup:
		return inSetup(here, r, e)
	case Running, Testing, Readying:
		return inTransition(here, r, e)
	case Done:
		switch {
		case e.kind == evEnded && r.mode == Respawn:
			return here.again(r, e.now)
		case e.kind == evEnded:
			return here.ends(e.now)
		}
	case Failed:
		switch {
		case e.kind == evEnded && r.mode == Respawn: // it was not ready in time, but runs on
			return here.again(r, e.now)
		case e.kind == evEnded:
			return here.ends(e.now)
		case e.kind == evTimer && r.mode == Respawn && !p.Alive:
			return here.beginAgain(r, e.now)
		}
	case Pausing:
		return inPausing(here, r, e)
	case Stopping:
		return inStopping(here, r, e)
	case Pass, Fail:
	}
	return here
}

// begin has the command run.
func (s step) begin(r rules, now time.Time) step {
	s.Held, s.rests, s.ThenGo = false, false, false
	if r.perStart {
		s.starts = append(within(s.starts, now), now)
	}
	return s.in(Setup).and(doExec)
}

func (s step) beginAgain(r rules, now time.Time) step {
	s.Restarts++
	return s.begin(r, now)
}

func inSetup(s step, r rules, e event) step {
	switch {
	case e.kind == evNotRun && r.mode == Respawn:
		return s.in(Failed).arm(r.backoff)
	case e.kind == evNotRun: // it concerns this entry and no other
		return s.in(Failed)
	case e.kind != evBegan:
		return s
	}
	s.Alive, s.Begun = true, true
	switch {
	case r.mode == Wait:
		return s.in(Running)
	case r.mode == Test:
		return s.in(Testing)
	case r.ready:
		return s.in(Readying).and(doReady)
	}
	return s.in(Done)
}

func inTransition(s step, r rules, e event) step {
	switch {
	case s.State == Readying && e.kind == evReady:
		s.Unready = false
		return s.in(Done)
	case s.State == Readying && e.kind == evNotReady:
		s.Unready = true
		return s.in(Failed)
	case e.kind != evEnded:
		return s
	case s.State == Readying && r.mode == Respawn:
		s.Unready = true
		return s.again(r, e.now)
	}
	s = s.ends(e.now)
	switch {
	case s.State == Readying:
		s.Unready = true
		return s.in(Failed).and(doOff)
	case s.State == Running:
		return s.in(Done)
	case e.status == unknown: // of a test that an earlier daemon has begun: only a run of ours says how it ends
		s.ThenGo = true
		return s.in(Stopping).and(doLook)
	case e.status == 0:
		return s.in(Pass)
	}
	return s.in(Fail)
}

// again is what follows the end of a respawn: it is begun again when nothing of it is left, and after a pause if it
// ends too often. The rule is Cluster::Init's: six ends more that came within a second of the one before than others.
func (s step) again(r rules, now time.Time) step {
	switch {
	case r.perStart:
		s.rests = len(within(s.starts, now)) > startsAtMost
	case !s.Died.IsZero() && now.Sub(s.Died) < time.Second:
		s.Rapid++
		s.rests = s.Rapid >= rapidAtMost
	default:
		s.Rapid = max(0, s.Rapid-1)
	}
	s = s.ends(now).in(Pausing).and(doOff)
	if s.rests {
		s = s.and(doFlap).arm(r.backoff)
		if r.perStart {
			s.starts = nil
		}
	}
	if r.keepsLeft {
		s.Begun = false
		return s.goOn(r, now)
	}
	return s.and(doLook)
}

const (
	rapidAtMost  = 6
	startsAtMost = 5                // IS::Init, in
	startsWindow = 10 * time.Second // this time
)

func within(starts []time.Time, now time.Time) (kept []time.Time) {
	for _, t := range starts {
		if now.Sub(t) < startsWindow {
			kept = append(kept, t)
		}
	}
	return kept
}

// goOn begins a pausing process again of which nothing is left, if it does not rest.
func (s step) goOn(r rules, now time.Time) step {
	if s.rests {
		return s
	}
	return s.beginAgain(r, now)
}

func inPausing(s step, r rules, e event) step {
	switch e.kind {
	case evGone:
		s.Begun = false
		if s.signals > 0 && !s.rests {
			s = s.and(doOff)
		}
		s.signals = 0
		return s.goOn(r, e.now)
	case evLeft:
		if s.signals == 0 && !s.rests {
			return s.climb(r)
		}
	case evTimer:
		switch {
		case s.rests:
			s.rests = false
			if s.Begun { // what was left is to go now
				return s.climb(r)
			}
			return s.goOn(r, e.now)
		case s.signals > 0:
			return s.climb(r)
		}
	}
	return s
}

// stop begins the end of a process.
func (s step) stop(r rules, e event) step {
	s.Held, s.ThenGo = e.kind == evHold, e.kind == evRestart && r.mode != Off
	if s.State == Stopping {
		return s
	}
	s.rests = false
	s = s.and(doOff)
	switch {
	case !s.Alive && (r.keepsLeft || !s.Begun):
		return s.stopped(r, e.now)
	case !s.Alive && s.signals == 0: // it is not known whether anything is left
		return s.in(Stopping).and(doLook)
	case s.signals > 0: // of a respawn whose rest is being ended
		return s.in(Stopping).and(doLook).arm(time.Second)
	}
	return s.in(Stopping).climb(r)
}

// climb sends the next signal of the stop: the first, SIGTERM at a third of the time, then SIGKILL each second.
func (s step) climb(r rules) step {
	s.signals++
	switch {
	case s.signals == 1 && r.hard:
		s.signals++
		return s.signal(0).arm(r.stopTimeout)
	case s.signals == 1:
		return s.signal(0).arm(r.stopTimeout / 3)
	case s.signals == 2:
		return s.signal(1).arm(r.stopTimeout - r.stopTimeout/3)
	case s.signals == stuckAfter:
		s = s.and(doStuck)
	}
	return s.and(doKill).arm(time.Second)
}

const stuckAfter = 8 // signals: SIGKILL was sent for five seconds

func inStopping(s step, r rules, e event) step {
	switch e.kind {
	case evEnded:
		s = s.ends(e.now)
		if !r.keepsLeft {
			return s.and(doLook)
		}
		return s.stopped(r, e.now)
	case evGone:
		if !s.Alive {
			return s.stopped(r, e.now)
		}
	case evLeft:
		if s.signals == 0 {
			return s.climb(r)
		}
	case evTimer:
		return s.climb(r)
	}
	return s
}

// stopped is what follows when nothing of a process that was stopped is left.
func (s step) stopped(r rules, now time.Time) step {
	s.Begun, s.signals = false, 0
	s = s.in(Configured).and(doOff)
	if s.ThenGo {
		return s.begin(r, now)
	}
	return s
}
