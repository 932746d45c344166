//go:build linux

package script

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What find goes by, beside descent: a number is a process only together with its start time, and
// a process may be younger than the list of all.
func TestFind(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `sleep 60`)
	a := s.start("start")
	p, err := readProc(a.pid)
	if err != nil {
		t.Fatal(err)
	}
	thread := make(chan int)
	over := make(chan struct{})
	defer close(over)
	for range 2 { // one of them is not the process's first, which is listed
		go func() {
			runtime.LockOSThread()
			thread <- unix.Gettid()
			<-over
		}()
	}
	unlisted := max(<-thread, <-thread)
	for name, row := range map[string]struct {
		t    target
		want []int
	}{
		"known":          {target{known: map[int]uint64{a.pid: p.start}}, []int{a.pid}},
		"known, another": {target{known: map[int]uint64{a.pid: p.start - 1}}, nil},
		"leader":         {target{leaders: []int{a.pid}}, []int{a.pid}},
		"not listed":     {target{pids: []int{unlisted}}, []int{unlisted}},
	} {
		found, err := s.find(row.t)
		got := slices.DeleteFunc(slices.Collect(maps.Keys(found)), func(pid int) bool { return found[pid].ppid == a.pid })
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: found %v, %v; want %v", name, got, err, row.want)
		}
	}
}

// The numbers of the dead are forgotten: another process may have them later.
func TestForgetsTheDead(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `sleep 60`)
		a := s.start("start")
		if got := alivePIDs(t, s.Runner); !slices.Contains(got, a.pid) {
			t.Fatalf("Alive = %v, want %d", got, a.pid)
		}
		a.Kill(0)
		s.end(a)
		s.eventually("nothing is remembered", func() bool {
			alivePIDs(t, s.Runner)
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.seen) == 0
		})
	})
}

// What can be killed without looking is killed in time, however long the look takes; not earlier, and
// not when the look was done.
func TestKillAt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "none", `sleep 60`)
	a := s.start("start")
	killed := make(chan time.Time, 1)
	began := time.Now()
	stop := s.killAt(50*time.Millisecond, []*Action{a}, func() { killed <- time.Now() })
	if at := <-killed; at.Sub(began) < 50*time.Millisecond {
		t.Errorf("killed after %v", at.Sub(began))
	}
	stop()
	if got := s.end(a); got != 137 {
		t.Errorf("status = %d, want 137", got)
	}
	s.killAt(50*time.Millisecond, nil, func() { killed <- time.Now() })()
	select {
	case <-killed:
		t.Error("killed though all was done")
	case <-time.After(200 * time.Millisecond):
	}
}
