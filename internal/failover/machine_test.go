package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// variants is every event that the machine can tell from others, by name.
func variants() map[string]event {
	all := map[string]event{
		"TERM":             {kind: evTerm, signal: "TERM"},
		"checked 1 alive":  {kind: evChecked, code: down, alive: "sleep (pid 7)"},
		"checked 3 alive":  {kind: evChecked, code: 3, alive: "sleep (pid 7)"},
		"checked hangs":    {kind: evChecked, code: hangs},
		"checked not run":  {kind: evChecked, code: notRun},
		"start not run":    {kind: evStarted, code: notRun},
		"stop not run":     {kind: evStopped, code: notRun},
		"checked 0 let go": {kind: evChecked, code: up, letGo: true},
		"cleared alive":    {kind: evCleared, alive: "sleep (pid 7)"},
		"again 1":          {kind: evChecked, code: down, retries: 2},
		"again 3":          {kind: evChecked, code: 3, retries: 2},
		"again 1 alive":    {kind: evChecked, code: down, alive: "sleep (pid 7)", retries: 2},
	}
	for _, kind := range events {
		switch kind {
		case evTerm:
		case evStatus, evChecked:
			for _, code := range []int{up, down, degraded, 3, 127} {
				all[fmt.Sprint(kind, " ", code)] = event{kind: kind, code: code}
			}
		case evStarted, evStopped:
			all[string(kind)+" 0"] = event{kind: kind}
			all[string(kind)+" 1"] = event{kind: kind, code: 1}
		default:
			all[string(kind)] = event{kind: kind}
		}
	}
	return all
}

// A row is one pair of a state and an event in which something happens.
type row struct {
	from state
	on   string // events, separated by commas
	to   state
	do   string
	say  string
}

const (
	sickLine   = "error: timeout waiting for package good health."
	haltLine   = "received signal SIGTERM. starting halt sequence."
	stopBad    = "stop script exited with error."
	stopLate   = "timeout waiting for package to stop."
	failedLine = "package failed. restarting as stand-by."
	haltedLine = "package halted. exit."
	lostLine   = "error: lock lost. failing package."
	letGoLine  = "error: the package cannot be shown to be down (its status is 0, not 1). stop_failure=release: letting go all the same."
)

func keepLineOf(why string) string {
	return "error: the package cannot be shown to be down (" + why + "). keeping the lock: no other node starts it. " +
		"stop it by hand; it is looked at again every pace (service unblock: at once), and TERM runs the stop script again."
}

func lostLineOf(why string) string {
	return "error: the package cannot be shown to be down (" + why + "), and the lock is lost! stop it by hand, now."
}

