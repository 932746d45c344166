package failover

import (
	"syscall"
	"testing"
	"time"
)

func TestWholeLife(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts = map[string]act{"start": {takes: time.Second}, "stop": {takes: 2 * time.Second}}
		n.run(dummy)
		n.until(10)
		n.signal(syscall.SIGTERM)
		n.until(12)
		n.wantEnd(0)
		n.want(nil,
			"0 Lock initialization done.",
			"0 starting as stand-by node.",
			"0 seeks (T=40s S=1m0s pace=6s delay=0s)",
			"0 got lock. switch to active node.",
			"0 package state initialized to unknown.",
			"0 > status",
			"0 < status 1",
			"0 package state changes to starting.",
			"0 > start",
			"1 < start 0",
			"1 package state changes to running.",
			"1 settle",
			"1 > status",
			"1 < status 0",
			"7 > status",
			"7 < status 0",
			"10 received signal SIGTERM. starting halt sequence.",
			"10 package state changes to halting.",
			"10 > stop",
			"12 < stop 0",
			"12 kill all",
			"12 > status",
			"12 < status 1",
			"12 package state changes to halted.",
			"12 released: true",
			"12 package halted. exit.",
		)
	})
}

func TestStateFiles(t *testing.T) {
	bubble(t, func(n *node) {
		want := func(role, state string) {
			t.Helper()
			if err := n.dir.Sync(); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"role": role, "pkg_state": state} {
				if got, err := n.dir.Read(name); got != text || err != nil {
					t.Errorf("%s says %q, %v, want %q", name, got, err, text)
				}
			}
		}
		n.locker.takes = time.Second
		for _, a := range []string{"status", "start", "stop"} {
			n.scripts.acts[a] = act{takes: time.Second}
		}
		n.run(dummy)
		n.until(0.5)
		want("stand-by", "")
		n.until(1.5)
		want("active", "unknown")
		n.until(2.5)
		want("active", "starting")
		n.until(3.5)
		want("active", "running")
		n.until(5)
		n.scripts.set(func() { n.scripts.up = false })
		n.until(10.5)
		want("active", "failing")
		n.until(12.5)
		want("stand-by", "failed") // before another node can be active
		n.until(13.5)
		want("stand-by", "failed")
		n.until(19.5)
		want("stand-by", "")
		n.until(30)
		n.signal(syscall.SIGINT)
		want("active", "halting")
		n.until(32.5)
		want("stand-by", "halted")
	})
}

// A pace is from the beginning of one status to that of the next.
func TestPace(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{takes: 2 * time.Second}
		n.run(dummy)
		n.until(20)
		n.scripts.set(func() { n.scripts.acts["status"] = act{takes: 10 * time.Second} })
		n.until(37)
		n.want([]string{"> status"}, "0 > status", "2 > status", "8 > status", "14 > status", "20 > status", "26 > status", "36 > status")
	})
}

func TestStartTimeout(t *testing.T) {
	for name, row := range map[string]struct {
		start act
		until float64
		want  []string
	}{
		"in time": {act{takes: 20*time.Second - 1}, 21, []string{"0 > start", "19.999999999 < start 0", "19.999999999 package state changes to running."}},
		"hangs":   {act{takes: hang}, 21, []string{"0 > start", "20 < start 143", "20 timeout waiting for package to start.", "20 > stop"}},
		"deaf":    {act{takes: hang, deaf: true}, 21, []string{"0 > start", "20.5 < start 137", "20.5 timeout waiting for package to start.", "20.5 > stop"}},
		"fails":   {act{takes: time.Second, code: 2}, 2, []string{"0 > start", "1 < start 2", "1 start script exited with error.", "1 > stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.scripts.acts["start"] = row.start
				n.run(dummy)
				n.until(row.until)
				n.want([]string{"> start", "< start", "start script", "timeout", "> stop", "to running"}, row.want...)
			})
		})
	}
}

func TestStopTimeout(t *testing.T) {
	for name, row := range map[string]struct {
		stop act
		code int
		want []string
	}{
		"in time": {act{takes: 60*time.Second - 1}, 0, []string{"10 > stop", "69.999999999 < stop 0", "69.999999999 released: true"}},
		"hangs":   {act{takes: hang}, 1, []string{"10 > stop", "70 < stop 143", "70 timeout waiting for package to stop.", "70 released: true"}},
		"deaf":    {act{takes: hang, deaf: true}, 1, []string{"10 > stop", "70.5 < stop 137", "70.5 timeout waiting for package to stop.", "70.5 released: true"}},
		"fails":   {act{takes: time.Second, code: 3}, 1, []string{"10 > stop", "11 < stop 3", "11 stop script exited with error.", "11 released: true"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.scripts.acts["stop"] = row.stop
				n.run(dummy)
				n.until(10)
				n.signal(syscall.SIGHUP)
				n.until(71)
				n.wantEnd(row.code)
				n.want([]string{"stop", "released"}, row.want...)
			})
		})
	}
}

// A halt after a stop that failed exits 1 also if it began as a failure.
func TestStopFailsWhileFailing(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["stop"] = act{code: 1}
		n.run(dummy)
		n.until(3)
		n.scripts.set(func() { n.scripts.up = false })
		n.until(6)
		n.wantEnd(1)
		n.has("6 package status is unexpectedly down!", "6 package state changes to failing.", "6 stop script exited with error.",
			"6 package state changes to halting.", "6 package state changes to halted.", "6 package halted. exit.")
	})
}

