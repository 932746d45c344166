//go:build linux

package script

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What runs after the log was rotated writes to the new one; and so does this process.
func TestRotatedLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `echo "$1"`)
	s.run("one")
	log := filepath.Join(s.home, "log/pkg.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	s.run("two")
	s.Logf("said %d", 3)
	if got := s.logText(); got != "two\nsaid 3\n" {
		t.Errorf("log = %q", got)
	}
	if old, err := os.ReadFile(log + ".1"); err != nil || string(old) != "one\n" {
		t.Errorf("the earlier log = %q, %v", old, err)
	}
}

// A log that cannot be looked at, as on a disk that hangs, holds up neither a script nor who tells something. Here it
// is a pipe that nobody reads.
func TestLogHangs(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `exit 1`)
	log := filepath.Join(s.home, "log/pkg.log")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, action := range []string{"status", "stop", "status"} {
		if got := s.run(action); got != 1 {
			t.Errorf("%s = %d, want 1", action, got)
		}
		s.Logf("a line")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	reader, err := os.OpenFile(log, os.O_RDWR, 0) // else what hangs would outlive the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
}
