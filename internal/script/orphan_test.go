//go:build linux

package script

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestZombiesDoNotCount(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `sh -c 'echo $$ >>pids' & exec sleep 60`)
		a := s.start("start")
		zombie := s.pid("pids")
		s.eventually("a zombie", func() bool {
			p, err := readProc(zombie)
			return err == nil && p.zombie
		})
		if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{a.pid}) {
			t.Errorf("Alive = %v, want %d", got, a.pid)
		}
		a.Kill(0)
		s.eventually("the zombie, now an orphan, reaped", func() bool {
			_, err := readProc(zombie)
			return err != nil
		})
	})
}

// A process that has lost its first thread looks like a zombie and is alive.
func TestHeadlessProcessCounts(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, "SCRIPT_TEST_HEADLESS=1; export SCRIPT_TEST_HEADLESS; exec "+os.Args[0]+"\n")
		a := s.start("start")
		s.eventually("no first thread", func() bool {
			data, _ := os.ReadFile("/proc/" + itoa(a.pid) + "/status")
			return strings.Contains(string(data), "Z (zombie)")
		})
		if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{a.pid}) {
			t.Errorf("Alive = %v, want %d", got, a.pid)
		}
		if left, err := s.KillAll(0); err != nil || len(left) > 0 {
			t.Errorf("KillAll = %v, %v", left, err)
		}
		if got := s.end(a); got != 137 {
			t.Errorf("status = %d, want 137", got)
		}
	})
}

// Orphans are reaped, children that other code waits for are not.
func TestReapSparesOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `env -i setsid sh -c 'setsid sh -c "echo \$\$ >>pids" & exit' & sleep 0.1`)
	cmd := exec.Command("/bin/sh", "-c", "exit 9")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("its end", func() bool {
		p, err := readProc(cmd.Process.Pid)
		return err != nil || p.zombie
	})
	s.run("start")
	orphan := s.pid("pids")
	s.eventually("the orphan reaped", func() bool {
		_, err := readProc(orphan)
		return err != nil
	})
	if err := cmd.Wait(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("Wait: %v, %v; want exit status 9", err, cmd.ProcessState)
	}
}

// What a script leaves is reaped here, as soon as it has ended: process 1 may be one that does not
// reap. So a stop script finds gone what it has killed, however it looks for it.
func TestReapsAtOnce(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1 in
start) setsid sleep 60 & echo $! >>pids ;;
stop) p=$(cat pids); ps -o ppid= -p $p >parent; kill -9 $p; sleep 0.3; ! kill -0 $p ;;
status) sleep 0.05 & echo $! >>left ;;
esac`)
		s.run("start")
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.run("status")
		}
		if got := s.run("stop"); got != 0 {
			t.Errorf("stop = %d: what it killed was not reaped", got)
		}
		if got := s.pid("parent"); got != os.Getpid() {
			t.Errorf("the daemon's parent is %d, not this process, which reaps", got)
		}
		s.eventually("no zombies", func() bool {
			return !slices.ContainsFunc(s.pids("left", 3), func(pid int) bool { _, err := readProc(pid); return err == nil })
		})
	})
}

// Without pidfds only those are taken that were seen, and never while a child is being started.
func TestOrphansWithoutHandles(t *testing.T) {
	t.Parallel()
	c := children{pids: map[int]struct{}{10: {}}}
	if got := c.orphans([]int{10, 11, 12}, []int{10, 11}); !slices.Equal(got, []int{11}) {
		t.Errorf("orphans = %v, want 11", got)
	}
	c.begin()
	if got := c.orphans([]int{10, 11, 12}, []int{10, 11}); len(got) > 0 {
		t.Errorf("orphans during a start = %v, want none", got)
	}
}

// A signal never reaches the process that got the number of a dead one.
func TestSignalLooksTwice(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := readProc(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	older := p
	older.start--
	older.signal(unix.SIGKILL)
	p.signal(unix.SIGTERM)
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("Wait = %v, want the SIGTERM", err)
	}
}

// A manager whose file table is full can still kill.
func TestKillWithFullFileTable(t *testing.T) {
	for _, kill := range []string{"Kill", "KillAll"} {
		t.Run(kill, func(t *testing.T) {
			eachMode(t, func(t *testing.T, mode string) {
				leave := map[string]string{"": "setsid env -i", "none": "env -i"}[mode] // beyond its group without a file: only by cgroup
				s := newSite(t, mode, leave+" sh -c 'echo $$ >>pids; exec sleep 60' &\necho $$ >>pids\n"+
					"until [ $(wc -l <pids) -eq 2 ]; do sleep 0.01; done; : >ready; sleep 60")
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "SCRIPT_TEST_FULL="+kill, "SCRIPT_TEST_HOME="+s.home, "SCRIPT_TEST_MODE="+mode)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
				for _, pid := range s.pids("pids", 2) {
					if p, err := readProc(pid); err == nil && !p.zombie {
						t.Errorf("%d is alive: %s", pid, command(pid))
						p.signal(unix.SIGKILL)
					}
				}
			})
		})
	}
}
