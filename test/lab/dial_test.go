//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// goesNowhere is a MAC address that no host of a lab has.
const goesNowhere = "02:77:de:ad:00:00"

// newLine puts a line before the others of a host's /etc/hosts.
func (l *lab) newLine(host, line string) {
	l.t.Helper()
	path := filepath.Join(l.dir, host, "hosts")
	text, err := os.ReadFile(path)
	must(l.t, err)
	must(l.t, os.WriteFile(path, fmt.Appendf(nil, "%s\n%s", line, text), 0o644))
}

// The first address of each other host's name is an IPv6 address that leads nowhere. There is a
// leader as soon as without it, the package runs, and the servers see one another.
func deadFirstAddress(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "probe")
	for i, host := range l.hosts {
		l.lab("exec", host, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
		l.lab("exec", host, "ip", "-6", "addr", "add", fmt.Sprintf("fd00:77::1%d/64", i+1), "dev", "eth0", "nodad")
		for j, other := range l.hosts {
			if i != j {
				dead := fmt.Sprintf("fd00:77::9%d", j+1)
				l.lab("exec", host, "ip", "-6", "neigh", "replace", dead, "lladdr", goesNowhere, "dev", "eth0", "nud", "permanent")
				l.newLine(host, dead+" "+other)
			}
		}
	}
	begin := time.Now()
	active := l.startAll("probe", false)
	within(t, "fresh start", begin, time.Now(), 12*time.Second)
	l.crashAndTakeOver("probe", active, false, quickT, quickS, quickM)
}

// The hosts have two networks, and the one that is in use dies without a word: the package stays where it is.
func networkDies(t *testing.T, tr tree) {
	l := threeNodes(t, tr, "probe")
	for i, host := range l.hosts {
		l.lab("exec", host, "ip", "addr", "add", fmt.Sprintf("10.78.0.1%d/24", i+1), "dev", "eth0")
		for j, other := range l.hosts {
			l.newLine(host, fmt.Sprintf("10.77.0.1%d %s\n10.78.0.1%d %s", j+1, other, j+1, other))
		}
	}
	active := l.startAll("probe", true)
	for _, net := range []string{"10.77.0.1", "10.78.0.1"} {
		l.stays(3*time.Second, "one active", func() bool { return l.runs("probe", active) })
		l.network(net, "replace", "lladdr", goesNowhere, "nud", "permanent")
		l.stays(15*time.Second, active+" stays active without the network "+net, func() bool { return l.runs("probe", active) })
		l.await(5*time.Second, "all lock servers see one another", func() bool {
			return l.lab("exec", "h3", "sh", "-c", labHome+"/dex-lock/dex-servers > /dev/null && echo well || echo ill") == "well"
		})
		l.network(net, "del")
	}
}

// network changes where the addresses of a network lead to, on every host.
func (l *lab) network(net, do string, where ...string) {
	l.t.Helper()
	for i, host := range l.hosts {
		for j := range l.hosts {
			if i != j {
				l.lab(append([]string{"exec", host, "ip", "neigh", do, fmt.Sprint(net, j+1), "dev", "eth0"}, where...)...)
			}
		}
	}
}
