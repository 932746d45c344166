//go:build linux

package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/api"
)

const stateDir = labHome + "/dex-lock/state"

// voters are the hosts of the lock servers in these stories; h1 and h2 are the nodes.
var voters = []string{"h3", "h4", "h5"}

// TestDisks tells what becomes of a package, on hosts of its own, when the disk of a lock server
// is slow, hangs, is full or was damaged. Every lock server has its state on a file system of its
// own; the managers never run on their hosts, so nobody starts a server again but the test.
func TestDisks(t *testing.T) {
	needHosts(t)
	tell(t, buildTree(t), []story{
		{name: "majority", tell: disksOfMajority},
		{name: "hangs", tell: diskHangs},
		{name: "home", tell: homeHangs},
		{name: "killed", tell: serversKilled},
		{name: "damaged", tell: diskDamaged},
		{name: "full", tell: diskFull},
	})
}

// A disk is a small file system of a host.
type disk struct {
	l    *lab
	host string
	pid  string // of the first process of the host
	at   string // where it is mounted there

	mu   sync.Mutex
	hold io.Closer // while it is frozen
	held *exec.Cmd
}

// diskLab makes two nodes, of which one runs the probe, and three lock servers on disks of their
// own. The other node has locks taken and given back all the time, so that there is always
// something to write.
func diskLab(t *testing.T, tr tree) (l *lab, disks map[string]*disk, active string) {
	t.Helper()
	l = newLab(t, tr, 5, []string{"probe"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2",
		"dex-lock/conf/lock_servers": strings.Join(voters, " "),
	})
	disks = map[string]*disk{}
	for _, host := range voters {
		disks[host] = l.newDisk(host)
		l.server(host)
	}
	l.leader(voters...)
	l.start("h1", "probe")
	l.start("h2", "probe")
	active, _ = l.runsOn("probe", 10*time.Second)
	l.lab("bg", "-w", labHome, "h2", "writer", "sh", "-c",
		"while : ; do ./dex-lock/dex-lock w 20 && ./dex-lock/dex-release w 20 ; sleep 0.2 ; done")
	return l, disks, active
}

// newDisk gives a host 16 MB to keep its state on.
func (l *lab) newDisk(host string) *disk {
	l.t.Helper()
	return l.mountDisk(host, stateDir, 16<<20, "mkdir -p "+stateDir+" && mount -o loop \"$0\" "+stateDir)
}

// mountDisk makes a small file system for a host. The shell command mount mounts its image, $0, at
// the directory at.
func (l *lab) mountDisk(host, at string, size int64, mount string) *disk {
	l.t.Helper()
	for _, tool := range []string{"mkfs.ext4", "fsfreeze", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			l.t.Fatalf("%s is missing: install e2fsprogs and util-linux", tool)
		}
	}
	d := &disk{l: l, host: host, pid: l.lab("pid", host), at: at}
	image := filepath.Join(l.dir, host, ".lab/disk")
	must(l.t, os.WriteFile(image, nil, 0o600))
	must(l.t, os.Truncate(image, size))
	command(l.t, nil, "mkfs.ext4", "-q", "-m", "0", image)
	l.t.Cleanup(d.thaw) // before the host is taken down: while the disk is frozen nothing there can be killed
	command(l.t, nil, "nsenter", "-t", d.pid, "-m", "sh", "-c", mount, image)
	return d
}

// run runs a shell command that sees the host's files. It is no process of the host.
func (d *disk) run(script string) string {
	d.l.t.Helper()
	return command(d.l.t, nil, "nsenter", "-t", d.pid, "-m", "sh", "-c", script)
}