// before a package runs, while it runs.
func upRows() []row {
	unknown := state{Pkg: Unknown}
	starting := state{Pkg: Starting, tried: true}
	running := state{Pkg: Running, tried: true, began: true}
	sick := state{Pkg: Running, tried: true, began: true, degraded: true}
	began := func(s state) state { s.began = true; return s }
	failing := state{Pkg: Failing, phase: stopping, tried: true}
	lost := state{Pkg: Failing, phase: stopping, tried: true, lost: true}
	halting := state{Pkg: Halting, phase: stopping, tried: true}
	const stop, arm = "well stop", "arm well stop"
	return []row{
		{state{}, "lock taken", unknown, "status", "got lock. switch to active node."},
		{state{}, "TERM", state{Pkg: Gone}, "give up exit", haltLine},

		{unknown, "status 1", starting, "start", ""},
		{unknown, "status 0, status 2", failing, stop, "package status is not down."},
		{unknown, "status 3, status 127", state{Pkg: Halting, phase: stopping}, stop, criticalLine},
		{unknown, "status hangs", state{Pkg: Failing, phase: stopping}, stop, "error: timeout waiting for package status."},
		{unknown, "lock lost", state{Pkg: Failing, phase: stopping, lost: true}, arm, lostLine},
		{unknown, "TERM", state{Pkg: Halting, phase: stopping}, stop, haltLine},

		{starting, "start ended 0", running, "settle status", ""},
		{starting, "start not run", state{Pkg: Failing, phase: stopping}, stop, "start script could not be run."},
		{starting, "start ended 1", failing, stop, "start script exited with error."},
		{starting, "start timeout", failing, stop, "timeout waiting for package to start."},
		{starting, "lock lost", lost, arm, lostLine},
		{starting, "TERM", halting, stop, haltLine},

		{running, "status 0", running, "watch", ""},
		{running, "ran well", running, "forgive", ""},
		{state{Pkg: Running, tried: true, began: true, restarts: 2}, "ran long", running, "", ""},
		{running, "status 1", began(failing), stop, "package status is unexpectedly down!"},
		{running, "status 2", sick, "sick watch", "package status degraded..."},
		{running, "status 3, status 127", began(halting), stop, criticalLine},
		{running, "status hangs, unhealthy", began(failing), stop, sickLine},
		{running, "lock lost", began(lost), arm, lostLine},
		{running, "TERM", began(halting), stop, haltLine},
		{sick, "status 0", running, "well watch", "package status is healthy again."},
		{sick, "status 2", sick, "watch", "package status degraded..."},
		{sick, "unhealthy", state{Pkg: Failing, phase: stopping, tried: true, began: true, degraded: true}, stop, sickLine},
	}
}

// againRows is managers that take the place of an earlier one.
func againRows() []row {
	resumes := state{Pkg: Unknown, phase: resuming}
	adopts := state{Pkg: Unknown, phase: resuming, adopts: true}
	ends := state{Pkg: Unknown, phase: resuming, ends: Halting}
	fails := state{Pkg: Unknown, phase: resuming, ends: Failing}
	clears, halts := state{phase: clearing}, state{phase: clearing, ends: Halting}
	const ours = "the lock is still this node's."
	const goesOn = "the package is up: going on with it."
	known := state{Pkg: Unknown, tried: true, adopts: true}
	running := state{Pkg: Running, tried: true, began: true, adopts: true}
	degraded := running
	degraded.degraded = true
	rows := []row{
		{resumes, "lock resumed", state{Pkg: Unknown, tried: true}, "status", ours},
		{adopts, "lock resumed", known, "status", ours},
		{ends, "lock resumed", state{Pkg: Halting, phase: stopping, tried: true, ends: Halting}, "well stop", ""},
		{fails, "lock resumed", state{Pkg: Failing, phase: stopping, tried: true, ends: Failing}, "well stop", ""},
		{resumes, "forfeited", state{Pkg: Failing, phase: stopping, tried: true, lost: true}, "arm well stop", lostLine},
		{ends, "forfeited", state{Pkg: Halting, phase: stopping, tried: true, lost: true, ends: Halting}, "arm well stop", lostLine},
		{resumes, "TERM", ends, "", haltLine},
		{known, "status 0", running, "watch", goesOn},
		{known, "status 2", degraded, "sick watch", goesOn + "\npackage status degraded..."},
		{known, "status 1", state{Pkg: Starting, tried: true, adopts: true}, "start", ""},
		{clears, "cleared", state{}, "seek", ""},
		{clears, "cleared alive", clears, "clear", "error: of an earlier run is still alive: sleep (pid 7). stop it by hand: this node does not stand by until then."},
		{clears, "TERM", halts, "", haltLine},
		{halts, "cleared", state{Pkg: Gone}, "exit", ""},
		{halts, "cleared alive", state{Pkg: Gone, stopFailed: true}, "exit", "error: of an earlier run is still alive: sleep (pid 7). stop it by hand, now: another node may have it."},
		{halts, "TERM", halts, "", haltLine},
	}
	return rows
}

