package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

// A probeRun is one life of the probe's process.
type probeRun struct {
	host        string
	first, last string // seconds since 1970, with nine decimals: they compare as text
}

// probeRuns reads the notes of one host.
func probeRuns(host, notes string) []probeRun {
	var runs []probeRun
	for line := range strings.Lines(notes) {
		f := strings.Fields(line)
		if len(f) != 2 || !strings.HasSuffix(line, "\n") {
			continue // half a line: a crash
		}
		if n := len(runs); n > 0 && runs[n-1].first == f[0] {
			runs[n-1].last = f[1]
			continue
		}
		runs = append(runs, probeRun{host, f[0], f[1]})
	}
	return runs
}

// overlaps names the lives on different hosts that share a moment.
func overlaps(runs []probeRun) []string {
	var faults []string
	slices.SortFunc(runs, func(a, b probeRun) int { return strings.Compare(a.first, b.first) })
	for i, a := range runs {
		for _, b := range runs[i+1:] {
			if a.host != b.host && b.first <= a.last {
				faults = append(faults, fmt.Sprintf("the probe ran on %s from %s to %s and on %s from %s to %s", a.host, a.first, a.last, b.host, b.first, b.last))
			}
		}
	}
	return faults
}

func (l *lab) probeOverlaps() []string {
	var runs []probeRun
	for _, host := range l.hosts {
		notes, _ := os.ReadFile(filepath.Join(l.dir, host, "opt/probe.run"))
		runs = append(runs, probeRuns(host, string(notes))...)
	}
	if slices.Contains(l.pkgs, "probe") && len(runs) == 0 && !l.t.Failed() {
		return []string{"the probe never ran, so it saw nothing"}
	}
	return overlaps(runs)
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
		if got := overlaps(append(probeRuns("h1", tt.h1), probeRuns("h2", tt.h2)...)); len(got) != tt.want {
			t.Errorf("%s: overlaps = %q, want %d", tt.name, got, tt.want)
		}
	}
}
