//go:build linux

package script

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// dies starts commands and waits for its death.
func (s *scene) dies() {
	var err error
	s.Commands, err = NewCommands(s.config())
	s.must(err)
	s.sh("a/.1", `setsid sleep 60 & echo $! >>pids; echo $$ >>pids; exec sleep 60`)
	s.sh("b", `setsid sleep 60 & echo $! >>pids; exit 0`)
	s.sh("c", `exit 0`)
	s.end("b")
	s.end("c")
	s.noted("pids", 3)
	s.must(os.WriteFile("ready", nil, 0o600))
	select {}
}

// dying has another process die that has started commands.
func (s *scene) dying() {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SCRIPT_TEST_SCENE=dies")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	s.must(cmd.Start())
	s.eventually("it is ready", func() bool { return exists("ready") })
	s.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
}

// What a daemon that was killed has left is found, followed and ended by the next.
func (s *scene) adopt() {
	found, err := s.Found()
	s.must(err)
	if keys := slices.Sorted(maps.Keys(found)); !slices.Equal(keys, []string{"a/.1", "b"}) || len(found["a/.1"]) != 2 || len(found["b"]) != 1 {
		s.fail("found: %v", found)
	}
	data, _ := os.ReadFile("pids")
	pid, err := s.Adopt("a/.1")
	if s.must(err); !slices.Contains(parsePIDs(data), pid) {
		s.fail("adopted %d, not one of %s", pid, data)
	}
	again, err := s.Adopt("a/.1")
	if s.must(err); again != pid {
		s.fail("adopted %d, and then %d", pid, again)
	}
	if none, err := s.Adopt("c"); none != 0 || err != nil {
		s.fail("adopted of nothing: %d, %v", none, err)
	}
	s.must(s.Signal(syscall.SIGTERM, "a/.1"))
	if e := s.end("a/.1"); e.PID != pid || e.Status != -1 {
		s.fail("told %v, want pid %d and -1", e, pid)
	}
	s.eventually("nothing is left", func() bool { return len(s.alive("a/.1")) == 0 })
	if left, err := s.Kill("b"); len(left) > 0 || err != nil {
		s.fail("Kill: %v, %v", left, err)
	}
	if len(s.came) > 0 {
		s.fail("told besides: %v", s.came)
	}
}

// A cgroup is there only while something is in it, and may be used again after a kill.
func (s *scene) tidy() {
	if s.dir == "" {
		return
	}
	s.sh("a.b/c", `echo $$ >>pids; exec sleep 60`)
	s.noted("pids", 1)
	dir := s.cgroup("a.b/c")
	s.must(os.Mkdir(filepath.Join(dir, "below"), 0o755))
	s.must(os.WriteFile(filepath.Join(dir, "below", "cgroup.procs"), []byte(itoa(s.noted("pids", 1)[0])), 0))
	if got := s.alive("a.b/c"); !slices.Equal(got, s.noted("pids", 1)) {
		s.fail("alive: %v", got)
	}
	s.sh("a.b/c", `echo $$ >>pids; exec sleep 60`) // beside what is there
	if got := s.alive("a.b/c"); len(got) != 2 {
		s.fail("alive: %v, want both", got)
	}
	_, err := s.Kill("a.b/c")
	s.must(err)
	s.eventually("the cgroup is gone", func() bool { return !exists(dir) })
	if s.loose {
		s.fail("it was started outside of the cgroup")
	}
	pid := s.sh("out", `exec sleep 60`) // as if it could not be started inside
	s.must(os.WriteFile(filepath.Join(s.dir, "../../cgroup.procs"), []byte(itoa(pid)), 0))
	if found, err := s.Found(); err != nil || len(found["out"]) != 1 || !slices.Equal(s.alive("out"), []int{pid}) {
		s.fail("found outside: %v, %v; alive: %v", found, err, s.alive("out"))
	}
	if left, err := s.Kill("out"); err != nil || len(left) > 0 || lives(pid) {
		s.fail("Kill: %v, %v", left, err)
	}
}

func TestEldest(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		of   []proc
		want int
	}{
		"nothing":        {nil, 0},
		"parent":         {[]proc{{pid: 7, ppid: 9, start: 5}, {pid: 9, ppid: 1, start: 5}}, 9},
		"older":          {[]proc{{pid: 7, ppid: 1, start: 6}, {pid: 9, ppid: 1, start: 5}}, 9},
		"leader":         {[]proc{{pid: 7, ppid: 1, pgrp: 9, start: 5}, {pid: 9, pgrp: 9, ppid: 1, start: 5}}, 9},
		"the first":      {[]proc{{pid: 7, ppid: 1, start: 5}, {pid: 9, ppid: 1, start: 5}}, 7},
		"a younger root": {[]proc{{pid: 7, ppid: 9, start: 4}, {pid: 9, ppid: 1, start: 5}}, 9},
	} {
		of := make(map[int]proc)
		for _, p := range row.of {
			of[p.pid] = p
		}
		if got, ok := eldest(of); got.pid != row.want || ok != (row.want != 0) {
			t.Errorf("%s: %d, want %d", name, got.pid, row.want)
		}
	}
}
