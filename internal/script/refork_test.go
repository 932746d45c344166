//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestScriptsRunAfterAKill: since Linux 6.14 nothing lives that is started in a cgroup that was
// killed, by this manager or by one that crashed.
func TestScriptsRunAfterAKill(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "packages"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\ncase $1 in start) trap '' TERM ; sleep 70 & ;; status) exit 1 ;; esac\n"
	if err := os.WriteFile(filepath.Join(home, "packages", "a"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Home: home, Name: "a", Node: "n", Lock: "a", LockDir: home, Session: "0123456789abcdef", Environ: os.Environ()}
	run := func(r *Runner, action string) int {
		a, err := r.Start(action, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		<-a.Done()
		return a.Status()
	}
	crashed, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run(crashed, "start")
		if left, err := crashed.KillAll(10 * time.Millisecond); err != nil || len(left) > 0 {
			t.Fatalf("KillAll = %v, %v, want nothing alive", left, err)
		}
		if got := run(crashed, "status"); got != 1 {
			t.Errorf("after KillAll a script ends with status %d, want 1", got)
		}
	}
	r, err := New(cfg) // the first was never closed
	if err != nil {
		t.Fatal(err)
	}
	if got := run(r, "status"); got != 1 {
		t.Errorf("after a crash a script ends with status %d, want 1", got)
	}
	for _, r := range []*Runner{crashed, r} {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(r.Cgroup()); r.Cgroup() != "" && err == nil {
		t.Errorf("%s is left behind", r.Cgroup())
	}
}

// A process shows no environment in the moment in which it becomes another program. Who asks what is
// alive is not to hear "nothing" for that.
func TestAliveWhileItExecs(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `setsid sh again & until [ -s pids ]; do sleep 0.01; done`)
	if err := os.WriteFile(filepath.Join(s.home, "again"), []byte("[ -s pids ] || echo $$ >pids\nexec sh again\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run("start")
	pid := s.pid("pids")
	missed := 0
	for range 200 {
		s.mu.Lock()
		clear(s.seen) // as of a manager that has just begun
		s.mu.Unlock()
		if got := alivePIDs(t, s.Runner); !slices.Contains(got, pid) {
			missed++
		}
	}
	if missed > 3 { // a single look misses it about 10 times
		t.Errorf("not seen in %d looks of 200", missed)
	}
}