func TestStatusHangs(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{takes: hang}
		n.run(dummy)
		n.until(39.9)
		n.scripts.set(func() { n.scripts.acts["status"] = act{} })
		n.until(40)
		n.want([]string{"timeout", "to failing", "> stop"}, "40 error: timeout waiting for package status.",
			"40 package state changes to failing.", "40 > stop")
	})
}

func TestStatusHangsWhileRunning(t *testing.T) {
	for name, row := range map[string]struct {
		status act
		want   []string
	}{
		"in time": {act{takes: 40*time.Second - 1}, nil},
		"hangs":   {act{takes: hang}, []string{"46 error: timeout waiting for package good health.", "46 > stop"}},
		"deaf":    {act{takes: hang, deaf: true}, []string{"46.5 error: timeout waiting for package good health.", "46.5 > stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.run(dummy)
				n.until(1)
				n.scripts.set(func() { n.scripts.acts["status"] = row.status })
				n.until(45)
				n.scripts.set(func() { n.scripts.acts["status"] = act{} })
				n.until(47)
				n.want([]string{"timeout", "> stop"}, row.want...)
			})
		})
	}
}

// Degraded for timeout: counted from when status first said so, to the moment.
func TestDegraded(t *testing.T) {
	for name, row := range map[string]struct {
		healthyAt, until float64
		want             []string
	}{
		"too long": {46, 46, []string{"46 error: timeout waiting for package good health.", "46 > stop"}},
		"healed":   {41, 120, []string{"42 package status is healthy again."}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.run(dummy)
				n.until(1)
				n.scripts.set(func() { n.scripts.acts["status"] = act{code: degraded} })
				n.until(row.healthyAt)
				n.scripts.set(func() { n.scripts.acts["status"] = act{} })
				n.until(row.until)
				n.want([]string{"healthy", "good health", "> stop"}, row.want...)
				n.has("6 package status degraded...", "12 package status degraded...", "36 package status degraded...")
			})
		})
	}
}

// Each failure of the package doubles the rest, to a minute; failures are forgotten once it
// has run for timeout. Time in which it only stops is not time in which it ran.
func TestBackOff(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{code: 1}
		n.run(dummy)
		n.until(400)
		n.want([]string{"> start"}, "0 > start", "6 > start", "18 > start", "42 > start", "90 > start", "150 > start", "210 > start",
			"270 > start", "330 > start", "390 > start")
		n.scripts.set(func() { n.scripts.acts["start"] = act{} })
		n.until(450)
		n.has("450 > start", "450 package state changes to running.")
		n.until(450 + 36)
		n.scripts.set(func() { n.scripts.up = false })
		n.until(450 + 42) // it ran for 42 s
		n.has("492 package state changes to failing.", "492 package failed. restarting as stand-by.")
		n.until(492 + 6)
		n.has("498 > start")
		n.scripts.set(func() { n.scripts.up = false })
		n.until(498 + 6) // for 6 s
		n.has("504 package failed. restarting as stand-by.")
		n.until(504 + 12)
		n.has("516 > start")
	})
}

func TestBackOffAfterASlowStop(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{takes: hang} // 20 s
		n.scripts.acts["stop"] = act{takes: 50 * time.Second}
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() { n.scripts.acts["start"] = act{} })
		n.until(76)
		n.has("0 > start", "76 > start", "76 package state changes to running.")
		n.scripts.set(func() { n.scripts.up = false })
		n.until(82 + 50)
		n.has("132 package failed. restarting as stand-by.")
		n.until(132 + 12)
		n.want([]string{"> start"}, "0 > start", "76 > start", "144 > start")
	})
}

// A lost lock is no fault of the package.
func TestNoBackOffAfterALostLock(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(dummy)
		for i := range 3 {
			n.until(float64(i)*46 + 1)
			n.locker.setCut(true)
			n.until(float64(i)*46 + 45)
			n.locker.setCut(false)
		}
		n.until(3*46 + 1)
		n.want([]string{"> start", "lost"}, "0 > start", "40 error: lock lost. failing package.", "46 > start",
			"86 error: lock lost. failing package.", "92 > start", "132 error: lock lost. failing package.", "138 > start")
	})
}

// The manager must turn often enough to be renewed, whatever the script does.
func TestTurns(t *testing.T) {
	for _, p := range []Params{
		dummy,
		{Pace: 60 * time.Second, Timeout: 9 * time.Second, StartTimeout: 600 * time.Second, StopTimeout: 600 * time.Second},
		{Pace: time.Second, Timeout: 30 * time.Second, StartTimeout: 600 * time.Second, StopTimeout: 600 * time.Second},
	} {
		t.Run(p.Pace.String(), func(t *testing.T) {
			bubble(t, func(n *node) {
				n.scripts.acts["start"] = act{takes: 15 * time.Second}
				n.scripts.acts["stop"] = act{takes: 15 * time.Second}
				n.run(p)
				n.until(100)
				n.signal(syscall.SIGTERM)
				n.until(114)
				if got, most := n.locker.lock.longestTurn(), min(p.Pace, p.Timeout/3); got == 0 || got > most {
					t.Errorf("it did not turn for %v, want at most %v", got, most)
				}
				n.want([]string{"lost"})
			})
		})
	}
}
