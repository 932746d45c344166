//go:build linux

package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bootScript makes a host run a systemd, in namespaces below its own: sh bootScript DIRECTORY UNIT... The tree is the
// machine's, and of its units only what every boot needs; each UNIT is enabled.
const bootScript = `set -e
d=$1 r=$1/root ; shift
mkdir -p "$d" && mount -t tmpfs tmpfs "$d" && mkdir "$d/upper" "$d/work" "$r"
mount -t overlay overlay -o "lowerdir=/,upperdir=$d/upper,workdir=$d/work" "$r"
mkdir -p /sys/fs/cgroup/boot && echo $$ > /sys/fs/cgroup/boot/cgroup.procs
exec unshare -m -p -C --fork --kill-child sh -e -c '
r=$1 ; shift
mount -t proc proc "$r/proc"
mount -t sysfs sysfs "$r/sys"
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
mount -t tmpfs tmpfs "$r/run"
mount -t tmpfs tmpfs "$r/tmp"
for at in dev opt ; do mount --rbind "/$at" "$r/$at" ; done
for at in hosts hostname ; do mount --bind "/etc/$at" "$r/etc/$at" ; done
rm -rf "$r"/lib/systemd/system/*.wants "$r"/etc/systemd/system/*
mkdir -p "$r/etc/systemd/system/multi-user.target.wants" "$r/lib/systemd/system/sysinit.target.wants"
cp "$r"/opt/units/* "$r/etc/systemd/system/"
for unit do
   case $unit in *@*) file=${unit%%@*}@.service ;; *) file=$unit ;; esac
   ln -s "../$file" "$r/etc/systemd/system/multi-user.target.wants/$unit"
done
exec chroot "$r" env -i container=lab PATH="$PATH" /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
' sh "$r" "$@"
`

// insideScript runs a command on the host as the systemd there sees it: sh insideScript CMD...
const insideScript = `cd / ; pid=$(pgrep -f '^/lib/systemd/systemd --system --unit') && exec nsenter -t "$pid" -m -p -C -r -w \
   sh -c 'cd ` + labHome + ` && exec "$@"' sh "$@"`

// bootedPackage notes what is done with it, and who serves locks when it is stopped. Its daemon has nothing of ours
// in its environment, but is in its cgroup.
const bootedPackage = `#!/bin/sh
pace=1 timeout=8 start_timeout=8 stop_timeout=4
cd "${0%/*}/.." || exit 3
case $1 in
 echo) eval "echo \"\${$2:-}\"" ;;
 start)
   echo start >> trace
   env -i sleep 1000 > /dev/null 2>&1 &
   echo $! > /run/booted ;;
 stop)
   sleep 0.3 # else a lock server that systemd stops at the same time may still be there
   dex-server --status | sed 's/.*leader=\([^;]*\).*/stop, led by \1/' >> trace
   [ ! -f /run/booted ] || [ -e sticky ] || kill "$(cat /run/booted)"
   [ -e sticky ] || rm -f /run/booted ;;
 status) [ -e /run/booted ] ;;
esac
`

