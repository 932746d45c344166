package cli

import (
	"os"
	"testing"
)

// nobody is a process id that no process has.
const nobody = 1 << 30

func TestHaltNote(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	take := func() *lockDir {
		t.Helper()
		d, err := takeLockDir(home, "p", allNotes...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ask := func() {
		t.Helper()
		if err := askManager(home, "p", nobody, haltNote, "halt"); err != nil {
			t.Fatal(err)
		}
	}
	d := take()
	haltAsked := func() bool { _, ok := d.asked(haltNote); return ok } // the d of then
	if haltAsked() {
		t.Error("asked to halt by nobody")
	}
	ask()
	if !haltAsked() || haltAsked() {
		t.Error("a halt that was asked for is not seen once")
	}

	// A note for a manager that died is not for the next.
	ask()
	if err := d.pid.Close(); err != nil {
		t.Fatal(err)
	}
	d = take()
	if haltAsked() {
		t.Error("the next manager was halted by a note for a dead one")
	}

	// A manager that has ended leaves the next one's note alone.
	d.remove()
	next := take()
	ask()
	if haltAsked() || !func() bool { _, ok := next.asked(haltNote); return ok }() {
		t.Error("a note was taken by a manager that has ended")
	}

	// And what is gone stays gone.
	next.remove()
	ask()
	if _, err := os.Stat(lockDirPath(home, "p")); !os.IsNotExist(err) {
		t.Errorf("asking a manager that has ended made its directory anew: %v", err)
	}
}
