//go:build linux

package script

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// successor is the runner of a manager that takes the place of the site's, in the same session.
func (s *site) successor(mode string) *Runner {
	return s.runner(mode, func(c *Config) { c.Session = s.cfg.Session })
}

// beside is the runner of a process beside the site's, as a deadman is.
func (s *site) beside() *Runner {
	s.t.Helper()
	r, err := New(Config{
		Home: s.home, Name: "pkg", Node: "n1", Lock: "pkg", Session: s.cfg.Session, Environ: s.cfg.Environ, Beside: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// A manager that takes another's place kills what that had begun; the service runs on.
func TestKillUnfinished(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1 in
start) setsid sh -c 'echo $$ > service; exec sleep 60' & while ! [ -s service ] ; do sleep 0.01 ; done ;;
*) echo $$ > action; exec sleep 60 ;;
esac`)
		s.run("start")
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		a := s.start("status")
		service, action := s.pid("service"), s.pid("action")
		next := s.successor(mode)
		if err := next.KillUnfinished(false); err != nil {
			t.Fatal(err)
		}
		// Without cgroups they cannot be told apart, and the service must not be hit.
		if lives(action) != (mode == "none") || !lives(service) {
			t.Errorf("the action lives: %v, the service: %v", lives(action), lives(service))
		}
		if mode == "none" {
			a.Kill(0)
		}
		s.end(a)
	})
}

// A start that was under way is killed with all that it has begun.
func TestKillUnfinishedStart(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `setsid sh -c 'echo $$ > service; exec sleep 60' & sleep 60`)
		a := s.start("start")
		service := s.pid("service")
		if err := s.successor(mode).KillUnfinished(true); err != nil {
			t.Fatal(err)
		}
		if s.end(a); lives(service) {
			t.Error("what an unfinished start had begun lives")
		}
	})
}

// The runner of a process beside leaves the cgroups to who runs the package.
func TestBeside(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `exit 0`)
	if err := s.beside().Close(); err != nil {
		t.Fatal(err)
	}
	if !exists(s.Cgroup()) {
		t.Error("its cgroups are gone")
	}
	if got := s.run("status"); got != 0 {
		t.Errorf("status = %d after a process beside has ended, want 0", got)
	}
}

// The units of systemd that a package names are its own, wherever they stand in the tree.
func TestUnits(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `exit 0`)
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	slice := filepath.Join(cgroupMounts(string(mountinfo))[0], "btw-test-"+filepath.Base(s.home)+itoa(os.Getpid())+".slice")
	unit := filepath.Join(slice, "ours-"+itoa(os.Getpid())+".service")
	if err := os.MkdirAll(unit, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(unit); _ = os.Remove(slice) })
	proc, err := os.StartProcess("/bin/sleep", []string{"sleep", "60"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _, _ = proc.Wait(); close(gone) }()
	if err := os.WriteFile(filepath.Join(unit, "cgroup.procs"), []byte(itoa(proc.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if got := alivePIDs(t, s.Runner); slices.Contains(got, proc.Pid) {
		t.Errorf("alive = %v before the unit was named", got)
	}
	s.SetUnits([]string{strings.TrimSuffix(filepath.Base(unit), ".service")})
	if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{proc.Pid}) {
		t.Errorf("alive = %v, want the unit's %d", got, proc.Pid)
	}
	if left, err := s.KillAll(time.Second); len(left) > 0 || err != nil {
		t.Errorf("KillAll = %v, %v", left, err)
	}
	<-gone
}

// A fence counts only where it says so: a script that knows nothing of fencing may end with 0.
func TestFence(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1/$2 in
fence/off) echo switching ; echo fenced off ;;
fence/lost) echo fenced lost ; echo or not ;;
fence/other) echo fenced off ;;
fence/fails) echo fenced fails ; exit 1 ;;
fence/hangs) sleep 60 ;;
esac`)
		for node, want := range map[string]string{
			"off": "", "lost": "did not say", "other": "did not say", "fails": "exit status 1", "unknown": "did not say", "hangs": "deadline",
		} {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if node == "hangs" {
				ctx, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
			}
			err := s.Fence(ctx, node)
			cancel()
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("Fence(%s) = %v, want %q", node, err, want)
			}
		}
		if !strings.Contains(s.logText(), "switching") {
			t.Errorf("log = %q, want what the fence printed", s.logText())
		}
	})
}

// An action that came too late is dropped alone: another may have been begun beside it, of which
// nobody knows yet.
func TestDropsAlone(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `echo $$ > late; sleep 60 & wait`)
	a := s.start("status")
	late := s.pid("late")
	other := newSite(t, "", `echo $$ > begun; exec sleep 60`, func(c *Config) { c.Session = s.cfg.Session })
	b := other.start("stop")
	begun := other.pid("begun")
	if err := s.tree.act.add(begun); err != nil { // where its own would be, but for its start
		t.Fatal(err)
	}
	a.Drop()
	if s.end(a); lives(late) || !lives(begun) {
		t.Errorf("the late one lives: %v, the other: %v", lives(late), lives(begun))
	}
	b.Kill(0)
	other.end(b)
}

// After another process has killed all of the cgroup, as a deadman does at the kill end, one script
// may be killed at its start; the next runs.
func TestAfterForeignKill(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `exit 3`)
	beside := s.beside()
	defer beside.Close()
	if got := s.run("status"); got != 3 {
		t.Fatalf("status = %d, want 3", got)
	}
	if _, err := beside.KillAll(0); err != nil {
		t.Fatal(err)
	}
	first, second := s.run("status"), s.run("status")
	if (first != 3 && first != 137) || second != 3 {
		t.Errorf("status = %d, then %d, want 137 at most once", first, second)
	}
}

// A host whose name changed has another cgroup for its package: who goes on is told of the former one, and
// finds, and kills, what runs there, be there nothing of ours in its environment.
func TestFormerName(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `case $1 in
start) env -i setsid /bin/sh -c 'echo $$ > service; exec sleep 60' & while ! [ -s service ] ; do sleep 0.01 ; done ;;
*) env -i /bin/sh -c 'echo $$ > action; exec sleep 60' ;;
esac`)
	s.run("start")
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	a := s.start("status")
	service, action := s.pid("service"), s.pid("action")
	renamed := func(also ...string) *Runner {
		return s.runner("", func(c *Config) { c.Session, c.Node, c.Also = "another-session", "renamed", also })
	}
	if left, err := renamed().Alive(); len(left) > 0 || err != nil {
		t.Errorf("who is not told sees %v, %v", left, err)
	}
	next := renamed(s.Cgroup(), "", "/etc", filepath.Join(s.Cgroup(), "../nobody"))
	if left, err := next.Alive(); len(left) < 2 || err != nil {
		t.Errorf("alive are %v, %v: want the service and the action", left, err)
	}
	if err := next.KillUnfinished(false); err != nil || lives(action) || !lives(service) {
		t.Errorf("KillUnfinished: %v; the action lives: %v, the service: %v", err, lives(action), lives(service))
	}
	if left, err := next.KillAll(0); len(left) > 0 || err != nil || lives(service) {
		t.Errorf("KillAll: %v, %v; the service lives: %v", left, err, lives(service))
	}
	s.end(a)
}