// TestSystemd boots a host by systemd, with the units that are shipped: they start the lock server and a package,
// stop, reload and restart them, and neither systemd nor the package's back-to-work kills what is the other's.
func TestSystemd(t *testing.T) {
	t.Parallel()
	needHosts(t)
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	places <- struct{}{}
	defer func() { <-places }()
	l := newLab(t, buildTree(t), 1, nil, map[string]string{
		"conf/cluster_nodes": "h1", "dex-lock/conf/lock_servers": "h1", "packages/u": bootedPackage, "utils/on": insideScript, "utils/boot": bootScript,
	})
	home := filepath.Join(l.dir, "h1", labHome)
	must(t, os.Chmod(home+"/packages/u", 0o755))
	must(t, os.Symlink("btw", home+"/bin/dex-server"))
	if _, err := os.Lstat(home + "/clinit"); err != nil {
		must(t, os.Symlink("bin/btw", home+"/clinit"))
	}
	command(t, nil, "cp", "-r", l.repo+"/utils/systemd", filepath.Join(l.dir, "h1/opt/units"))
	l.boots()
	on := func(args ...string) string {
		return l.lab(append([]string{"exec", "h1", "sh", labHome + "/utils/on"}, args...)...)
	}
	if said := on("systemd-analyze", "verify", "--man=no", "dex-server.service", "service@u.service", "clinit.service"); said != "" {
		t.Errorf("systemd finds in the units: %s", said)
	}
	for unit, of := range map[string]string{"dex-server": "dex-server.service", "service@u": "system-service.slice/service@u.service"} {
		if pids := on("cat", "/sys/fs/cgroup/system.slice/"+of+"/cgroup.procs"); strings.Contains(pids, "\n") {
			t.Errorf("in the cgroup of %s are the processes %q, want one", unit, pids)
		}
	}
	b := booted{l, on, home}
	b.killed()
	b.reloaded()
	b.serverStopped()
	b.stopFails()
	b.groups()
	b.poweredOff()
}

// boots boots systemd on h1, and waits until the package runs.
func (l *lab) boots() {
	l.t.Helper()
	l.lab("bg", "h1", "systemd", "sh", labHome+"/utils/boot", "/tmp/boot", "dex-server.service", "service@u.service")
	l.await(30*time.Second, "package u runs on the host that booted", func() bool {
		state, _ := os.ReadFile(filepath.Join(l.dir, "h1", labHome, "temp/lockdir_u/pkg_state"))
		return string(state) == "running\n"
	})
}

// A booted is a host that systemd has booted: on runs a command there.
type booted struct {
	*lab
	on   func(args ...string) string
	home string
}

// is wants that a unit comes to be in that state, and that the package was begun and stopped so often as trace says.
func (b *booted) is(unit, state, trace string) {
	b.t.Helper()
	b.await(20*time.Second, unit+" is "+state, func() bool { return b.on("sh", "-c", "systemctl is-active "+unit+" || :") == state })
	if text, _ := os.ReadFile(b.home + "/trace"); strings.ReplaceAll(string(text), "\n", "; ") != trace {
		b.t.Fatalf("%s is %s, and the package was\n%swant %s", unit, state, text, trace)
	}
}

// What stays with a package may be killed, and so may its manager: it runs on, and the unit is active. Where both
// processes of the package are killed, it is gone on with.
func (b *booted) killed() {
	pid := b.mainOf("service@u")
	b.on("systemctl", "kill", "--signal=KILL", "service@u")
	b.await(20*time.Second, "another process stays with the package", func() bool { now := b.mainOf("service@u"); return now != pid && now != "0" })
	b.on("sh", "-c", "kill -KILL $(cat temp/lockdir_u/pid)")
	b.is("service@u", "active", "start; ")
	b.on("sh", "-c", "kill -STOP $(cat temp/lockdir_u/pid) ; kill -KILL $(cat temp/lockdir_u/deadman temp/lockdir_u/pid)")
	b.await(20*time.Second, "the package has a manager again", func() bool { return strings.Contains(b.on("./service", "status"), "pkg_state=running") })
	b.is("service@u", "active", "start; ")
}

// Both units are reloaded, and the lock server is restarted, with no consequence for the package.
func (b *booted) reloaded() {
	b.on("systemctl", "reload", "service@u", "dex-server")
	b.await(10*time.Second, "the parameters are read again", func() bool { return strings.Contains(b.log("back-to-work.u.log"), "re-reading package parameters") })
	pid := b.serverOf()
	b.on("systemctl", "restart", "dex-server")
	if b.serverOf() == pid {
		b.t.Errorf("the lock server was not restarted: it is process %s", pid)
	}
	b.is("dex-server", "active", "start; ")
}

