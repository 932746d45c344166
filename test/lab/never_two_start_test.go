//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// parentScript is a package whose start starts beat.
const parentScript = `#!/bin/sh
pace=1
timeout=8
start_timeout=4
stop_timeout=4
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start) ./service start beat && touch /tmp/parent ;;
 stop) rm -f /tmp/parent ;;
 status) [ -e /tmp/parent ] ;;
esac
`

// The start script of one package starts another package. When the first is stopped the other goes
// on, and stays guarded: its manager and its deadman are not killed with the first. (Its stop would
// hang, so that without them it would run on.)
func parentStops(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "beat")
	l.beatConf("how=hang", l.hosts...)
	active := l.startServers(l.hosts...)
	must(t, os.WriteFile(filepath.Join(l.dir, active, labHome, "packages/parent"), []byte(parentScript), 0o755))
	l.dex(active, "./service", "start", "parent")
	l.await(10*time.Second, "beat runs on "+active, func() bool { return l.beats(active) })
	other := l.others(active)[0]
	l.start(other, "beat")
	l.says(other, "starting as stand-by node.", 1, 10*time.Second)

	before := l.pids(active, "pid", "deadman")
	stopped := time.Now()
	l.dex(active, "./service", "stop", "parent")
	l.try(active, "kill", "-KILL", before[0])
	log := filepath.Join(l.dir, active, labHome, "log/back-to-work.beat.log")
	l.await(5*time.Second, "the deadman of before starts another manager", func() bool {
		said, _ := os.ReadFile(log)
		return strings.Contains(string(said), adoptedLine)
	})
	if deadman := l.pids(active, "deadman"); deadman[0] != before[1] {
		t.Errorf("the deadman of beat is process %s, which was %s", deadman[0], before[1])
	}
	l.onlyOn(active, time.Until(stopped.Add(silence+takeOver)))
	l.oneLife(active)
}

// A node gets another name while it runs a package whose process has nothing of ours in its
// environment. The next deadman and the next manager use the earlier name. When the node is cut
// off, and the stop hangs, nothing of the package lives after the kill end.
func nodeRenamed(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "env='env -i'\nhow=hang")
	must(t, os.WriteFile(filepath.Join(l.dir, active, labHome, "conf/node_name"), []byte("other\n"), 0o644))
	if said := l.try(active, "./service", "upgrade", "beat"); !strings.Contains(said, "runs here under the name "+active) {
		t.Errorf("service upgrade under another name says %q", said)
	}
	l.signal(active, "KILL", l.pids(active, "deadman")...)
	l.says(active, replacedLine, 1, 5*time.Second)
	l.killManager(active, 1)
	l.oneLife(active)
	l.cutOff(active, active)
	l.movesOn(active)
	l.says(active, "timeout waiting for package to stop.", 1, time.Second)
}
