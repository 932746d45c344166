package manager

import (
	"testing"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/lease"
)

// What a manager leaves that is gone can be gone on with until its kill end, and must be killed after it.
func TestFormerOf(t *testing.T) {
	t.Parallel()
	at := func(seconds int) lease.Time {
		return lease.Reading(time.Duration(seconds)*time.Second, time.Duration(seconds)*time.Second)
	}
	word := deadman.Word{
		Package: "p", Phase: deadman.Held, Session: "s", Term: 7, End: at(100), Kill: at(130), Timeout: 30 * time.Second, Stop: 30 * time.Second,
	}
	free := word
	free.Phase = deadman.Free
	for _, row := range []struct {
		name     string
		w        deadman.Word
		now      int
		ok, past bool
		phase    deadman.Phase // of what the next deadman is told
	}{
		{"within the lease", word, 99, true, false, deadman.Held},
		{"at the lease's end", word, 100, true, false, deadman.Stopping},
		{"just before the kill end", word, 129, true, false, deadman.Stopping},
		{"at the kill end", word, 130, false, true, deadman.Stopping},
		{"given back", free, 99, false, false, deadman.Free},
		{"nothing was said", deadman.Word{}, 99, false, false, deadman.Stopping},
	} {
		f, ok, past := PriorLeaseOf(row.w, at(row.now))
		if ok != row.ok || past != row.past {
			t.Errorf("%s: PriorLeaseOf = %v, %v, want %v, %v", row.name, ok, past, row.ok, row.past)
		}
		if ok && (f.Term != 7 || f.Session != "s" || f.Sent != at(70)) {
			t.Errorf("%s: PriorLeaseOf = %+v", row.name, f)
		}
		if got := Inherited(row.w, at(row.now)).Phase; got != row.phase {
			t.Errorf("%s: the next deadman is told %q, want %q", row.name, got, row.phase)
		}
	}
}

// The record is written when a renewal has moved the lease's end by a part of the timeout, and at any other change: it
// never says that there is more time than there is.
func TestIsNews(t *testing.T) {
	t.Parallel()
	at := func(seconds int) lease.Time {
		return lease.Reading(time.Duration(seconds)*time.Second, time.Duration(seconds)*time.Second)
	}
	noted := deadman.Word{Package: "p", Phase: deadman.Held, Term: 7, End: at(100), Kill: at(130), Timeout: 40 * time.Second, Stop: 30 * time.Second}
	for _, row := range []struct {
		name   string
		change func(w *deadman.Word)
		want   bool
	}{
		{"nothing", func(*deadman.Word) {}, false},
		{"a little later", func(w *deadman.Word) { w.End, w.Kill = at(109), at(139) }, false},
		{"a part of the timeout later", func(w *deadman.Word) { w.End, w.Kill = at(110), at(140) }, true},
		{"earlier", func(w *deadman.Word) { w.End, w.Kill = at(99), at(129) }, true},
		{"the kill end is earlier", func(w *deadman.Word) { w.Kill = at(129) }, true},
		{"another phase", func(w *deadman.Word) { w.Phase = deadman.Stopping }, true},
		{"another term", func(w *deadman.Word) { w.Term = 8 }, true},
		{"another state", func(w *deadman.Word) { w.Doing = "running" }, true},
		{"a shorter timeout", func(w *deadman.Word) { w.Timeout = 30 * time.Second }, true},
	} {
		w := noted
		if row.change(&w); isNews(w, noted) != row.want {
			t.Errorf("%s: isNews = %v, want %v", row.name, !row.want, row.want)
		}
	}
	if !isNews(noted, deadman.Word{}) {
		t.Error("the first word is not written")
	}
}
