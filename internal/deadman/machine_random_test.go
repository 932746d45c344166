package deadman

import (
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// A walk is a machine to which anything happens at any time, and what an onlooker knows of it.
type walk struct {
	t     *testing.T
	rand  *rand.Rand
	m     *machine
	now   lease.Time
	trace []string

	words   map[string]Word       // that count, of packages that were not let go
	heard   map[string]lease.Time // when that was
	killed  map[string]bool       // at the kill end of that word
	mine    map[string]bool       // the deadman was told to stop it
	since   lease.Time            // the last time that a manager came or went
	revived int                   // managers in a row that did not live for long
	gaveUp  bool
	ended   bool
}

func newWalk(t *testing.T, seed int64) *walk {
	r := rand.New(rand.NewSource(seed))
	names := []string{"p", "q", "r"}[:1+r.Intn(3)]
	now := lease.Reading(time.Duration(r.Int63n(int64(time.Hour))), time.Duration(r.Int63n(int64(time.Hour))))
	w := &walk{
		t: t, rand: r, m: newMachine(now, names), now: now, trace: []string{fmt.Sprint("seed ", seed, ", packages ", names)},
		words: map[string]Word{}, heard: map[string]lease.Time{}, killed: map[string]bool{}, mine: map[string]bool{}, since: now,
	}
	for _, name := range names {
		w.words[name] = free(name)
	}
	return w
}

func (w *walk) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
}

// passed is whether a clock shows at.
func (w *walk) passed(at lease.Time) bool { return at.Left(w.now) <= 0 }

// step is what the loop does: an event, what follows from it, and what the clock asks for then.
func (w *walk) step(what string, event func() []deed) {
	w.t.Helper()
	w.trace = append(w.trace, fmt.Sprint(w.now, " ", what))
	did := w.perform(event())
	if killsManager(did) {
		w.fail("the manager is killed though the clock does not ask for it")
	}
	want := w.managerIsLate()
	due := w.perform(w.m.due(w.now))
	if got := killsManager(due); got != want {
		w.fail("the manager is killed: %v, want %v", got, want)
	}
	w.check(append(did, due...))
}

func killsManager(deeds []deed) bool {
	return slices.ContainsFunc(deeds, func(d deed) bool { return d.do == killManager })
}

// perform does deeds as the loop does: who is killed is gone.
func (w *walk) perform(deeds []deed) (all []deed) {
	for _, d := range deeds {
		if w.ended {
			w.fail("%v after the end", d)
		}
		w.trace = append(w.trace, fmt.Sprint("    ", d))
		all = append(all, d)
		w.did(d)
		if d.do == killManager {
			all = append(all, w.perform(w.goes())...)
		}
	}
	return all
}

func (w *walk) did(d deed) {
	word, known := w.words[d.pkg]
	if d.pkg != "" && d.do != begin && !known {
		w.fail("%v, which was let go", d)
	}
	switch d.do {
	case kill:
		if w.killed[d.pkg] || word.Phase == Free || !w.passed(word.Kill) {
			w.fail("%v; killed already: %v, %+v", d, w.killed[d.pkg], word)
		}
		w.killed[d.pkg] = true
	case stop:
		lost := word.Phase == Held && w.passed(word.End)
		if w.mine[d.pkg] || word.Phase == Free || !lost && !w.gaveUp {
			w.fail("%v; stopped already: %v, %+v", d, w.mine[d.pkg], word)
		}
		w.mine[d.pkg] = true
	case letGo:
		delete(w.words, d.pkg)
		delete(w.mine, d.pkg)
	case unwatched:
		w.gaveUp = true
	case end:
		w.ended = true
	case revive:
		if w.revived++; w.gaveUp || w.revived > 3 {
			w.fail("%v, the %d. in a row", d, w.revived)
		}
	case begin:
		if known || w.gaveUp && w.revived == 3 {
			w.fail("%v; not let go: %v", d, known)
		}
	}
}

// managerIsLate is whether the manager is to be killed now.
func (w *walk) managerIsLate() bool {
	silent, held, ended := false, 0, 0
	for name, word := range w.words {
		if w.mine[name] {
			continue
		}
		held++
		switch word.Phase {
		case Held:
			silent = silent || w.passed(word.End.Add(300*time.Millisecond))
			if w.passed(word.End) {
				ended++
			}
		case Stopping:
			silent = silent || w.passed(lease.Later(word.Kill, w.heard[name].Add(2*word.Every)).Add(300*time.Millisecond))
		case Free:
		}
	}
	switch w.m.manager {
	case here:
		return silent
	case reviving: // in time, or as long as there is something to come back for
		return w.now.Longest(w.since) >= 1500*time.Millisecond || held > 0 && held == ended
	}
	return false
}

// check is what must hold after each step, in which deeds were done.
func (w *walk) check(deeds []deed) {
	for name, word := range w.words {
		if word.Phase != Free && w.passed(word.Kill) && !w.killed[name] {
			w.fail("package %s is not killed at its kill end: %+v", name, word)
		}
		if w.m.over && !w.mine[name] {
			w.fail("nobody acts on package %s", name)
		}
	}
	for _, d := range deeds {
		if d.do == stop && w.m.manager == here {
			w.fail("%v while the manager acts", d)
		}
		if slices.ContainsFunc(d.revives, func(name string) bool { return w.mine[name] }) {
			w.fail("%v, some of which the deadman stops", d)
		}
	}
	if slices.ContainsFunc(w.m.managers(), func(name string) bool { return w.mine[name] }) {
		w.fail("a manager is to go on with %v, some of which the deadman stops", w.m.managers())
	}
	if at, ok := w.m.next(); ok && w.passed(at) {
		w.fail("next() = %v, which was", at)
	}
	if w.ended != (len(w.words) == 0) || w.ended && w.m.manager == reviving {
		w.fail("ended: %v, with %v, the manager %s", w.ended, slices.Collect(maps.Keys(w.words)), w.m.manager)
	}
}

