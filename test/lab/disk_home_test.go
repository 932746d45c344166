//go:build linux

package lab

import (
	"strings"
	"testing"
	"time"
)

// The disk that hangs holds the whole home of the leading lock server, its log too. The server
// cannot say why, but ends all the same: another leads, and locks change hands as before.
func homeHangs(t *testing.T, tr tree) {
	l := newLab(t, tr, 5, []string{"probe"}, map[string]string{
		"conf/cluster_nodes":         "h1 h2",
		"dex-lock/conf/lock_servers": strings.Join(voters, " "),
	})
	disks := map[string]*disk{}
	for _, host := range voters {
		disks[host] = l.homeOnDisk(host)
	}
	for _, host := range voters {
		l.dex(host, "dex-lock/dex-server-init")
	}
	first := l.leader(voters...)
	l.start("h1", "probe")
	l.runsOn("probe", 10*time.Second)
	l.dex("h2", "dex-lock/dex-lock", "w", "20") // so that it is known everywhere
	l.dex("h2", "dex-lock/dex-release", "w", "20")
	l.lab("bg", "-w", labHome, "h2", "writer", "sh", "-c",
		"while : ; do ./dex-lock/dex-lock w 20 && ./dex-lock/dex-release w 20 ; sleep 0.2 ; done")
	begin := time.Now()
	disks[first].freeze()
	next := ""
	at := l.await(20*time.Second, "another leads", func() bool {
		for _, host := range otherVoters(first) {
			if status, err := l.serverStatus(host); err == nil && status.Open {
				next = host
			}
		}
		return next != ""
	})
	within(t, next+" leads", begin, at, 2*time.Second+time.Second/2+election) // the store's limit, and the time of the last words
	term := l.term("w", next)
	l.await(10*time.Second, "locks change hands", func() bool { return l.term("w", next) > term+1 })
	l.keeps("h1", quickT, "a leader whose home hangs")
	disks[first].thaw()
	l.dex(first, "dex-lock/dex-server-init")
	l.catchesUp(first)
}
