package failover

import (
	"fmt"
	"math/rand"
	"strings"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/sim/virtual"
)

// cutOff runs a node that is cut off after its renewal at 12: L = 52, K = 112, K - k = 110.
func cutOff(n *node, p Params) {
	n.run(p)
	n.until(13)
	n.locker.setCut(true)
}

func TestLostLock(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{takes: 5 * time.Second}
		cutOff(n, dummy)
		n.until(60)
		n.want([]string{"lost", "to failing", "stop", "kill all", "released", "restarting"},
			"52 error: lock lost. failing package.", "52 package state changes to failing.", "52 > stop", "57 < stop 0",
			"57 kill all", "57 package failed. restarting as stand-by.")
	})
}

// At K - k all that is left gets TERM, at K - k/2 KILL; the last status ends by K.
func TestKillTime(t *testing.T) {
	for name, row := range map[string]struct {
		stop, status act
		deaf         bool
		want         []string
	}{
		"stop in time": {
			act{takes: 58*time.Second - 1},
			act{},
			false,
			[]string{"52 > stop", "109.999999999 < stop 0", "109.999999999 kill all", "109.999999999 > status", "109.999999999 < status 1"},
		},
		"stop hangs": {
			act{takes: hang},
			act{},
			false,
			[]string{"52 > stop", "110 kill all", "110 < stop 137", "110 > status", "110 < status 1"},
		},
		"all is deaf": {
			act{takes: hang, deaf: true},
			act{},
			true,
			[]string{"52 > stop", "110 kill all", "110.5 < stop 137", "111 > status", "111 < status 1"},
		},
		"status hangs too": {
			act{takes: hang},
			act{takes: hang},
			true,
			[]string{"52 > stop", "110 kill all", "111 > status", "112 < status 143"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.scripts.acts["stop"], n.scripts.deaf = row.stop, row.deaf
				cutOff(n, dummy)
				n.until(49)
				n.scripts.set(func() { n.scripts.acts["status"] = row.status })
				n.until(113)
				got := n.with(scriptRuns...)
				for len(got) > 0 && !strings.HasPrefix(got[0], "52 ") {
					got = got[1:]
				}
				got = dropStopKill(got)
				want := dropStopKill(row.want)
				if strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// dropStopKill leaves out how a stop script that was killed ended: the one that kills it and
// the one that kills everything race for it.
func dropStopKill(lines []string) []string {
	var some []string
	for _, line := range lines {
		if !strings.Contains(line, "< stop 1") {
			some = append(some, line)
		}
	}
	return some
}

// k is at most a quarter of S.
func TestKillGrace(t *testing.T) {
	t.Parallel()
	for stop, want := range map[time.Duration]time.Duration{
		60 * time.Second: 2 * time.Second, 8 * time.Second: 2 * time.Second, 4 * time.Second: time.Second, time.Second: 250 * time.Millisecond,
	} {
		if got := (Params{StopTimeout: stop}).killGrace(); got != want {
			t.Errorf("killGrace with stop_timeout %v = %v, want %v", stop, got, want)
		}
	}
	p := dummy
	p.StopTimeout = 4 * time.Second // K = 56, k = 1
	virtual.Test(t, func(t *testing.T) {
		n := newNode(t, "h1", newServers(), lease.Scaled(1))
		n.scripts.acts["stop"] = act{takes: hang, deaf: true}
		cutOff(n, p)
		n.until(57)
		n.want([]string{"> stop", "kill all"}, "52 > stop", "55 kill all")
		n.has("55.5 > status", "55.5 < status 1")
	})
}

// Who wakes up too late kills first and runs no stop script.
func TestLateLoss(t *testing.T) {
	for lateBy, want := range map[time.Duration][]string{
		58*time.Second - 1: {"109.999999999 > stop", "110 kill all"},
		58 * time.Second:   {"110 kill all"},
		59 * time.Second:   {"111 kill all"},
		// Not at 552, when a status begins: the kill is then repeated for what that may have started.
		501 * time.Second: {"553 kill all"},
	} {
		t.Run(lateBy.String(), func(t *testing.T) {
			bubble(t, func(n *node) {
				n.locker.lateBy = lateBy
				n.scripts.acts["stop"] = act{takes: hang}
				cutOff(n, dummy)
				n.until(554)
				n.want([]string{"> stop", "kill all"}, want...)
			})
		})
	}
}

// After K nothing but status runs, however often somebody asks for more.
func TestNothingButStatusAfterK(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"], n.scripts.tough = act{takes: hang}, "sleep (pid 7)"
		cutOff(n, dummy)
		n.until(116)
		n.signal(syscall.SIGTERM)
		n.signal(syscall.SIGUSR1)
		n.until(160)
		n.want([]string{"stand", "cannot be shown"}, "0 starting as stand-by node.",
			"110 error: the package cannot be shown to be down (still alive: sleep (pid 7)), and the lock is lost! stop it by hand, now.")
		n.want([]string{"> st", "kill all"}, "0 > status", "0 > start", "0 > status", "6 > status", "12 > status", "18 > status", "24 > status",
			"30 > status", "36 > status", "42 > status", "48 > status", "52 > stop", "110 kill all", "110 > status", "116 kill all", "116 > status",
			"122 kill all", "122 > status", "128 kill all", "128 > status", "134 kill all", "134 > status", "140 kill all", "140 > status",
			"146 kill all", "146 > status", "152 kill all", "152 > status", "158 kill all", "158 > status")
		n.scripts.set(func() { n.scripts.tough = "" })
		n.until(164)
		n.wantEnd(0)
		n.want([]string{"released"}) // there was nothing to release
	})
}

// Only up to K has status to hurry: after that it has its time again.
func TestSlowStatusAfterK(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{takes: hang}
		cutOff(n, dummy)
		n.until(49)
		n.scripts.set(func() { n.scripts.acts["status"] = act{takes: 5 * time.Second} })
		n.until(125)
		n.has("110 > status", "112 < status 143", "118 > status", "123 < status 1", "123 package failed. restarting as stand-by.")
	})
}

