//go:build linux

package lab

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webServer answers with its process id.
func webServer() {
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getpid())
	})))
	os.Exit(1)
}

// webClient asks 100 times a second, until the file of its second argument is there.
func webClient() {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	asked, failed := 0, 0
	for range time.Tick(10 * time.Millisecond) {
		if _, err := os.Stat(os.Args[2]); err == nil {
			break
		}
		asked++
		r, err := client.Get(os.Args[1])
		if err != nil {
			failed++
			fmt.Println(err)
			continue
		}
		_ = r.Body.Close()
	}
	fmt.Printf("asked %d failed %d\n", asked, failed)
	os.Exit(0)
}

const webScript = `#!/bin/sh
pace=1 timeout=8 start_timeout=15 stop_timeout=4
vip_ip_0=10.77.0.100 vip_prefix_0=24 vip_netdev_0=eth0
cd "${0%/*}" || exit 3
pid=/tmp/web.pid
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start)
   /opt/web-server < /dev/null > /dev/null 2>&1 & echo $! > $pid
   echo start >> /opt/web.trace
   . modules/vip.Linux ;;
 stop)
   ret=0
   echo stop >> /opt/web.trace
   . modules/vip.Linux
   [ ! -f $pid ] || kill "$(cat $pid)"
   rm -f $pid
   exit $ret ;;
 status)
   num_check=1 failed_check=0
   [ -f $pid ] && kill -0 "$(cat $pid)" || failed_check=1
   . modules/vip.Linux
   case $failed_check in 0) exit 0 ;; $num_check) exit 1 ;; *) exit 2 ;; esac ;;
esac
`

// upgradeUnderClient replaces the program, and then kills manager and deadman, while another host
// asks the package 100 times a second. No question fails, and nothing is started again.
func upgradeUnderClient(t *testing.T, tr tree) {
	l := newLab(t, tr, 4, []string{"web"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2 h3",
		"dex-lock/conf/lock_servers": "h1 h2 h3",
	})
	self, err := os.Executable()
	must(t, err)
	for _, host := range l.hosts {
		disk := filepath.Join(l.dir, host)
		must(t, os.WriteFile(filepath.Join(disk, labHome, "packages/web"), []byte(webScript), 0o755))
		command(t, nil, "cp", self, filepath.Join(disk, "opt/web-server"))
		must(t, os.Link(filepath.Join(disk, "opt/web-server"), filepath.Join(disk, "opt/web-client")))
	}
	service := func(host string, args ...string) string {
		return l.lab(append([]string{"exec", "-w", labHome, host, "./service"}, args...)...)
	}
	for _, host := range []string{"h1", "h2", "h3"} {
		l.dex(host, "dex-lock/dex-server-init")
	}
	service("h1", "start", "web")
	l.webIs("h1", "running")
	for _, host := range []string{"h2", "h3"} {
		service(host, "start", "web")
	}
	l.lab("bg", "h4", "client", "/opt/web-client", "http://10.77.0.100/", "/opt/enough")
	time.Sleep(time.Second)

	next := filepath.Join(t.TempDir(), "btw")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-X backtowork/internal/cli.Version=0.2.0-test", "-o", next, "backtowork/cmd/btw")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, host := range []string{"h1", "h2", "h3"} {
		bin := filepath.Join(l.dir, host, labHome, "bin/btw")
		command(t, nil, "cp", next, bin+".new")
		must(t, os.Rename(bin+".new", bin))
		pid := l.noted(host, "pid")
		begin := time.Now()
		if said := service(host, "upgrade"); said != "package=web; version=0.2.0-test;" {
			t.Errorf("service upgrade on %s = %q", host, said)
		}
		t.Logf("upgrade on %s: %.2f s", host, time.Since(begin).Seconds())
		if now := l.noted(host, "pid"); now != pid {
			t.Errorf("the manager of %s is process %s, was %s: it was not replaced in place", host, now, pid)
		}
	}
	l.webIs("h1", "running")
	for _, host := range []string{"h2", "h3"} { // stand-bys as before
		if role := l.noted(host, "role"); role != "stand-by" {
			t.Errorf("%s is %q after its upgrade", host, role)
		}
	}
	for range 3 {
		was, adopted := l.noted("h1", "pid"), l.adoptions("h1")
		begin := time.Now()
		l.lab("exec", "h1", "kill", "-KILL", was)
		at := l.await(5*time.Second, "another manager", func() bool { return l.adoptions("h1") > adopted })
		within(t, "adopted after kill -9", begin, at, 2*time.Second)
		l.lab("exec", "h1", "kill", "-KILL", l.noted("h1", "deadman"))
		time.Sleep(time.Second)
	}
	service("h1", "upgrade")
	must(t, os.WriteFile(filepath.Join(l.dir, "h4/opt/enough"), nil, 0o644))
	l.lab("wait", "h4", "client", "10")
	said, err := os.ReadFile(filepath.Join(l.dir, "h4/bg/client.log"))
	must(t, err)
	var asked, failed int
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if _, err := fmt.Sscanf(lines[len(lines)-1], "asked %d failed %d", &asked, &failed); err != nil || failed > 0 || asked < 500 {
		t.Errorf("the client says %q", lines)
	}
	t.Logf("%d questions, %d failed", asked, failed)
	if trace, _ := os.ReadFile(filepath.Join(l.dir, "h1/opt/web.trace")); string(trace) != "start\n" {
		t.Errorf("the package was touched: %q", trace)
	}
}

// noted is what a file in lockdir_web says on a host.
func (l *lab) noted(host, file string) string {
	text, _ := os.ReadFile(filepath.Join(l.dir, host, labHome, "temp/lockdir_web", file))
	return strings.TrimSpace(string(text))
}

// webIs waits until the package is in that state on a host.
func (l *lab) webIs(host, state string) {
	l.t.Helper()
	l.await(20*time.Second, "web is "+state+" on "+host, func() bool { return l.noted(host, "pkg_state") == state })
}

// adoptions counts how often a manager went on with web on a host.
func (l *lab) adoptions(host string) int {
	text, _ := os.ReadFile(filepath.Join(l.dir, host, labHome, "log/back-to-work.web.log"))
	return strings.Count(string(text), "the package is up: going on with it.")
}