// A lock server that is stopped by hand stays stopped; one that was started by hand gives way to that of the unit.
func (b *booted) serverStopped() {
	b.on("dex-lock/dex-server", "--stop", "--force")
	b.is("dex-server", "inactive", "start; ")
	b.on("dex-lock/dex-server-init")
	b.on("systemctl", "start", "dex-server")
	b.is("dex-server", "active", "start; ")
	if pid, main := b.serverOf(), b.mainOf("dex-server"); pid != main {
		b.t.Errorf("the lock server is process %s, that of the unit is %s", pid, main)
	}
}

// A stop that fails is told of, and ends neither the package's back-to-work nor its daemon.
func (b *booted) stopFails() {
	must(b.t, os.WriteFile(b.home+"/sticky", nil, 0o644))
	b.on("systemctl", "stop", "service@u")
	b.is("service@u", "failed", "start; stop, led by h1; ")
	if said := b.on("./service", "status"); !strings.Contains(said, "blocked=") {
		b.t.Errorf("service status: %s", said)
	}
	must(b.t, os.Remove(b.home+"/sticky"))
	b.on("systemctl", "start", "service@u")
	b.on("systemctl", "stop", "service@u")
	b.is("service@u", "inactive", "start; stop, led by h1; stop, led by h1; ")
	b.on("systemctl", "start", "service@u")
	b.await(10*time.Second, "the package runs again", func() bool { return strings.Contains(b.on("./service", "status"), "pkg_state=running") })
}

// The daemon of clinit may be killed: its processes are none of its unit's, and the next one goes on with them. A stop of
// the unit stops them.
func (b *booted) groups() {
	b.on("sh", "-c", "echo 'g:a:1:respawn:sleep 1000' > /etc/cltab ; systemctl start clinit")
	b.await(10*time.Second, "clinit is told", func() bool { return b.on("sh", "-c", "./clinit g 1 --wait || :") == "DONE" })
	entry := func() string { return b.on("sh", "-c", "./clinit status a | awk '$3 == \"a\" { print $6 }'") }
	pid, daemon := entry(), b.mainOf("clinit")
	b.on("systemctl", "kill", "--signal=KILL", "clinit")
	b.await(20*time.Second, "another daemon", func() bool { now := b.mainOf("clinit"); return now != daemon && now != "0" })
	b.await(10*time.Second, "it answers", func() bool { return b.on("sh", "-c", "./clinit g 1 --wait || :") == "DONE" })
	if now := entry(); now != pid || pid == "" {
		b.t.Errorf("the entry was process %q, and is %q", pid, now)
	}
	b.on("systemctl", "stop", "clinit")
	if said := b.on("sh", "-c", "kill -0 "+pid+" 2>&1 || :"); !strings.Contains(said, "No such process") {
		b.t.Errorf("when clinit has stopped, kill -0 of its process says %q", said)
	}
}

// On the way down the package is stopped while the lock server is there.
func (b *booted) poweredOff() {
	b.on("sh", "-c", "rm trace ; systemctl poweroff --no-block")
	b.await(30*time.Second, "the host goes down", func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "h1/bg/systemd.rc"))
		return err == nil
	})
	if text, _ := os.ReadFile(b.home + "/trace"); string(text) != "stop, led by h1\n" {
		b.t.Errorf("on the way down the package was: %q", text)
	}
	if log := b.log("back-to-work.u.log"); !strings.HasSuffix(log, "package halted. exit.\n") {
		b.t.Errorf("its log ends with %q", log[max(0, len(log)-200):])
	}
}

// serverOf is the process of the lock server, once it leads.
func (b *booted) serverOf() (pid string) {
	b.await(20*time.Second, "the lock server leads", func() bool {
		line := b.on("sh", "-c", "dex-lock/dex-server --status || :")
		_, rest, ok := strings.Cut(line, "pid=")
		pid, _, _ = strings.Cut(rest, ";")
		return ok && strings.Contains(line, "; role=leader;")
	})
	return pid
}

func (b *booted) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.home, "log", name))
	return string(text)
}

// mainOf is the main process of a unit, as systemd knows it; 0 for none.
func (b *booted) mainOf(unit string) string {
	return b.on("systemctl", "show", "--property=MainPID", "--value", unit)
}
