// Package failover runs one package on one node: it waits for the package's lock, starts the
// package, watches it, and stops it when it fails, when the lock is lost, or when it is told to.
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
// then the node keeps the lock and looks again every pace.
package failover

import "fmt"

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

// A phase is how far failing, halting, failed and halted are.
type phase string

const (
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
	degraded   bool
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
)

// events is every kind of event, for the table test.
var events = []eventKind{
	evLocked, evLost, evTerm, evStatus, evStatusHangs, evUnhealthy, evStarted, evStartTimeout,
	evStopped, evStopTimeout, evKillTime, evChecked, evReleased, evRested,
}

// An event is one, with what the machine needs to know of it.
type event struct {
	kind   eventKind
	code   int    // evStatus, evStarted, evStopped, evChecked: exit status; evChecked: statusHangs
	signal string // evTerm: its name
	alive  string // evChecked: what of the package is still alive; "" for nothing
}

// The exit statuses of a status script. All others are critical.
const (
	up       = 0
	down     = 1
	degraded = 2
	hangs    = -1 // no exit status at all
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
	doExit    do = "exit"
)

// A step is what follows an event: the next state, what to do, and what to tell.
type step struct {
	state
	do  []do
	say []string
}

func (s step) and(d ...do) step         { s.do = append(s.do, d...); return s }
func (s step) tell(line string) step    { s.say = append(s.say, line); return s }
func (s step) enter(p PkgState) step    { s.Pkg = p; return s }
func (s step) in(p phase) step          { s.phase = p; return s }
func (s step) begin(p PkgState) step    { return s.enter(p).in(stopping).and(doWell, doStop) }
func (s step) stopWasBad(l string) step { s.stopFailed = true; s.Pkg = Halting; return s.tell(l) }

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
		if e.kind == evLocked {
			here.state = state{Pkg: Unknown}
			return here.tell("got lock. switch to active node.").and(doStatus)
		}
	case Unknown:
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

func inUnknown(s step, e event) step {
	switch {
	case e.kind == evStatusHangs:
		return s.tell("error: timeout waiting for package status.").begin(Failing)
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
		return s.enter(Running).and(doSettle, doStatus)
	}
	return s.tell("start script exited with error.").begin(Failing)
}

func inRunning(s step, e event) step {
	const sick = "error: timeout waiting for package good health."
	switch {
	case e.kind == evStatusHangs, e.kind == evUnhealthy:
		return s.tell(sick).begin(Failing)
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

// inEnding is failing and halting. A stop that failed ends in halted, not in another try here.
func inEnding(s step, e event) step {
	switch {
	case e.kind == evKillTime && s.phase == stopping:
		return s.stopWasBad("timeout waiting for package to stop.").in(checking).and(doCheck)
	case e.kind == evKillTime && s.phase == keeping:
		return s.in(checking).and(doCheck)
	case e.kind == evStopped && s.phase == stopping && e.code == 0:
		return s.in(checking).and(doCheck)
	case e.kind == evStopped && s.phase == stopping:
		return s.stopWasBad("stop script exited with error.").in(checking).and(doCheck)
	case e.kind == evStopTimeout && s.phase == stopping:
		return s.stopWasBad("timeout waiting for package to stop.").in(checking).and(doCheck)
	case e.kind == evChecked && s.phase != stopping:
		return afterCheck(s, e)
	}
	return s
}

// afterCheck lets go of a package that is shown to be down, and of no other. One that merely
// cannot work here (status critical, or hanging, before any start) has left nothing to be
// afraid of (rule 16).
func afterCheck(s step, e event) step {
	s.tried = s.tried || e.code == up || e.code == degraded
	cannotWork := e.code > degraded || e.code == hangs
	isDown := e.code == down || cannotWork && !s.tried
	if !isDown || e.alive != "" {
		if s.phase != keeping {
			s = s.tell(keepLine(s.state, e))
		}
		return s.in(keeping).and(doLater)
	}
	end := Failed
	if s.Pkg == Halting {
		end = Halted
	}
	return s.enter(end).in(releasing).and(doRelease)
}

func keepLine(s state, e event) string {
	why := fmt.Sprintf("its status is %d, not 1", e.code)
	switch {
	case e.alive != "":
		why = "still alive: " + e.alive
	case e.code == hangs:
		why = "its status hangs"
	}
	if s.lost {
		return "error: the package cannot be shown to be down (" + why + "), and the lock is lost! stop it by hand, now."
	}
	return "error: the package cannot be shown to be down (" + why + "). keeping the lock: no other node starts it. stop it by hand; it is looked at again every pace, and TERM runs the stop script again."
}

// inEnded is failed and halted.
func inEnded(s step, e event) step {
	switch {
	case e.kind == evReleased && s.phase == releasing:
		return afterRelease(s)
	case e.kind == evRested && s.Pkg == Failed && s.phase == resting:
		s.state = state{Pkg: StandBy}
		return s.and(doSeek)
	}
	return s
}

func afterRelease(s step) step {
	if s.Pkg == Halted {
		return s.tell("package halted. exit.").enter(Gone).and(doExit)
	}
	return s.tell("package failed. restarting as stand-by.").in(resting).and(doRest)
}

func onSignal(s step, e event) step {
	const line = "received signal SIG%s. starting halt sequence."
	switch s.Pkg {
	case StandBy:
		return s.tell(fmt.Sprintf(line, e.signal)).enter(Gone).and(doGiveUp, doExit)
	case Unknown, Starting, Running:
		return s.tell(fmt.Sprintf(line, e.signal)).begin(Halting)
	case Failing, Halting:
		again := s.phase == keeping && !s.lost
		if s.Pkg == Failing || again {
			s = s.tell(fmt.Sprintf(line, e.signal))
		}
		s = s.enter(Halting)
		if again {
			return s.in(stopping).and(doStop)
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
	if !s.holds() {
		return s
	}
	wasLost := s.lost
	s.lost = true
	switch s.Pkg {
	case Unknown, Starting, Running:
		return s.tell("error: lock lost. failing package.").and(doKillEnd).begin(Failing)
	case Failing, Halting:
		if !wasLost {
			return s.tell("error: lock lost.").and(doKillEnd)
		}
	case Failed, Halted:
		if s.phase == releasing {
			return afterRelease(s)
		}
	case StandBy, Gone:
	}
	return s
}
