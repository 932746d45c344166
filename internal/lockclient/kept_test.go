package lockclient

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// at is a clock that stands still.
type at struct {
	lease.Clock
	now lease.Time
}

func (a at) Now() lease.Time { return a.now }

// openKept is the lock p as files keep it, an hour after the boot of a host that slept for ten minutes.
func openKept(t *testing.T, files *Files) *Single {
	t.Helper()
	clock := at{now: lease.Reading(time.Hour, 50*time.Minute)}
	s, err := OpenSingle(&Client{Config: Config{Clock: clock}}, "x", files, "p", lock.Times{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is kept between two calls is read again as it was, from an older version too, which kept one clock;
// and an older version finds the words that it knows.
func TestKept(t *testing.T) {
	t.Parallel()
	boot, err := lease.BootID()
	if err != nil {
		t.Fatal(err)
	}
	now := lease.Reading(time.Hour, 50*time.Minute)
	times := lock.Times{Timeout: 3 * time.Second, Stop: time.Second}
	old := kept{session: "s1", term: 7, seq: 3, end: now.Add(2 * time.Second), prev: "y", times: times, before: lock.Invalid}
	slewed := old
	slewed.end, slewed.asked, slewed.before = lease.Reading(2*time.Hour, time.Minute), true, "s0"
	begun := old
	begun.end, begun.freed = lease.Time{}, true
	for name, row := range map[string]struct {
		text string
		want kept
	}{
		"old":            {fmt.Sprint("s1 ", boot, " 7 3 3602000000000 y 3000000000 1000000000 false"), old},
		"old, releasing": {fmt.Sprint("s1 ", boot, " 7 3 0 y 3000000000 1000000000 false"), begun},
		"new":            {fmt.Sprint("s1 ", boot, " 7 3 7200000000000 y 3000000000 1000000000 true 60000000000 false s0"), slewed},
	} {
		files := NewFiles(t.TempDir())
		if err := files.notes.Write("p_lease", row.text+"\n"); err != nil {
			t.Fatal(err)
		}
		got := openKept(t, files).kept
		if row.want.before == lock.Invalid && got.before == "" {
			got.before = lock.Invalid
		}
		if got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
		s := openKept(t, files)
		if err := s.keep(); err != nil {
			t.Fatal(err)
		}
		if again := openKept(t, files).kept; again.end != row.want.end || again.session != "s1" || again.freed != row.want.freed {
			t.Errorf("%s, written and read: %+v", name, again)
		}
		text, err := files.notes.Read("p_lease")
		const known = 9 // words to an old version
		if words := strings.Fields(row.text); err != nil || strings.Join(strings.Fields(text)[:known], " ") != strings.Join(words[:known], " ") {
			t.Errorf("%s is written as %q, %v", name, text, err)
		}
	}
}

// What is not whole, or of another boot, is nothing to go on with.
func TestKeptOfNoUse(t *testing.T) {
	t.Parallel()
	boot, err := lease.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "s1", "s1 another-boot 7 3 3602000000000 y 3000000000 1000000000 false", fmt.Sprint("s1 ", boot, " 7 3 3602 y 3 1 true 6")} {
		files := NewFiles(t.TempDir())
		if err := files.notes.Write("p_lease", text); err != nil {
			t.Fatal(err)
		}
		if k := openKept(t, files).kept; k.session == "s1" || k.term != 0 {
			t.Errorf("%q is taken for %+v", text, k)
		}
	}
}

// When another cluster was met is kept on both clocks, and read as an older version wrote it.
func TestMet(t *testing.T) {
	t.Parallel()
	boot, err := lease.BootID()
	if err != nil {
		t.Fatal(err)
	}
	files, first := NewFiles(t.TempDir()), lease.Reading(time.Hour, 50*time.Minute)
	later := lease.Reading(3*time.Hour, 51*time.Minute)
	for _, now := range []lease.Time{first, later} {
		if met, err := files.met("c1", now); met != first || err != nil {
			t.Errorf("met = %v, %v, want %v", met, err, first)
		}
	}
	if met, _ := files.met("c2", later); met != later {
		t.Errorf("another cluster was met at %v, want %v", met, later)
	}
	if err := files.notes.Write("cluster_met", fmt.Sprintln("c3", boot, int64(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if met, _ := files.met("c3", later); met != later.Add(-2*time.Hour) {
		t.Errorf("an older version's note is read as %v", met)
	}
}
