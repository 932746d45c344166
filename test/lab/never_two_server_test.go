//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// forgets removes the state of the lock servers of hosts while they run, kills them, and makes
// dex-server-init start them again.
func (l *lab) forgets(hosts ...string) time.Time {
	l.t.Helper()
	at := time.Now()
	for _, host := range hosts {
		must(l.t, os.RemoveAll(filepath.Join(l.dir, host, stateDir)))
	}
	for _, host := range hosts {
		l.lab("sig", host, "server", "KILL")
	}
	for _, host := range hosts {
		l.lab("bg", "-w", labHome, host, "init", "./dex-lock/dex-server-init") // it waits, in vain, for a leader
	}
	for _, host := range hosts {
		l.await(10*time.Second, "the server of "+host+" knows that it has forgotten", func() bool {
			status, err := l.serverStatus(host)
			return err == nil && status.Lost
		})
	}
	return at
}

// nobodyGets checks until the given time that nobody runs beat, and that no lock server leads.
func (l *lab) nobodyGets(until time.Time, servers ...string) {
	l.t.Helper()
	l.stays(time.Until(until), "nobody runs it", func() bool { return !slices.ContainsFunc(l.hosts, l.beats) })
	for _, host := range servers {
		if status, err := l.serverStatus(host); err != nil || status.Open || !status.Lost {
			l.t.Errorf("the server of %s says %+v, %v: want one that has forgotten, and leads nobody", host, status, err)
		}
	}
}

// Case B1: all lock servers lose their state while they run, and are started again. They have
// forgotten, know it, and grant nothing: the active stops in time and nobody starts.
func allForget(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	at := l.forgets(l.hosts...)
	l.downByKillEnd(active)
	l.says(active, lostLine, 1, time.Second)
	l.nobodyGets(at.Add(silence+takeOver), l.hosts...)
}

// Case B7: the active is cut off, and the two other lock servers lose their state. Two that have
// forgotten are no majority: nobody has the package, not even when the cut is healed.
func majorityForgets(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	others := l.others(active)
	cut := l.cutOff(active, active)
	l.forgets(others...)
	l.downByKillEnd(active)
	l.nobodyGets(cut.Add(silence+takeOver), others...)
	l.healAll()
	l.nobodyGets(time.Now().Add(2*time.Second), others...)
}

// Case B8: the active has a longer timeout than the others, and is cut off. The others wait for the
// active's timeout, not for their own.
func longerTimeout(t *testing.T, tr tree) {
	const long = 20 * time.Second
	l := threeNodes(t, tr, "beat")
	active := l.startServers(l.hosts...)
	l.beatConf("timeout=20", active)
	l.startBeat(active)
	cut := l.cutOff(active, active)
	last := l.silent(active, long+quickS+2*time.Second)
	within(t, "dead after the last renewal", l.renewedAt(active, last), last, long+quickS)
	if held := last.Sub(cut); held < long-3*time.Second {
		t.Errorf("it ran %v after the cut, want its own timeout of %v", held, long)
	}
	limit := long + quickS + quickM + takeOver + election
	next, at := l.beatsOn(limit, active)
	within(t, "runs on "+next, cut, at, limit)
	l.notEarly("beat", active, next, cut, long+quickS)
}

// Case B9: the lock servers grow from three to five under a package that runs. Then two of the first
// three, the active among them, are cut off from the three others.
func majorityOfFive(t *testing.T, tr tree) {
	l := newLab(t, tr, 5, []string{"beat"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2 h3 h4 h5",
		"dex-lock/conf/lock_servers": "h1 h2 h3",
	})
	l.startServers("h1", "h2", "h3")
	l.start("h1", "beat")
	l.beatsOn(15 * time.Second)
	all := "h1 h2 h3 h4 h5"
	l.listOn(all, strings.Fields(all)...)
	l.voters("h1", all, 30*time.Second)
	for _, host := range []string{"h2", "h3", "h4", "h5"} {
		l.start(host, "beat")
	}
	for _, host := range []string{"h2", "h3", "h4", "h5"} {
		l.says(host, "starting as stand-by node.", 1, 10*time.Second)
	}
	l.onlyOn("h1", time.Second)

	l.cutOff("h1", "-p", "h1", "h3", "h4", "h5")
	l.cutOff("h1", "-p", "h2", "h3", "h4", "h5")
	if next := l.movesOn("h1"); next == "h1" || next == "h2" {
		t.Errorf("it runs on %s, which is in the minority", next)
	}
	l.healAll()
	l.onlyOn(l.runningOn(), 2*time.Second)
}

// runningOn is the host on which beat runs now.
func (l *lab) runningOn() string {
	l.t.Helper()
	host, _ := l.beatsOn(5 * time.Second)
	return host
}

// Case B12: dex-server-init on lock servers that live, and HUPs, again and again: the holder does
// not notice.
func serverInitAgain(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	lock := func() []string { return strings.Fields(l.value(sight{active, "beat", seesLock})) }
	before, begin := lock(), time.Now()
	for i := range 20 {
		host := l.hosts[i%3]
		l.dex(host, "dex-lock/dex-server-init")
		l.lab("sig", l.hosts[(i+1)%3], "server", "HUP")
	}
	l.onlyOn(active, time.Until(begin.Add(quickT+2*time.Second)))
	after := lock()
	if len(before) != 4 || len(after) != 4 || !slices.Equal(before[:2], after[:2]) || before[2] == after[2] {
		t.Errorf("htsp on %s = %q, was %q: want the same term, renewed", active, after, before)
	}
	l.oneLife(active)
	l.quiet(active, "error:")
}
