package failover

import (
	"syscall"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/sim/virtual"
)

const (
	keepStatus = "error: the package cannot be shown to be down (its status is 0, not 1). keeping the lock: no other node starts it. " +
		"stop it by hand; it is looked at again every pace (service unblock: at once), and TERM runs the stop script again."
	keepAlive = "error: the package cannot be shown to be down (still alive: sleep (pid 7)). keeping the lock: no other node starts it. " +
		"stop it by hand; it is looked at again every pace (service unblock: at once), and TERM runs the stop script again."
)

// runUntilStop runs a package that is told to halt at 1, with a stop that fails.
func runUntilStop(n *node, change func()) {
	change()
	n.scripts.acts["stop"] = act{code: 1}
	n.run(dummy)
	n.until(1)
	n.signal(syscall.SIGTERM)
}

// What cannot be shown to be down keeps its lock, and is looked at again every pace.
func TestKeepsWhatIsUp(t *testing.T) {
	bubble(t, func(n *node) {
		runUntilStop(n, func() { n.scripts.sticky = true })
		n.until(14)
		n.want([]string{"stop", "kill all", "> status", "cannot be shown", "released"}, "0 > status", "0 > status", "1 > stop", "1 < stop 1",
			"1 stop script exited with error.", "1 kill all", "1 > status", "1.3 > status", "1.3 "+keepStatus,
			"7.3 kill all", "7.3 > status", "13.3 kill all", "13.3 > status")
		n.until(600)
		n.want([]string{"lost", "released"}) // and it is renewed all the time
		n.scripts.set(func() { n.scripts.sticky = false })
		n.until(602)
		n.wantEnd(1)
		n.has("601.3 released: true", "601.3 package halted. exit.")
	})
}

func TestKeepsWhatIsAlive(t *testing.T) {
	bubble(t, func(n *node) {
		runUntilStop(n, func() { n.scripts.tough = "sleep (pid 7)" })
		n.until(300)
		n.want([]string{"cannot be shown", "lost", "released"}, "1 "+keepAlive)
		n.scripts.set(func() { n.scripts.tough = "" })
		n.until(302)
		n.wantEnd(1)
	})
}

// The same with a stop that says that all went well: its word is not enough.
func TestKeepsAfterAGoodStop(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.sticky = true
		n.run(dummy)
		n.until(1)
		n.signal(syscall.SIGTERM)
		n.until(100)
		n.has("1 < stop 0", "1.3 "+keepStatus)
		n.want([]string{"released"})
		n.scripts.set(func() { n.scripts.sticky = false })
		n.until(104)
		n.wantEnd(0)
	})
}

// A stop that failed, of a package that is down for all that: released, and told by the status.
func TestStopFailsButIsDown(t *testing.T) {
	bubble(t, func(n *node) {
		runUntilStop(n, func() {})
		n.wantEnd(1)
		n.has("1 < stop 1", "1 kill all", "1 < status 1", "1 released: true")
	})
}

func TestTermRunsTheStopAgain(t *testing.T) {
	bubble(t, func(n *node) {
		runUntilStop(n, func() { n.scripts.sticky = true })
		n.until(3)
		n.scripts.set(func() { n.scripts.acts["stop"] = act{takes: 2 * time.Second}; n.scripts.sticky = false })
		n.signal(syscall.SIGTERM)
		n.until(5)
		n.wantEnd(1) // one of its stops failed
		n.want([]string{"received", "> stop", "< stop", "released"}, "1 received signal SIGTERM. starting halt sequence.", "1 > stop", "1 < stop 1",
			"3 received signal SIGTERM. starting halt sequence.", "3 > stop", "5 < stop 0", "5 released: true")
	})
}

// TERM comes while the package is looked at again: one script at a time all the same.
func TestTermWhileLookingAgain(t *testing.T) {
	bubble(t, func(n *node) {
		runUntilStop(n, func() { n.scripts.sticky = true })
		n.until(3)
		n.scripts.set(func() { n.scripts.acts["status"] = act{takes: 3 * time.Second, deaf: true} })
		n.until(8) // that status runs since 7
		n.scripts.set(func() { n.scripts.acts["stop"], n.scripts.sticky = act{}, false })
		n.signal(syscall.SIGTERM)
		n.until(12)
		n.has("8.5 < status 137", "8.5 > stop", "8.5 < stop 0")
		n.wantEnd(1)
	})
}

// A node on which the package merely cannot work keeps nothing (rule 16).
func TestCriticalBeforeAnyStart(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{code: 3}
		n.run(dummy)
		n.until(1)
		n.wantEnd(0)
		n.want([]string{"> ", "critical", "released"}, "0 > status", "0 package status is critical! manual intervention required!", "0 > stop", "0 > status", "0 released: true")
	})
}

func TestCriticalAfterAStart(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() { n.scripts.acts["status"] = act{code: 3} })
		n.until(60)
		n.has("6 package status is critical! manual intervention required!", "6 package state changes to halting.")
		n.want([]string{"released"})
		n.scripts.set(func() { n.scripts.acts["status"] = act{} })
		n.until(66)
		n.wantEnd(0)
	})
}

