//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deaf is a shell command that ignores what a script may be asked with, and notes its pid.
const deaf = `trap "" TERM HUP INT; echo $$ >>pids; while :; do sleep 0.02; done`

func TestKillTakesAll(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `
sh -c '`+deaf+`' &
setsid sh -c '`+deaf+`' &
setsid sh -c 'setsid sh -c "echo \$\$ >>pids; exec sleep 60" & exit' &
setsid sh -c 'trap "" TERM; env -i setsid sh orphan & wait' &
sh -c 'echo $$ >>pids; kill -STOP $$' &
setsid sh -c 'echo $$ >>pids; kill -STOP $$' &
`+deaf)
		if err := os.WriteFile(filepath.Join(s.home, "orphan"), []byte(deaf), 0o600); err != nil {
			t.Fatal(err)
		}
		a := s.start("start")
		pids := s.pids("pids", 7)
		began := time.Now()
		a.Kill(200 * time.Millisecond)
		if took := time.Since(began); took < 200*time.Millisecond || took > 15*time.Second { // on a host with much to do each look takes long
			t.Errorf("Kill took %v, want the grace of 200 ms and little more", took)
		}
		for _, pid := range pids {
			if lives(pid) {
				t.Errorf("%d is alive: %s", pid, command(pid))
			}
		}
		if got := s.end(a); got != 137 {
			t.Errorf("status = %d, want 137", got)
		}
		began = time.Now()
		a.Kill(time.Minute) // again: at once
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the second Kill waited: %v", took)
		}
	})
}

// Who obeys SIGTERM is asked once, may clean up, and is not waited for longer than needed.
func TestKillLetsCleanUp(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `trap 'echo asked; sleep 0.3; echo cleaned; exit 7' TERM
setsid sh -c 'trap "echo child asked" TERM; echo $$ >>pids; kill -STOP $$; sleep 0.2 & wait; wait; wait' &
echo $$ >>pids; while :; do wait; done`)
		a := s.start("start")
		pids := s.pids("pids", 2)
		s.eventually("the stop", func() bool {
			return !slices.ContainsFunc(pids, func(pid int) bool {
				data, _ := os.ReadFile("/proc/" + itoa(pid) + "/status")
				return pid != a.pid && !strings.Contains(string(data), "T (stopped)")
			})
		})
		began := time.Now()
		a.Kill(20 * time.Second)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Kill took %v", took)
		}
		if got := s.end(a); got != 7 {
			t.Errorf("status = %d, want the trap's 7", got)
		}
		if n := strings.Count(s.logText(), "\n"); n != 3 || !strings.Contains(s.logText(), "child asked") {
			t.Errorf("log = %q, want three lines", s.logText())
		}
	})
}

// A script that was stopped, as by a debugger, hears SIGTERM too.
func TestKillWakesTheStopped(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `trap 'exit 7' TERM; echo $$ >>pids; kill -STOP $$; while :; do sleep 0.02; done`)
		a := s.start("start")
		pid := s.pid("pids")
		s.eventually("the stop", func() bool {
			data, _ := os.ReadFile("/proc/" + itoa(pid) + "/status")
			return strings.Contains(string(data), "T (stopped)")
		})
		a.Kill(5 * time.Second)
		if got := s.end(a); got != 7 {
			t.Errorf("status = %d, want the trap's 7", got)
		}
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestKillWhileForking(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `trap "" TERM
i=0
while [ $i -lt 3000 ]; do
	echo $$ >>pids
	setsid sh -c 'trap "" TERM; sleep 60 & exec sleep 60' &
	i=$((i+1))
done
wait`)
		a := s.start("start")
		s.pids("pids", 20)
		a.Kill(20 * time.Millisecond)
		if got := alivePIDs(t, s.Runner); len(got) > 0 {
			t.Errorf("Alive after Kill = %v", got)
		}
		procs, err := processes()
		if err != nil {
			t.Fatal(err)
		}
		for pid := range procs {
			if ok, err := marked(pid, s.marks); ok || err != nil {
				t.Errorf("%d is alive: %s", pid, command(pid))
			}
		}
	})
}