func (w *walk) goes() []deed {
	if w.m.manager != reviving && w.now.Longest(w.since) >= 10*time.Second {
		w.revived = 0
	}
	if w.m.manager != reviving { // it has 1.5 s for all tries
		w.since = w.now
	}
	return w.m.gone(w.now)
}

func (w *walk) comes() []deed {
	w.since = w.now
	w.m.back(w.now)
	for name := range w.words {
		w.heard[name] = w.now
	}
	return nil
}

// says is a word. Where no manager may act on the package, it changes nothing.
func (w *walk) says(word Word) []deed {
	old, known := w.words[word.Package]
	if !known || w.mine[word.Package] || w.m.manager != here {
		before := w.m.clone()
		if deeds := w.m.said(word, w.now); deeds != nil || !reflect.DeepEqual(before, w.m.clone()) {
			w.fail("a word that came too late led to %v and %+v", deeds, w.m)
		}
		return nil
	}
	if old.Phase == Free || old.Kill != word.Kill {
		w.killed[word.Package] = false
	}
	w.words[word.Package], w.heard[word.Package] = word, w.now
	return w.m.said(word, w.now)
}

func (m *machine) clone() *machine {
	c := *m
	c.duties = map[string]*duty{}
	for name, d := range m.duties {
		one := *d
		c.duties[name] = &one
	}
	return &c
}

// anyWord is some word about some package, that was let go or not.
func (w *walk) anyWord() Word {
	soon := func(from, to int) lease.Time {
		return w.now.Add(time.Duration(1000*from+w.rand.Intn(1000*(to-from))) * time.Millisecond)
	}
	name := []string{"p", "q", "r"}[w.rand.Intn(3)]
	word := Word{Package: name, Doing: []string{"running", "halting"}[w.rand.Intn(2)], Every: time.Duration(w.rand.Intn(3000)) * time.Millisecond}
	switch n := w.rand.Intn(20); {
	case n < 11:
		word.Phase, word.End = Held, soon(-1, 15)
		word.Kill = word.End.Add(time.Duration(1000+w.rand.Intn(20000)) * time.Millisecond)
	case n < 14:
		word.Phase, word.Kill = Stopping, soon(-1, 15)
	case n < 17 && w.words[name].Phase != Free:
		word.Phase, word.Kill = Stopping, w.words[name].Kill
	case n < 19:
		word.Phase = Free
	default:
		word.Phase, word.Over = Free, true
	}
	return word
}

// passes is time: up to the next thing to do, or to just before it, or any time, in which a clock
// may stand still. Before the next thing to do there is nothing to do.
func (w *walk) passes() {
	next, ok := w.m.next()
	d := time.Duration(w.rand.Int63n(int64(4 * time.Second)))
	boot, raw := d, time.Duration(float64(d)*(0.9+0.2*w.rand.Float64()))
	if n := w.rand.Intn(5); ok && n > 0 {
		left := next.Left(w.now) - time.Duration(n%2)
		boot, raw = left, left
	} else if w.rand.Intn(20) == 0 {
		boot, raw = 20*d, 0
	}
	w.now = lease.Reading(w.now.Boot()+boot, w.now.Raw()+raw)
	if deeds := w.m.clone().due(w.now); deeds != nil && (!ok || !w.passed(next)) {
		w.fail("%v at %v, but next() = %v, %v", deeds, w.now, next, ok)
	}
	w.step("time passes", func() []deed { return nil })
}

// anything is one random event.
func (w *walk) anything() {
	if w.rand.Intn(20) == 0 { // the loop was held up: what happens comes to it before the clock does
		w.now = w.now.Add(time.Duration(w.rand.Int63n(int64(15 * time.Second))))
	}
	canCome := w.m.manager == here || w.m.manager == reviving
	switch n := w.rand.Intn(100); {
	case n < 40:
		w.passes()
	case n < 70:
		word := w.anyWord()
		w.step(fmt.Sprintf("said %+v", word), func() []deed { return w.says(word) })
	case n < 78 && canCome:
		w.step("gone", w.goes)
	case n < 92 && canCome:
		w.step("back", w.comes)
	case n >= 92:
		name := []string{"p", "q", "r"}[w.rand.Intn(3)]
		w.step("stopped "+name, func() []deed { return w.m.stopped(name) })
	}
}

// ends is a manager that ends, and all that come after it, while every stop is done in the end.
func (w *walk) ends() {
	for range 20 {
		if w.ended {
			return
		}
		if w.m.manager != nobody {
			w.step("gone", w.goes)
		} else {
			name := slices.Min(slices.Collect(maps.Keys(w.words)))
			w.step("stopped "+name, func() []deed { return w.m.stopped(name) })
		}
	}
	w.fail("it does not end")
}

func TestMachineIsSafe(t *testing.T) {
	t.Parallel()
	for seed := range int64(3000) {
		w := newWalk(t, seed)
		for range 80 {
			if !w.ended {
				w.anything()
			}
		}
		w.ends()
	}
}
