// Package failover runs one package on one node: it waits for the package's lock, starts the
// package, watches it, and stops it when it fails, when the lock is lost, or when it is told to.
//
//	resuming -- the lock is still ours --> unknown; found up it is running, and not started again
//	         -- it is not ----------------> failing, with a kill end
//	clearing -- what was left is killed --> stand-by
//
//	                       TERM                                     TERM
//	stand-by -----------------------------------------> (exit)  <---------.
//	   |  ^                                                ^              |
//	   |  |  rested                                        | released     |
//	   |  '---------------------- failed ---.              |              |
//	   | lock taken                 ^       '----------> halted           |
//	   v         down               | down, nothing left   ^ down, nothing left
//	unknown ----------> starting    |                      |              |
//	   |                   |        |                      |              |
//	   |                   v        |         TERM         |              |
//	   |                running     |   .--------------> halting <--------'
//	   |   not down,       | fails, |   |                  ^
//	   |   hangs, lost     | lost   |   |                  | critical, TERM,
//	   '-------------------'---> failing                   | or a stop that failed
//
// [next] is the whole machine: a pure function that says what follows an event and what to do
// about it. A [Manager] is the loop that drives it. In failing and halting the stop script
// runs first; then what is left is killed and the status asked. Only a package that status
// calls down, and of which nothing is alive, lets go of its lock (SAFETY.md rule 15); until
// then the node keeps the lock, which the servers are told is blocked, and looks again every pace.
//
// A package that ran, and failed, goes from failing to starting for as long as it has retries, once it is shown to be
// down: under the same lock, which no other node has had meanwhile. Else it goes to failed, and the lock to who wants it.
//
// A manager begins as stand-by. One that takes the place of an earlier one, which died with its
// package running, begins as resuming (rule 18); one that finds processes of the package, and
// cannot tell under which lock they ran, as clearing.
package failover

import (
	"cmp"
	"fmt"

	"backtowork/internal/journal"
)

// A PkgState is what temp/lockdir_P/pkg_state says.
type PkgState string

// The states of a package, in the users' words.
const (
	StandBy  PkgState = "" // another node has the lock, or nobody yet
	Unknown  PkgState = "unknown"
	Starting PkgState = "starting"
	Running  PkgState = "running"
	Failing  PkgState = "failing"
	Failed   PkgState = "failed"
	Halting  PkgState = "halting"
	Halted   PkgState = "halted"
	Gone     PkgState = "gone" // the manager ends
)

// A phase is how far the package is within its state.
type phase string

const (
	clearing  phase = "clearing"  // of stand-by: what is left from before is killed
	resuming  phase = "resuming"  // of unknown: is the lock still this node's?
	stopping  phase = "stopping"  // the stop script runs
	checking  phase = "checking"  // what is left is killed, then the status asked
	keeping   phase = "keeping"   // it could not be shown to be down: the lock is kept
	releasing phase = "releasing" // the servers are told
	resting   phase = "resting"   // before asking for the lock again
)

// A state is all that the machine remembers.
type state struct {
	Pkg        PkgState
	phase      phase
	lost       bool // the lock is lost: there is nothing to release, and a kill end
	tried      bool // a start was tried, or status said up or degraded: something may be left
	stopFailed bool
	unstopped  bool // the stop script could not be run
	degraded   bool
	began      bool     // it was running under this lock, and was always shown to be down since
	restarts   int      // how often it was started again in place, without a long run since
	adopts     bool     // an earlier manager may have left the package running: found up, it stays so
	ends       PkgState // failing or halting: to be entered once clearing or resuming is over; "" for neither
}

// active says whether the node's role is active.
func (s state) active() bool {
	return s.holds() && s.phase != releasing
}

// holds says whether there is a lock to lose.
func (s state) holds() bool { return s.Pkg != StandBy && s.Pkg != Gone && s.phase != resting }

// An eventKind is something that the machine reacts to.
type eventKind string

const (
	evLocked       eventKind = "lock taken"
	evLost         eventKind = "lock lost"
	evTerm         eventKind = "signal"        // HUP, INT or TERM
	evStatus       eventKind = "status"        // status ended, with a code
	evStatusHangs  eventKind = "status hangs"  // for timeout
	evUnhealthy    eventKind = "unhealthy"     // degraded for timeout
	evStarted      eventKind = "start ended"   // with a code
	evStartTimeout eventKind = "start timeout" // start_timeout
	evStopped      eventKind = "stop ended"    // with a code
	evStopTimeout  eventKind = "stop timeout"  // stop_timeout
	evKillTime     eventKind = "kill time"     // shortly before the kill end
	evChecked      eventKind = "checked"       // what is left was killed and status asked
	evReleased     eventKind = "lock released"
	evRested       eventKind = "rested"
	evResumed      eventKind = "lock resumed" // the lock of an earlier manager is ours
	evForfeited    eventKind = "forfeited"    // or is not
	evCleared      eventKind = "cleared"      // what was left was killed
	evLook         eventKind = "look"         // somebody has stopped it by hand, and says so
	evWell         eventKind = "ran well"     // for timeout
	evSteady       eventKind = "ran long"     // for so long that its restarts are forgotten
)

