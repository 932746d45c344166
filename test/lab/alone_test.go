//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// On each of two nodes of one cluster_nodes, lock_servers names only that node. The package does
// not run twice, both nodes say why, and it runs again when one list is mended.
func twoAlone(t *testing.T, tr tree) {
	l := newLab(t, tr, 2, []string{"quick"}, map[string]string{"conf/cluster_nodes": "h1 h2"})
	servers := func(host, list string) {
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "dex-lock/conf/lock_servers"), []byte(list+"\n"), 0o644))
	}
	says := func(host, line string) {
		l.await(10*time.Second, host+" says: "+line, func() bool {
			log, _ := os.ReadFile(filepath.Join(l.dir, host, labHome, "log/dex-server.log"))
			return strings.Contains(string(log), line)
		})
	}
	servers("h1", "h1")
	servers("h2", "h2")
	l.start("h1", "quick") // while nobody listens on h2
	l.runsOn("quick", 10*time.Second)
	l.start("h2", "quick")
	says("h2", "h1, which cluster_nodes names too, to be in the same cluster: it is in another one")
	says("h1", "this lock server serves nobody (waits_for=h2, which cluster_nodes names too, to have the same lock_servers: it has h2")
	met := time.Now()
	down := l.isDown("quick", "h1", quickT+quickS+2*time.Second)
	within(t, "stopped beside another cluster of one", met, down, quickT+2*time.Second)
	if said := l.try("h2", "dex-lock/dex-server-init"); !strings.Contains(said, "the lock server serves nobody (waits_for=h1, which") {
		t.Errorf("dex-server-init on h2 says %q", said)
	}
	if said := l.try("h1", "./service", "check-conf", "quick"); !strings.Contains(said, "lock server h1 waits for h2, which cluster_nodes names too") {
		t.Errorf("check-conf on h1 says %q", said)
	}
	l.stays(quickT+quickS+quickM, "nobody starts it", func() bool { return len(l.where("quick", seesUp, "up")) == 0 })
	servers("h2", "h1")
	l.dex("h2", "dex-lock/dex-server-init")
	l.runsOn("quick", quickT+quickS+quickM+takeOver)
}
