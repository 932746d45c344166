//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A manager that comes after a crashed one has another session, and finds what that left.
func TestSuccessorFindsTheService(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `setsid sleep 60 & echo $! >>pids`)
	s.run("start")
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	next := s.runner("")
	if got := alivePIDs(t, next); !slices.Contains(got, s.pid("pids")) {
		t.Errorf("Alive = %v, want %d", got, s.pid("pids"))
	}
	if left, err := next.KillAll(0); len(left) > 0 || err != nil || lives(s.pid("pids")) {
		t.Errorf("KillAll = %v, %v", left, err)
	}
}

// Cgroups that a service makes below its own are the package's too.
func TestCgroupsBelow(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `env -i setsid sleep 60 & echo $! >>pids`)
	below := filepath.Join(s.Cgroup(), "act", "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(below)
	s.run("start")
	pid := s.pid("pids")
	if err := os.WriteFile(filepath.Join(below, "cgroup.procs"), []byte(itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{pid}) {
		t.Errorf("Alive = %v, want %d", got, pid)
	}
	if err := s.Settle(); err != nil || !slices.Equal(cgroupPIDs(t, s.tree.svc), []int{pid}) {
		t.Errorf("Settle: %v; svc = %v, want %d", err, cgroupPIDs(t, s.tree.svc), pid)
	}
	if _, err := s.KillAll(0); err != nil || lives(pid) {
		t.Errorf("KillAll: %v; lives: %v", err, lives(pid))
	}
}

// A directory that is no cgroup has no processes, so it must not be believed.
func TestPlainDirectoryIsNoCgroup(t *testing.T) {
	t.Parallel()
	s := newSite(t, t.TempDir(), "sleep 60\n")
	if dir := s.Cgroup(); dir != "" {
		t.Errorf("Cgroup = %q, want none", dir)
	}
	if _, err := openTree(s.cfg.Cgroup, s.cfg.Cgroup+"/x"); err == nil || !strings.Contains(err.Error(), "not a cgroup2 directory") {
		t.Errorf("openTree = %v", err)
	}
	s.start("start")
	if got := alivePIDs(t, s.Runner); len(got) == 0 {
		t.Error("Alive sees nothing")
	}
}

// Where clone cannot start into a cgroup the script runs all the same and is moved there.
func TestCloneIntoCgroupRefused(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", "sleep 60\n")
	dir, err := os.OpenRoot(s.home)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s.tree.act.entries = dir
	a := s.start("start")
	if got := cgroupPIDs(t, s.tree.act); !slices.Contains(got, a.pid) {
		t.Errorf("act = %v, want %d in it", got, a.pid)
	}
	if s.inTree() {
		t.Error("the next script will be tried that way again")
	}
	a.Kill(0)
	if got := s.end(a); got != 137 {
		t.Errorf("status = %d, want 137", got)
	}
}

// Cgroups that somebody has removed while they were empty are made anew: for the next script, for
// what a start leaves, and for who else acts on the package.
func TestCgroupsAreMadeAnew(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	for name, gone := range map[string][]string{
		"all": {"act/entry-*", "act", "svc", "."}, "act": {"act/entry-*", "act"}, "svc": {"svc"}, "entry": {"act/entry-*"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", `case $1 in start) env -i setsid sleep 60 & echo $! >>pids ;; *) exit 3 ;; esac`)
			beside := s.beside()
			defer beside.Close()
			if _, err := s.KillAll(0); err != nil { // so that there is an entry
				t.Fatal(err)
			}
			s.run("status")
			for _, dir := range gone {
				paths, err := filepath.Glob(filepath.Join(s.Cgroup(), dir))
				if err != nil || len(paths) == 0 {
					t.Fatalf("no %s: %v", dir, err)
				}
				for _, path := range paths {
					s.eventually("removed", func() bool { return os.Remove(path) == nil })
				}
			}
			if got := s.run("status"); got != 3 {
				t.Errorf("status = %d, want 3", got)
			}
			s.run("start")
			daemon := s.pid("pids")
			if got := cgroupPIDs(t, s.tree.act); !slices.Equal(got, []int{daemon}) {
				t.Errorf("act = %v, want %d", got, daemon)
			}
			if err := s.Settle(); err != nil || !slices.Equal(cgroupPIDs(t, s.tree.svc), []int{daemon}) {
				t.Errorf("Settle: %v; svc = %v, want %d", err, cgroupPIDs(t, s.tree.svc), daemon)
			}
			if !s.inTree() || s.logText() != "" {
				t.Errorf("in the tree: %v, log: %q", s.inTree(), s.logText())
			}
			if left, err := beside.KillAll(0); len(left) > 0 || err != nil || lives(daemon) {
				t.Errorf("KillAll of another = %v, %v; lives: %v", left, err, lives(daemon))
			}
		})
	}
}

// What runs while a start's leavings are made the service stays an action; and where they cannot be
// that is said, and not tried for ever.
func TestSettle(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", `case $1 in start) sleep 60 & echo $! >>pids ;; *) sleep 60; : ;; esac`)
	s.run("start")
	daemon, status := s.pid("pids"), s.start("status")
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	if act, svc := cgroupPIDs(t, s.tree.act), cgroupPIDs(t, s.tree.svc); !slices.Contains(act, status.pid) || !slices.Equal(svc, []int{daemon}) {
		t.Errorf("act = %v, svc = %v; want %d in act, %d in svc", act, svc, status.pid, daemon)
	}
	status.Kill(0)
	s.end(status)
	if _, err := s.KillAll(0); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := os.OpenRoot(s.home)
	if err != nil {
		t.Fatal(err)
	}
	own := s.tree.svc.held.Load()
	s.tree.svc.held.Store(&held{root: elsewhere, info: own.info})
	defer s.tree.svc.held.Store(own)
	s.run("start")
	began := time.Now()
	if err := s.Settle(); err == nil || !strings.Contains(err.Error(), "cannot keep apart") || time.Since(began) > 10*time.Second {
		t.Errorf("Settle = %v after %v", err, time.Since(began))
	}
}

func cgroupPIDs(t *testing.T, c *cgroup) []int {
	t.Helper()
	pids, err := c.pids()
	if err != nil {
		t.Fatal(err)
	}
	return pids
}
