//go:build linux

package lab

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The times of the packages quick and probe: SAFETY.md has the rules.
const (
	quickT = 8 * time.Second        // timeout
	quickS = 4 * time.Second        // stop_timeout
	quickM = 500 * time.Millisecond // the margin
)

// What may be added to T + S + m until a package runs elsewhere.
const (
	takeOver = 2 * time.Second // a node asks, starts, looks
	election = 4 * time.Second // the servers lost their leader too
)

// A story is what becomes of hosts under some fault.
type story struct {
	name string
	tell func(*testing.T, tree)
	long bool // only with BTW_LONG set
}

// places are for stories that are told at the same time, of whatever test. They mostly wait.
var places = make(chan struct{}, 8)

// tell tells each story on hosts of its own. Every story also fails if two hosts ever have a package at the
// same time.
func tell(t *testing.T, tr tree, stories []story) {
	t.Parallel()
	var wg sync.WaitGroup
	for _, s := range stories {
		if s.long && os.Getenv("BTW_LONG") == "" {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			t.Run(s.name, func(t *testing.T) { s.tell(t, tr) })
		})
	}
	wg.Wait()
}

// TestHosts: hosts crash, or are cut off, and lock servers come and go.
func TestHosts(t *testing.T) {
	needHosts(t)
	tr := buildTree(t)
	t.Run("fresh", func(t *testing.T) { freshStartAndControlC(t, tr) }) // alone: it counts in tenths of a second
	tell(t, tr, []story{
		{name: "long", tell: crashOfDummy, long: true},
		{name: "members", tell: membersChange},
		{name: "servers", tell: serversDown},
		{name: "mute", tell: cutOneWay},
		{name: "crash", tell: func(t *testing.T, tr tree) { crashAndReturn(t, tr, false) }},
		{name: "crashleader", tell: func(t *testing.T, tr tree) { crashAndReturn(t, tr, true) }},
		{name: "cut", tell: func(t *testing.T, tr tree) { cutOffAndHeal(t, tr, false) }},
		{name: "cutleader", tell: func(t *testing.T, tr tree) { cutOffAndHeal(t, tr, true) }},
		{name: "join", tell: membersJoin},
		{name: "alone", tell: twoAlone},
		{name: "several", tell: severalPackages},
	})
}

// Three nodes start, one gets the package within 3 s. Ctrl-C on it: it exits 0, and the next has
// the lock within 1 s of the release. The package is dummy as shipped.
func freshStartAndControlC(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "dummy")
	asked := time.Now()
	for _, host := range l.hosts {
		l.start(host, "dummy")
	}
	begin := time.Now()
	active, at := l.runsOn("dummy", 10*time.Second)
	within(t, "fresh start", begin, at, 3*time.Second+begin.Sub(asked)) // who is busy is slow at both
	l.standBy(active, "dummy")
	l.stays(2*time.Second, "one active", func() bool { return l.runs("dummy", active) })

	asked = time.Now()
	l.interrupt(active)
	next, at := l.runsOn("dummy", 10*time.Second, active)
	l.exits(active, 0, 5*time.Second)
	released, ok := l.first(asked, func(c change) bool {
		return c.host == active && c.what == seesLock && !strings.HasPrefix(c.value, active+" ")
	})
	if !ok {
		t.Fatalf("no release by %s seen in its htsp", active)
	}
	got, _ := l.first(asked, func(c change) bool { return c.host == next && c.what == seesRole && c.value == "active" })
	within(t, "lock after the release", released.at, got.at, time.Second)
	within(t, "running after the release", released.at, at, 3*time.Second)
}

// The active host crashes: the package runs elsewhere in time and not early. The host comes
// back, and stands by.
func crashAndReturn(t *testing.T, tr tree, leads bool) {
	l := threeNodes(t, tr, "probe")
	active := l.startAll("probe", leads)
	l.stays(2*time.Second, "one active", func() bool { return l.runs("probe", active) })
	next := l.crashAndTakeOver("probe", active, leads, quickT, quickS, quickM)

	l.lab("boot", active)
	l.start(active, "probe")
	l.await(5*time.Second, active+" stands by", func() bool {
		return l.value(sight{active, "probe", seesRole}) == "stand-by"
	})
	l.stays(3*time.Second, next+" stays active", func() bool { return l.runs("probe", next) })
}

// The same with the times of dummy as shipped, which takes two minutes.
func crashOfDummy(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "dummy")
	l.crashAndTakeOver("dummy", l.startAll("dummy", true), true, 40*time.Second, 60*time.Second, time.Second)
}

