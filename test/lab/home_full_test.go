//go:build linux

package lab

import (
	"testing"
	"time"
)

// The disk that holds everything of back-to-work on a node is full; then that of another node is
// read-only. A manager still does what an admin asks, and leaves nothing of it to be done later. A
// manager that is killed there gets a successor, and so does a deadman.
func homeFull(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "beat")
	disks := map[string]*disk{}
	for _, host := range l.hosts {
		disks[host] = l.homeOnDisk(host)
	}
	first := l.startServers(l.hosts...)
	l.startBeat(first)

	full := disks[first]
	full.run("cd " + labHome + " ; dd if=/dev/zero of=filler bs=64k 2> /dev/null ; dd if=/dev/zero of=filler2 bs=1k 2> /dev/null ; sync")
	l.asks(first)
	second := l.stopsAt(first)
	l.exits(first, 0, time.Second)
	full.run("rm " + labHome + "/filler*")
	l.revive(first)
	l.start(first, "beat")
	l.standsBy(first)

	disks[second].run("sync ; mount -o remount,abort " + labHome)
	l.signal(second, "KILL", l.pids(second, "deadman")...)
	l.says(second, replacedLine, 1, 5*time.Second)
	l.asks(second)
	l.signal(second, "KILL", l.pids(second, "pid")...)
	l.says(second, adoptedLine, 2, 5*time.Second)
	l.oneLife(second)
	l.stopsAt(second)
}

// asks asks a manager for what an admin may ask, while beat runs.
func (l *lab) asks(host string) {
	l.t.Helper()
	for _, asked := range []string{"clear", "upgrade"} {
		l.dex(host, "./service", asked, "beat")
	}
	l.says(host, adoptedLine, 1, 5*time.Second)
	l.oneLife(host)
}

// stopsAt stops beat on a host as an admin does, and returns where it runs then.
func (l *lab) stopsAt(host string) (next string) {
	l.t.Helper()
	asked := time.Now()
	l.dex(host, "./service", "stop", "beat")
	next, at := l.beatsOn(10*time.Second, host)
	within(l.t, "runs on "+next+" after the stop of "+host, asked, at, takeOver+election) // its lock server may have led
	return next
}