// events is every kind of event, for the table test.
var events = []eventKind{
	evLocked, evLost, evTerm, evStatus, evStatusHangs, evUnhealthy, evStarted, evStartTimeout,
	evStopped, evStopTimeout, evKillTime, evChecked, evReleased, evRested,
	evResumed, evForfeited, evCleared, evLook, evWell, evSteady,
}

// An event is something that happened, with what the machine needs to know of it.
type event struct {
	kind    eventKind
	code    int    // evStatus, evStarted, evStopped, evChecked: exit status, or notRun; evChecked: or hangs
	signal  string // evTerm: its name
	alive   string // evChecked, evCleared: what of the package is still alive; "" for nothing
	letGo   bool   // evChecked: the lock is not to be kept for it (stop_failure=release)
	retries int    // evChecked: how often it may be started again in place
}

// The exit statuses of a status script. All others are critical.
const (
	up       = 0
	down     = 1
	degraded = 2
	hangs    = -1 // it did not end in time
	notRun   = -2 // it could not be run, and so has done nothing
)

// A do is something for the loop to do. Those that end in an event say so.
type do string

const (
	doSeek    do = "seek"    // ask for the lock -> evLocked
	doGiveUp  do = "give up" // stop asking for it
	doStatus  do = "status"  // at once -> evStatus or evStatusHangs
	doWatch   do = "watch"   // status again, a pace after the last began
	doStart   do = "start"   // -> evStarted or evStartTimeout
	doSettle  do = "settle"  // what start left running is the service
	doStop    do = "stop"    // after killing the script that runs -> evStopped or evStopTimeout
	doCheck   do = "check"   // after killing everything -> evChecked
	doLater   do = "later"   // check again in a pace
	doSick    do = "sick"    // in timeout -> evUnhealthy
	doWell    do = "well"    // no evUnhealthy any more
	doRelease do = "release" // unless it is lost -> evReleased, or evLost
	doRest    do = "rest"    // -> evRested
	doKillEnd do = "arm"     // -> evKillTime
	doResume  do = "resume"  // -> evResumed or evForfeited
	doClear   do = "clear"   // -> evCleared
	doAlarm   do = "alarm"   // it could not be shown to be down: the servers are told, or the host is reset
	doForgive do = "forgive" // the failures until now do not count
	doExit    do = "exit"
)

// A step is what follows an event: the next state, what to do, and what to tell.
type step struct {
	state
	do  []do
	say []journal.Line // level and text
	why string         // of doAlarm
}

func (s step) and(d ...do) step         { s.do = append(s.do, d...); return s }
func (s step) tell(text string) step    { return s.told(journal.Info, text) }
func (s step) tellError(t string) step  { return s.told(journal.Error, t) }
func (s step) enter(p PkgState) step    { s.Pkg = p; return s }
func (s step) in(p phase) step          { s.phase = p; return s }
func (s step) begin(p PkgState) step    { return s.enter(p).in(stopping).and(doWell, doStop) }
func (s step) stop() step               { s.unstopped = false; return s.in(stopping).and(doStop) }
func (s step) runs() step               { s.began = true; return s.enter(Running) }
func (s step) stopWasBad(l string) step { s.stopFailed = true; s.Pkg = Halting; return s.tell(l) }

func (s step) told(level journal.Level, text string) step {
	s.say = append(s.say, journal.Line{Level: level, Text: text})
	return s
}

// next says what follows e in s. An event that a state does not wait for changes nothing.
func next(s state, e event) step {
	here := step{state: s}
	switch {
	case e.kind == evTerm:
		return onSignal(here, e)
	case e.kind == evLost:
		return onLost(here)
	}
	switch s.Pkg {
	case StandBy:
		return inStandBy(here, e)
	case Unknown:
		if s.phase == resuming {
			return inResuming(here, e)
		}
		return inUnknown(here, e)
	case Starting:
		return inStarting(here, e)
	case Running:
		return inRunning(here, e)
	case Failing, Halting:
		return inEnding(here, e)
	case Failed, Halted:
		return inEnded(here, e)
	case Gone:
	}
	return here
}

const criticalLine = "package status is critical! manual intervention required!"

