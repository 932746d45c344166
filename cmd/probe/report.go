package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"backtowork/internal/sim/lives"
)

const (
	// hole is the longest time without a note, or an answer, that does not count as down.
	hole = 500 * time.Millisecond
	// asleep is the pause between two notes after which a process counts as having stood still.
	asleep = time.Second
	// thawLimit is how long a package may run on two hosts when a whole host wakes up after its
	// kill end.
	thawLimit = 100 * time.Millisecond
)

// A round is a fault, or two at once, until the next one begins.
type round struct {
	faults []event
	from   time.Time
	to     time.Time
	down   map[string]time.Duration // by package; client is who asks
}

// client is who asks the package web.
const client = "client"

// name is that of the fault.
func (r round) name() string {
	if len(r.faults) > 1 {
		return "two at once"
	}
	return r.faults[0].word
}

// both is two runs of a package that share a moment.
type both struct {
	pkg string
	lives.Overlap
}

// findings is the report.
type findings struct {
	logs       *logs
	rounds     []round
	faults     int
	answers    int
	longestGap time.Duration
	overlaps   []both // on two hosts
	twice      []both // on one host
	thaws      []both // on two hosts, and allowed
	count      map[string]int
	violations []string
}

func look(l *logs) *findings {
	f := &findings{logs: l, count: map[string]int{}, rounds: rounds(l.events)}
	answers := parseAnswers(l.answers)
	f.answers = len(answers)
	for i, at := range answers {
		if i > 0 {
			f.longestGap = max(f.longestGap, at.Sub(answers[i-1]))
		}
	}
	spans := map[string][]span{client: merge(answers)}
	for _, pkg := range l.packages() {
		spans[pkg] = spansOf(l.runs(pkg, hole))
		f.lookForTwo(pkg)
	}
	for i, r := range f.rounds {
		f.faults += len(r.faults)
		for name, s := range spans {
			f.rounds[i].down[name] = down(s, r.from, r.to)
		}
	}
	for _, e := range l.events {
		f.count[e.word]++
	}
	f.judge()
	return f
}

// rounds makes rounds of the log of faults. A round ends when the next one begins, because a fault
// may have late effects.
func rounds(events []event) (all []round) {
	open := false
	for _, e := range events {
		switch {
		case e.isFault() && open:
			r := &all[len(all)-1]
			r.faults = append(r.faults, e)
		case e.isFault():
			if n := len(all); n > 0 {
				all[n-1].to = e.at
			}
			all = append(all, round{faults: []event{e}, from: e.at, down: map[string]time.Duration{}})
			open = true
		case e.word == up || e.word == late:
			open = false
		}
		if n := len(all); n > 0 {
			all[n-1].to = e.at
		}
	}
	return all
}

// lookForTwo finds the moments in which a package ran twice.
func (f *findings) lookForTwo(pkg string) {
	runs := f.logs.runs(pkg, asleep)
	for _, o := range lives.Overlaps(runs) {
		if f.isThaw(o) {
			f.thaws = append(f.thaws, both{pkg, o})
		} else {
			f.overlaps = append(f.overlaps, both{pkg, o})
		}
	}
	for _, o := range lives.Twice(f.logs.runs(pkg, lives.Forever)) {
		f.twice = append(f.twice, both{pkg, o})
	}
}

// isThaw says whether two ran at once only because one of the hosts was frozen and woke up, and for
// no longer than is allowed then.
func (f *findings) isThaw(o lives.Overlap) bool {
	end := lives.Time(min(o.A.Last, o.B.Last))
	for _, run := range []lives.Run{o.A, o.B} {
		woke := lives.Time(run.First)
		if run.Before != "" && end.Sub(woke) <= thawLimit && f.frozen(run.Host, lives.Time(run.Before), woke) {
			return true
		}
	}
	return false
}

// frozen tells whether the host was frozen at about the first of two times, or between them.
func (f *findings) frozen(host string, from, to time.Time) bool {
	return slices.ContainsFunc(f.logs.events, func(e event) bool {
		return e.word == freeze && e.host == host && e.at.After(from.Add(-asleep)) && e.at.Before(to)
	})
}