func TestStartIsDeadBeforeStop(t *testing.T) {
	for name, row := range map[string]struct {
		start act
		want  []string
	}{
		"at once": {act{takes: hang}, []string{"0 > start", "40 < start 143", "40 > stop"}},
		"deaf":    {act{takes: hang, deaf: true}, []string{"0 > start", "40.5 < start 137", "40.5 > stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				p := dummy
				p.StartTimeout = 100 * time.Second
				n.scripts.acts["start"] = row.start
				n.run(p)
				n.until(5)
				n.locker.setCut(true)
				n.until(41)
				n.want([]string{"> start", "< start", "> stop"}, row.want...)
			})
		})
	}
}

// A lock that is lost while the stop runs has its kill end too.
func TestLostWhileStopping(t *testing.T) {
	bubble(t, func(n *node) {
		p := dummy
		p.StopTimeout = 20 * time.Second // L = 52, K = 72
		n.scripts.acts["stop"] = act{takes: hang}
		cutOff(n, p)
		n.until(51)
		n.signal(syscall.SIGTERM)
		n.until(72)
		n.wantEnd(1)
		n.want([]string{"lost", "> stop", "to stop", "kill all"}, "51 > stop", "52 error: lock lost.",
			"70 timeout waiting for package to stop.", "70 kill all")
	})
}

// The kill end of a loss that is over must not end the stop of a later life.
func TestKillTimeOfAnEarlierLoss(t *testing.T) {
	bubble(t, func(n *node) {
		cutOff(n, dummy)
		n.until(57)
		n.locker.setCut(false)
		n.scripts.set(func() { n.scripts.acts["stop"] = act{takes: 30 * time.Second} })
		n.until(90)
		n.signal(syscall.SIGTERM)
		n.until(120)
		n.wantEnd(0)
		n.want([]string{"> start", "stop"}, "0 > start", "52 > stop", "52 < stop 0", "58 > start", "90 > stop", "120 < stop 0")
	})
}