// endingRows is failing and halting, after a start was tried.
func endingRows(p PkgState) []row {
	stops := state{Pkg: p, phase: stopping, tried: true}
	checks := state{Pkg: p, phase: checking, tried: true}
	keeps := state{Pkg: p, phase: keeping, tried: true}
	bad := state{Pkg: Halting, phase: checking, tried: true, stopFailed: true}
	cut := state{Pkg: p, phase: checking, tried: true, stopFailed: p == Halting}
	release := state{Pkg: Failed, phase: releasing, tried: true}
	haltLineHere := haltLine
	if p == Halting {
		release.Pkg = Halted
		haltLineHere = "" // it is halting already
	}
	lost := func(s state) state { s.lost = true; return s }
	halting := func(s state) state { s.Pkg = Halting; return s }
	unstopped := func(s state) state { s.unstopped = true; return s }
	const runs = "checked 0, checked 1, checked 2, checked 3, checked 127, checked 1 alive, checked 3 alive, checked 0 let go"
	kept := func(s state) []row {
		return []row{
			{s, "checked 0", keeps, "alarm later", keepLineOf("its status is 0, not 1")},
			{s, "checked 2", keeps, "alarm later", keepLineOf("its status is 2, not 1")},
			{s, "checked 3, again 3", keeps, "alarm later", keepLineOf("its status is 3, not 1")},
			{s, "checked 127", keeps, "alarm later", keepLineOf("its status is 127, not 1")},
			{s, "checked hangs", keeps, "alarm later", keepLineOf("its status hangs")},
			{s, "checked not run", keeps, "alarm later", keepLineOf("its status cannot be run")},
			{s, "checked 1 alive, checked 3 alive, again 1 alive", keeps, "alarm later", keepLineOf("still alive: sleep (pid 7)")},
		}
	}
	var again []row // what was said once is not said again
	for _, r := range kept(keeps) {
		r.say, r.do = "", "later"
		again = append(again, r)
	}
	return append(append(kept(checks), again...), []row{
		{stops, "stop ended 0", checks, "check", ""},
		{stops, "stop ended 1", bad, "check", stopBad},
		{stops, "stop timeout", bad, "check", stopLate},
		{stops, "stop not run", unstopped(checks), "check", "stop script could not be run."},
		{unstopped(checks), runs, stops, "stop", "scripts can be run again."},
		{unstopped(keeps), runs, stops, "stop", "scripts can be run again."},
		{unstopped(checks), "checked not run", unstopped(keeps), "alarm later", keepLineOf("its status cannot be run")},
		{lost(unstopped(checks)), "checked 1", lost(unstopped(release)), "release", ""}, // no script begins any more
		{unstopped(keeps), "TERM", state{Pkg: Halting, phase: stopping, tried: true}, "stop", haltLine},
		{stops, "kill time", cut, "check", stopLate},
		{stops, "lock lost", lost(stops), "arm", "error: lock lost."},
		{stops, "TERM", halting(stops), "", haltLineHere},
		{checks, "checked 1, again 1", release, "release", ""}, // it never ran
		{checks, "lock lost", lost(checks), "arm", "error: lock lost."},
		{checks, "TERM", halting(checks), "", haltLineHere},
		{keeps, "checked 1, again 1", release, "release", ""},
		{keeps, "kill time, look", checks, "check", ""},
		{checks, "checked 0 let go", release, "release", letGoLine},
		{keeps, "checked 0 let go", release, "release", letGoLine},
		{keeps, "lock lost", lost(keeps), "arm", "error: lock lost."},
		{keeps, "TERM", state{Pkg: Halting, phase: stopping, tried: true}, "stop", haltLine},
		{lost(checks), "checked 0", lost(keeps), "alarm later", lostLineOf("its status is 0, not 1")},
		{lost(checks), "checked 1", lost(release), "release", ""},
		{lost(keeps), "TERM", lost(halting(keeps)), "", haltLineHere}, // no stop script: the kill end may be past
	}...)
}

