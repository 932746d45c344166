package failover

import (
	"syscall"
	"testing"
)

// breaks makes actions such that they cannot be run, for a reason; all others can be.
func (n *node) breaks(why string, actions ...string) {
	n.scripts.set(func() {
		n.scripts.broken = map[string]string{}
		for _, action := range actions {
			n.scripts.broken[action] = why
		}
	})
}

const cannotStatus = "error: the status script could not be run: no such file"

// A status that cannot be run for a while says nothing of the package: it is tried again each pace,
// and the log names the reason once.
func TestStatusNotRunForAWhile(t *testing.T) {
	for _, why := range []string{"no such file", "late: no such file"} {
		t.Run(why, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.run(dummy)
				n.until(1)
				n.breaks(why, "status")
				n.until(38)
				n.breaks("")
				n.until(100)
				n.want([]string{"could not", "> status", "state changes"}, "0 > status", "0 package state changes to starting.", "0 package state changes to running.",
					"0 > status", "6 "+cannotStatus, "42 > status", "42 > status", "48 > status", "54 > status", "60 > status", "66 > status", "72 > status", "78 > status",
					"84 > status", "90 > status", "96 > status")
				n.want([]string{"> stop", "lost", "released"})
			})
		})
	}
}

// When that lasts for timeout it is as one that hangs.
func TestStatusNotRunForTimeout(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.breaks("no such file", "status")
		n.until(45)
		n.want([]string{"> stop", "timeout"})
		n.until(47)
		n.has("46 error: timeout waiting for package good health.", "46 package state changes to failing.", "46 < stop 0")
		n.want([]string{"could not", "released"}, "6 "+cannotStatus, "46 "+cannotStatus) // a stop could be run meanwhile
		n.has("46 error: the package cannot be shown to be down (its status cannot be run). keeping the lock: no other node starts it. " +
			"stop it by hand; it is looked at again every pace (service unblock: at once), and TERM runs the stop script again.")
		n.breaks("")
		n.until(60)
		n.has("52 < status 1", "52 released: true")
	})
}

// At a take-over the same: it is given up, and given back.
func TestStatusNotRunAtFirst(t *testing.T) {
	bubble(t, func(n *node) {
		n.breaks("no such file", "status", "start", "stop")
		n.run(dummy)
		n.until(110)
		n.want([]string{"could not", "> ", "timeout", "released"}, "0 "+cannotStatus, "40 error: timeout waiting for package status.",
			"100 stop script could not be run.", "100 released: true")
	})
}

// A start that could not be run has begun nothing: the lock is given back though no status can be had.
func TestStartNotRun(t *testing.T) {
	bubble(t, func(n *node) {
		n.breaks("no such file", "start", "stop")
		n.run(dummy)
		n.until(59)
		n.breaks("no such file", "start", "stop", "status")
		n.until(61)
		n.want([]string{"could not", "> start", "> stop", "released", "shown"}, "0 error: the start script could not be run: no such file", "0 start script could not be run.",
			"60 stop script could not be run.", "60 released: true")
	})
}

// A stop that cannot be run is tried again.
func TestStopNotRunForAWhile(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.breaks("no process", "stop")
		n.signal(syscall.SIGTERM)
		n.until(15)
		n.breaks("")
		n.until(20)
		n.want([]string{"stop", "kill all", "released"}, "1 no stop", "1 error: the stop script could not be run: no process", "7 no stop", "13 no stop",
			"19 > stop", "19 < stop 0", "19 kill all", "19 released: true")
		n.wantEnd(0)
	})
}

// If it cannot for stop_timeout the lock is kept, and it is run when it can be: what it has to do no
// kill does for it.
func TestStopNotRunForLong(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.breaks("no process", "stop", "status")
		n.signal(syscall.SIGTERM)
		n.until(200)
		n.want([]string{"> stop", "released"})
		n.has("61 stop script could not be run.")
		n.breaks("no process", "stop")
		n.until(210)
		n.breaks("")
		n.until(300)
		n.want([]string{"> stop", "released"}, "211 > stop", "211 released: true")
		n.wantEnd(0)
	})
}

// After the lock was lost it is tried until the kill end, and not later.
func TestStopNotRunAfterLoss(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.breaks("no process", "stop")
		n.locker.setCut(true)
		n.until(97)
		n.breaks("")
		n.until(200)
		n.want([]string{"> stop", "lost", "timeout", "shown"}, "40 error: lock lost. failing package.", "98 timeout waiting for package to stop.")
	})
}