// The lock is lost between the last status and the release: nothing is left, so all is well.
func TestLostWhileReleasing(t *testing.T) {
	bubble(t, func(n *node) {
		cutOff(n, dummy)
		n.until(50)
		n.signal(syscall.SIGTERM)
		n.until(53)
		n.wantEnd(0)
		n.want([]string{"halted", "lost", "released"}, "50 package state changes to halted.", "52 package halted. exit.")
	})
}

// drifting is two nodes on the same servers; the first has a clock that is wrong.
func drifting(t *testing.T, rate float64) (a, b *node) {
	servers := newServers()
	a = newNode(t, "h1", servers, lease.Scaled(rate))
	b = newNode(t, "h2", servers, lease.Scaled(1))
	neverTwo(a, b)
	return a, b
}

// neverTwo has each start of a package look whether it is up elsewhere.
func neverTwo(nodes ...*node) {
	for _, n := range nodes {
		n.scripts.elsewhere = func() string {
			for _, other := range nodes {
				if other != n && other.scripts.isUp() {
					return other.locker.node
				}
			}
			return ""
		}
	}
}

// A clock that is wrong by 1 % must not let the package run twice.
func TestDriftingClock(t *testing.T) {
	for _, rate := range []float64{0.99, 1, 1.01} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			virtual.Test(t, func(t *testing.T) {
				a, b := drifting(t, rate)
				a.scripts.acts["stop"], a.scripts.deaf = act{takes: hang, deaf: true}, true
				a.run(dummy)
				a.until(1)
				b.run(dummy)
				a.until(13)
				a.locker.setCut(true)
				second := func(s float64) string { return fmt.Sprintf("%.3f", 12+(s-12)/rate) }
				a.until(112)
				lost, killed := a.with("lost"), a.with("kill all")
				if len(lost) != 1 || len(killed) != 1 || shortened(lost[0]) != second(52) || shortened(killed[0]) != second(110) {
					t.Errorf("%q, %q, want them at %s and %s", lost, killed, second(52), second(110))
				}
				b.until(114)
				b.has("113 got lock. switch to active node.", "113 > start") // 12 + T + S + m
			})
		})
	}
}

// shortened is the time of a line of the history, to the millisecond.
func shortened(line string) string {
	var s float64
	fmt.Sscan(line, &s)
	return fmt.Sprintf("%.3f", s)
}

// Three nodes with clocks of their own, cuts, scripts that fail, hang and are deaf: never two.
func TestNeverTwo(t *testing.T) {
	for seed := range int64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			virtual.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewSource(seed))
				servers := newServers()
				var nodes []*node
				for i, rate := range []float64{0.995, 1, 1.01} {
					n := newNode(t, fmt.Sprint("h", i+1), servers, lease.Scaled(rate))
					nodes = append(nodes, n)
				}
				neverTwo(nodes...)
				p := Params{KillLeftovers: true, Pace: 2 * time.Second, Timeout: 10 * time.Second, StartTimeout: 5 * time.Second, StopTimeout: 10 * time.Second, Retries: int(seed % 3)}
				for _, n := range nodes {
					n.run(p)
				}
				starts := 0
				for s := 0.0; s < 1200; s += r.Float64() * 10 {
					nodes[0].until(s)
					n := nodes[r.Intn(len(nodes))]
					select {
					case <-n.ended: // a stop failed: the admin starts it again
						n.ended = make(chan struct{})
						n.run(p)
					default:
						disturb(r, n)
					}
				}
				for _, n := range nodes {
					starts += len(n.with("> start"))
				}
				if starts < 10 {
					t.Errorf("only %d starts: too few to mean anything", starts)
				}
			})
		})
	}
}

