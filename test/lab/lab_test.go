//go:build linux

package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/cli"
)

// labHome is where the tree stands on each host.
const labHome = "/opt/shell-cluster-suite/back-to-work"

// labPrefix begins the names of all labs of these tests; the number of the process follows.
const labPrefix = "btw-test-"

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "web-server":
		webServer()
	case "web-client":
		webClient()
	}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) { // under nohup: the programs started here must not ignore the signal too
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	if err := flag.Set("test.parallel", "4"); err != nil { // a default, which -test.parallel replaces: the tests here mostly wait
		panic(err)
	}
	us, err := endsWithUs()
	if err != nil {
		panic(err)
	}
	failed := m.Run()
	_ = us.Close()
	os.Exit(failed)
}

// endsWithUs has the labs of these tests taken down when this process is gone, however it ends: hosts would run on.
func endsWithUs() (us io.Closer, err error) {
	const script = `cat ; for lab in "/tmp/$0"* ; do [ ! -d "$lab" ] || LAB_NAME=${lab##*/} ../../utils/lab down ; done`
	end := exec.Command("sh", "-c", script, fmt.Sprintf("%s%d-", labPrefix, os.Getpid()))
	end.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // else a Ctrl-C would end it too
	if us, err = end.StdinPipe(); err != nil {
		return nil, err
	}
	return us, end.Start()
}

// needHosts ends the test where hosts cannot be made: skipped, but failed in CI.
func needHosts(t *testing.T) {
	t.Helper()
	missing := ""
	for _, tool := range []string{"ip", "unshare", "nsenter", "setsid", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = " (no " + tool + " here)"
		}
	}
	if os.Getuid() == 0 && missing == "" {
		return
	}
	why := "hosts made of namespaces need root, util-linux and iproute2" + missing
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// A tree is what gets installed on every host.
type tree struct {
	repo, btw, key string
	off            string // rules to switch off, in a test build
}

// buildTree builds the binary, with flags.
func buildTree(t *testing.T, flags ...string) tree {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tr := tree{repo: repo, btw: filepath.Join(t.TempDir(), "btw")}
	build := append([]string{"build", "-trimpath", "-o", tr.btw}, flags...)
	command(t, []string{"CGO_ENABLED=0"}, "go", append(build, "backtowork/cmd/btw")...)
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	tr.key = hex.EncodeToString(key)
	return tr
}

// command runs a command that must succeed, and returns what it printed.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// install puts the tree on a host's disk as `make install` does: links to the binary itself.
func (tr tree) install(t *testing.T, disk string, conf map[string]string) {
	t.Helper()
	home := filepath.Join(disk, labHome)
	for _, dir := range []string{"bin", "conf", "utils", "dex-lock/conf"} {
		must(t, os.MkdirAll(filepath.Join(home, dir), 0o755))
	}
	if os.Link(tr.btw, filepath.Join(home, "bin/btw")) != nil { // another file system
		command(t, nil, "cp", tr.btw, filepath.Join(home, "bin/btw"))
	}
	for _, name := range cli.Names() {
		dir, up := "utils/", "../"
		switch {
		case strings.HasPrefix(name, "dex-"):
			dir = "dex-lock/"
		case slices.Contains([]string{"back-to-work", "service", "btwctl", "clinit", "isinit", "sc"}, name):
			dir, up = "", ""
		}
		must(t, os.Symlink(up+"bin/btw", filepath.Join(home, dir+name)))
	}
	command(t, nil, "cp", "-a", tr.repo+"/packages", tr.repo+"/modules", home)
	must(t, os.WriteFile(home+"/conf/cluster_key", []byte(tr.key+"\n"), 0o600))
	if tr.off != "" {
		must(t, os.WriteFile(home+"/conf/rules_off", []byte(tr.off+"\n"), 0o644))
	}
	for file, text := range conf {
		must(t, os.WriteFile(filepath.Join(home, file), []byte(text+"\n"), 0o644))
	}
	dummy, err := os.ReadFile(home + "/packages/dummy")
	must(t, err)
	// Its state where the watcher looks, and where it is gone at boot.
	dummy = bytes.Replace(dummy, []byte("flag=../temp/${0##*/}.up"), []byte("flag=/tmp/${0##*/}.maintenance"), 1)
	must(t, os.WriteFile(home+"/packages/dummy", dummy, 0o755))
	must(t, os.WriteFile(home+"/packages/quick", quicken(dummy), 0o755))
	must(t, os.WriteFile(home+"/packages/probe", []byte(probeScript), 0o755))
	must(t, os.WriteFile(home+"/packages/beat", []byte(beatScript), 0o755))
}