// restartRows is packages that may be started again in place.
func restartRows() []row {
	began := state{Pkg: Failing, phase: checking, tried: true, began: true}
	with := func(change func(*state)) state { s := began; change(&s); return s }
	starts := func(n int) state { return state{Pkg: Starting, tried: true, began: true, restarts: n} }
	ends := func(from state, p PkgState, ph phase) state { from.Pkg, from.phase = p, ph; return from }
	sick := with(func(s *state) { s.degraded = true })
	spent := with(func(s *state) { s.restarts = 2 })
	lost := with(func(s *state) { s.lost = true })
	unstopped := with(func(s *state) { s.unstopped, s.tried = true, false })
	halting := with(func(s *state) { s.Pkg = Halting })
	kept := state{Pkg: Failing, phase: keeping, tried: true}
	return []row{
		{began, "again 1", starts(1), "start", "package failed. restarting it here (1 of 2)."},
		{sick, "again 1", starts(1), "start", "package failed. restarting it here (1 of 2)."},
		{with(func(s *state) { s.restarts = 1 }), "again 1", starts(2), "start", "package failed. restarting it here (2 of 2)."},
		{spent, "again 1", ends(spent, Failed, releasing), "release", ""},
		{began, "checked 1", ends(began, Failed, releasing), "release", ""}, // retries=0
		{lost, "again 1", ends(lost, Failed, releasing), "release", ""},
		{unstopped, "again 1", ends(unstopped, Failed, releasing), "release", ""},
		{halting, "again 1", ends(halting, Halted, releasing), "release", ""},
		{began, "again 3", kept, "alarm later", keepLineOf("its status is 3, not 1")},
		{began, "again 1 alive", kept, "alarm later", keepLineOf("still alive: sleep (pid 7)")},
		{kept, "again 1", state{Pkg: Failed, phase: releasing, tried: true}, "release", ""}, // it was blocked
	}
}

// freshRows is an end before any start: critical, or hanging, is as good as down (rule 16).
func freshRows(p PkgState) []row {
	checks := state{Pkg: p, phase: checking}
	release := state{Pkg: Failed, phase: releasing}
	if p == Halting {
		release.Pkg = Halted
	}
	tried := release
	tried.tried = true
	return []row{
		{checks, "checked 0 let go", tried, "release", letGoLine},
		{checks, "checked 1, checked 3, checked 127, checked hangs, checked not run", release, "release", ""},
		{checks, "checked 3 alive", state{Pkg: p, phase: keeping}, "alarm later", keepLineOf("still alive: sleep (pid 7)")},
		// It ran, whoever started it: from now on critical is not down.
		{checks, "checked 0", state{Pkg: p, phase: keeping, tried: true}, "alarm later", keepLineOf("its status is 0, not 1")},
		{checks, "checked 2", state{Pkg: p, phase: keeping, tried: true}, "alarm later", keepLineOf("its status is 2, not 1")},
	}
}

func endedRows() []row {
	failed := state{Pkg: Failed, phase: releasing, tried: true}
	rests := state{Pkg: Failed, phase: resting, tried: true}
	halted := state{Pkg: Halted, phase: releasing, tried: true}
	gone := state{Pkg: Gone, phase: releasing, tried: true}
	lost := func(s state) state { s.lost = true; return s }
	return []row{
		{failed, "lock released", rests, "rest", failedLine},
		{failed, "lock lost", lost(rests), "rest", failedLine},
		{failed, "TERM", halted, "", haltLine},
		{rests, "rested", state{}, "seek", ""},
		{rests, "TERM", state{Pkg: Gone, phase: resting, tried: true}, "exit", haltLine},
		{halted, "lock released", gone, "exit", haltedLine},
		{halted, "lock lost", lost(gone), "exit", haltedLine},
	}
}

func allRows() []row {
	rows := slices.Concat(upRows(), againRows(), endedRows())
	rows = append(rows, restartRows()...)
	for _, p := range []PkgState{Failing, Halting} {
		rows = append(rows, endingRows(p)...)
		rows = append(rows, freshRows(p)...)
	}
	return rows
}

