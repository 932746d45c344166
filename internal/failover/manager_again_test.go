package failover

import (
	"syscall"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// resume kills the manager at second s, and begins another that takes its place.
func (n *node) resume(s float64, p Params, doing PkgState) {
	n.t.Helper()
	n.until(s)
	n.kill()
	n.until(s + 1)
	n.again.From = &Predecessor{Doing: doing}
	n.run(p)
}

// A manager that takes the place of one that was killed goes on with the package: it is neither
// stopped nor started, and the lock is held in a new term.
func TestResume(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.resume(10, dummy, Running)
		n.until(30)
		n.has("11 kill unfinished, starting: false") // while the lock is asked for
		n.want([]string{"> start", "> stop", "resumed", "going on", "to running", "lock is still"},
			"0 > start", "0 package state changes to running.",
			"11 resumed in term 2", "11 the lock is still this node's.",
			"11 the package is up: going on with it.", "11 package state changes to running.")
	})
}

// With adopt=no the package is stopped and started again, as by the original.
func TestResumeWithoutAdoption(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		p := dummy
		p.Adopt = false
		n.resume(10, p, Running)
		n.until(40)
		n.want([]string{"> start", "> stop", "not down"}, "0 > start", "11 package status is not down.", "11 > stop", "17 > start")
	})
}

// A package that is down when its manager comes back is started again, once nothing is left.
func TestResumeDown(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(9)
		n.scripts.set(func() { n.scripts.up = false })
		n.resume(10, dummy, Running)
		n.until(12)
		n.want([]string{"> start", "> stop", "kill all", "resumed"}, "0 > start", "11 resumed in term 2", "11 kill all", "11 > start")
	})
}

// A manager that was killed while it halted: the next goes on halting, with the lock.
func TestResumeHalting(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{takes: 20 * time.Second}
		n.run(dummy)
		n.until(9)
		n.signal(syscall.SIGTERM)
		n.resume(10, dummy, Halting)
		n.until(32)
		n.wantEnd(0)
		n.want([]string{"> stop", "released", "unfinished"}, "9 > stop", "11 kill unfinished, starting: false", "11 > stop", "31 released: true")
	})
}

// The lock cannot be had again: the package is down by the kill end of the earlier lease, which
// counts from the last renewal (second 6 or 12), 40 s and 60 s.
func TestResumeCutOff(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{takes: hang, deaf: true}
		n.scripts.deaf = true
		n.run(dummy)
		n.until(10)
		n.locker.setCut(true)
		n.resume(20, dummy, Running)
		n.until(105)
		n.has("46 error: lock lost. failing package.", "46 > stop", "104 kill all", "104.5 < stop 137", "105 < status 1")
		if n.scripts.isUp() {
			n.t.Error("the package is up at second 105, the kill end is 106")
		}
	})
}

// TERM while the lock is asked for is not forgotten.
func TestResumeTerm(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(10)
		n.locker.setCut(true)
		n.resume(12, dummy, Running)
		n.until(20)
		n.signal(syscall.SIGTERM)
		n.locker.setCut(false)
		n.until(22)
		n.wantEnd(0)
		n.want([]string{"> stop", "resumed", "released"}, "20.25 resumed in term 2", "20.25 > stop", "20.25 released: true")
	})
}

// What is left of nobody knows when is killed before the node stands by.
func TestClear(t *testing.T) {
	bubble(t, func(n *node) {
		n.again.Clear = true
		n.scripts.up, n.scripts.tough = true, "sleep (pid 7)"
		n.run(dummy)
		n.until(10)
		n.scripts.set(func() { n.scripts.tough = "" })
		n.until(13)
		n.want([]string{"kill all", "seeks", "> start", "stand by"},
			"0 kill all", "0 error: of an earlier run is still alive: sleep (pid 7). stop it by hand: this node does not stand by until then.",
			"6 kill all", "6 error: of an earlier run is still alive: sleep (pid 7). stop it by hand: this node does not stand by until then.",
			"12 kill all", "12 seeks (T=40s S=1m0s pace=6s delay=0s)", "12 > start")
	})
}

// The stop ladder without a lock, as the deadman climbs it: stop script, TERM, KILL, status, all
// by the kill end.
func TestStopOnly(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.up, n.scripts.deaf = true, true
		n.scripts.acts["stop"] = act{takes: hang, deaf: true}
		clock := n.locker.clock
		lost := &memLock{locker: n.locker, term: 3, lost: make(chan struct{}), over: true, sent: clock.Now()}
		lost.times.Stop = 20 * time.Second
		close(lost.lost)
		n.again.Stop = lost
		n.run(dummy)
		n.until(21)
		n.wantEnd(1)
		n.want([]string{"> ", "kill all", "< stop"}, "0 > stop", "18 kill all", "18.5 < stop 137", "19 > status")
	})
}