// The active node is cut off: its package is down when the lease is over, runs elsewhere in
// time, and after the cut is healed the node stands by.
func cutOffAndHeal(t *testing.T, tr tree, leads bool) {
	l := threeNodes(t, tr, "probe")
	active := l.startAll("probe", leads)
	cut := l.cutOff(active, active)
	next := l.losesAndTakeOver("probe", active, leads, cut)
	l.healAll()
	l.await(10*time.Second, active+" stands by", func() bool {
		return l.value(sight{active, "probe", seesRole}) == "stand-by"
	})
	l.stays(3*time.Second, next+" stays active", func() bool { return l.runs("probe", next) })
}

// What the active node sends is lost, though it hears all the others; then, for the next one,
// the other way round.
func cutOneWay(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "probe")
	active := l.startAll("probe", true)
	cut := l.cutOff(active, append([]string{"-o", active}, l.others(active)...)...)
	next := l.losesAndTakeOver("probe", active, true, cut)
	l.healAll()
	l.await(10*time.Second, active+" stands by", func() bool {
		return l.value(sight{active, "probe", seesRole}) == "stand-by"
	})

	cut = time.Now()
	for _, other := range l.others(next) {
		l.cutOff(next, "-o", other, next)
	}
	l.losesAndTakeOver("probe", next, true, cut)
}

// Two nodes and three lock servers, which are hosts of their own. One server down: nothing
// changes. Two: the package stops in time and nobody starts it. One back: it runs again.
func serversDown(t *testing.T, tr tree) {
	l := newLab(t, tr, 5, []string{"probe"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2",
		"dex-lock/conf/lock_servers": "h3 h4 h5",
	})
	for _, host := range []string{"h3", "h4", "h5"} {
		l.lab("bg", "-w", labHome, host, "server", "./dex-lock/dex-server")
	}
	l.start("h1", "probe")
	l.start("h2", "probe")
	active, _ := l.runsOn("probe", 5*time.Second)
	changes := func() []string { return strings.Fields(l.value(sight{active, "probe", seesLock})) }
	before := changes()

	l.crash("h5")
	l.stays(quickT+3*time.Second, "nothing changes with a server down", func() bool { return l.runs("probe", active) })
	if after := changes(); len(before) != 4 || len(after) != 4 || !slices.Equal(before[:2], after[:2]) {
		t.Errorf("htsp on %s = %q with a server down, was %q", active, after, before)
	}

	lost := l.crash("h4")
	down := l.isDown("probe", active, quickT+time.Second+quickS)
	within(t, "stopped without a majority", lost, down, quickT+time.Second+time.Second)
	l.stays(quickT+quickS+quickM+takeOver+election, "nobody starts it", func() bool {
		return len(l.where("probe", seesUp, "up")) == 0
	})

	l.lab("boot", "h4")
	l.lab("bg", "-w", labHome, "h4", "server", "./dex-lock/dex-server")
	l.runsOn("probe", quickT+quickS+quickM+takeOver+election)
}

// Two packages in one process: both run, each with its own files; a crash moves both; Ctrl-C
// halts both.
func severalPackages(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "quick", "probe")
	for _, host := range l.hosts {
		l.start(host, "quick", "probe")
	}
	active, _ := l.runsOn("quick", 10*time.Second)
	second, _ := l.runsOn("probe", 10*time.Second)
	begin := l.crash(active)
	limit := quickT + quickS + quickM + takeOver + election
	next, at := l.runsOn("quick", limit+5*time.Second, active)
	within(t, "quick runs elsewhere", begin, at, limit)
	if second == active {
		_, at = l.runsOn("probe", limit+5*time.Second, active)
		within(t, "probe runs elsewhere", begin, at, limit)
	}

	status := l.lab("exec", "-w", labHome, next, "./service", "status")
	for _, pkg := range []string{"package=quick; ", "package=probe; "} {
		if !strings.Contains(status, pkg) {
			t.Errorf("service status on %s = %q, want a line with %q", next, status, pkg)
		}
	}
	l.interrupt(next)
	l.exits(next, 0, 2*quickS)
	last := l.others(active)
	last = slices.DeleteFunc(last, func(host string) bool { return host == next })
	l.await(5*time.Second, "both run on "+last[0], func() bool { return l.runs("quick", last[0]) && l.runs("probe", last[0]) })
}

