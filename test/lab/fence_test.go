//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stuckScript is up for as long as /opt/NAME.up is there, whatever is killed.
const stuckScript = `#!/bin/sh
pace=1 timeout=8 start_timeout=4 stop_timeout=4 self_fence=reboot
up=/opt/${0##*/}.up
cd "${0%/*}" || exit 3
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start) : > $up ;;
 stop) exit 1 ;;
 status) [ -e $up ] ;;
esac
`

// stuckHost makes a host that runs the package stuck. Writing to the file trigger stands for a
// reset of the host.
func stuckHost(t *testing.T, tr tree, trigger string) (l *lab, disk string) {
	t.Helper()
	l = newLab(t, tr, 1, []string{"stuck"}, map[string]string{
		"dex-lock/conf/lock_servers": "localhost",
		"conf/sysrq_trigger":         trigger,
	})
	disk = filepath.Join(l.dir, "h1")
	must(t, os.WriteFile(filepath.Join(disk, labHome, "packages/stuck"), []byte(stuckScript), 0o755))
	return l, disk
}

// selfFence checks that a host resets itself when its package cannot be shown to be down. A file
// stands in the place of the one that resets.
func selfFence(t *testing.T, tr tree) {
	l, disk := stuckHost(t, tr, "/opt/trigger")
	path := filepath.Join(disk, "opt/trigger")
	must(t, os.WriteFile(path, nil, 0o600))
	trigger := func() string {
		text, err := os.ReadFile(path)
		must(t, err)
		return string(text)
	}
	l.start("h1", "stuck")
	up := filepath.Join(disk, "opt/stuck.up")
	l.await(10*time.Second, "the package is up", func() bool { _, err := os.Stat(up); return err == nil })
	time.Sleep(time.Second)
	if got := trigger(); got != "" {
		t.Fatalf("the host resets itself while all is well: %q", got)
	}
	begin := time.Now()
	l.interrupt("h1")
	at := l.await(10*time.Second, "the host resets itself", func() bool { return strings.HasPrefix(trigger(), "b") })
	within(t, "reset after a stop that failed", begin, at, 4*time.Second)
	must(t, os.Remove(up))
	l.exits("h1", 1, 5*time.Second)
}

// selfFenceRefused checks that nothing is started if the host could not be reset.
func selfFenceRefused(t *testing.T, tr tree) {
	l, disk := stuckHost(t, tr, "/opt/none")
	l.start("h1", "stuck")
	l.exits("h1", 1, 10*time.Second)
	log, err := os.ReadFile(filepath.Join(disk, "bg/btw.log"))
	must(t, err)
	if !strings.Contains(string(log), "back-to-work: self_fence=reboot cannot work here: ") {
		t.Errorf("it says %q", log)
	}
}

// fencedScript is a package with a fence. To power a node off it writes to /opt/fence.ask; the test
// reads that, and answers in /opt/fence.said how it went.
const fencedScript = `#!/bin/sh
pace=1 timeout=8 start_timeout=4 stop_timeout=20 fence=test fence_timeout=10
[ ! -r /opt/fenced.conf ] || . /opt/fenced.conf
cd "${0%/*}" || exit 3
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start) : > /tmp/fenced.maintenance ;;
 stop) rm -f /tmp/fenced.maintenance ;;
 status) [ -e /tmp/fenced.maintenance ] ;;
 fence)
   rm -f /opt/fence.said
   echo "$2" > /opt/fence.ask
   while ! [ -e /opt/fence.said ] ; do sleep 0.05 ; done
   . /opt/fence.said ;;
esac
`

// fencedNodes makes three hosts with that package. When a host asks to have a node powered off,
// power is called, and returns what the fence is to do.
func fencedNodes(t *testing.T, tr tree, conf string, power func(l *lab, node string) string) (l *lab, active string) {
	t.Helper()
	l = threeNodes(t, tr, "fenced")
	for _, host := range l.hosts {
		disk := filepath.Join(l.dir, host)
		must(t, os.WriteFile(filepath.Join(disk, labHome, "packages/fenced"), []byte(fencedScript), 0o755))
		must(t, os.WriteFile(filepath.Join(disk, "opt/fenced.conf"), []byte(conf+"\n"), 0o644))
	}
	active = l.startAll("fenced", false)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
			for _, host := range l.hosts {
				ask := filepath.Join(l.dir, host, "opt/fence.ask")
				node, err := os.ReadFile(ask)
				if err != nil || len(node) == 0 || os.Remove(ask) != nil {
					continue
				}
				said := power(l, strings.TrimSpace(string(node)))
				if said != "" {
					_ = os.WriteFile(filepath.Join(l.dir, host, "opt/fence.said"), []byte(said+"\n"), 0o644)
				}
			}
		}
	}()
	return l, active
}

// fencedRest is S + m of the package fenced.
const fencedRest = 20*time.Second + 500*time.Millisecond

// A stand-by powers the silent node off, and takes over without waiting for the rest of its time.
func fenceSucceeds(t *testing.T, tr tree) {
	asked := make(chan string, 10)
	l, active := fencedNodes(t, tr, "", func(l *lab, node string) string {
		asked <- node
		l.crash(node)
		return "echo fenced " + node + " ; exit 0"
	})
	cut := l.cutOff(active, active)
	_, at := l.runsOn("fenced", quickT+fencedRest+takeOver, active)
	within(t, "runs elsewhere after a fence", cut, at, quickT+3*time.Second)
	if got := <-asked; got != active {
		t.Errorf("%s was powered off, want %s", got, active)
	}
	if len(asked) > 0 {
		t.Errorf("two were powered off: %s too", <-asked)
	}
}

// A fence that fails lets nobody have the lock early.
func fenceFails(t *testing.T, tr tree) {
	l, active := fencedNodes(t, tr, "", func(*lab, string) string { return "echo no answer ; exit 1" })
	cut := l.cutOff(active, active)
	next, at := l.runsOn("fenced", quickT+fencedRest+takeOver+election, active)
	within(t, "runs elsewhere after a fence that failed", cut, at, quickT+fencedRest+takeOver)
	l.notEarly("fenced", active, next, cut, quickT+20*time.Second)
}

// If a fence is required, one that hangs lets nobody have the lock at all, until a person says that
// the node is off.
func fenceRequired(t *testing.T, tr tree) {
	l, active := fencedNodes(t, tr, "fence_required=yes", func(*lab, string) string { return "" })
	l.cutOff(active, active)
	l.isDown("fenced", active, quickT+5*time.Second)
	if said := l.try(l.others(active)[0], "./service", "unblock", "fenced", "--node-is-down", active); !strings.Contains(said, "nothing was done") {
		t.Errorf("of a node that was heard a moment ago: %q", said)
	}
	l.stays(fencedRest+5*time.Second, "nobody takes it unfenced", func() bool { return len(l.where("fenced", seesUp, "up")) == 0 })
	other := l.others(active)[0]
	if said := l.try(other, "./service", "unblock", "fenced", "--node-is-down", other); !strings.Contains(said, "is not blocked") {
		t.Errorf("of a node that does not have it: %q", said)
	}
	l.lab("exec", "-w", labHome, other, "./service", "unblock", "fenced", "--node-is-down", active)
	l.runsOn("fenced", 10*time.Second, active)
	l.healAll()
}
