// Package lives tells when a process ran, from its own notes: a line every 20 ms for as long as it
// lives, with the time at which its life began and the time of the note. So a package tells of itself
// whether it ever ran on two hosts at once, whatever its manager and its status say. Times are seconds
// since 1970 with nine decimals, which compare as text; all hosts must go by one clock.
package lives

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Every is how often a process notes that it lives.
const Every = 20 * time.Millisecond

// Forever is longer than any pause.
const Forever = 24 * time.Hour

// A Run is one life of a process, or a part of it between two pauses.
type Run struct {
	Host, Life  string
	First, Last string
	Before      string // the last note before the pause that it follows; empty where a life begins
}

// Line is a note.
func Line(began, now time.Time) string {
	return fmt.Sprintf("%d.%09d %d.%09d\n", began.Unix(), began.Nanosecond(), now.Unix(), now.Nanosecond())
}

// Time is the time that stands in a note, good to a microsecond.
func Time(text string) time.Time {
	seconds, _ := strconv.ParseFloat(text, 64)
	return time.UnixMicro(int64(seconds * 1e6))
}

// Runs reads the notes of one host. Where nothing was noted for longer than pause, one run ends and
// another begins.
func Runs(host, notes string, pause time.Duration) []Run {
	var runs []Run
	latest := map[string]int{} // the last run of each life: two lives may note at once
	for line := range strings.Lines(notes) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasSuffix(line, "\n") {
			continue // half a line: a crash
		}
		first, before := f[0], ""
		if i, ok := latest[f[0]]; ok {
			if Time(f[1]).Sub(Time(runs[i].Last)) <= pause {
				runs[i].Last = f[1]
				continue
			}
			first, before = f[1], runs[i].Last
		}
		latest[f[0]] = len(runs)
		runs = append(runs, Run{host, f[0], first, f[1], before})
	}
	return runs
}

// An Overlap is two runs that share a moment. A began first.
type Overlap struct{ A, B Run }

// Overlaps are the runs on different hosts that share a moment.
func Overlaps(runs []Run) []Overlap {
	return sharing(runs, func(a, b Run) bool { return a.Host != b.Host })
}

// Twice is the different lives on one host that share a moment.
func Twice(runs []Run) []Overlap {
	return sharing(runs, func(a, b Run) bool { return a.Host == b.Host && a.Life != b.Life })
}

func sharing(runs []Run, wanted func(a, b Run) bool) (found []Overlap) {
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b Run) int { return strings.Compare(a.First, b.First) })
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if b.First > a.Last {
				break // so do all that follow
			}
			if wanted(a, b) {
				found = append(found, Overlap{a, b})
			}
		}
	}
	return found
}

// Length is for how long both ran.
func (o Overlap) Length() time.Duration {
	return Time(min(o.A.Last, o.B.Last)).Sub(Time(o.B.First))
}

func (o Overlap) String() string {
	return fmt.Sprintf("on %s from %s to %s and on %s from %s to %s", o.A.Host, o.A.First, o.A.Last, o.B.Host, o.B.First, o.B.Last)
}

// LongestOverlap is for how long two hosts ran it at the same time, at the worst.
func LongestOverlap(runs []Run) (longest time.Duration) {
	for _, o := range Overlaps(runs) {
		longest = max(longest, o.Length())
	}
	return longest
}