func TestKillAllFindsDaemons(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		modes  string
	}{
		"double fork":               {`setsid sh -c 'setsid sh -c "echo \$\$ >>pids; exec sleep 60" &' &`, "cgroup none"},
		"double fork, no variables": {`setsid sh -c 'env -i setsid sh -c "echo \$\$ >>pids; exec sleep 60" &' &`, "cgroup"},
		"no variables, same group":  {`env -i sh -c 'echo $$ >>pids; exec sleep 60' &`, "cgroup none"},
		"deaf":                      {`setsid sh -c '` + deaf + `' &`, "cgroup none"},
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, mode string) {
				if mode == "none" && !strings.Contains(test.modes, mode) {
					t.Skip("only a cgroup can tell whose it is")
				}
				s := newSite(t, mode, test.script+"\nuntil [ -s pids ]; do sleep 0.01; done\n")
				if got := s.run("start"); got != 0 {
					t.Fatalf("start = %d", got)
				}
				daemon := s.pid("pids")
				s.eventually("Alive", func() bool { return slices.Contains(alivePIDs(t, s.Runner), daemon) })
				left, err := s.KillAll(100 * time.Millisecond)
				if len(left) > 0 || err != nil || lives(daemon) {
					t.Errorf("KillAll = %v, %v; daemon lives: %v", left, err, lives(daemon))
				}
				if got := alivePIDs(t, s.Runner); len(got) > 0 {
					t.Errorf("Alive after KillAll = %v", got)
				}
			})
		})
	}
}

// In the script's group a process is found by that alone.
func TestAliveSeesTheGroup(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `(env -i sh -c 'echo $$ >>pids; exec sleep 60' &); sleep 60`)
	s.start("start")
	pid := s.pid("pids")
	s.eventually("an orphan", func() bool {
		p, err := readProc(pid)
		return err == nil && p.ppid == os.Getpid()
	})
	if got := alivePIDs(t, s.Runner); !slices.Contains(got, pid) {
		t.Errorf("Alive = %v, want %d among them", got, pid)
	}
}

// What forks and ends faster than anyone can look is killed with its cgroup, or its group.
func TestKillOutrunsAChain(t *testing.T) {
	kills := map[string]func(a *Action){
		"Kill":    func(a *Action) { a.Kill(0) },
		"KillAll": func(a *Action) { _, _ = a.r.KillAll(0) },
	}
	for name, kill := range kills {
		t.Run(name, func(t *testing.T) { testChain(t, kill) })
	}
}

func testChain(t *testing.T, kill func(a *Action)) {
	eachMode(t, func(t *testing.T, mode string) {
		leave := map[string]string{"": "setsid env -i", "none": "env -i"}[mode]
		s := newSite(t, mode, `sh chain 4000 & sleep 60`)
		chain := "echo >>links; [ $1 -gt 0 ] && " + leave + " sh chain $(($1-1)) &\n"
		if err := os.WriteFile(filepath.Join(s.home, "chain"), []byte(chain), 0o600); err != nil {
			t.Fatal(err)
		}
		links := func() int {
			data, _ := os.ReadFile(filepath.Join(s.home, "links"))
			return len(data)
		}
		a := s.start("start")
		s.eventually("a chain", func() bool { return links() > 20 })
		kill(a)
		// A link takes some milliseconds; each look at all processes is at least one more.
		n := links()
		for range 20 {
			if _, err := processes(); err != nil {
				t.Fatal(err)
			}
		}
		if more := links(); more != n || n > 3900 {
			t.Errorf("the chain went on from %d to %d", n, more)
		}
	})
}

// A process whose environment is gone is still ours if it was seen when it had it.
func TestSeenBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `
setsid sh -c 'setsid sh -c "echo \$\$ >>pids; until [ -e go ]; do sleep 0.01; done; exec env -i sleep 60" &
until [ -e go ]; do sleep 0.01; done' &`)
	s.run("start")
	daemon := s.pid("pids")
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.eventually("an empty environment", func() bool {
		p, err := readProc(daemon)
		return err == nil && p.ppid == os.Getpid() && command(daemon) == "sleep 60"
	})
	if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{daemon}) {
		t.Errorf("Alive = %v, want %d", got, daemon)
	}
}

