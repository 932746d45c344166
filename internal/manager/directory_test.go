//go:build linux

package manager

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// take takes a package's directory in home.
func take(t *testing.T, home Home) Dir {
	t.Helper()
	d, err := home.Take("p", false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ask asks for something in home.
func ask(t *testing.T, home Home, what string) (Answer, error) {
	t.Helper()
	return home.Ask(t.Context(), "p", Request{What: what})
}

// A request reaches the manager that there is, and no other; where there is none, nothing is left behind.
func TestAsk(t *testing.T) {
	t.Parallel()
	home := Home(filepath.Join(t.TempDir(), strings.Repeat("long/", 30))) // longer than the name of a socket may be
	if _, err := ask(t, home, Halt); !errors.Is(err, ErrNobody) {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := os.Stat(string(home)); !os.IsNotExist(err) {
		t.Errorf("who asks has made the directory: %v", err)
	}
	d := take(t, home)
	if _, err := home.Take("p", false); !errors.As(err, new(RunsError)) {
		t.Errorf("a second manager: %v", err)
	}
	d.Serve(func(q Request) Answer { return Answer{Doing: "first: " + q.What} })
	if a, err := ask(t, home, Halt); a.Doing != "first: halt" || err != nil {
		t.Errorf("Ask = %+v, %v", a, err)
	}

	// The next one takes over what is there.
	d.Leave()
	if _, err := ask(t, home, Halt); !errors.Is(err, ErrNobody) {
		t.Errorf("of a manager that is gone: %v", err)
	}
	next := take(t, home)
	next.Serve(func(q Request) Answer { return Answer{Doing: "next: " + q.What} })
	if a, err := ask(t, home, "clear"); a.Doing != "next: clear" || err != nil {
		t.Errorf("Ask = %+v, %v", a, err)
	}

	// And what is gone stays gone.
	next.Remove()
	if _, err := ask(t, home, Halt); !errors.Is(err, ErrNobody) {
		t.Errorf("of a manager that has ended: %v", err)
	}
	if _, err := os.Stat(home.Path("p")); !os.IsNotExist(err) {
		t.Errorf("asking a manager that has ended made its directory anew: %v", err)
	}
}

// On a disk that cannot be written a manager that goes on for another is asked, and answers, all the same.
func TestAskReadOnly(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	home := Home(t.TempDir())
	d := take(t, home)
	first, err := home.LockAsDeadman("p")
	if err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr, what ...string) {
		t.Helper()
		if err := syscall.Mount(string(home), string(home), "", flags, strings.Join(what, "")); err != nil {
			t.Fatal(err)
		}
	}
	mount(syscall.MS_BIND)
	t.Cleanup(func() {
		if err := syscall.Unmount(string(home), syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	mount(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
	d.Serve(func(Request) Answer { return Answer{Doing: "first"} })
	if a, err := ask(t, home, Halt); a.Doing != "first" || err != nil {
		t.Errorf("Ask = %+v, %v", a, err)
	}
	d.Leave()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Take("p", false); err == nil {
		t.Error("a manager begins though it cannot write")
	}
	next, err := home.Take("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Leave()
	next.Serve(func(Request) Answer { return Answer{Doing: "next"} })
	if a, err := ask(t, home, Halt); a.Doing != "next" || err != nil {
		t.Errorf("Ask = %+v, %v", a, err)
	}
	deadman, err := home.LockAsDeadman("p")
	if err != nil {
		t.Errorf("there can be no deadman: %v", err)
	} else if !home.HasDeadman("p") || deadman.Close() != nil {
		t.Error("there is no deadman")
	}
}
