//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/lives"
)

// silence is when another node may have the lock of beat, after its last renewal.
const silence = quickT + quickS + quickM

// TestNeverTwo tries the ways in which the originals run a package twice, and some more. The package
// itself notes when it runs, and every story fails if it ever ran on two hosts in the same moment.
func TestNeverTwo(t *testing.T) {
	needHosts(t)
	tell(t, buildTree(t), []story{ // those that take long first
		{name: "B8", tell: longerTimeout, long: true}, // differentTimes is about the same
		{name: "B4", tell: managerKilled},
		{name: "B9", tell: majorityOfFive},
		{name: "B3", tell: stopHangs},
		{name: "B10b", tell: func(t *testing.T, tr tree) { diskHangsUnder(t, tr, hangsCut) }},
		{name: "B6", tell: hostFrozen},
		{name: "renamed", tell: nodeRenamed},
		{name: "B10c", tell: func(t *testing.T, tr tree) { diskHangsUnder(t, tr, hangsKilledCut) }},
		{name: "B10a", tell: func(t *testing.T, tr tree) { diskHangsUnder(t, tr, hangs) }, long: true},
		{name: "B7", tell: majorityForgets},
		{name: "B11", tell: managerStarved},
		{name: "B4ten", tell: managerKilledTenTimes, long: true},
		{name: "B1", tell: allForget},
		{name: "B5nocgroup", tell: withoutCgroup},
		{name: "B5", tell: managerStopped},
		{name: "B12", tell: serverInitAgain},
		{name: "parent", tell: parentStops},
		{name: "B4unit", tell: unitKilled},
		{name: "B2", tell: stopFails},
		{name: "homefull", tell: homeFull},
		{name: "fencefails", tell: fenceFails},
		{name: "fencerequired", tell: fenceRequired},
		{name: "upgrade", tell: upgradeUnderClient},
		{name: "fence", tell: fenceSucceeds},
		{name: "selffence", tell: selfFence},
		{name: "selffencerefused", tell: selfFenceRefused},
	})
}

// beatLab is three nodes, lock servers too, on which the package beat runs with the conf given. The
// lock server of the active one does not lead.
func beatLab(t *testing.T, tr tree, conf string) (l *lab, active string) {
	t.Helper()
	l = threeNodes(t, tr, "beat")
	l.beatConf(conf, l.hosts...)
	active = l.startServers(l.hosts...)
	l.startBeat(active)
	return l, active
}

// startServers starts the lock servers of hosts, and returns a host whose server does not lead.
func (l *lab) startServers(hosts ...string) (follower string) {
	l.t.Helper()
	for _, host := range hosts {
		l.server(host)
	}
	return l.others(l.leader(hosts...))[0]
}

// startBeat starts the managers, first the one that is to have the package.
func (l *lab) startBeat(active string) {
	l.t.Helper()
	l.start(active, "beat")
	l.beatsOn(15 * time.Second)
	for _, host := range l.others(active) {
		l.start(host, "beat")
	}
	for _, host := range l.others(active) {
		l.says(host, "starting as stand-by node.", 1, 10*time.Second)
	}
}

// beatConf says how beat behaves on hosts.
func (l *lab) beatConf(conf string, hosts ...string) {
	l.t.Helper()
	for _, host := range hosts {
		must(l.t, os.WriteFile(filepath.Join(l.dir, host, "opt/beat.conf"), []byte(conf+"\n"), 0o644))
	}
}

// beats tells whether the process of beat runs on a host, or did less than half a second ago.
func (l *lab) beats(host string) bool {
	info, err := os.Stat(filepath.Join(l.dir, host, "opt/beat.run"))
	return err == nil && time.Since(info.ModTime()) < 500*time.Millisecond
}

// lives are the processes of beat that ran on a host, or still do.
func (l *lab) lives(host string) []lives.Run {
	notes, _ := os.ReadFile(filepath.Join(l.dir, host, "opt/beat.run"))
	return lives.Runs(host, string(notes), lives.Forever)
}

// lastBeat is when beat was last alive on a host.
func (l *lab) lastBeat(host string) time.Time {
	l.t.Helper()
	runs := l.lives(host)
	if len(runs) == 0 {
		l.t.Fatalf("beat never ran on %s", host)
	}
	return lives.Time(runs[len(runs)-1].Last)
}

// beatsOn waits until beat is running on a host other than those named, and says since when.
func (l *lab) beatsOn(within time.Duration, not ...string) (host string, since time.Time) {
	l.t.Helper()
	const state = "package state changes to "
	found := false
	defer func() {
		if !found {
			for _, host := range l.hosts {
				l.t.Logf("%s says\n%s\n%s", host, l.try(host, "./dex-lock/dex-show", "beat"), l.try(host, "ps", "-eo", "pid,stat,args"))
			}
		}
	}()
	l.await(within, "beat runs", func() bool {
		for _, host = range l.hosts {
			log := l.logOf(host, "btw")
			at := strings.LastIndex(log, state)
			if !slices.Contains(not, host) && at >= 0 && strings.HasPrefix(log[at+len(state):], "running.") && l.beats(host) && len(l.lives(host)) > 0 {
				return true
			}
		}
		return false
	})
	found = true
	runs := l.lives(host)
	return host, lives.Time(runs[len(runs)-1].First)
}

// silent waits until beat is dead on a host, and says when it was last alive.
func (l *lab) silent(host string, within time.Duration) time.Time {
	l.t.Helper()
	l.await(within+time.Second, "beat is dead on "+host, func() bool { return !l.beats(host) })
	return l.lastBeat(host)
}

