//go:build linux

package script

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// status runs the status, and returns NotRun, and why, where it could not be run.
func (s *site) status() (int, error) {
	s.t.Helper()
	a, err := s.Start("status", 1, "")
	if err != nil {
		return NotRun, err
	}
	return s.end(a), a.Err()
}

// What never ran has not said that anything is wrong; what did has, with whatever status.
func TestStatusOfWhatCannotRun(t *testing.T) {
	text := func(content string) func(string) error {
		return func(p string) error { return os.WriteFile(p, []byte(content), 0o755) }
	}
	noop := func(string) error { return nil }
	rows := map[string]struct {
		prepare func(path string) error
		shell   string
		want    int
		why     string
	}{
		"missing":               {os.Remove, "", NotRun, "no such file"},
		"missing, by shell":     {os.Remove, "/bin/sh", NotRun, "no such file"},
		"directory away":        {func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, "", NotRun, "no such file"},
		"not executable":        {func(p string) error { return os.Chmod(p, 0o644) }, "", NotRun, "permission denied"},
		"not executable, shell": {func(p string) error { return os.Chmod(p, 0o644) }, "/bin/sh", NotRun, "permission denied"},
		"no interpreter":        {text("#!/no/such/sh\n"), "", NotRun, `the interpreter "/no/such/sh" is missing`},
		"DOS line ends":         {text("#!/bin/sh\r\n"), "", NotRun, `the interpreter "/bin/sh\r" is missing: the file has DOS line ends`},
		"another machine":       {text("\x7fELF\x02\x01\x01\x00\x00\n"), "", NotRun, "it is a program for another kind of machine"},
		"no shell":              {noop, "/no/such/sh", NotRun, "the shell /no/such/sh: no such file"},
		"no first line":         {text("exit 5\n"), "", 5, ""},
		"its own 126":           {text("#!/bin/sh\nexit 126\n"), "", 126, ""},
		"its own 127":           {text("#!/bin/sh\nno-such-command\n"), "", 127, ""},
		"its own 127, by shell": {text("no-such-command\n"), "/bin/sh", 127, ""},
		"away while it runs":    {text("#!/bin/sh\nmv $0 away ; . ./none\n"), "", NotRun, "no such file"},
		"a directory": {func(p string) error {
			_ = os.Remove(p)
			return os.Mkdir(p, 0o755)
		}, "/bin/sh", NotRun, "is a directory"},
	}
	eachMode(t, func(t *testing.T, mode string) {
		for name, row := range rows {
			s := newSite(t, mode, "exit 0\n", func(c *Config) { c.Shell = row.shell })
			if err := row.prepare(filepath.Join(s.home, "packages/pkg")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := s.status()
				if got != row.want || (err == nil) != (row.why == "") || err != nil && !strings.Contains(err.Error(), row.why) {
					t.Errorf("%s: status = %d, %v; want %d, %q", name, got, err, row.want, row.why)
				}
			}
			if said := strings.Count(s.logText(), "back-to-work: cannot run "); said > 1 || (said > 0) != (row.want == NotRun) {
				t.Errorf("%s: the log says %q", name, s.logText())
			}
		}
	})
}

// A script that somebody has open for writing cannot be run; when it can be, its answer counts.
func TestStatusWhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", "exit 3\n")
	writer := exec.Command("/bin/sh", "-c", "exec 3>>packages/pkg; echo open; exec sleep 60")
	writer.Dir = s.home
	out, err := writer.StdoutPipe()
	if err == nil {
		err = writer.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 5))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.status(); got != NotRun || !strings.Contains(err.Error(), "text file busy") {
		t.Errorf("status = %d, %v", got, err)
	}
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Wait()
	if got, err := s.status(); got != 3 || err != nil {
		t.Errorf("status = %d, %v; want 3", got, err)
	}
}

// full fills the file system of the site's log, until the function that it returns is called.
func (s *site) full() (free func()) {
	s.t.Helper()
	filler := filepath.Join(s.home, "log/filler")
	f, err := os.Create(filler)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	f.Close()
	return func() {
		if err := os.Remove(filler); err != nil {
			s.t.Fatal(err)
		}
	}
}

// A script that cannot write its log, and ends for that, has not said that the package is down.
func TestFullLog(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", filepath.Join(home, "log"), "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(home, "log"), unix.MNT_DETACH) })
	s := &site{t: t, home: home}
	writeScript(t, home, "pkg", `set -e
printf '%8192s\n' "$1"
case $1 in status) exit $(cat is) ;; esac
`)
	is := func(status string) {
		if err := os.WriteFile(filepath.Join(home, "is"), []byte(status), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Runner = s.runner("none")
	is("0")
	check := func(want int, when string) {
		t.Helper()
		if got, err := s.status(); got != want || (err != nil) != (want == NotRun) {
			t.Errorf("status = %d, %v; want %d: %s", got, err, want, when)
		}
	}
	check(0, "there is room")
	free := s.full()
	check(NotRun, "it could not write")
	check(0, "it writes nowhere")
	is("1")
	check(1, "down, and its log has nothing to do with it")
	if got := s.run("stop"); got != 0 {
		t.Errorf("stop = %d, because of the log", got)
	}
	free()
	check(1, "down, and there is room again")
	if got := s.logText(); !strings.HasSuffix(got, " status\n") || strings.Contains(got, "stop") {
		t.Errorf("log = %q, want nothing of what ran while it was full, and its end", got)
	}
}

// To find out takes no time on a disk that hangs.
func TestLookIsShort(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", "exit 1\n")
	hangs := make(chan struct{})
	defer close(hangs)
	for range 2 {
		began := time.Now()
		if err := s.look(func() error { <-hangs; return os.ErrNotExist }); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("look = %v after %v", err, time.Since(began))
		}
	}
}
