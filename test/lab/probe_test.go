//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"backtowork/internal/sim/lives"
)

// probeScript is a package that is a process. It notes the time every 20 ms as long as it lives, on
// a disk that outlives the host. So it shows by itself when it ran, whatever the manager, the
// marker and the status say.
const probeScript = `#!/bin/sh
pace=1
timeout=8
start_timeout=4
stop_timeout=4
cd "${0%/*}" || exit 3
pid=/tmp/probe.pid
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start)
   ( run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/probe.run ) < /dev/null > /dev/null 2>&1 &
   echo $! > $pid
   touch /tmp/probe.maintenance ;;
 stop)
   kill "$(cat $pid)" 2> /dev/null
   rm -f $pid /tmp/probe.maintenance ;;
 status)
   [ -f $pid ] || exit 1
   kill -0 "$(cat $pid)" 2> /dev/null || exit 3
   exit 0 ;;
esac
`

// beatScript is a probe that does without the marker, and that a test can make misbehave: what
// stands in /opt/beat.conf of its host counts. The parameters there, and how=fail, hang or lie
// (stop exits 1, hangs for ever, exits 0, and stops nothing), deaf=yes (its process ignores TERM), and
// env="env -i" (that has nothing of ours in its environment). All that it needs is outside of labHome, so it runs while that hangs.
const beatScript = `#!/bin/sh
pace=1
timeout=8
start_timeout=4
stop_timeout=4
how=
deaf=
env=
pid=/tmp/beat.pid
[ ! -f /opt/beat.conf ] || . /opt/beat.conf
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start)
   $env sh -c '[ "$0" != yes ] || trap "" TERM
     run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/beat.run' "$deaf" < /dev/null > /dev/null 2>&1 &
   echo $! > $pid ;;
 stop)
   case $how in
    fail) exit 1 ;;
    hang) while : ; do sleep 1000 ; done ;;
    lie) exit 0 ;;
   esac
   kill "$(cat $pid)" 2> /dev/null ;;
 status)
   { read -r p < $pid && read -r line < "/proc/$p/stat" ; } 2> /dev/null || exit 1
   case $line in *') Z '*) exit 1 ;; esac ;;
esac
exit 0
`

// The packages that note when they run, in /opt/PACKAGE.run.
var noting = []string{"probe", "beat", "site", "data"}

// runsOf is when a package ran, on all hosts.
func (l *lab) runsOf(pkg string, pause time.Duration) []lives.Run {
	var runs []lives.Run
	for _, host := range l.hosts {
		notes, _ := os.ReadFile(filepath.Join(l.dir, host, "opt", pkg+".run"))
		runs = append(runs, lives.Runs(host, string(notes), pause)...)
	}
	return runs
}

func (l *lab) probeOverlaps() (faults []string) {
	for _, pkg := range noting {
		runs := l.runsOf(pkg, lives.Forever)
		if slices.Contains(l.pkgs, pkg) && len(runs) == 0 && !l.t.Failed() {
			faults = append(faults, "the "+pkg+" never ran, so it saw nothing")
		}
		if l.mayOverlap {
			continue
		}
		for _, both := range lives.Overlaps(runs) {
			faults = append(faults, "the "+pkg+" ran "+both.String())
		}
	}
	return faults
}