// quicken is the package script with the short times that the stories count on.
func quicken(script []byte) []byte {
	for name, value := range map[string]int{"pace": 1, "timeout": 8, "start_timeout": 4, "stop_timeout": 4} {
		line := regexp.MustCompile(`(?m)^` + name + `=.*$`)
		script = line.ReplaceAll(script, fmt.Appendf(nil, "%s=%d", name, value))
	}
	return script
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A lab is hosts that a test has made, with the tree installed, and a watcher.
type lab struct {
	*watcher
	t    *testing.T
	name string
	repo string

	mayOverlap bool // the story itself looks at two at once
}

// newLab makes the hosts h1 to hN. The files of conf are written below the home of each.
func newLab(t *testing.T, tr tree, hosts int, pkgs []string, conf map[string]string) *lab {
	t.Helper()
	story := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(t.Name()), "test"), "/", "-")
	l := &lab{t: t, repo: tr.repo, name: fmt.Sprintf("%s%d-%s", labPrefix, os.Getpid(), story)}
	var names []string
	for i := range hosts {
		names = append(names, fmt.Sprintf("h%d", i+1))
	}
	l.watcher = newWatcher("/tmp/"+l.name, names, pkgs)
	t.Cleanup(func() { l.lab("down") })
	l.lab("up", strconv.Itoa(hosts))
	for _, host := range names {
		tr.install(t, filepath.Join(l.dir, host), conf)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { l.run(stop); close(stopped) }()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		l.verdict()
	})
	return l
}

// threeNodes makes three hosts that are both nodes and lock servers.
func threeNodes(t *testing.T, tr tree, pkgs ...string) *lab {
	t.Helper()
	return newLab(t, tr, 3, pkgs, map[string]string{
		"conf/cluster_nodes":         "h1 h2 h3",
		"dex-lock/conf/lock_servers": "h1 h2 h3",
	})
}

// verdict fails the test for what must never be, and shows what happened if it failed.
func (l *lab) verdict() {
	for _, fault := range append(l.faults, l.probeOverlaps()...) {
		l.t.Errorf("two at once: %s", fault)
	}
	if !l.t.Failed() {
		return
	}
	l.t.Logf("timeline of %s\n%s", l.name, l.timeline())
	for _, host := range l.hosts {
		logs, _ := filepath.Glob(filepath.Join(l.dir, host, "bg/*.log"))
		home := filepath.Join(l.dir, host, labHome)
		first, _ := os.ReadFile(filepath.Join(l.dir, host, ".lab/pid"))
		if pid, _, ok := strings.Cut(string(first), " "); ok { // as its processes see it: it may be on a disk of its own
			home = filepath.Join("/proc", pid, "root", labHome)
		}
		own, _ := filepath.Glob(filepath.Join(home, "log/*.log"))
		for _, log := range append(logs, own...) {
			text, _ := os.ReadFile(log)
			lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
			lines = lines[max(0, len(lines)-80):]
			l.t.Logf("%s of %s\n%s", filepath.Base(log), host, bytes.Join(lines, []byte("\n")))
		}
	}
}

// lab runs utils/lab.
func (l *lab) lab(args ...string) string {
	l.t.Helper()
	return command(l.t, []string{"LAB_NAME=" + l.name, "LAB_MEMORY=yes"}, l.repo+"/utils/lab", args...)
}

