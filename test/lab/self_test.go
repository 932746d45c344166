//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLab checks that utils/lab does what its help says, as far as the stories need it.
func TestLab(t *testing.T) {
	t.Parallel()
	needHosts(t)
	repo, err := filepath.Abs("../..")
	must(t, err)
	l := &lab{t: t, repo: repo, name: fmt.Sprintf("%s%d-self", labPrefix, os.Getpid())}
	disk := "/tmp/" + l.name
	t.Cleanup(func() {
		l.lab("down")
		if _, err := os.Stat(disk); err == nil {
			t.Errorf("%s is there after lab down", disk)
		}
	})
	begin := time.Now()
	l.lab("up", "3")
	within(t, "up 3", begin, time.Now(), 4*time.Second) // it takes 0.4 s where nothing else runs

	if got := l.lab("exec", "h2", "sh", "-c", "hostname; pwd; grep -cw h3 /etc/hosts; ls /opt"); got != "h2\n/root\n1" {
		t.Errorf("on h2: hostname, directory, lines for h3, files in /opt = %q, want h2, /root, 1, none", got)
	}
	l.hears("h1 h2", "h1 h3", "h2 h1", "h2 h3", "h3 h1", "h3 h2")
	l.lab("cut", "h1")
	l.hears("h2 h3", "h3 h2")
	l.lab("heal", "h1")
	l.lab("cut", "-o", "h1", "h2")
	l.hears("h1 h3", "h2 h1", "h2 h3", "h3 h1", "h3 h2")
	bootID := func() string { return l.lab("exec", "h1", "cat", "/proc/sys/kernel/random/boot_id") }
	before := bootID()
	l.lab("kill9", "h1")
	l.hears("h2 h3", "h3 h2")
	l.lab("boot", "h1") // the cut is still there
	if after := bootID(); after == before || len(after) != len(before) {
		t.Errorf("boot_id %q, was %q", after, before)
	}
	l.hears("h1 h3", "h2 h1", "h2 h3", "h3 h1", "h3 h2")
	l.lab("heal")
	l.lab("cut", "-p", "h3", "h1", "h2")
	l.hears("h1 h2", "h2 h1")
	l.lab("heal")
	l.hears("h1 h2", "h1 h3", "h2 h1", "h2 h3", "h3 h1", "h3 h2")
}

// TestLabPrograms starts, freezes, signals and kills programs on a host.
func TestLabPrograms(t *testing.T) {
	t.Parallel()
	needHosts(t)
	repo, err := filepath.Abs("../..")
	must(t, err)
	l := &lab{t: t, repo: repo, name: fmt.Sprintf("%s%d-programs", labPrefix, os.Getpid())}
	t.Cleanup(func() { l.lab("down") })
	l.lab("up", "1")
	l.lab("bg", "-w", "/tmp", "h1", "count", "sh", "-c", "trap 'exit 3' INT; while :; do date; sleep 0.01; done > log")
	size := func() int64 {
		info, err := os.Stat("/tmp/" + l.name + "/h1/tmp/log")
		if err != nil {
			return 0
		}
		return info.Size()
	}
	grows := func() {
		t.Helper()
		n := size()
		l.await(5*time.Second, "the log grows", func() bool { return size() > n })
	}
	grows()
	l.lab("pause", "h1")
	n := size()
	l.stays(100*time.Millisecond, "a frozen host stands still", func() bool { return size() == n })
	l.lab("resume", "h1")
	grows()
	l.lab("sigg", "h1", "count", "INT")
	if got := l.lab("exec", "h1", "sh", "-c", "exit 0"); got != "" {
		t.Errorf("exec printed %q", got)
	}
	rc := "/tmp/" + l.name + "/h1/bg/count.rc"
	l.await(5*time.Second, "it ends", func() bool { text, _ := os.ReadFile(rc); return string(text) == "3\n" })

	l.lab("bg", "-w", "/tmp", "h1", "count", "sh", "-c", "setsid sh -c 'while :; do date; sleep 0.01; done > log' & sleep 100")
	grows()
	l.lab("kill9", "h1")
	n = size()
	l.stays(100*time.Millisecond, "a dead host stands still", func() bool { return size() == n })
	if got := l.lab("status"); !strings.HasPrefix(got, "h1 down ") {
		t.Errorf("status of a dead host = %q", got)
	}
}

// hears checks that a packet gets through for exactly these pairs: from, to.
func (l *lab) hears(want ...string) {
	l.t.Helper()
	var got []string
	for _, from := range []string{"h1", "h2", "h3"} {
		for _, to := range []string{"h1", "h2", "h3"} {
			pair, tries := from+" "+to, 10
			if slices.Contains(want, pair) { // it is to arrive, however busy this machine is
				tries = 200
			}
			if from != to && l.reaches(from, to, tries) {
				got = append(got, pair)
			}
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		l.t.Errorf("heard: %v, want %v", got, want)
		for _, host := range []string{"h1", "h2", "h3"} {
			l.t.Logf("%s: %s", host, l.try(host, "sh", "-c", "ip -br addr; ip neigh; cat /proc/net/snmp | grep Udp:"))
		}
	}
}

// reaches sends packets from one host to another until one arrives, 20 ms apart. The ports are any free ones: a socket
// that was closed stays bound while a process that another test has just forked has not yet executed its program.
func (l *lab) reaches(from, to string, tries int) bool {
	l.t.Helper()
	listener, err := l.socket(to)
	if err != nil {
		l.t.Logf("%s: %v", to, err) // a dead host
		return false
	}
	defer listener.Close()
	sender, err := l.socket(from)
	if err != nil {
		l.t.Logf("%s: %v", from, err)
		return false
	}
	defer sender.Close()
	addr := &net.UDPAddr{IP: net.ParseIP("10.77.0.1" + strings.TrimPrefix(to, "h")), Port: listener.LocalAddr().(*net.UDPAddr).Port}
	for range tries {
		if _, err := sender.WriteTo([]byte(from), addr); err != nil {
			l.t.Logf("%s to %s: %v", from, to, err)
		}
		must(l.t, listener.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		if _, _, err := listener.ReadFrom(make([]byte, 9)); err == nil {
			return true
		}
	}
	return false
}

// socket opens a UDP socket on a host.
func (l *lab) socket(host string) (conn net.PacketConn, err error) {
	err = l.onNet(host, func() error {
		conn, err = net.ListenPacket("udp4", "0.0.0.0:0")
		return err
	})
	return conn, err
}