// freeze makes all that is written to the disk wait, until thaw is called or this process ends.
func (d *disk) freeze() {
	d.l.t.Helper()
	cmd := exec.Command("nsenter", "-t", d.pid, "-m", "sh", "-c",
		"fsfreeze -f "+d.at+" && echo frozen ; read x ; fsfreeze -u "+d.at)
	hold, err := cmd.StdinPipe()
	must(d.l.t, err)
	out, err := cmd.StdoutPipe()
	must(d.l.t, err)
	must(d.l.t, cmd.Start())
	d.mu.Lock()
	d.hold, d.held = hold, cmd
	d.mu.Unlock()
	said := make([]byte, len("frozen"))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != "frozen" {
		d.l.t.Fatalf("cannot freeze the disk of %s", d.host)
	}
}

// thaw ends a freeze.
func (d *disk) thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		return
	}
	_ = d.hold.Close()
	if err := d.held.Wait(); err != nil {
		d.l.t.Errorf("cannot thaw the disk of %s: %v", d.host, err)
	}
	d.held = nil
}

// slow makes every write take up to that long, until the function that it returns is called.
func (d *disk) slow(long time.Duration) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			d.freeze()
			select {
			case <-time.After(long):
			case <-end:
				d.thaw()
				return
			}
			d.thaw()
		}
	}()
	return func() { close(end); <-ended }
}

// server starts the lock server of a host.
func (l *lab) server(host string) {
	l.t.Helper()
	l.lab("bg", "-w", labHome, host, "server", "./dex-lock/dex-server")
}

// serverSays is what the lock server of a host has printed.
func (l *lab) serverSays(host string) string {
	text, _ := os.ReadFile(filepath.Join(l.dir, host, "bg/server.log"))
	return string(text)
}

// ends waits until the lock server of a host has ended with exit status 1, and a last line that
// has this in it.
func (l *lab) ends(host, why string, within time.Duration) {
	l.t.Helper()
	rc := filepath.Join(l.dir, host, "bg/server.rc")
	l.await(within, "the server of "+host+" has ended", func() bool { _, err := os.Stat(rc); return err == nil })
	status, err := os.ReadFile(rc)
	must(l.t, err)
	lines := strings.Split(strings.TrimSpace(l.serverSays(host)), "\n")
	last := strings.Join(lines[max(0, len(lines)-2):], "\n") // the second one may be a hint
	l.t.Logf("%s: exit status %s, %q", host, strings.TrimSpace(string(status)), last)
	if string(status) != "1\n" || !strings.Contains(last, why) {
		l.t.Errorf("the server of %s ended with %q, exit status %q, want 1 and %q", host, last, status, why)
	}
	if strings.Contains(l.serverSays(host), "goroutine ") {
		l.t.Errorf("the server of %s crashed", host)
	}
}

// catchesUp waits until the lock server of a host has all that the leader has.
func (l *lab) catchesUp(host string) {
	l.t.Helper()
	l.await(30*time.Second, host+" has caught up", func() bool {
		all, err1 := l.serverStatus(l.leader(voters...))
		mine, err2 := l.serverStatus(host)
		return err1 == nil && err2 == nil && mine.Cluster == all.Cluster && mine.Applied > 0 && mine.Applied+5 >= all.Applied
	})
}

// keeps checks for some time that the holder runs on, in the same term, and is renewed.
func (l *lab) keeps(active string, long time.Duration, what string) {
	l.t.Helper()
	lock := func() []string { return strings.Fields(l.value(sight{active, "probe", seesLock})) }
	before := lock()
	l.stays(long, what+": nothing changes for the holder", func() bool { return l.runs("probe", active) })
	after := lock()
	if len(before) != 4 || len(after) != 4 || before[0] != after[0] || before[1] != after[1] || before[2] == after[2] {
		l.t.Errorf("%s: htsp on %s = %q, was %q", what, active, after, before)
	}
}

// victims are a lock server that follows, then one that leads.
func (l *lab) victims(do func(host, what string)) {
	l.t.Helper()
	for _, leads := range []bool{false, true} {
		host, what := l.leader(voters...), "leader"
		if !leads {
			host, what = otherVoters(host)[0], "follower"
		}
		do(host, what)
		if l.t.Failed() {
			return
		}
	}
}

func otherVoters(host string) []string {
	var all []string
	for _, h := range voters {
		if h != host {
			all = append(all, h)
		}
	}
	return all
}

