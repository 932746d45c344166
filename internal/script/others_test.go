//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// standIn is a shell command that starts another manager, as service start does, with a package's
// daemon below it that has a mark of that package's or nothing at all in its environment.
const standIn = `env -u BTW_SESSION -u BTW_LOCK -u BTW_ACTION BTW_ASIDE=back-to-work setsid sh -c '
echo $$ >>theirs
BTW_ASIDE=deadman setsid sh -c "echo \$\$ >>theirs; exec sleep 60" &
env -i setsid sh -c "echo \$\$ >>theirs.bare; exec sleep 60" &
env -u BTW_ASIDE BTW_SESSION=other BTW_LOCK=other BTW_ACTION=other setsid sh -c "echo \$\$ >>theirs; exec sleep 60" &
wait' >/dev/null 2>&1 &
while [ "$(wc -l <theirs)" != 3 ] || ! [ -s theirs.bare ] ; do sleep 0.01 ; done 2>/dev/null
`

// theirs is what standIn has started: the manager first, and last what has nothing in its environment.
func (s *site) theirs() []int {
	return append(s.pids("theirs", 3), s.pid("theirs.bare"))
}

// spare moves what is not the package's out of its cgroup, as a manager does itself.
func (s *site) spare(pids []int) {
	s.t.Helper()
	if s.tree == nil {
		return
	}
	for _, pid := range pids {
		if err := Aside(s.home, "n1", ".manager", pid); err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Cleanup(func() {
		mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
		for _, base := range cgroupMounts(string(mountinfo)) {
			s.eventually("the cgroup aside removed", func() bool {
				tidyAside(base, ".manager")
				return !exists(filepath.Join(base, siteDir(s.home, "n1"), ".manager"))
			})
		}
	})
}

// endAtCleanup kills what is left of pids when the test is over.
func (s *site) endAtCleanup(pids []int) {
	s.t.Cleanup(func() {
		for _, pid := range pids {
			if p, err := readProc(pid); err == nil {
				p.signal(syscall.SIGKILL)
			}
			s.eventually("its end", func() bool { return !lives(pid) })
		}
	})
}

// A manager that a package's script has started is not the package's, nor is its deadman, nor what
// either of them runs; and they are not drawn back into the cgroup that they have left.
func TestSparesAnotherManager(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1 in
start) `+standIn+`setsid sh -c 'echo $$ >>pids; exec sleep 60' & while ! [ -s pids ] ; do sleep 0.01 ; done ;;
esac`)
		a := s.start("start")
		theirs, daemon := s.theirs(), s.pid("pids")
		s.spare(theirs)
		s.endAtCleanup(theirs)
		s.end(a)
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		if got := alivePIDs(t, s.Runner); !slices.Equal(got, []int{daemon}) {
			t.Errorf("Alive = %v, want %d and not %v", got, daemon, theirs)
		}
		if left, err := s.KillAll(100 * time.Millisecond); len(left) > 0 || err != nil {
			t.Errorf("KillAll = %v, %v", left, err)
		}
		if lives(daemon) {
			t.Error("the daemon is alive")
		}
		for _, pid := range theirs {
			if !lives(pid) {
				t.Errorf("%d of another manager was killed", pid)
			}
		}
	})
}

// In the middle of a start the same is true; and what was in the script's group is not remembered
// as the package's.
func TestSparesAnotherManagerDuringStart(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, standIn+`sleep 60`)
		a := s.start("start")
		theirs := s.theirs()
		s.spare(theirs)
		s.endAtCleanup(theirs)
		if got := alivePIDs(t, s.Runner); slices.ContainsFunc(theirs, func(pid int) bool { return slices.Contains(got, pid) }) {
			t.Errorf("Alive = %v, with some of %v", got, theirs)
		}
		a.Kill(0)
		for _, pid := range theirs {
			if !lives(pid) {
				t.Errorf("%d of another manager was killed", pid)
			}
		}
	})
}

// Until it has left the cgroup of the package it is not taken for the package's, or for what must
// be made its service.
func TestSettleLeavesTheOther(t *testing.T) {
	t.Parallel()
	needCgroup(t)
	s := newSite(t, "", standIn)
	s.run("start")
	theirs := s.theirs()
	s.endAtCleanup(theirs)
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	if svc := cgroupPIDs(t, s.tree.svc); slices.Contains(svc, theirs[0]) {
		t.Errorf("svc = %v, with the other manager %d", svc, theirs[0])
	}
}

// What carries the package's own marks is its own, whatever else it says.
func TestMarksOutweigh(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `BTW_ASIDE=dummy setsid sh -c 'echo $$ >>pids; exec sleep 60' & while ! [ -s pids ] ; do sleep 0.01 ; done`)
		s.run("start")
		if got := alivePIDs(t, s.Runner); !slices.Contains(got, s.pid("pids")) {
			t.Errorf("Alive = %v, want %d", got, s.pid("pids"))
		}
	})
}

// A script does not inherit that its manager stands aside.
func TestScriptsAreNotAside(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `env | grep ASIDE; exit 3`, func(c *Config) { c.Environ = append(c.Environ, AsideMark+"=back-to-work") })
	if s.run("status"); strings.Contains(s.logText(), AsideMark) {
		t.Errorf("log = %q", s.logText())
	}
}

// A command under a guard may start a manager, which outlives it; so does what that manager's own
// death leaves, which the guard inherits.
func TestGuardSparesAnotherManager(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"alive": standIn,
		"dead":  standIn + `kill -9 $(head -1 theirs); sleep 0.1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			said, _ := guarded(t, "none", "cd "+dir+"; "+command+"\necho $$ >>$OLDPWD/pids; exit 5")
			s := &site{t: t, home: dir}
			theirs := s.theirs()
			s.endAtCleanup(theirs)
			if said != "5 [] <nil>" {
				t.Errorf("status, left and error = %s", said)
			}
			for i, pid := range theirs {
				if name == "dead" && (i == 0 || i == 3) {
					continue // an orphan that says nothing of itself is taken for the command's
				}
				if !lives(pid) {
					t.Errorf("process %d of another manager was killed", i)
				}
			}
		})
	}
}
