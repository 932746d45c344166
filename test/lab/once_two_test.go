//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOnceTwo tells the cases of TestNeverTwo again: with those rules off that the case is about,
// or with nobody left to keep them. Each case must see the package run twice; this shows that
// TestNeverTwo would see it too. B11 is the same as B5 here: both processes get no time at all.
// (With 1 ms in a second for the two together, it ran twice for a second or more in 6 of 8 tries.)
// B12 is not here, because it has no rule to switch off: dex-server-init just does nothing to a
// server that runs.
func TestOnceTwo(t *testing.T) {
	needHosts(t)
	tell(t, buildTree(t, "-tags", "rulesoff"), []story{
		{name: "B8", tell: timesOfWhoAsks},
		{name: "B9", tell: listAtTheStart},
		{name: "B10", tell: diskHangsUnguarded},
		{name: "B6", tell: thawedUnguarded},
		{name: "B5", tell: bothStopped},
		{name: "B4", tell: func(t *testing.T, tr tree) { bothKilled(t, tr, false) }},
		{name: "B4cut", tell: func(t *testing.T, tr tree) { bothKilled(t, tr, true) }, long: true},
		{name: "B1", tell: func(t *testing.T, tr tree) { beginAgain(t, tr, true) }},
		{name: "B7", tell: func(t *testing.T, tr tree) { beginAgain(t, tr, false) }, long: true}, // is about the same
		{name: "B3", tell: func(t *testing.T, tr tree) { stopFailsAndLetsGo(t, tr, "how=hang\ndeaf=yes") }},
		{name: "B2", tell: func(t *testing.T, tr tree) { stopFailsAndLetsGo(t, tr, "how=fail") }},
	})
}

// without is the tree with rules off, as package cli reads them in a test build.
func (tr tree) without(rules string) tree {
	tr.off = rules
	return tr
}

// unguarded makes the manager and the deadman of a host stand still, so that nobody can act there,
// and makes the watcher ignore its files. It returns the two pids.
func (l *lab) unguarded(host string) (pids []string) {
	l.t.Helper()
	l.mayOverlap = true
	l.outOfSight(host, true)
	pids = l.pids(host, "pid", "deadman")
	l.signal(host, "STOP", pids...)
	return pids
}

// meetLate does what meet does, and checks that T + S + m are over by then.
func (l *lab) meetLate(old string) (next string) {
	l.t.Helper()
	begin := time.Now()
	next = l.meet(old, silence+takeOver+election)
	l.notEarly("beat", old, next, begin, quickT+quickS)
	return next
}

// B1 and B7 without rule 11: a lock server that has lost everything begins a cluster with whoever is there, and
// nodes take it for the one that they know. The active is cut off from it, and its lease lasts longer than a new cluster
// takes to begin, on a busy machine too.
func beginAgain(t *testing.T, tr tree, all bool) {
	l, active := beatLab(t, tr.without(`{"Servers":{"Birth":true},"Clients":{"Cluster":true}}`), "timeout=40")
	l.mayOverlap = true
	l.cutOff(active, active)
	others := l.others(active)
	lost := others
	if all {
		lost = l.hosts
	}
	for _, host := range lost {
		l.lab("sig", host, "server", "KILL")
		for _, file := range []string{"state", "cluster_id", "writes"} {
			must(t, os.RemoveAll(filepath.Join(l.dir, host, labHome, "dex-lock", file)))
		}
	}
	l.server(others[0])
	l.meet(active, 30*time.Second)
}

// B2 and B3 without rules 15 and 16: a stop that failed gives the lock away with the package still running.
func stopFailsAndLetsGo(t *testing.T, tr tree, how string) {
	l, active := beatLab(t, tr, how+"\nkill_leftovers=no\nstop_failure=release")
	l.mayOverlap = true
	l.serviceStop(active)
	l.meet(active, quickS+10*time.Second)
	l.says(active, "stop_failure=release: letting go all the same.", 1, time.Second)
}

// B4 with nobody left who could act.
func bothKilled(t *testing.T, tr tree, cut bool) {
	l, active := beatLab(t, tr, "")
	if cut {
		l.cutOff(active, active)
	}
	l.signal(active, "KILL", l.unguarded(active)...)
	l.meetLate(active)
}

// B5 with a deadman that is stopped too. When they go on, the late kill end comes at once.
func bothStopped(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	pids := l.unguarded(active)
	next := l.meetLate(active)
	begin := l.signal(active, "CONT", pids...)
	within(t, "dead after they went on", begin, l.silent(active, 5*time.Second), 2*time.Second)
	l.onlyOn(next, time.Second)
}

// B6 with nobody who acts after the thaw.
func thawedUnguarded(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	l.unguarded(active)
	l.lab("pause", active)
	l.beatsOn(silence+takeOver+election, active)
	l.thaw(active)
	l.await(5*time.Second, "it beats again on "+active, func() bool { return l.beats(active) })
	l.meet(active, time.Second)
}

// B8 without rule 5: the servers use the times of the one who asks, not the longer times of the
// holder.
func timesOfWhoAsks(t *testing.T, tr tree) {
	l := threeNodes(t, tr.without(`{"Servers":{"Own":true}}`), "beat")
	l.mayOverlap = true
	active := l.startServers(l.hosts...)
	l.beatConf("timeout=40", active)
	l.startBeat(active)
	l.cutOff(active, active)
	l.meetLate(active)
}

// B9 without rule 13: a server uses the lock_servers that it finds at its start. Three of five are
// a majority, and so are two of the three that the others know.
func listAtTheStart(t *testing.T, tr tree) {
	l := newLab(t, tr.without(`{"Servers":{"Members":true}}`), 5, []string{"beat"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2 h3 h4 h5",
		"dex-lock/conf/lock_servers": "h1 h2 h3",
	})
	l.mayOverlap = true
	l.startServers("h1", "h2", "h3")
	l.start("h1", "beat")
	l.beatsOn(15 * time.Second)
	l.lab("sig", "h3", "server", "KILL")
	for _, host := range []string{"h3", "h4", "h5"} {
		l.cutOff(host, "-p", host, "h1", "h2")
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "dex-lock/conf/lock_servers"), []byte("h1 h2 h3 h4 h5\n"), 0o644))
	}
	for _, host := range []string{"h4", "h5", "h3"} {
		l.server(host)
		l.start(host, "beat")
	}
	l.meet("h1", silence+takeOver+2*election)
	l.oneLife("h1")
}

// B10 with nobody left who could act.
func diskHangsUnguarded(t *testing.T, tr tree) {
	l, active, disk := homesLab(t, tr)
	pids := l.unguarded(active)
	disk.freeze()
	l.signal(active, "KILL", pids...)
	l.cutOff(active, active)
	l.meet(active, silence+takeOver+election) // nobody can tell when it began: the notes of locks are on these disks
}