// within fails the test if more than limit lies between the two.
func within(t *testing.T, what string, from, to time.Time, limit time.Duration) {
	t.Helper()
	took := to.Sub(from)
	t.Logf("%s: %.2f s (limit %v)", what, took.Seconds(), limit)
	if took > limit {
		t.Errorf("%s took %.2f s, want at most %v", what, took.Seconds(), limit)
	}
}

// startAll starts the package on every host, first on one whose lock server leads, or does not
// lead, as wanted; that host runs it, and is returned.
func (l *lab) startAll(pkg string, leads bool) (active string) {
	l.t.Helper()
	for _, host := range l.hosts {
		l.lab("exec", "-w", labHome, host, "./dex-lock/dex-server-init")
	}
	leader := l.leader(l.hosts...)
	first := leader
	if !leads {
		first = l.others(leader)[0]
	}
	l.start(first, pkg)
	l.runsOn(pkg, 10*time.Second)
	for _, host := range l.others(first) {
		l.start(host, pkg)
	}
	l.standBy(first, pkg)
	if now := l.leader(l.hosts...); now != leader {
		l.t.Logf("%s led the lock servers, now %s does", leader, now)
	}
	return first
}

// standBy waits until every host but the active one stands by.
func (l *lab) standBy(active, pkg string) {
	l.t.Helper()
	l.await(3*time.Second, "the others stand by", func() bool {
		return len(l.where(pkg, seesRole, "stand-by")) == len(l.hosts)-1 && l.value(sight{active, pkg, seesRole}) == "active"
	})
}

// runs tells whether the package is up and running on that host and no other.
func (l *lab) runs(pkg, host string) bool {
	only := []string{host}
	return slices.Equal(l.where(pkg, seesUp, "up"), only) &&
		slices.Equal(l.where(pkg, seesState, "running"), only) &&
		slices.Equal(l.where(pkg, seesRole, "active"), only)
}

// isDown waits until the package is down on a host, and says when it was.
func (l *lab) isDown(pkg, host string, limit time.Duration) time.Time {
	l.t.Helper()
	return l.await(limit, pkg+" is down on "+host, func() bool { return l.value(sight{host, pkg, seesUp}) == "" })
}

// crashAndTakeOver crashes the active host, and checks the take-over by the rules.
func (l *lab) crashAndTakeOver(pkg, active string, leads bool, timeout, stop, margin time.Duration) (next string) {
	l.t.Helper()
	crashed := l.crash(active)
	limit := atMost(leads, timeout+stop+margin)
	next, at := l.runsOn(pkg, limit+5*time.Second, active)
	within(l.t, "runs elsewhere after the crash", crashed, at, limit)
	l.notEarly(pkg, active, next, crashed, timeout+stop)
	return next
}

// losesAndTakeOver checks by the rules what follows when the active node is out of reach.
func (l *lab) losesAndTakeOver(pkg, active string, leads bool, cut time.Time) (next string) {
	l.t.Helper()
	down := l.isDown(pkg, active, quickT+quickS+5*time.Second)
	within(l.t, "down on the node cut off", cut, down, quickT+time.Second+time.Second) // its stop takes no second
	limit := atMost(leads, quickT+quickS+quickM)
	next, at := l.runsOn(pkg, limit+5*time.Second, active)
	within(l.t, "runs elsewhere after the cut", cut, at, limit)
	l.notEarly(pkg, active, next, cut, quickT+quickS)
	return next
}

// atMost is the longest time until the package may run elsewhere, after the holder has been silent
// for as long as the servers wait. leads says that they lost their leader with it.
func atMost(leads bool, silent time.Duration) time.Duration {
	if leads {
		return silent + takeOver + election
	}
	return silent + takeOver
}

// notEarly fails the test if the next node had the lock sooner after the last renewal of the old
// one than its lease and its time to stop allow.
func (l *lab) notEarly(pkg, old, next string, since time.Time, least time.Duration) {
	l.t.Helper()
	var got change
	l.await(5*time.Second, next+" is seen to be active", func() (seen bool) { // the package itself may be seen earlier than that
		got, seen = l.first(since, func(c change) bool { return c.sight == sight{next, pkg, seesRole} && c.value == "active" })
		return seen
	})
	renewed, ok := l.last(got.at, func(c change) bool {
		return c.sight == sight{old, pkg, seesLock} && strings.HasPrefix(c.value, old+" ")
	})
	if !ok {
		l.t.Fatalf("no renewal by %s seen in its htsp", old)
	}
	if took := got.at.Sub(renewed.at); took < least {
		l.t.Errorf("%s has the lock of %s %.2f s after the last renewal by %s, want at least %v", next, pkg, took.Seconds(), old, least)
	}
}
