//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Lines of the deadman, and of a manager that goes on with what an earlier one left.
const (
	restartLine  = "deadman: the manager has ended without a word: starting another for beat."
	adoptedLine  = "the package is up: going on with it."
	replacedLine = "the deadman was replaced."
	lostLine     = "error: lock lost. failing package."
	killsLine    = "deadman: the manager does not answer: killing it."
	stopsLine    = "deadman: stopping package beat."
)

// Case B4: the manager is killed. The deadman has another one go on with the package, whose process
// lives on, and nobody else starts it. A deadman that is killed is replaced. A manager that is
// killed while its stop script hangs, on a node that is cut off, does not keep the package alive.
func managerKilled(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	begin := l.killManager(active, 1)
	l.signal(active, "KILL", l.pids(active, "deadman")...)
	l.says(active, replacedLine, 1, 5*time.Second)
	l.onlyOn(active, time.Until(begin.Add(silence+3*time.Second)))
	l.oneLife(active)

	l.beatConf("how=hang", active)
	l.cutOff(active, active)
	l.says(active, lostLine, 1, quickT+2*time.Second)
	l.says(active, "package state changes to failing.", 1, time.Second)
	l.signal(active, "KILL", l.pids(active, "pid")...)
	l.movesOn(active)
	l.says(active, restartLine, 2, time.Second)
}

// killManager kills the manager for the nth time, and waits until another one has adopted the package.
func (l *lab) killManager(host string, n int) time.Time {
	l.t.Helper()
	pids := l.pids(host, "pid")
	begin := l.signal(host, "KILL", pids...)
	at := l.says(host, adoptedLine, n, 5*time.Second)
	within(l.t, "adopted after kill -9", begin, at, 2*time.Second)
	l.says(host, restartLine, n, time.Second)
	if now := l.pids(host, "pid"); now[0] == pids[0] {
		l.t.Errorf("the manager of %s is still process %s", host, now[0])
	}
	return begin
}

// Case B4, ten times in a row: whoever gives up, the package never runs twice, and runs in the end.
func managerKilledTenTimes(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	next := time.Now()
	for range 10 {
		l.try(active, "sh", "-c", "read p < temp/lockdir_beat/pid && read d < temp/lockdir_beat/deadman && [ $p != $d ] && kill -9 $p")
		next = next.Add(time.Second)
		l.stays(time.Until(next), "", func() bool { return true })
	}
	on, since := l.beatsOn(silence + takeOver + election)
	t.Logf("runs on %s (it was %s) for %.1f s; restarts: %d, given up: %v", on, active, time.Since(since).Seconds(),
		strings.Count(l.logOf(active, "btw"), restartLine), strings.Contains(l.logOf(active, "btw"), "no manager goes on"))
	l.onlyOn(on, 3*time.Second)
}

// Case B5: the manager is stopped, as by Ctrl-Z. The deadman kills it and stops the package, in time.
func managerStopped(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	l.stopManager(active)
}

// stopManager stops the manager of a host as Ctrl-Z does, and holds what follows to the rules.
func (l *lab) stopManager(active string) {
	l.t.Helper()
	pid := l.pids(active, "pid")[0]
	l.signal(active, "STOP", pid)
	next := l.movesOn(active)
	l.says(active, killsLine, 1, time.Second)
	l.says(active, stopsLine, 1, time.Second)
	l.try(active, "kill", "-CONT", pid) // it was killed
	l.onlyOn(next, time.Second)
	if next != active { // if they are equal, its new manager was the first to ask for the lock
		l.standsBy(active)
	}
}

// B4 and B5 on hosts without control groups.
func withoutCgroup(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "beat")
	for _, host := range l.hosts {
		l.lab("kill9", host)
	}
	command(t, []string{"LAB_NAME=" + l.name, "LAB_CGROUP=no"}, l.repo+"/utils/lab", append([]string{"boot"}, l.hosts...)...)
	active := l.startServers(l.hosts...)
	l.startBeat(active)
	if got := l.try(active, "sh", "-c", "ls /sys/fs/cgroup"); got != "" {
		t.Fatalf("%s sees control groups: %s", active, got)
	}
	l.killManager(active, 1)
	l.oneLife(active)
	l.stopManager(active)
}