// start starts ./back-to-work PKG... in the foreground of a session of its own.
func (l *lab) start(host string, pkgs ...string) {
	l.t.Helper()
	l.mu.Lock()
	l.started[host] = time.Now().Truncate(10 * time.Millisecond) // file times are coarse
	l.mu.Unlock()
	l.lab(append([]string{"bg", "-w", labHome, host, "btw", "./back-to-work"}, pkgs...)...)
}

// interrupt is Ctrl-C on the foreground back-to-work of a host.
func (l *lab) interrupt(host string) {
	l.t.Helper()
	l.lab("sigg", host, "btw", "INT")
}

// exits waits until the back-to-work of a host has ended, and wants the exit status.
func (l *lab) exits(host string, status int, within time.Duration) {
	l.t.Helper()
	path := filepath.Join(l.dir, host, "bg/btw.rc")
	l.await(within, host+" exits", func() bool { _, err := os.Stat(path); return err == nil })
	if text, _ := os.ReadFile(path); strings.TrimSpace(string(text)) != strconv.Itoa(status) {
		l.t.Errorf("back-to-work on %s exits %s, want %d", host, bytes.TrimSpace(text), status)
	}
}

// crash kills every process of a host at once; its cable goes first.
func (l *lab) crash(host string) time.Time {
	l.t.Helper()
	at := time.Now()
	l.lab("kill9", host)
	l.mu.Lock()
	delete(l.started, host)
	l.mu.Unlock()
	return at
}

// cutOff runs lab cut; the last of args is the host that others may not hear.
func (l *lab) cutOff(host string, args ...string) time.Time {
	l.t.Helper()
	l.mu.Lock()
	l.cut[host] = true
	l.mu.Unlock()
	at := time.Now()
	l.lab(append([]string{"cut"}, args...)...)
	return at
}

// healAll undoes the cuts.
func (l *lab) healAll() {
	l.t.Helper()
	l.lab("heal")
	l.mu.Lock()
	clear(l.cut)
	l.mu.Unlock()
}

// await waits until ok is true, and says when it was.
func (l *lab) await(within time.Duration, what string, ok func() bool) time.Time {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); !ok(); <-tick.C {
		if time.Now().After(end) {
			l.t.Fatalf("%s: not within %v%s", what, within, stuck())
		}
	}
	return time.Now()
}

// stuck says where the kernel holds processes of any host that cannot even be killed now; mostly at
// a disk.
func stuck() string {
	var found strings.Builder
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, task := range tasks {
		stat, _ := os.ReadFile(task + "/stat")
		if _, state, _ := bytes.Cut(stat, []byte(") ")); bytes.HasPrefix(state, []byte("D")) {
			stack, _ := os.ReadFile(task + "/stack")
			fmt.Fprintf(&found, "\nstuck: %s\n%s", bytes.TrimSuffix(stat, []byte("\n")), stack)
		}
	}
	return found.String()
}

// stays wants ok to be true for as long.
func (l *lab) stays(long time.Duration, what string, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		if !ok() {
			l.t.Fatalf("%s: no more", what)
		}
	}
}

// runsOn waits until pkg is up and running on one host other than those named, and returns it.
func (l *lab) runsOn(pkg string, within time.Duration, not ...string) (host string, at time.Time) {
	l.t.Helper()
	at = l.await(within, pkg+" runs", func() bool {
		on := slices.DeleteFunc(l.where(pkg, seesState, "running"), func(h string) bool { return slices.Contains(not, h) })
		if len(on) == 0 {
			return false
		}
		host = on[0]
		return l.value(sight{host, pkg, seesUp}) == "up" && l.value(sight{host, pkg, seesRole}) == "active"
	})
	return host, at
}

// others are the hosts but the one named.
func (l *lab) others(host string) []string {
	return slices.DeleteFunc(slices.Clone(l.hosts), func(h string) bool { return h == host })
}