func inStandBy(s step, e event) step {
	switch {
	case e.kind == evLocked && s.phase == "":
		s.state = state{Pkg: Unknown}
		return s.tell("got lock. switch to active node.").and(doStatus)
	case e.kind == evCleared && s.phase == clearing && s.ends != "":
		s = s.in("").enter(Gone).and(doExit)
		if s.ends = ""; e.alive != "" {
			s.stopFailed = true
			return s.tellError("of an earlier run is " + keptAlive(e) + ". stop it by hand, now: another node may have it.")
		}
		return s
	case e.kind == evCleared && s.phase == clearing && e.alive != "":
		return s.tellError("of an earlier run is " + keptAlive(e) + ". stop it by hand: this node does not stand by until then.").and(doClear)
	case e.kind == evCleared && s.phase == clearing:
		return s.in("").and(doSeek)
	}
	return s
}

// inResuming is next for a manager that has taken the place of another. What it finds of the package was
// started under a lock: that is still this node's, or all of it must be gone by the kill end.
func inResuming(s step, e event) step {
	end := cmp.Or(s.ends, Failing)
	switch {
	case e.kind == evForfeited:
		s.lost, s.tried = true, true
		return s.tellError("lock lost. failing package.").and(doKillEnd).begin(end)
	case e.kind == evResumed && s.ends != "":
		s.tried = true
		return s.begin(end)
	case e.kind == evResumed:
		s.tried = true
		return s.tell("the lock is still this node's.").in("").and(doStatus)
	}
	return s
}

func inUnknown(s step, e event) step {
	if s.adopts && e.kind == evStatus && (e.code == up || e.code == degraded) {
		s = s.tell("the package is up: going on with it.").runs()
		return inRunning(s, e)
	}
	switch {
	case e.kind == evStatusHangs:
		return s.tellError("timeout waiting for package status.").begin(Failing)
	case e.kind != evStatus:
		return s
	case e.code == down:
		s.tried = true
		return s.enter(Starting).and(doStart)
	case e.code == up || e.code == degraded:
		s.tried = true
		return s.tell("package status is not down.").begin(Failing)
	}
	return s.tell(criticalLine).begin(Halting)
}

func inStarting(s step, e event) step {
	switch {
	case e.kind == evStartTimeout:
		return s.tell("timeout waiting for package to start.").begin(Failing)
	case e.kind != evStarted:
		return s
	case e.code == 0:
		return s.runs().and(doSettle, doStatus)
	case e.code == notRun:
		s.tried = false // it was down a moment ago
		return s.tell("start script could not be run.").begin(Failing)
	}
	return s.tell("start script exited with error.").begin(Failing)
}

func inRunning(s step, e event) step {
	const sick = "timeout waiting for package good health."
	switch {
	case e.kind == evStatusHangs, e.kind == evUnhealthy:
		return s.tellError(sick).begin(Failing)
	case e.kind == evWell:
		return s.and(doForgive)
	case e.kind == evSteady:
		s.restarts = 0
		return s
	case e.kind != evStatus:
		return s
	case e.code == up && s.degraded:
		s.degraded = false
		return s.tell("package status is healthy again.").and(doWell, doWatch)
	case e.code == up:
		return s.and(doWatch)
	case e.code == down:
		return s.tell("package status is unexpectedly down!").begin(Failing)
	case e.code == degraded && !s.degraded:
		s.degraded = true
		return s.tell("package status degraded...").and(doSick, doWatch)
	case e.code == degraded:
		return s.tell("package status degraded...").and(doWatch)
	}
	return s.tell(criticalLine).begin(Halting)
}

func onSignal(s step, e event) step {
	const line = "received signal SIG%s. starting halt sequence."
	switch s.Pkg {
	case StandBy:
		s = s.tell(fmt.Sprintf(line, e.signal))
		if s.phase == clearing { // what is left is seen to first
			s.ends = Halting
			return s
		}
		return s.enter(Gone).and(doGiveUp, doExit)
	case Unknown, Starting, Running:
		s = s.tell(fmt.Sprintf(line, e.signal))
		if s.phase == resuming {
			s.ends = Halting
			return s
		}
		return s.begin(Halting)
	case Failing, Halting:
		again := s.phase == keeping && !s.lost
		if s.Pkg == Failing || again {
			s = s.tell(fmt.Sprintf(line, e.signal))
		}
		s = s.enter(Halting)
		if again {
			return s.stop()
		}
	case Failed:
		s = s.tell(fmt.Sprintf(line, e.signal))
		if s.phase == resting {
			return s.enter(Gone).and(doExit)
		}
		return s.enter(Halted)
	case Halted, Gone:
	}
	return s
}

func onLost(s step) step {
	if !s.holds() || s.phase == resuming {
		return s
	}
	wasLost := s.lost
	s.lost = true
	switch s.Pkg {
	case Unknown, Starting, Running:
		return s.tellError("lock lost. failing package.").and(doKillEnd).begin(Failing)
	case Failing, Halting:
		if !wasLost {
			return s.tellError("lock lost.").and(doKillEnd)
		}
	case Failed, Halted:
		if s.phase == releasing {
			return afterRelease(s)
		}
	case StandBy, Gone:
	}
	return s
}