// Everything is killed in the control group in which back-to-work was started, as systemd kills a
// unit: manager and deadman are no longer in it. Then the manager is killed, with all of its
// session and of the session in which the package was started: the deadman is in neither.
func unitKilled(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "beat")
	active := l.startServers(l.hosts...)
	const unit = "/sys/fs/cgroup/unit"
	l.mu.Lock()
	l.started[active] = time.Now().Truncate(10 * time.Millisecond)
	l.mu.Unlock()
	l.lab("bg", "-w", labHome, active, "btw", "sh", "-c", "mkdir "+unit+" && echo $$ > "+unit+"/cgroup.procs && exec ./back-to-work beat")
	l.beatsOn(15 * time.Second)
	for _, host := range l.others(active) {
		l.start(host, "beat")
	}
	manager := l.pids(active, "pid")
	l.lab("exec", active, "sh", "-c", "echo 1 > "+unit+"/cgroup.kill")
	l.onlyOn(active, 2*time.Second)
	l.oneLife(active)
	if now := l.pids(active, "pid"); now[0] != manager[0] || strings.Contains(l.logOf(active, "btw"), restartLine) {
		t.Errorf("the manager was process %s, is %s", manager[0], now[0])
	}

	lives := len(l.lives(active))
	out := l.try(active, "sh", "-c", `
		sid () { ps -o sid= -p "$1" | tr -d ' ' ; }
		m=$(cat temp/lockdir_beat/pid) d=$(cat temp/lockdir_beat/deadman) p=$(cat /tmp/beat.pid)
		[ "$(sid $m)" != "$(sid $d)" ] && [ "$(sid $p)" != "$(sid $d)" ] && pkill -KILL -s "$(sid $m),$(sid $p)"`)
	if out != "" {
		t.Errorf("kill of the sessions: %s", out)
	}
	begin := time.Now()
	l.says(active, restartLine, 1, 5*time.Second)
	l.await(quickT+quickS, "it has another life there, or runs on another", func() bool {
		return len(l.lives(active)) > lives || l.beats(l.others(active)[0]) || l.beats(l.others(active)[1])
	})
	on, at := l.beatsOn(5 * time.Second)
	within(t, "runs again, on "+on, begin, at, quickS+takeOver+time.Second)
	l.onlyOn(on, 2*time.Second)
}

// Case B11: the manager gets nearly no processor time, and then the node is cut off. It goes by the
// clock, not by the number of its turns: the manager or the deadman has the package down in time.
func managerStarved(t *testing.T, tr tree) {
	l, active := beatLab(t, tr, "")
	l.starve(active, l.pids(active, "pid")[0])
	l.onlyOn(active, 2*time.Second)
	t.Logf("after 2 s of hunger the last renewal was %.2f s ago", time.Since(l.renewedAt(active, time.Now())).Seconds())
	l.cutOff(active, active)
	l.movesOn(active)
	l.whoActed(active)
}

// whoActed wants the manager of a host or its deadman to say that it stopped the package, and logs which.
func (l *lab) whoActed(host string) {
	l.t.Helper()
	log := l.logOf(host, "btw")
	if !strings.Contains(log, lostLine) && !strings.Contains(log, stopsLine) {
		l.t.Errorf("nobody on %s says that the package is being stopped", host)
	}
	l.t.Logf("%s: manager stopped it: %v; deadman killed the manager: %v, stopped the package: %v, killed what was left at the kill end: %v", host,
		strings.Contains(log, lostLine), strings.Contains(log, killsLine), strings.Contains(log, stopsLine), strings.Contains(log, "the kill end of package beat has come"))
}

// starve gives a process of a host 1.5 ms of processor time in each 100 ms.
func (l *lab) starve(host, pid string) {
	l.t.Helper()
	machines := l.machinePID(host, pid)
	base, limits := "/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "1500"}
	if _, err := os.Stat(filepath.Join(base, "cpu.cfs_quota_us")); err != nil {
		base, limits = "/sys/fs/cgroup", map[string]string{"cpu.max": "1500 100000"}
		if text, _ := os.ReadFile(filepath.Join(base, "cgroup.controllers")); !strings.Contains(" "+strings.TrimSpace(string(text))+" ", " cpu ") {
			l.t.Fatal("cannot starve a process: neither a cgroup v1 cpu controller in /sys/fs/cgroup/cpu nor one of cgroup v2 in /sys/fs/cgroup")
		}
		must(l.t, os.WriteFile(filepath.Join(base, "cgroup.subtree_control"), []byte("+cpu"), 0o644))
	}
	dir := filepath.Join(base, l.name+"-starved")
	must(l.t, os.Mkdir(dir, 0o755))
	l.t.Cleanup(func() {
		left, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, pid := range strings.Fields(string(left)) {
			_ = os.WriteFile(filepath.Join(base, "cgroup.procs"), []byte(pid), 0o644) // it may have ended
		}
		l.await(5*time.Second, "the control group is gone", func() bool { return os.Remove(dir) == nil })
	})
	for file, text := range limits {
		must(l.t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	must(l.t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(machines), 0o644))
}

// machinePID is the number on this machine of a process of a host.
func (l *lab) machinePID(host, pid string) string {
	l.t.Helper()
	space, err := os.Readlink(filepath.Join("/proc", l.lab("pid", host), "ns/pid"))
	must(l.t, err)
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if its, err := os.Readlink(filepath.Join(dir, "ns/pid")); err != nil || its != space {
			continue
		}
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "NSpid:" && f[len(f)-1] == pid {
				return filepath.Base(dir)
			}
		}
	}
	l.t.Fatalf("process %s of %s is not there", pid, host)
	return ""
}
