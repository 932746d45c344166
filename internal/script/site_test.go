//go:build linux

package script

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildVerb {
		os.Exit(RunChild(os.Args[2:], interpretForTest))
	}
	if len(os.Args) > 2 && os.Args[1] == "hold-lease" {
		holdLease(os.Args[2])
	}
	if os.Getenv("SCRIPT_TEST_HEADLESS") != "" {
		headless()
	}
	if kill := os.Getenv("SCRIPT_TEST_FULL"); kill != "" {
		killWithFullTable(kill)
	}
	if signal.Ignored(syscall.SIGHUP) { // nohup: scripts are not to ignore it too
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	status := m.Run()
	// Every goroutine of ours must have ended.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("script.(*")) {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", stacks)
			status = 1
			break
		}
	}
	os.Exit(status)
}

// headless ends the first thread of this process only: it looks like a zombie and runs on.
func headless() {
	go func() {
		time.Sleep(time.Minute)
		os.Exit(0)
	}()
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
}

// killWithFullTable starts a script, takes away every chance to open a file, and kills.
func killWithFullTable(kill string) {
	cfg := Config{
		Home: os.Getenv("SCRIPT_TEST_HOME"), Name: "pkg", Node: "n1", Lock: "pkg", Session: "full",
		Environ: os.Environ(), Cgroup: os.Getenv("SCRIPT_TEST_MODE"),
	}
	err := func() error {
		r, err := New(cfg)
		if err != nil {
			return err
		}
		a, err := r.Start("start", 1, "")
		if err != nil {
			return err
		}
		for !exists(filepath.Join(cfg.Home, "ready")) {
			time.Sleep(5 * time.Millisecond)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 1024}); err != nil {
			return err
		}
		if kill == "Kill" {
			a.Kill(0)
			return nil
		}
		if _, err := r.KillAll(0); err == nil {
			return errors.New("KillAll saw nothing and called it an end")
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func init() {
	if os.Getenv("SCRIPT_TEST_HEADLESS") != "" {
		runtime.LockOSThread() // main stays on the first thread
	}
}

// site is a home with one package, and its runner.
type site struct {
	*Runner
	t    *testing.T
	home string
}

// newSite makes package "pkg" of script, which gets its first line here.
func newSite(t *testing.T, mode, script string, change ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, home: t.TempDir()}
	writeScript(t, s.home, "pkg", script)
	s.Runner = s.runner(mode, change...)
	return s
}

func writeScript(t *testing.T, home, name, script string) {
	t.Helper()
	path := filepath.Join(home, "packages", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// runner is one more runner of the site's package, ended with the test.
func (s *site) runner(mode string, change ...func(*Config)) *Runner {
	s.t.Helper()
	cfg := Config{
		Home: s.home, Name: "pkg", Node: "n1", Lock: "pkg", LockDir: "/no/dex-lock",
		Session: "session-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		Environ: []string{"PATH=/usr/bin:/bin", "BTW_HOME=/elsewhere", "BTW_TERM=99", "KEPT=yes"},
		Cgroup:  mode,
	}
	for _, f := range change {
		f(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if left, err := r.KillAll(0); len(left) > 0 || err != nil {
			s.t.Errorf("KillAll(0) = %v, %v; want none", left, err)
		}
		if err := r.Close(); err != nil {
			s.t.Error(err)
		}
		if dir := r.Cgroup(); dir != "" && exists(dir) {
			s.t.Errorf("%s is still there after Close", dir)
		}
	})
	return r
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eachMode runs f with cgroups and without.
func eachMode(t *testing.T, f func(t *testing.T, mode string)) {
	t.Parallel()
	t.Run("cgroup", func(t *testing.T) {
		t.Parallel()
		needCgroup(t)
		f(t, "")
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		f(t, "none")
	})
}

func needCgroup(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if len(cgroupMounts(string(data))) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no cgroup2 is mounted")
		}
		t.Skip("no cgroup2 is mounted")
	}
}

// start starts action and says when it has ended.
func (s *site) start(action string) *Action {
	s.t.Helper()
	a, err := s.Start(action, 7, "n2")
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *site) run(action string) int {
	s.t.Helper()
	return s.end(s.start(action))
}

func (s *site) end(a *Action) int {
	s.t.Helper()
	select {
	case <-a.Done():
	case <-time.After(20 * time.Second):
		s.t.Fatal("the script does not end")
	}
	return a.Status()
}

// eventually polls ok for at most 20 s.
func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// pid waits for a pid in file.
func (s *site) pid(file string) int {
	s.t.Helper()
	return s.pids(file, 1)[0]
}

// pids waits for n pids in file, a line each.
func (s *site) pids(file string, n int) (pids []int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d pids in %s", n, file), func() bool {
		data, _ := os.ReadFile(filepath.Join(s.home, file))
		if bytes.Count(data, []byte("\n")) < n {
			return false
		}
		pids = nil
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				s.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return true
	})
	return pids
}

// lives says whether pid is there and no zombie.
func lives(pid int) bool {
	p, err := readProc(pid)
	return err == nil && !p.zombie
}

func (s *site) logText() string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.home, "log", "pkg.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func alivePIDs(t *testing.T, r *Runner) []int {
	t.Helper()
	alive, err := r.Alive()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, p := range alive {
		pids = append(pids, p.PID)
	}
	return pids
}