// It runs already, started by nobody knows whom.
func TestUpBeforeAnyStart(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.up = true
		n.run(dummy)
		n.until(1)
		n.want([]string{"> ", "not down", "to f"}, "0 > status", "0 package status is not down.", "0 package state changes to failing.",
			"0 > stop", "0 > status", "0 package state changes to failed.")
	})
}

func TestTermWhileStandBy(t *testing.T) {
	t.Parallel()
	virtual.Test(t, func(t *testing.T) {
		servers := newServers()
		first, second := newNode(t, "h1", servers, lease.Scaled(1)), newNode(t, "h2", servers, lease.Scaled(1))
		neverTwo(first, second)
		first.run(dummy)
		first.until(1)
		second.run(dummy)
		second.until(5)
		second.signal(syscall.SIGTERM)
		second.wantEnd(0)
		second.want([]string{"received", "active", "package", "> "}, "5 received signal SIGTERM. starting halt sequence.")
	})
}

// A lock that comes after TERM is given back, before the manager ends.
func TestLockAfterTerm(t *testing.T) {
	bubble(t, func(n *node) {
		n.locker.takes = 3 * time.Second
		n.run(dummy)
		n.until(1)
		n.signal(syscall.SIGTERM)
		n.until(5)
		select {
		case <-n.ended:
			t.Error("it ended with a lock on the way")
		default:
		}
		n.until(6)
		n.wantEnd(0)
		n.want([]string{"active", "> ", "released"}, "6 released: true")
	})
}

func TestUSR1(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() {
			n.scripts.echoes = map[string]string{"pace": "3", "timeout": "2", "stop_timeout": "50", "h1_priority": "7"}
		})
		n.signal(syscall.SIGUSR1)
		n.until(13)
		n.want([]string{"USR1", "warning", "change to", "> status"}, "0 > status", "0 > status", "1 received signal SIGUSR1. re-reading package parameters.",
			"1 warning: pace (3s) is longer than timeout (2s).",
			"1 warning: timeout (2s) is below 8s: the lock is lost when the leading lock server crashes.",
			"1 change to T=2s S=50s", "6 > status", "9 > status", "12 > status")
	})
}

func TestUSR1WithBadParameters(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() { n.scripts.echoes = map[string]string{"pace": "soon", "timeout": "-1"} })
		n.signal(syscall.SIGUSR1)
		n.until(13)
		n.want([]string{"change to", "old parameters", "> status"}, "0 > status", "0 > status",
			"1 error: cannot use pace=\"soon\": say whole seconds, more than 0; cannot use timeout=\"-1\": say whole seconds, more than 0. the old parameters stay.",
			"6 > status", "12 > status")
	})
}

// A script that became odd while it runs may fail for a moment only: a host that cannot make processes does that.
func TestUSR1WhileTheScriptFails(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() { n.scripts.odd, n.scripts.echoes = "it fails", nil })
		n.signal(syscall.SIGUSR1)
		n.until(13)
		n.want([]string{"change to", "old parameters"}, "1 error: it fails: of what it says only pace, timeout, start_timeout, stop_timeout, h1_priority count. the old parameters stay.")
	})
}

func TestUSR1WhileServersAreAway(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(1)
		n.locker.setCut(true)
		n.signal(syscall.SIGUSR1)
		n.has("1 error: the lock servers do not know the new parameters: no lock server answers")
	})
}

// A stand-by asks anew with its new parameters. The lock that the old question brings must be
// given back before the new one is asked: it is the same session's, and would be released
// under the feet of who has it by then.
func TestUSR1WhileTheLockComes(t *testing.T) {
	for _, at := range []float64{1, 2.999999999, 3} {
		t.Run(time.Duration(at*1e9).String(), func(t *testing.T) {
			bubble(t, func(n *node) {
				n.locker.takes = 3 * time.Second
				n.scripts.echoes["timeout"] = "50"
				n.run(dummy)
				n.until(at)
				n.signals <- syscall.SIGUSR1
				n.until(30)
				n.want([]string{"lost"})
				if at < 3 { // 3 s until the lock comes, until it is back, until the next comes
					n.has("6 released: true", "9 > start")
				}
				if got := n.with("> start"); len(got) != 1 {
					t.Errorf("starts: %q, want one", got)
				}
			})
		})
	}
}

// A node that waits is told at once of a release; HUP halts as TERM does.
func TestHandOver(t *testing.T) {
	t.Parallel()
	virtual.Test(t, func(t *testing.T) {
		servers := newServers()
		first, second := newNode(t, "h1", servers, lease.Scaled(1)), newNode(t, "h2", servers, lease.Scaled(1))
		neverTwo(first, second)
		first.run(dummy)
		first.until(1)
		second.run(Params{KillLeftovers: true, Pace: 6 * time.Second, Timeout: 40 * time.Second, StartTimeout: 20 * time.Second, StopTimeout: 60 * time.Second, Priority: 5 * time.Second})
		first.until(10)
		first.signal(syscall.SIGHUP)
		first.wantEnd(0)
		first.has("10 received signal SIGHUP. starting halt sequence.")
		second.has("1 seeks (T=40s S=1m0s pace=6s delay=5s)", "10 > start")
	})
}
