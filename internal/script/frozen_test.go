//go:build linux

package script

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holdLease makes every open of path hang for some seconds, as on a disk that hangs.
func holdLease(path string) {
	signal.Ignore(unix.SIGIO)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("held")
	time.Sleep(8 * time.Second)
	os.Exit(0)
}

// A script that hangs before it runs must not stop this process, which has a lease to watch: on
// a fork whose exec hangs the Go runtime waits as soon as it collects garbage.
func TestHungExecStopsNobody(t *testing.T) {
	s := newSite(t, "", "exit 0\n")
	holder := exec.Command("/proc/self/exe", "hold-lease", filepath.Join(s.home, "packages", s.cfg.Name))
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := holder.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = holder.Wait() // it was killed
	}()
	word := make([]byte, 100)
	if n, err := out.Read(word); err != nil || string(word[:n]) != "held" {
		t.Fatalf("the lease is not held: %q, %v", word[:n], err)
	}
	started := make(chan *Action, 1)
	go func() {
		a, err := s.Start("status", 1, "")
		if err != nil {
			t.Error(err)
		}
		started <- a
	}()
	time.Sleep(200 * time.Millisecond)
	go runtime.GC()
	var worst time.Duration
	for begin, last := time.Now(), time.Now(); time.Since(begin) < 2*time.Second; last = time.Now() {
		time.Sleep(10 * time.Millisecond)
		worst = max(worst, time.Since(last))
	}
	if worst > time.Second {
		t.Errorf("the whole process stood still for %v", worst)
	}
	a := <-started
	select {
	case <-a.Done():
		t.Error("the script ran in spite of the lease: this test proves nothing")
	default:
	}
	a.Kill(100 * time.Millisecond)
}
