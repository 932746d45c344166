package failover

import "fmt"

// inEnding is next in failing and halting. A stop that failed ends in halted, not in another try here.
func inEnding(s step, e event) step {
	switch {
	case e.kind == evKillTime && s.phase == stopping: // its own time was not up: it may have begun late
		s.stopFailed = s.stopFailed || s.Pkg == Halting
		return s.tell("timeout waiting for package to stop.").in(checking).and(doCheck)
	case (e.kind == evKillTime || e.kind == evLook) && s.phase == keeping:
		return s.in(checking).and(doCheck)
	case e.kind == evStopped && s.phase == stopping && e.code == 0:
		return s.in(checking).and(doCheck)
	case e.kind == evStopped && s.phase == stopping && e.code == notRun:
		s.unstopped = true
		return s.tell("stop script could not be run.").in(checking).and(doCheck)
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
	cannotWork := e.code > degraded || e.code < 0
	isDown := e.code == down || cannotWork && !s.tried
	switch {
	case s.unstopped && s.tried && !s.lost && e.code >= 0:
		return s.tell("scripts can be run again.").stop()
	case isDown && e.alive == "":
	case e.letGo && !s.lost: // a lock that is lost is not let go of: all is to be down by the kill end
		s = s.tellError("the package cannot be shown to be down (" + whyNotDown(e) + "). stop_failure=release: letting go all the same.")
	default:
		if s.phase != keeping {
			s = s.tellError(keepLine(s.state, e)).and(doAlarm)
			s.why = whyNotDown(e)
		}
		s.began = false // once the lock was blocked it is not used any more
		return s.in(keeping).and(doLater)
	}
	if s.mayRestart(e) {
		return s.restart(e)
	}
	end := Failed
	if s.Pkg == Halting {
		end = Halted
	}
	return s.enter(end).in(releasing).and(doRelease)
}

// mayRestart says whether a package that failed is to be started again in place: it ran here, was stopped,
// is shown to be down, and the lock is still this node's. Whoever starts it looks at the lease once more.
func (s state) mayRestart(e event) bool {
	return s.Pkg == Failing && s.began && !s.lost && !s.unstopped && e.code == down && e.alive == "" && s.restarts < e.retries
}

func (s step) restart(e event) step {
	s.restarts++
	s.degraded = false
	return s.tell(fmt.Sprintf("package failed. restarting it here (%d of %d).", s.restarts, e.retries)).in("").enter(Starting).and(doStart)
}

func whyNotDown(e event) string {
	switch {
	case e.alive != "":
		return keptAlive(e)
	case e.code == hangs:
		return "its status hangs"
	case e.code == notRun:
		return "its status cannot be run"
	}
	return fmt.Sprintf("its status is %d, not 1", e.code)
}

func keptAlive(e event) string { return "still alive: " + e.alive }

func keepLine(s state, e event) string {
	why := whyNotDown(e)
	if s.lost {
		return "the package cannot be shown to be down (" + why + "), and the lock is lost! stop it by hand, now."
	}
	return "the package cannot be shown to be down (" + why + "). keeping the lock: no other node starts it. stop it by hand; it is looked at again every pace (service unblock: at once), and TERM runs the stop script again."
}

// inEnded is next in failed and halted.
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
