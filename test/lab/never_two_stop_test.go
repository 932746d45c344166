//go:build linux

package lab

import (
	"testing"
	"time"
)

// Case B2: a stop that fails, at service stop and at Ctrl-C, and one that only says that it did its
// work. What it left is killed, and then the lock is released: the next node runs it.
func stopFails(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "how=fail")
	l.beatConf("how=lie", "h3")
	ways := []func(host string){l.serviceStop, l.interrupt}
	for range 3 {
		lies := active == "h3"
		asked := time.Now()
		ways[0](active)
		ways = append(ways[1:], ways[0])
		next, at := l.beatsOn(10*time.Second, active)
		within(t, "runs on "+next+" after the stop of "+active, asked, at, takeOver)
		status := 1
		if lies {
			status = 0
			l.quiet(active, "stop script exited with error.")
		} else {
			l.says(active, "stop script exited with error.", 1, time.Second)
		}
		l.exits(active, status, 5*time.Second)
		l.start(active, "beat") // it stands by again
		active = next
	}
}

// serviceStop is service stop beat on a host, which it does not wait for.
func (l *lab) serviceStop(host string) {
	l.t.Helper()
	l.lab("bg", "-w", labHome, host, "stop", "./service", "stop", "beat")
}

// Case B3: a stop that hangs, of a process that is deaf to TERM: at service stop it is killed when
// stop_timeout is over. On a node that is cut off, at the kill end.
func stopHangs(t *testing.T, tr tree) {
	l, first := beatLab(t, tr, "how=hang\ndeaf=yes")
	asked := time.Now()
	l.serviceStop(first)
	active, at := l.beatsOn(15*time.Second, first)
	within(t, "dead after service stop", asked, l.lastBeat(first), quickS+2*time.Second)
	within(t, "runs on "+active, asked, at, quickS+2*time.Second+takeOver)
	l.says(first, "timeout waiting for package to stop.", 1, time.Second)
	l.exits(first, 1, 5*time.Second)

	l.cutOff(active, active)
	l.movesOn(active)
	l.says(active, "timeout waiting for package to stop.", 1, time.Second)
}