// disturb does something to a node.
func disturb(r *rand.Rand, n *node) {
	random := func() act {
		a := act{takes: time.Duration(r.Intn(4)) * time.Second, deaf: r.Intn(4) == 0}
		switch r.Intn(4) {
		case 0:
			a.takes = hang
		case 1:
			a.code = r.Intn(4)
		}
		return a
	}
	switch r.Intn(10) {
	case 0, 1:
		n.locker.setCut(true)
	case 2, 3:
		n.locker.setCut(false)
	case 4:
		n.scripts.set(func() { n.scripts.acts["start"] = random() })
	case 5:
		n.scripts.set(func() { n.scripts.acts["stop"] = act{takes: random().takes, deaf: true} })
	case 6:
		n.scripts.set(func() { n.scripts.deaf = !n.scripts.deaf })
	case 7:
		for _, name := range []string{"pace", "timeout", "stop_timeout", "retries"} {
			n.scripts.set(func() { n.scripts.echoes[name] = fmt.Sprint(2 + r.Intn(15)) })
		}
		n.signals <- syscall.SIGUSR1
	case 8:
		n.signals <- syscall.SIGTERM
	case 9:
		n.down()
	}
}

// A disk that hangs, so that no script can even be started, does not keep the package alive
// past the kill end; and what is started when it goes on is killed at once.
func TestKillWhileTheDiskHangs(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(13)
		n.freeze()
		n.locker.setCut(true)
		n.until(111)
		n.has("18 exec status", "52 exec stop", "110 kill all")
		if n.scripts.isUp() {
			t.Error("the package is up at the kill end")
		}
		n.until(200)
		n.thaw()
		n.until(300)
		if n.scripts.isUp() {
			t.Error("the package is up after the disk went on")
		}
	})
}

// A status that cannot even be started hangs.
func TestStatusHangsInExec(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		n.until(13)
		n.freeze()
		n.until(60)
		n.want([]string{"timeout", "to failing"}, "58 error: timeout waiting for package good health.", "58 package state changes to failing.")
	})
}

// A package that hangs before any start does not keep its lock: another node may be able to.
func TestHangsBeforeAnyStart(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{takes: hang}
		n.run(dummy)
		n.until(300)
		n.has("40 error: timeout waiting for package status.", "80 package failed. restarting as stand-by.")
	})
}

// A start that hangs before it runs is not forgotten over the scripts that come after it: the
// lock is kept until nothing can come of it any more.
func TestHungStartKeepsTheLock(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{takes: time.Second}
		n.run(dummy)
		n.until(0.5)
		n.freeze()
		n.until(2)
		var hung chan struct{}
		n.scripts.set(func() { hung, n.scripts.frozen = n.scripts.frozen, nil })
		n.until(200)
		if got := n.with("released", "restarting"); len(got) > 0 {
			t.Errorf("the lock was given away while a start hangs: %q", got)
		}
		close(hung)
		n.until(300)
		if n.with("> start") == nil {
			t.Error("the start never went on: this test proves nothing")
		}
	})
}

// A status that somebody kills, as the deadman does at the kill end with all that there is, is asked
// for again: it says nothing of the package.
func TestKilledStatus(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{takes: hang}
		cutOff(n, dummy)
		n.until(109)
		n.scripts.set(func() { n.scripts.acts["status"] = act{code: 137} })
		n.until(111)
		n.has("110 < status 137", "110 error: the package cannot be shown to be down (its status is 137, not 1), and the lock is lost! stop it by hand, now.")
		if got := len(n.with("110 > status")); got != 3 {
			t.Errorf("asked %d times, want 3", got)
		}
		n.scripts.set(func() { n.scripts.acts["status"] = act{} })
		n.until(117)
		n.has("116 package failed. restarting as stand-by.")
	})
}
