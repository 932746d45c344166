//go:build linux

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// groupsTable is the one cltab of all hosts: two groups, which note when they run, and what a host must have for them.
const groupsTable = `# group:tag:levels:mode:command
site:w1:1:respawn:run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/site.run
site:wt:test:test:test ! -e /opt/unfit
data:d1:1:respawn:run=$(date +%s.%N) ; while : ; do date "+$run %s.%N" ; sleep 0.02 ; done >> /opt/data.run
data:dt:test:test:test ! -e /opt/unfit
`

// Three hosts with one cltab, and two groups of clinit that move between them. A host that does not pass the level test
// neither stands by nor, once it stands by, starts.
func TestGroupsOfClinit(t *testing.T) {
	needHosts(t)
	t.Parallel()
	l := threeNodes(t, buildTree(t), "site", "data")
	groups := []string{"site", "data"}
	for _, host := range l.hosts {
		home := filepath.Join(l.dir, host, labHome)
		must(t, os.WriteFile(filepath.Join(l.dir, host, "opt/cltab"), []byte(groupsTable), 0o644))
		must(t, os.WriteFile(filepath.Join(home, "conf/hactl"), []byte("# group level\n\nsite 1\ndata 1\n"), 0o644))
		script, err := os.ReadFile(filepath.Join(home, "packages/hactl"))
		must(t, err)
		script = bytes.Replace(quicken(script), []byte("clinit_tab=/etc/cltab"), []byte("pace=1 clinit_tab=/opt/cltab"), 1)
		must(t, os.WriteFile(filepath.Join(home, "packages/hactl"), script, 0o755))
		l.lab("bg", host, "clinit", labHome+"/clinit", "-d", "-c", "/opt/cltab")
	}
	unfit := filepath.Join(l.dir, "h3/opt/unfit")
	must(t, os.WriteFile(unfit, nil, 0o644))
	l.startServers(l.hosts...)
	l.dex("h3", "sh", "-c", "! ./service start --hactl")
	l.hactl("h1")
	l.hactl("h2")
	for _, group := range groups {
		l.groupOn(group, 15*time.Second)
		if _, err := os.Stat(filepath.Join(l.dir, "h3", labHome, "temp/lockdir_"+group)); err == nil {
			t.Errorf("h3 did not pass the test, and stands by for %s", group)
		}
	}

	first := l.groupOn("site", time.Second)
	l.crash(first)
	second := l.others(first)[0] // h1 or h2
	for _, group := range groups {
		if on := l.groupOn(group, quickT+quickS+quickM+takeOver+election, first); on != second {
			t.Errorf("%s runs on %s after the crash of %s", group, on, first)
		}
	}

	must(t, os.Remove(unfit))
	l.hactl("h3")
	must(t, os.WriteFile(unfit, nil, 0o644))
	l.dex(second, "./service", "stop", "--hactl")
	l.await(10*time.Second, "h3 does not pass the test under the lock", func() bool {
		log, _ := os.ReadFile(filepath.Join(l.dir, "h3", labHome, "log/site.log"))
		return bytes.Contains(log, []byte("level test is not PASSED"))
	})
	if _, err := os.Stat(filepath.Join(l.dir, "h3/opt/site.run")); err == nil {
		t.Error("site ran on h3, which did not pass the test")
	}
	must(t, os.Remove(unfit))
	for _, group := range groups {
		l.groupOn(group, 20*time.Second, first, second)
	}
}

// hactl starts the packages of conf/hactl on a host.
func (l *lab) hactl(host string) {
	l.t.Helper()
	l.mu.Lock()
	l.started[host] = time.Now().Truncate(10 * time.Millisecond)
	l.mu.Unlock()
	l.dex(host, "./service", "start", "--hactl")
}

// groupOn waits until a group runs on a host other than those named, and returns it.
func (l *lab) groupOn(group string, within time.Duration, not ...string) (host string) {
	l.t.Helper()
	l.await(within, group+" runs", func() bool {
		on := slices.DeleteFunc(l.where(group, seesState, "running"), func(h string) bool { return slices.Contains(not, h) })
		if len(on) > 0 {
			host = on[0]
		}
		return len(on) > 0
	})
	return host
}