// After the kill end the deadman starts no script but status.
func TestStopOnlyLate(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.up = true
		lost := &memLock{locker: n.locker, term: 3, lost: make(chan struct{}), over: true, sent: lease.Time{}.Add(-time.Hour)}
		close(lost.lost)
		n.again.Stop = lost
		n.run(dummy)
		n.until(1)
		n.wantEnd(1)
		n.want([]string{"> ", "kill all"}, "0 kill all", "0 > status")
	})
}

// What is left is spared with kill_leftovers=no: the lock is blocked, until somebody has stopped
// it and says so.
func TestKillLeftoversNo(t *testing.T) {
	bubble(t, func(n *node) {
		p := dummy
		p.KillLeftovers = false
		n.run(p)
		n.until(1)
		n.scripts.set(func() { n.scripts.tough = "vi (pid 8)" })
		n.signal(syscall.SIGTERM)
		n.until(9)
		n.want([]string{"kill all", "blocked", "released"}, "1 blocked: still alive: vi (pid 8)")
		n.scripts.set(func() { n.scripts.tough = "" })
		n.orders <- Look
		n.until(10)
		n.wantEnd(0)
		n.want([]string{"kill all", "blocked", "released"}, "1 blocked: still alive: vi (pid 8)", "9 released: true")
	})
}

// stop_failure=release is the original's way: the lock goes, whatever is left.
func TestStopFailureRelease(t *testing.T) {
	bubble(t, func(n *node) {
		p := dummy
		p.ReleaseAfterFailure = true
		n.scripts.sticky = true
		n.run(p)
		n.until(1)
		n.signal(syscall.SIGTERM)
		n.until(2)
		n.wantEnd(0)
		n.has("1.3 error: the package cannot be shown to be down (its status is 0, not 1). stop_failure=release: letting go all the same.", "1.3 released: true")
		n.scripts.set(func() { n.scripts.sticky = false })
	})
}

// runSelfFencing runs a package with self_fence=reboot that is up whatever is done.
func runSelfFencing(n *node) {
	p := dummy
	p.SelfFence = true
	n.again.Reset = func() { n.add("reset") }
	n.scripts.sticky = true
	n.run(p)
}

// self_fence=reboot resets the host where the whole ladder was of no use, by the kill end.
func TestSelfFence(t *testing.T) {
	bubble(t, func(n *node) {
		runSelfFencing(n)
		n.until(10)
		n.locker.setCut(true)
		n.until(110)
		n.want([]string{"> reset", "blocked"}) // the lock is lost: there is nothing to block
		n.has("46.3 reset", "104.3 reset")
	})
}

// A process that was killed is there for kill -0 until its parent has taken note: that resets no host.
func TestKilledAndNotReapedYet(t *testing.T) {
	bubble(t, func(n *node) {
		runSelfFencing(n)
		n.until(1)
		time.AfterFunc(200*time.Millisecond, func() { n.scripts.set(func() { n.scripts.sticky, n.scripts.up = false, false }) })
		n.signal(syscall.SIGTERM)
		n.until(2)
		n.wantEnd(0)
		n.want([]string{"> status", "cannot be shown", "reset", "blocked", "released"}, "0 > status", "0 > status", "1 > status", "1.3 > status", "1.3 released: true")
	})
}

// Somebody who has mended what failed has the back-off forgotten.
func TestForgetFailures(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{code: 1}
		n.run(dummy)
		n.until(43) // tries at 0, 6, 18: rests of 6, 12, 24 s
		n.want([]string{"> start"}, "0 > start", "6 > start", "18 > start", "42 > start")
		n.until(50)
		n.orders <- Forget
		n.until(51)
		n.want([]string{"> start"}, "0 > start", "6 > start", "18 > start", "42 > start", "50 > start")
		n.until(57)
		n.has("56 > start")
	})
}

// While something is left that cannot be killed the node asks for no lock, whatever it is asked.
func TestClearAsksForNothing(t *testing.T) {
	bubble(t, func(n *node) {
		n.again.Clear = true
		n.scripts.up, n.scripts.tough = true, "sleep (pid 7)"
		n.run(dummy)
		n.until(2)
		n.signal(syscall.SIGUSR1)
		n.until(60)
		n.want([]string{"seeks", "got lock"})
	})
}

