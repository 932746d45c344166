package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// armed is the clock of the timer of this process that was set for about that long, and for how long
// it still runs, as the kernel tells them.
func armed(t *testing.T, about time.Duration) (clock int, left time.Duration) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // it may be closed by now
		at := strings.Index(string(text), "it_value: (")
		if at < 0 {
			continue
		}
		var s, ns int64
		if _, err := fmt.Sscanf(string(text[at:]), "it_value: (%d, %d)", &s, &ns); err != nil {
			t.Fatal(err)
		}
		left = time.Duration(s)*time.Second + time.Duration(ns)
		if left < about/2 || left > 2*about {
			continue
		}
		if _, err := fmt.Sscanf(string(text[strings.Index(string(text), "clockid:"):]), "clockid: %d", &clock); err != nil {
			t.Fatal(err)
		}
		return clock, left
	}
	t.Fatalf("no timer was set for about %v", about)
	return 0, 0
}

// A timer goes by the clock that does not stand still in a suspend, and is set for 90 % of the time at
// the most: the other clock may run ahead.
func TestSystemTimerIsArmed(t *testing.T) {
	t.Parallel()
	const long = 1000 * time.Hour
	stop := System().AfterFunc(long, func() {})
	defer stop()
	clock, left := armed(t, long)
	if clock != unix.CLOCK_BOOTTIME {
		t.Errorf("the timer goes by clock %d, want %d, CLOCK_BOOTTIME", clock, unix.CLOCK_BOOTTIME)
	}
	if most := long / 10 * 9; left > most || left < most-time.Minute {
		t.Errorf("the timer is set for %v, want %v", left, most)
	}
}

func TestSystemTimer(t *testing.T) {
	t.Parallel()
	c := System()
	begin := c.Now()
	fired := make(chan Time, 1)
	At(c, begin.Add(50*time.Millisecond), func() { fired <- c.Now() })
	stop := c.AfterFunc(10*time.Millisecond, func() { t.Error("a stopped timer fired") })
	stop()
	stop()
	select {
	case at := <-fired:
		if got := at.Longest(begin); got < 50*time.Millisecond {
			t.Errorf("fired after %v, want at least 50ms", got)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("never fired")
	}
}