// onlyOn checks for some time that beat runs on no host but that one.
func (l *lab) onlyOn(host string, long time.Duration) {
	l.t.Helper()
	others := l.others(host)
	l.stays(long, "nobody else runs it", func() bool {
		for _, other := range others {
			if l.beats(other) {
				return false
			}
		}
		return true
	})
}

// says waits until the manager of a host, or its deadman, has said that line n times, and says when
// it was.
func (l *lab) says(host, line string, n int, within time.Duration) time.Time {
	l.t.Helper()
	return l.await(within, fmt.Sprintf("%s says %q", host, line), func() bool { return strings.Count(l.logOf(host, "btw"), line) >= n })
}

// quiet checks that the manager of a host, and its deadman, have not said a line.
func (l *lab) quiet(host, line string) {
	l.t.Helper()
	if strings.Contains(l.logOf(host, "btw"), line) {
		l.t.Errorf("%s says %q", host, line)
	}
}

// renewedAt is when the holder noted for the last time up to then that its lock is renewed: its lease
// began before that.
func (l *lab) renewedAt(holder string, until time.Time) time.Time {
	l.t.Helper()
	c, ok := l.last(until, func(c change) bool {
		return c.sight == sight{holder, "beat", seesLock} && strings.HasPrefix(c.value, holder+" ")
	})
	if !ok {
		l.t.Fatalf("no renewal by %s seen in its htsp", holder)
	}
	return c.at
}

// downByKillEnd waits until beat is dead on a host that cannot renew its lock any more, and checks
// that this was before the kill end. It returns when beat was last alive, and when the lock was
// last renewed.
func (l *lab) downByKillEnd(host string) (last, renewed time.Time) {
	l.t.Helper()
	last = l.silent(host, quickT+quickS+2*time.Second)
	renewed = l.renewedAt(host, last)
	within(l.t, "dead after the last renewal", renewed, last, quickT+quickS)
	return last, renewed
}

// movesOn does what downByKillEnd does, then waits until beat runs again, and checks that this is
// neither early nor late. It may run on the same host again, if that has a manager.
func (l *lab) movesOn(old string) (next string) {
	l.t.Helper()
	last, renewed := l.downByKillEnd(old)
	limit := silence + takeOver + election // the leader may be among those that were lost
	l.await(time.Until(renewed.Add(limit+3*time.Second)), "beat has another life", func() bool {
		return slices.ContainsFunc(l.runsOf("beat", lives.Forever), func(r lives.Run) bool { return lives.Time(r.First).After(last) })
	})
	next, at := l.beatsOn(5 * time.Second)
	within(l.t, "runs on "+next+" after it", renewed, at, limit)
	if took := at.Sub(renewed); took < quickT+quickS {
		l.t.Errorf("it runs on %s %v after the last renewal by %s, want at least %v", next, took, old, quickT+quickS)
	}
	return next
}

// standsBy waits until a manager on a host stands by.
func (l *lab) standsBy(host string) {
	l.t.Helper()
	l.await(10*time.Second, host+" stands by", func() bool {
		return strings.Contains(l.try(host, "./service", "status", "beat"), "role=stand-by;")
	})
}

// oneLife checks that beat was started once on a host, and still runs.
func (l *lab) oneLife(host string) {
	l.t.Helper()
	if lives := l.lives(host); len(lives) != 1 || !l.beats(host) {
		l.t.Errorf("beat on %s had the lives %+v, want one that goes on", host, lives)
	}
}

// outOfSight makes the watcher ignore the files of a host: whoever writes them stands still.
func (l *lab) outOfSight(host string, out bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut[host] = out
}

// pids are the processes that lockdir_beat names on a host: pid, deadman.
func (l *lab) pids(host string, files ...string) (pids []string) {
	l.t.Helper()
	for _, file := range files {
		pids = append(pids, strings.TrimSpace(l.lab("exec", "-w", labHome, host, "cat", "temp/lockdir_beat/"+file)))
	}
	return pids
}

// signal sends a signal to processes of a host at once, and says when.
func (l *lab) signal(host, name string, pids ...string) time.Time {
	l.t.Helper()
	at := time.Now()
	l.lab(append([]string{"exec", host, "kill", "-s", name}, pids...)...)
	return at
}

// meet waits until beat runs on another host too, which is what the story wants to show, and then
// for a while. It logs for how long both ran.
func (l *lab) meet(old string, within time.Duration) (next string) {
	l.t.Helper()
	next, _ = l.beatsOn(within, old)
	l.stays(time.Second, "both run", func() bool { return l.beats(old) && l.beats(next) })
	runs := l.runsOf("beat", time.Second)
	both := lives.LongestOverlap(runs)
	l.t.Logf("it ran on %s and %s for %.2f s", old, next, both.Seconds())
	if both < 500*time.Millisecond || len(lives.Overlaps(runs)) == 0 {
		l.t.Errorf("two at once were not seen: %v", both)
	}
	return next
}

// try runs a command of the tree on a host, which may fail, or hang where the host does, and
// returns what it said.
func (l *lab) try(host string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.repo+"/utils/lab", append([]string{"exec", "-w", labHome, host}, args...)...)
	cmd.Env = append(cmd.Environ(), "LAB_NAME="+l.name)
	cmd.WaitDelay = time.Second
	said, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(said))
}