// A place is where the machine is, whatever else it remembers.
type place struct {
	pkg   PkgState
	phase phase
}

func (s state) place() place {
	if s.Pkg == Gone {
		return place{pkg: Gone}
	}
	return place{s.Pkg, s.phase}
}

// quiet is the events that change nothing in a place, and say nothing.
var quiet = map[place]string{
	{phase: clearing}: "lock taken, lock lost, status *, unhealthy, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, lock resumed, forfeited, look, ran *, again *",
	{Unknown, resuming}: "lock taken, lock lost, status *, unhealthy, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, " + quietNew,
	{}: "lock lost, status 0, status 1, status 2, status 3, status 127, status hangs, unhealthy, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, lock resumed, forfeited, " + quietNew,
	{pkg: Unknown}: "lock taken, unhealthy, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, lock resumed, forfeited, " + quietNew,
	{pkg: Starting}: "lock taken, status *, unhealthy, stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, lock resumed, forfeited, " + quietNew,
	{pkg: Running}: "lock taken, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock released, rested, lock resumed, forfeited, cleared*, look, again *",
	{Failing, stopping}: quietStopping,
	{Halting, stopping}: quietStopping,
	{Failing, checking}: quietChecking + ", kill time, look",
	{Halting, checking}: quietChecking + ", kill time, look",
	{Failing, keeping}:  quietChecking,
	{Halting, keeping}:  quietChecking,
	{Failed, releasing}: quietEnded + ", rested",
	{Failed, resting}:   quietEnded + ", lock lost, lock released",
	{Halted, releasing}: quietEnded + ", rested, TERM",
	{pkg: Gone}:         quietEnded + ", TERM, lock lost, lock released, rested",
}

const (
	quietUp       = "lock taken, status *, unhealthy, start *, lock released, rested, lock resumed, forfeited, cleared*, ran *"
	quietStopping = quietUp + ", checked *, again *, look"
	quietChecking = quietUp + ", stop ended *, stop not run, stop timeout"
	quietEnded    = "lock taken, status *, unhealthy, start *, " +
		"stop ended *, stop not run, stop timeout, kill time, checked *, lock resumed, forfeited, " + quietNew
	quietNew = "cleared*, look, ran *, again *"
)

// names is the events that list names; "status *" is all that begin with it.
func names(t *testing.T, list string) []string {
	t.Helper()
	var all []string
	for name := range strings.SplitSeq(list, ", ") {
		before := len(all)
		for v := range variants() {
			if v == name || strings.HasSuffix(name, "*") && strings.HasPrefix(v, strings.TrimSuffix(name, "*")) {
				all = append(all, v)
			}
		}
		if len(all) == before {
			t.Fatalf("there is no event %q", name)
		}
	}
	return all
}

// said is what is told in a step, as it is printed.
func (s step) said() string {
	var lines []string
	for _, line := range s.say {
		lines = append(lines, line.Words())
	}
	return strings.Join(lines, "\n")
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, r := range allRows() {
		for _, on := range names(t, r.on) {
			got := next(r.from, variants()[on])
			var did []string
			for _, d := range got.do {
				did = append(did, string(d))
			}
			if got.state != r.to || strings.Join(did, " ") != r.do || got.said() != r.say {
				t.Errorf("next(%+v, %s) =\n%+v, do %q, say %q, want\n%+v, do [%s], say %q", r.from, on, got.state, did, got.said(), r.to, r.do, r.say)
			}
		}
	}
}