// A disk that does not answer any more ends its server, with one line, and nobody else notices.
// The process itself is gone only when the disk answers: the kernel keeps it until then.
func diskHangs(t *testing.T, tr tree) {
	l, disks, active := diskLab(t, tr)
	l.victims(func(host, what string) {
		begin := time.Now()
		disks[host].freeze()
		const line = "the disk has not answered for 2s"
		at := l.await(10*time.Second, host+" says so", func() bool { return strings.Contains(l.serverSays(host), line) })
		within(t, what+" on a disk that hangs: its line", begin, at, 6*time.Second)
		l.keeps(active, quickT+2*time.Second, what+" on a disk that hangs")
		begin = time.Now()
		shown := l.lab("exec", "-w", labHome, "h2", "./dex-lock/dex-show", "probe")
		t.Logf("dex-show after %.1f s:\n%s", time.Since(begin).Seconds(), shown)
		if !strings.Contains(shown, active) {
			t.Errorf("dex-show while %s hangs = %q", host, shown)
		}
		disks[host].thaw()
		l.ends(host, line, 5*time.Second)
		l.server(host)
		l.catchesUp(host)
		l.keeps(active, 3*time.Second, what+" on a disk that is well again")
	})
}

// A full disk ends its server, with one line, and nobody else notices. With space again it goes on.
func diskFull(t *testing.T, tr tree) {
	l, disks, active := diskLab(t, tr)
	l.victims(func(host, what string) {
		disks[host].run("dd if=/dev/zero of=" + stateDir + "/filling bs=64k 2> /dev/null ; dd if=/dev/zero of=" + stateDir + "/filling2 bs=1k 2> /dev/null ; sync")
		l.ends(host, "disk full (no space left on device)", 90*time.Second)
		l.keeps(active, quickT, what+" with a full disk")
		l.server(host) // too early
		l.ends(host, "no space left on device", 90*time.Second)
		disks[host].run("rm " + stateDir + "/filling*")
		l.server(host)
		l.catchesUp(host)
		l.keeps(active, 3*time.Second, what+" with space again")
	})
}

// A damaged database is refused at the start, with one line; the others go on. Undamaged, the
// server goes on too.
func diskDamaged(t *testing.T, tr tree) {
	l, disks, active := diskLab(t, tr)
	db := stateDir + "/raft.db"
	harms := map[string][]string{ // all pages but the first two: one or two alone might be free, and their damage harm nobody
		"follower": {"dd if=/dev/urandom of=" + db + " bs=4096 seek=2 count=$(( $(stat -c %s " + db + ") / 4096 - 2 )) conv=notrunc", "truncate -s 20000 " + db, ": > " + db},
		"leader":   {"dd if=/dev/zero of=" + db + " bs=1 seek=4120 count=8 conv=notrunc", "dd if=/dev/zero of=" + db + " bs=4096 count=1 conv=notrunc"},
	}
	l.victims(func(host, what string) {
		d := disks[host]
		l.lab("sig", host, "server", "KILL")
		rc := filepath.Join(l.dir, host, "bg/server.rc")
		l.await(5*time.Second, host+" is dead", func() bool { _, err := os.Stat(rc); return err == nil })
		d.run("cp " + db + " /tmp/good")
		for _, harm := range harms[what] {
			d.run(harm + " 2> /dev/null")
			l.server(host)
			l.ends(host, db+": it is damaged (", 10*time.Second)
			d.run("cat /tmp/good > " + db) // the same file: a copy is none (rule 12)
		}
		l.keeps(active, quickT, what+" with a damaged disk")
		l.server(host)
		l.catchesUp(host)
		l.keeps(active, 3*time.Second, what+" with its memory back")
	})
}

