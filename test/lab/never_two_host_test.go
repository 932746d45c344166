//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/lives"
)

// thawLimit is how long a package may run on two hosts when one of them wakes up after its kill
// end.
const thawLimit = 100 * time.Millisecond

// Case B6: the whole host of the active stands still until another node runs the package, and then
// goes on. It kills at once what still runs there. The time during which both run is measured.
func hostFrozen(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	l.mayOverlap = true // for a moment
	rounds := 1
	if os.Getenv("BTW_LONG") != "" {
		rounds = 5
	}
	defer func() { // whatever else went wrong
		both := lives.LongestOverlap(l.runsOf("beat", quickM))
		t.Logf("two for %d ms at the most in %d rounds (limit %v)", both.Milliseconds(), rounds, thawLimit)
		if both > thawLimit {
			t.Errorf("two for %v after a host went on, want at most %v", both, thawLimit)
		}
	}()
	for range rounds {
		active = l.freezeAndThaw(active)
	}
}

// freezeAndThaw does so with the host of the active, and returns the next one.
func (l *lab) freezeAndThaw(active string) (next string) {
	l.t.Helper()
	l.outOfSight(active, true)
	before := len(l.lives(active))
	begin := time.Now()
	l.lab("pause", active)
	next, _ = l.beatsOn(silence+takeOver+election+3*time.Second, active)
	l.notEarly("beat", active, next, begin, quickT+quickS)
	l.onlyOn(next, time.Until(begin.Add(silence+5*time.Second)))
	thawed := l.thaw(active)
	l.standsBy(active)
	l.silent(active, time.Second)
	l.onlyOn(next, time.Second)
	within(l.t, "dead after the thaw", thawed, l.lastBeat(active), thawLimit) // less than 0: it died without running again
	l.quiet(active, "stop it by hand")
	if n := len(l.lives(active)); n != before {
		l.t.Errorf("beat was started again on %s, which was frozen: %d lives, want %d", active, n, before)
	}
	l.outOfSight(active, false)
	return next
}

// thaw lets a frozen host go on, and says when. It is lab resume, without its forks.
func (l *lab) thaw(host string) time.Time {
	l.t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	must(l.t, err)
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if file := filepath.Join(f[1], "lab-"+l.name, host, "cgroup.freeze"); f[2] == "cgroup2" {
			at := time.Now()
			if os.WriteFile(file, []byte("0"), 0o644) == nil {
				return at
			}
		}
	}
	l.t.Fatalf("cannot thaw %s: there is no cgroup v2 here that it was frozen in", host)
	return time.Time{}
}

// What befalls the active in case B10, besides its disk.
const (
	hangs          = "its disk hangs"
	hangsCut       = "its disk hangs, and it is cut off"
	hangsKilledCut = "its disk hangs, its manager is killed, and it is cut off"
)

// Case B10: the disk that holds everything of back-to-work on the active hangs. The package goes on
// while its lock can be renewed. When the host is cut off too, nothing of it is alive at the kill
// end.
func diskHangsUnder(t *testing.T, tr tree, what string) {
	l, active, disk := homesLab(t, tr)
	pid := l.pids(active, "pid")
	disk.freeze()
	switch what {
	case hangs:
		l.onlyOn(active, silence+takeOver)
		l.oneLife(active)
	case hangsCut:
		l.onlyOn(active, 2*time.Second)
		l.hungAndCut(active, l.cutOff(active, active))
	case hangsKilledCut:
		killed := l.signal(active, "KILL", pid...)
		l.onlyOn(active, 2*time.Second)
		l.cutOff(active, active)
		l.hungAndCut(active, killed)
	}
	disk.thaw()
	l.onlyOn(l.runningOn(), 2*time.Second)
}

// homesLab is beatLab with the tree of each host on a disk of its own.
func homesLab(t *testing.T, tr tree) (l *lab, active string, its *disk) {
	t.Helper()
	l = threeNodes(t, tr, "beat")
	disks := map[string]*disk{}
	for _, host := range l.hosts {
		disks[host] = l.homeOnDisk(host)
	}
	active = l.startServers(l.hosts...)
	l.startBeat(active)
	return l, active, disks[active]
}

// hungAndCut checks what follows on a host whose disk hangs and that is cut off. Its lock was
// renewed for the last time shortly before since. Its files tell nothing, because they hang too.
func (l *lab) hungAndCut(active string, since time.Time) {
	l.t.Helper()
	within(l.t, "dead after the last word", since, l.silent(active, quickT+quickS+time.Second), quickT+quickS)
	l.whoActed(active)
	next, at := l.beatsOn(silence+takeOver+election+3*time.Second, active)
	within(l.t, "runs on "+next, since, at, silence+takeOver+election)
	const renewals = 1500 * time.Millisecond // pace, and some
	if early := at.Sub(since); early < silence-renewals {
		l.t.Errorf("it runs on %s %v after the last word of %s, want at least %v", next, early, active, silence-renewals)
	}
}

// homeOnDisk puts the tree of a host on a small file system of its own.
func (l *lab) homeOnDisk(host string) *disk {
	l.t.Helper()
	return l.mountDisk(host, labHome, 128<<20,
		"mkdir /run/new && mount -o loop \"$0\" /run/new && cp -a "+labHome+"/. /run/new && mount --move /run/new "+labHome)
}