// reachable is every state that events can lead to.
func reachable() []state {
	todo := []state{{}, {phase: clearing}, {Pkg: Unknown, phase: resuming, adopts: true}, {Pkg: Unknown, phase: resuming, ends: Halting}}
	seen := map[state]bool{}
	for _, s := range todo {
		seen[s] = true
	}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		for _, e := range variants() {
			to := next(s, e).state
			if !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// Every place and event has a row, or is said to be quiet; not both. What is quiet is so in
// each state that can be reached.
func TestNextIsWhole(t *testing.T) {
	t.Parallel()
	rows := map[place]map[string]bool{}
	for _, r := range allRows() {
		p := r.from.place()
		if rows[p] == nil {
			rows[p] = map[string]bool{}
		}
		for _, on := range names(t, r.on) {
			rows[p][on] = true
		}
	}
	states := reachable()
	for _, s := range states {
		p := s.place()
		if _, ok := quiet[p]; !ok {
			t.Fatalf("nothing is said about %+v", p)
		}
		none := names(t, quiet[p])
		for on, e := range variants() {
			isQuiet := slices.Contains(none, on)
			if rows[p][on] == isQuiet {
				t.Errorf("%+v, %s: has a row: %v, is quiet: %v", p, on, rows[p][on], isQuiet)
			}
			if got := next(s, e); isQuiet && (got.state != s || got.do != nil || got.say != nil) {
				t.Errorf("next(%+v, %s) = %+v, want nothing", s, on, got)
			}
		}
	}
	for p := range quiet {
		if !slices.ContainsFunc(states, func(s state) bool { return s.place() == p }) {
			t.Errorf("%+v is not reached by any events", p)
		}
	}
}

// What must hold in every state that can be reached, whatever happens.
func TestNextIsSafe(t *testing.T) {
	t.Parallel()
	for _, s := range reachable() {
		for on, e := range variants() {
			to := next(s, e)
			has := func(d do) bool { return slices.Contains(to.do, d) }
			fail := func(why string) { t.Errorf("next(%+v, %s) = %+v: %s", s, on, to, why) }
			shownDown := e.kind == evChecked && e.alive == "" && (e.code == down || (e.code > degraded || e.code < 0) && !s.tried)
			if has(doRelease) && !shownDown && !e.letGo {
				fail("it lets go of a package that is not shown to be down")
			}
			if has(doRelease) && s.unstopped && s.tried && !s.lost && !e.letGo {
				fail("it lets go of a package whose stop was never run")
			}
			if (to.phase == resting || has(doExit)) && s.active() {
				fail("it ends without releasing")
			}
			if has(doStop) && s.lost {
				fail("a stop script begins after the lock was lost")
			}
			first := s.Pkg == Unknown && e.kind == evStatus && e.code == down
			again := s.Pkg == Failing && s.phase != stopping && e.kind == evChecked && e.code == down && e.alive == ""
			if has(doStart) && !first && !again {
				fail("it starts what is not down")
			}
			if has(doStart) && (s.lost || s.stopFailed || s.unstopped || s.phase == keeping) {
				fail("it starts what may be another's, or was not stopped")
			}
			if has(doStart) && again && (!s.began || to.restarts != s.restarts+1 || to.restarts > e.retries) {
				fail("it starts again what is another's turn")
			}
			if to.began && (to.Pkg == StandBy || to.phase == keeping) {
				fail("it could be started again though the lock is gone, or blocked")
			}
			neverBegan := s.Pkg == Starting && e.kind == evStarted && e.code == notRun
			if s.tried && !to.tried && to.Pkg != StandBy && !neverBegan {
				fail("it forgets that something may be left")
			}
			if e.kind == evLost && s.active() && !s.lost && s.phase != resuming && !has(doKillEnd) {
				fail("it has no kill end")
			}
			if s.stopFailed && !to.stopFailed && to.Pkg != StandBy {
				fail("it forgets that a stop failed")
			}
		}
	}
}

func TestSignalNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HUP", "INT", "TERM"} {
		got := next(state{Pkg: Running, tried: true}, event{kind: evTerm, signal: name})
		want := "received signal SIG" + name + ". starting halt sequence."
		if got.said() != want {
			t.Errorf("%s: said %q, want %q", name, got.said(), want)
		}
	}
}
