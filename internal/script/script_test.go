//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStatus(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1 in sig*) kill -${1#sig} $$;; *) exit $1;; esac`)
		for action, want := range map[string]int{
			"0": 0, "1": 1, "2": 2, "3": 3, "255": 255, "sigKILL": 137, "sigTERM": 143, "sigHUP": 129,
		} {
			if got := s.run(action); got != want {
				t.Errorf("%s: status = %d, want %d", action, got, want)
			}
		}
	})
}

func TestEnvironment(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		link := filepath.Join(t.TempDir(), "home")
		for _, shell := range []string{"", "/bin/bash"} {
			s := newSite(t, mode, `echo "$0 $1 $PWD $(pwd -P)"
echo "$PATH"; env | grep -E '^(BTW|KEPT)' | grep -v -e ACTION -e SESSION | sort
[ -n "$BTW_SESSION" ] && [ -z "$(cat)" ] && [ "$(ps -o pgid= -p $$)" -eq $$ ] && echo well >&2
exit 4`, func(c *Config) {
				// As called through a link: $PWD keeps it.
				_ = os.Remove(link)
				if err := os.Symlink(c.Home, link); err != nil {
					t.Fatal(err)
				}
				c.Shell, c.Home = shell, link
			})
			if got := s.run("stop"); got != 4 {
				t.Errorf("status = %d, want 4", got)
			}
			want := "packages/pkg stop " + link + " " + s.home + "\n" + link + "/bin:" + link + "/dex-lock:/no/dex-lock:/usr/bin:/bin\n" +
				"BTW_LOCK=pkg\nBTW_NODE=n1\nBTW_PREVIOUS=n2\nBTW_TERM=7\nBTW_UNFENCED=\nKEPT=yes\nwell\n"
			if got := s.logText(); got != want {
				t.Errorf("shell %q: log = %q, want %q", shell, got, want)
			}
		}
	})
}

// A daemon outlives its start, keeps the log, and is neither killed nor forgotten later.
func TestServiceOutlivesStart(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $1 in
start) setsid sh -c 'echo $$ >pid; until [ -e go ]; do sleep 0.01; done; echo from the daemon; exec sleep 60' & ;;
status) sleep 60;;
esac`)
		if got := s.run("start"); got != 0 {
			t.Fatalf("start = %d", got)
		}
		if err := s.Settle(); err != nil {
			t.Fatal(err)
		}
		s.Logf("%s here", "manager")
		daemon := s.pid("pid")
		if r := s.Runner; r.tree != nil {
			if act, svc := cgroupPIDs(t, r.tree.act), cgroupPIDs(t, r.tree.svc); len(act) != 0 || !slices.Contains(svc, daemon) {
				t.Errorf("act = %v, svc = %v, want %d in svc alone", act, svc, daemon)
			}
		}
		status := s.start("status")
		status.Kill(0)
		if got := s.end(status); got != 137 {
			t.Errorf("status killed = %d, want 137", got)
		}
		if !lives(daemon) {
			t.Fatal("killing status killed the daemon")
		}
		if err := os.WriteFile(filepath.Join(s.home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.eventually("the daemon's line", func() bool { return s.logText() == "manager here\nfrom the daemon\n" })
		if got := alivePIDs(t, s.Runner); !slices.Contains(got, daemon) {
			t.Errorf("Alive = %v, want %d among them", got, daemon)
		}
		if left, err := s.KillAll(time.Second); len(left) > 0 || err != nil || lives(daemon) {
			t.Errorf("KillAll = %v, %v; daemon lives: %v", left, err, lives(daemon))
		}
	})
}

func TestNewAndCheckRefuse(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	good := Config{Home: home, Name: "pkg", Session: "s", Cgroup: "none"}
	for name, f := range map[string]func(*Config){
		"relative home": func(c *Config) { c.Home = "here" },
		"no name":       func(c *Config) { c.Name = "" },
		"dots":          func(c *Config) { c.Name = ".." },
		"slash":         func(c *Config) { c.Name = "../x" },
		"no session":    func(c *Config) { c.Session = "" },
	} {
		cfg := good
		f(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("New with %s: no error", name)
		}
	}
	writeScript(t, home, "good", "")
	writeScript(t, home, "plain", "")
	if err := os.Chmod(filepath.Join(home, "packages/plain"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, "packages/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good", filepath.Join(home, "packages/link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"good": "", "link": "",
		"none":    `package "none" not found`,
		"../x":    `package "../x" not found`,
		"":        `package "" not found`,
		"plain":   `package "plain" is not executable`,
		"modules": `package "modules" is not a regular file`,
	} {
		got := ""
		if err := Check(home, name); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Check(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tail := " S 10 11 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 777 0 0"
	p, err := parseStat(5, []byte("5 (a) Z 1 (b)"+tail))
	if want := (proc{pid: 5, ppid: 10, pgrp: 11, start: 777}); err != nil || p != want {
		t.Errorf("parseStat = %+v, %v; want %+v", p, err, want)
	}
	if _, err := parseStat(5, []byte("5 (a) S 1")); err == nil {
		t.Error("parseStat of half a line: no error")
	}
	if !exhausted(&os.PathError{Err: unix.EMFILE}) || exhausted(os.ErrNotExist) || exhausted(nil) {
		t.Error("exhausted takes one for the other")
	}
	got := cgroupMounts("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"41 31 0:38 / /a\\040b rw,relatime shared:1 - cgroup2 cgroup2 rw\n42 31 0:39 / /c rw - cgroup cgroup rw\n")
	if !slices.Equal(got, []string{"/a b"}) {
		t.Errorf("cgroupMounts = %q", got)
	}
}

// Several processes write the log: nobody's lines go over another's.
func TestLogIsAppended(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", "")
	s.Logf("one")
	next := s.runner("none")
	next.Logf("two")
	s.Logf("three")
	if got := s.logText(); got != "one\ntwo\nthree\n" {
		t.Errorf("log = %q", got)
	}
}

// Who goes on with a package does without its log; who begins it does not. What is not begun leaves what
// stands for the log alone.
func TestNewWithoutLog(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "log"), nil, 0o644); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	cfg := Config{Home: home, Name: "p", Lock: "p", Session: "s", Cgroup: "none"}
	if r, err := New(cfg); err == nil {
		_ = r.Close()
		t.Error("a package is begun without a log")
	}
	cfg.GoesOn = true
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Abandon(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(os.DevNull); err != nil {
		t.Error(err)
	}
}