// A lock that is lost is not let go of before its kill end: until then what is left is killed again
// and again.
func TestNothingIsLetGoOfTooEarly(t *testing.T) {
	bubble(t, func(n *node) {
		p := dummy
		p.ReleaseAfterFailure = true
		n.scripts.sticky = true
		cutOff(n, p)
		n.until(90)
		n.has("52.3 error: the package cannot be shown to be down (its status is 0, not 1), and the lock is lost! stop it by hand, now.")
		n.want([]string{"letting go", "resting"})
	})
}

// A lock that was blocked is given back, though it was lost in between: the servers kept it.
func TestBlockedAndLost(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.sticky = true
		n.run(dummy)
		n.until(2)
		n.signal(syscall.SIGTERM)
		n.until(3)
		n.locker.setCut(true)
		n.until(60)
		n.locker.setCut(false)
		n.scripts.set(func() { n.scripts.sticky, n.scripts.up = false, false })
		n.until(70)
		n.wantEnd(0)
		n.has("2.3 blocked: its status is 0, not 1")
		if got := n.with("released"); len(got) != 1 {
			t.Errorf("%q, want one release", got)
		}
	})
}

// A start after an adoption does not fence a node that an earlier start has dealt with.
func TestPreviousAfterResume(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.resume(10, dummy, Running)
		n.until(12)
		if got := n.manager.token.Previous; got != n.locker.node {
			t.Errorf("the node before is %q, want this one", got)
		}
	})
}

// What an earlier manager has begun is killed at once, not when it is known whether the lock is had: else a
// start that nobody waits for would go on, and end beside the stop that begins when the lease is over.
func TestResumeKillsFirst(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{takes: hang}
		n.run(dummy)
		n.until(10)
		n.locker.setCut(true)
		n.resume(15, dummy, Starting)
		n.until(60)
		n.want([]string{"unfinished", "< start", "lock lost", "> stop"},
			"15 < start 143", "16 kill unfinished, starting: true", "46 error: lock lost. failing package.", "46 > stop")
	})
}

// What was gone on with was one lock: of a later one the node before is who had it in between.
func TestPreviousAfterAdoption(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.resume(10, dummy, Running)
		n.until(12)
		n.scripts.set(func() { n.scripts.up = false })
		n.until(18)
		n.locker.servers.mu.Lock()
		n.locker.servers.node = "h2" // while this node rests
		n.locker.servers.mu.Unlock()
		n.until(40)
		n.has("11 resumed in term 2", "23 package state changes to running.")
		if got := n.manager.token.Previous; got != "h2" {
			n.t.Errorf("the node before is %q, want h2", got)
		}
	})
}

// A start is told which nodes lost the lock by silence. The servers are told once one has succeeded: one that
// fails, since it cannot fence them perhaps, is told of them again.
func TestUnfenced(t *testing.T) {
	bubble(t, func(n *node) {
		n.locker.servers.unfenced, n.locker.servers.node = []string{"h3", "h2"}, "h2"
		n.scripts.acts["start"] = act{code: 1}
		n.run(dummy)
		n.until(3)
		n.scripts.set(func() { n.scripts.acts = map[string]act{} })
		n.until(20)
		n.want([]string{"told", "settled", "< start"}, "0 start is told of h2 before, [h3 h2] unfenced", "0 < start 1",
			"6 start is told of h1 before, [h3 h2] unfenced", "6 < start 0", "6 settled in term 2")
	})
}

// What is no process is killed by nobody: while status says up the node does not stand by, since another may have
// the package.
func TestClearAsksForTheStatus(t *testing.T) {
	bubble(t, func(n *node) {
		n.again.Clear = true
		n.scripts.up, n.scripts.sticky = true, true
		n.run(dummy)
		n.until(10)
		n.scripts.set(func() { n.scripts.sticky, n.scripts.up = false, false })
		n.until(13)
		n.want([]string{"kill all", "> status", "seeks", "still alive"},
			"0 kill all", "0 > status",
			"0 error: of an earlier run is still alive: what its status says (0). stop it by hand: this node does not stand by until then.",
			"6 kill all", "6 > status",
			"6 error: of an earlier run is still alive: what its status says (0). stop it by hand: this node does not stand by until then.",
			"12 kill all", "12 > status", "12 seeks (T=40s S=1m0s pace=6s delay=0s)", "12 > status", "12 > status")
	})
}

// A manager that is to halt kills what is left first, and says so where it cannot.
func TestClearThenHalt(t *testing.T) {
	bubble(t, func(n *node) {
		n.again.Clear = true
		n.scripts.up, n.scripts.acts["status"] = true, act{takes: time.Second}
		n.run(dummy)
		n.signal(syscall.SIGTERM)
		n.until(2)
		n.wantEnd(0)
		n.want([]string{"kill all", "> status", "seeks"}, "0 kill all", "0 > status")
	})
}