// Two of three disks are slow: whoever holds the lock keeps it or loses it in time, and nobody has
// it too early (the lab watches that). Then both hang: the package stops in time, and nobody runs
// it; when the disks answer again, it runs.
func disksOfMajority(t *testing.T, tr tree) {
	l, disks, _ := diskLab(t, tr)
	two := otherVoters(l.leader(voters...))
	stop := []func(){disks[two[0]].slow(500 * time.Millisecond), disks[two[1]].slow(500 * time.Millisecond)}
	end := time.Now().Add(20 * time.Second)
	l.await(25*time.Second, "twenty seconds with slow disks", func() bool { return time.Now().After(end) })
	for _, stop := range stop {
		stop()
	}
	limit := quickT + quickS + quickM + takeOver + election
	l.runsOn("probe", limit)
	t.Logf("%d servers ended on slow disks", strings.Count(l.serverSays(two[0])+l.serverSays(two[1]), "has not answered"))

	for _, host := range two {
		l.revive(host)
		l.catchesUp(host)
	}
	active, _ := l.runsOn("probe", limit)
	lost := time.Now()
	for _, host := range two {
		disks[host].freeze()
	}
	down := l.isDown("probe", active, quickT+quickS+8*time.Second)
	within(t, "stopped without a majority of disks", lost, down, 4*time.Second+quickT+2*time.Second)
	l.stays(quickT+quickS, "nobody starts it", func() bool { return len(l.where("probe", seesUp, "up")) == 0 })
	t.Logf("dex-show meanwhile:\n%s", l.lab("exec", "-w", labHome, "h2", "./dex-lock/dex-show", "probe"))
	for _, host := range two {
		disks[host].thaw()
		l.ends(host, "the disk has not answered for 2s", 5*time.Second)
		l.server(host)
	}
	l.runsOn("probe", limit)
}

// revive starts the lock server of a host again if it has ended.
func (l *lab) revive(host string) {
	l.t.Helper()
	if _, err := os.Stat(filepath.Join(l.dir, host, "bg/server.rc")); err == nil {
		l.server(host)
	}
}

// Lock servers are killed one after the other, while locks change hands: none loses anything that
// the servers had agreed to, and the holder does not notice.
func serversKilled(t *testing.T, tr tree) {
	l, _, active := diskLab(t, tr)
	for round := range 21 {
		host := voters[round%3]
		if round%2 == 0 {
			host = l.leader(voters...)
		}
		before, err := l.serverStatus(host)
		must(t, err)
		term := l.term("w", host)
		l.lab("sig", host, "server", "KILL")
		rc := filepath.Join(l.dir, host, "bg/server.rc")
		l.await(5*time.Second, host+" is dead", func() bool { _, err := os.Stat(rc); return err == nil })
		l.server(host)
		l.catchesUp(host)
		var after api.Status
		l.await(10*time.Second, host+" has applied what it had", func() bool { // a follower hears late what is agreed on
			after, err = l.serverStatus(host)
			return err == nil && after.Applied >= before.Applied
		})
		if after.ID != before.ID || after.Term < before.Term || after.Last < before.Last {
			t.Fatalf("round %d: after its death %s is %+v, it was %+v", round, host, after, before)
		}
		l.await(10*time.Second, fmt.Sprintf("round %d: %s knows term %d of the lock", round, host, term), func() bool { return l.term("w", host) >= term })
	}
	l.keeps(active, 3*time.Second, "after many deaths")
	if changes := l.where("probe", seesRole, "active"); fmt.Sprint(changes) != fmt.Sprint([]string{active}) {
		t.Errorf("active on %v, want %s", changes, active)
	}
}

// term is the term of a lock by the lock server of a host, as dex-show tells it.
func (l *lab) term(name, host string) (term uint64) {
	l.t.Helper()
	shown := l.lab("exec", "-w", labHome, "h1", "./dex-lock/dex-show", name)
	for line := range strings.Lines(shown) {
		f := strings.Fields(line)
		if len(f) == 4 && f[0] == host+":" {
			_, err := fmt.Sscan(f[2], &term)
			must(l.t, err)
			return term
		}
	}
	l.t.Fatalf("dex-show %s says nothing of %s:\n%s", name, host, shown)
	return 0
}
