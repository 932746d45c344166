package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probeScript is a package that is a process: it notes the time every 20 ms for as long as it
// lives, on a disk that outlives the host. So it tells of itself when it ran, whatever the
// manager, the marker and the status say.
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
// (stop exits 1, hangs for ever, exits 0, and stops nothing), and deaf=yes (its process ignores
// TERM). All that it needs is outside of labHome, so it runs while that hangs.
const beatScript = `#!/bin/sh
pace=1
timeout=8
start_timeout=4
stop_timeout=4
how=
deaf=
pid=/tmp/beat.pid
[ ! -f /opt/beat.conf ] || . /opt/beat.conf
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start)
   ( [ "$deaf" != yes ] || trap '' TERM
     run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/beat.run ) < /dev/null > /dev/null 2>&1 &
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
var noting = []string{"probe", "beat"}

// A probeRun is one life of the process of such a package, or a part of it between two pauses.
type probeRun struct {
	host, life  string
	first, last string // seconds since 1970, with nine decimals: they compare as text
}

// forever is longer than any pause.
const forever = 24 * time.Hour

// probeRuns reads the notes of one host. Where nothing was noted for longer than pause, one run
// ends and another begins.
func probeRuns(host, notes string, pause time.Duration) []probeRun {
	var runs []probeRun
	for line := range strings.Lines(notes) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasSuffix(line, "\n") {
			continue // half a line: a crash
		}
		first := f[0]
		if n := len(runs); n > 0 && runs[n-1].life == f[0] {
			if noted(f[1]).Sub(noted(runs[n-1].last)) <= pause {
				runs[n-1].last = f[1]
				continue
			}
			first = f[1]
		}
		runs = append(runs, probeRun{host, f[0], first, f[1]})
	}
	return runs
}

// noted is the time that stands in a note.
func noted(text string) time.Time {
	seconds, _ := strconv.ParseFloat(text, 64) // good to a microsecond
	return time.UnixMicro(int64(seconds * 1e6))
}

// overlaps names the runs of pkg on different hosts that share a moment.
func overlaps(pkg string, runs []probeRun) []string {
	var faults []string
	slices.SortFunc(runs, func(a, b probeRun) int { return strings.Compare(a.first, b.first) })
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.host != b.host && b.first <= a.last {
				faults = append(faults, fmt.Sprintf("the %s ran on %s from %s to %s and on %s from %s to %s", pkg, a.host, a.first, a.last, b.host, b.first, b.last))
			}
		}
	}
	return faults
}

// longestOverlap is for how long two hosts ran it at the same time, at the worst.
func longestOverlap(runs []probeRun) (longest time.Duration) {
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.host != b.host {
				longest = max(longest, noted(min(a.last, b.last)).Sub(noted(max(a.first, b.first))))
			}
		}
	}
	return longest
}

// runsOf is when a package ran, on all hosts.
func (l *lab) runsOf(pkg string, pause time.Duration) []probeRun {
	var runs []probeRun
	for _, host := range l.hosts {
		notes, _ := os.ReadFile(filepath.Join(l.dir, host, "opt", pkg+".run"))
		runs = append(runs, probeRuns(host, string(notes), pause)...)
	}
	return runs
}

func (l *lab) probeOverlaps() (faults []string) {
	for _, pkg := range noting {
		runs := l.runsOf(pkg, forever)
		if slices.Contains(l.pkgs, pkg) && len(runs) == 0 && !l.t.Failed() {
			faults = append(faults, "the "+pkg+" never ran, so it saw nothing")
		}
		if !l.mayOverlap {
			faults = append(faults, overlaps(pkg, runs)...)
		}
	}
	return faults
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		h1, h2 string
		want   int
	}{
		{"one after the other", "10.0 10.0\n10.0 12.5\n", "12.6 12.6\n12.6 14.0\n", 0},
		{"and back again", "10.0 10.5\n10.0 12.5\n16.0 16.0\n16.0 17.0\n", "12.6 12.6\n12.6 14.0\n", 0},
		{"a shared moment", "10.0 10.5\n10.0 12.5\n", "12.4 12.4\n12.4 14.0\n", 1},
		{"one within the other", "10.0 10.5\n10.0 19.5\n", "12.4 12.4\n12.4 14.0\n", 1},
		{"half a line at a crash", "10.0 10.5\n10.0 1", "12.4 12.4\n12.4 14.0\n", 0},
		{"twice on one host", "10.0 10.5\n10.0 12.5\n11.0 11.0\n", "", 0},
	}
	for _, tt := range tests {
		if got := overlaps("probe", append(probeRuns("h1", tt.h1, forever), probeRuns("h2", tt.h2, forever)...)); len(got) != tt.want {
			t.Errorf("%s: overlaps = %q, want %d", tt.name, got, tt.want)
		}
	}
}

func TestLongestOverlap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		h1, h2 string
		want   time.Duration
	}{
		{"one after the other", "10.0 10.0\n10.0 12.5\n", "12.6 12.6\n12.6 14.0\n", 0},
		{"the end of one", "10.0 12.0\n10.0 12.5\n", "12.25 12.25\n12.25 13.0\n", 250 * time.Millisecond},
		{"a pause of more than a second", "10.0 10.5\n10.0 15.0\n10.0 15.5\n", "12.0 12.5\n12.0 13.5\n12.0 14.5\n12.0 15.25\n12.0 16.0\n", 500 * time.Millisecond},
		{"a pause of less", "10.0 10.5\n10.0 11.5\n", "10.75 10.75\n10.75 11.25\n", 500 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := longestOverlap(append(probeRuns("h1", tt.h1, time.Second), probeRuns("h2", tt.h2, time.Second)...)); got != tt.want {
			t.Errorf("%s: longestOverlap = %v, want %v", tt.name, got, tt.want)
		}
	}
}