// judge looks for what must never be.
func (f *findings) judge() {
	for _, o := range f.overlaps {
		f.violations = append(f.violations, fmt.Sprintf("OVERLAP: %s ran %s: %.3f s", o.pkg, inWords(o.Overlap), o.Length().Seconds()))
	}
	for _, o := range f.twice {
		f.violations = append(f.violations, fmt.Sprintf("TWICE: %s ran %s: %.3f s", o.pkg, inWords(o.Overlap), o.Length().Seconds()))
	}
	for _, e := range f.logs.events {
		if e.word == late {
			f.violations = append(f.violations, fmt.Sprintf("NOT UP: %s: %s", clock(e.at), strings.TrimSpace(e.host+" "+e.pkg)))
		}
	}
	for _, pkg := range f.logs.packages() {
		if len(f.logs.runs(pkg, lives.Forever)) == 0 {
			f.violations = append(f.violations, "SAW NOTHING: "+pkg+" never ran")
		}
		if len(starts(f.logs.acts[pkg])) == 0 {
			f.violations = append(f.violations, "SAW NOTHING: no start of "+pkg+" was noted")
		}
		f.judgeActs(pkg)
	}
	if len(f.logs.notes) == 0 || f.answers == 0 {
		f.violations = append(f.violations, "SAW NOTHING: no notes, or no answers")
	}
}

func inWords(o lives.Overlap) string {
	return fmt.Sprintf("on %s from %s to %s and on %s from %s to %s",
		o.A.Host, clock(lives.Time(o.A.First)), clock(lives.Time(o.A.Last)), o.B.Host, clock(lives.Time(o.B.First)), clock(lives.Time(o.B.Last)))
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

// A span is a time in which a package ran, or answered.
type span struct{ first, last time.Time }

func spansOf(runs []lives.Run) (spans []span) {
	for _, r := range runs {
		spans = append(spans, span{lives.Time(r.First), lives.Time(r.Last)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	return spans
}

func parseAnswers(text string) (at []time.Time) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasSuffix(line, "\n") {
			at = append(at, lives.Time(f[0]))
		}
	}
	return at
}

// merge makes spans of answers.
func merge(at []time.Time) (spans []span) {
	for _, t := range at {
		if n := len(spans); n > 0 && t.Sub(spans[n-1].last) <= hole {
			spans[n-1].last = t
			continue
		}
		spans = append(spans, span{t, t})
	}
	return spans
}

// down returns how long nothing ran between two times.
func down(spans []span, from, to time.Time) (total time.Duration) {
	seen := from
	for _, s := range spans {
		if s.last.Before(seen) {
			continue
		}
		if !s.first.Before(to) {
			break
		}
		total += max(0, s.first.Sub(seen))
		seen = s.last
	}
	if rest := to.Sub(seen); rest > hole {
		total += rest
	}
	return total
}

// A row is what the rounds of one fault have in common.
type row struct {
	fault  string
	rounds int
	median map[string]time.Duration
	most   map[string]time.Duration
}

// table has a row for each fault by name, one for two at once, and one for all.
func (f *findings) table() (rows []row) {
	by := map[string][]round{}
	for _, r := range f.rounds {
		by[r.name()] = append(by[r.name()], r)
	}
	for fault, rounds := range by {
		rows = append(rows, rowOf(fault, rounds))
	}
	slices.SortFunc(rows, func(a, b row) int {
		isTwo := func(r row) int {
			if r.fault == "two at once" {
				return 1
			}
			return 0
		}
		return cmp.Or(isTwo(a)-isTwo(b), strings.Compare(a.fault, b.fault))
	})
	return append(rows, rowOf("all", f.rounds))
}

func rowOf(fault string, rounds []round) row {
	r := row{fault: fault, rounds: len(rounds), median: map[string]time.Duration{}, most: map[string]time.Duration{}}
	downs := map[string][]time.Duration{}
	for _, one := range rounds {
		for name, d := range one.down {
			downs[name] = append(downs[name], d)
		}
	}
	for name, list := range downs {
		slices.Sort(list)
		r.median[name] = (list[(len(list)-1)/2] + list[len(list)/2]) / 2
		r.most[name] = list[len(list)-1]
	}
	return r
}