func TestKillAllEndsRunningActions(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, deaf)
		a, b := s.start("start"), s.start("status")
		s.pids("pids", 2)
		if left, err := s.KillAll(10 * time.Millisecond); len(left) > 0 || err != nil {
			t.Errorf("KillAll = %v, %v", left, err)
		}
		if s.end(a) != 137 || s.end(b) != 137 {
			t.Errorf("statuses = %d %d, want 137", a.Status(), b.Status())
		}
		s.eventually("both reaped", func() bool {
			_, errA := readProc(a.pid)
			_, errB := readProc(b.pid)
			return errA != nil && errB != nil
		})
	})
}

func TestKillSparesTheOtherAction(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `setsid sh -c 'echo $$ >>pids.'$1'; exec sleep 60' & echo $$ >>pids.$1; wait`)
		a, b := s.start("start"), s.start("status")
		for _, pid := range append(s.pids("pids.start", 2), s.pids("pids.status", 2)...) {
			if !lives(pid) {
				t.Fatalf("%d is dead already", pid)
			}
		}
		b.Kill(0)
		for _, pid := range s.pids("pids.start", 2) {
			if !lives(pid) {
				t.Errorf("%d of the other action was killed", pid)
			}
		}
		a.Kill(100 * time.Millisecond)
		for _, pid := range append(s.pids("pids.start", 2), s.pids("pids.status", 2)...) {
			if lives(pid) {
				t.Errorf("%d is alive", pid)
			}
		}
	})
}

// What an ended script left can still be killed as its own.
func TestKillAfterTheEnd(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `env -i sh -c 'echo $$ >>pids; exec sleep 60' &
setsid sh -c 'echo $$ >>pids; exec sleep 60' &
until [ "$(wc -l <pids)" -eq 2 ]; do sleep 0.01; done 2>/dev/null
exit 3`)
		a := s.start("start")
		if got := s.end(a); got != 3 {
			t.Fatalf("start = %d, want 3", got)
		}
		s.eventually("its end noticed", func() bool {
			_, err := readProc(a.pid)
			return err != nil
		})
		a.Kill(time.Second)
		for _, pid := range s.pids("pids", 2) {
			if lives(pid) {
				t.Errorf("%d is alive", pid)
			}
		}
	})
}

// While somebody kills, the leader's number must not be free for another process.
func TestLeaderIsTheAnchor(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `sh -c '`+deaf+`' & until [ -s pids ]; do sleep 0.01; done; wait`)
		a := s.start("start")
		s.pids("pids", 1)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			a.Kill(time.Second)
		}()
		if got := s.end(a); got != 143 {
			t.Errorf("status = %d, want 143", got)
		}
		if p, err := readProc(a.pid); err != nil || !p.zombie {
			t.Errorf("the leader is not kept while the kill goes on: %+v, %v", p, err)
		}
		<-killed
		if _, err := readProc(a.pid); err == nil {
			t.Error("the leader was not reaped")
		}
	})
}

func TestTwoRunners(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		const script = `setsid sh -c 'echo $$ >>pids.'$BTW_LOCK'; exec sleep 60' & [ $1 = start ] || sleep 60`
		s := newSite(t, mode, script, func(c *Config) { c.Session = "same" + t.TempDir() })
		writeScript(t, s.home, "other", script)
		other := s.runner(mode, func(c *Config) { c.Name, c.Lock, c.Session = "other", "other", s.cfg.Session })
		for _, r := range []*Runner{s.Runner, other} {
			a, err := r.Start("start", 1, "")
			if err != nil {
				t.Fatal(err)
			}
			s.end(a)
		}
		mine, theirs := s.pid("pids.pkg"), s.pid("pids.other")
		a := s.start("status")
		s.pids("pids.pkg", 2)
		if got := alivePIDs(t, other); !slices.Equal(got, []int{theirs}) {
			t.Errorf("the other's Alive = %v, want %d", got, theirs)
		}
		a.Kill(0)
		if left, err := s.KillAll(0); len(left) > 0 || err != nil || lives(mine) {
			t.Errorf("KillAll = %v, %v", left, err)
		}
		if !lives(theirs) {
			t.Error("the other's process was killed")
		}
	})
}
