//go:build linux

package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/conf"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// idleScript is a package that does nothing, and so may do it on two hosts at the same time: what
// becomes of the processes of a manager that stands still is another story.
const idleScript = `#!/bin/sh
pace=1
timeout=8
start_timeout=4
stop_timeout=4
pid=/tmp/idle.pid
case $1 in
 echo) eval "echo \"\$$2\"" ;;
 start)
   sleep 86400 < /dev/null > /dev/null 2>&1 &
   echo $! > $pid ;;
 stop)
   kill "$(cat $pid)" 2> /dev/null
   rm -f $pid ;;
 status)
   [ -f $pid ] || exit 1
   kill -0 "$(cat $pid)" 2> /dev/null ;;
esac
`

// The lock servers of these stories, and two nodes.
var (
	idleServers = []string{"h3", "h4", "h5"}
	idleNodes   = []string{"h1", "h2"}
)

// TestClientHosts tells what clients meet on hosts of their own: see TestHosts.
func TestClientHosts(t *testing.T) {
	needHosts(t)
	tell(t, buildTree(t), []story{
		{name: "lossy", tell: lossyLink},
		{name: "stopped", tell: stopped},
		{name: "times", tell: differentTimes},
		{name: "rotation", tell: keyRotation},
		{name: "twins", tell: twins},
		{name: "dead-address", tell: deadFirstAddress},
		{name: "networks", tell: networkDies},
		{name: "exec", tell: execOnHosts},
	})
}

// idleLab makes five hosts: three lock servers, which run, and two nodes with the package idle.
func idleLab(t *testing.T, tr tree) *lab {
	t.Helper()
	l := newLab(t, tr, 5, nil, map[string]string{
		"conf/cluster_nodes":         "h1 h2",
		"dex-lock/conf/lock_servers": strings.Join(idleServers, " "),
	})
	for _, host := range idleNodes {
		l.setTimes(host, 8, 4)
	}
	for _, host := range idleServers {
		l.lab("bg", "-w", labHome, host, "server", "./dex-lock/dex-server")
	}
	l.leader(idleServers...)
	return l
}

// setTimes writes the package idle with these times, in seconds.
func (l *lab) setTimes(host string, timeout, stop int) {
	l.t.Helper()
	text := strings.Replace(idleScript, "timeout=8", fmt.Sprintf("timeout=%d", timeout), 1)
	text = strings.Replace(text, "stop_timeout=4", fmt.Sprintf("stop_timeout=%d", stop), 1)
	path := filepath.Join(l.dir, host, labHome, "packages/idle")
	must(l.t, os.WriteFile(path+".new", []byte(text), 0o755))
	must(l.t, os.Rename(path+".new", path))
}

// startIdle starts a manager that tells everything.
func (l *lab) startIdle(host string) {
	l.t.Helper()
	l.lab("bg", "-w", labHome, host, "btw", "env", "verbose=1", "./back-to-work", "idle")
}

// isActive tells whether the manager of a host says that it has the lock.
func (l *lab) isActive(host string) bool {
	text, _ := os.ReadFile(filepath.Join(l.dir, host, labHome, "temp/lockdir_idle/role"))
	return strings.TrimSpace(string(text)) == "active"
}

// lastRenewal is when a host heard last that its lock is renewed.
func (l *lab) lastRenewal(host string) time.Time {
	l.t.Helper()
	info, err := os.Stat(filepath.Join(l.dir, host, labHome, "dex-lock/temp/idle_htsp"))
	must(l.t, err)
	return info.ModTime()
}

// logOf is what a program that lab bg has started on a host has said.
func (l *lab) logOf(host, name string) string {
	text, _ := os.ReadFile(filepath.Join(l.dir, host, "bg", name+".log"))
	return string(text)
}

// client is a client on a host, with that host's key.
func (l *lab) client(host string, servers ...string) *lockclient.Client {
	l.t.Helper()
	key, err := clusterkey.Load(l.keyFile(host))
	must(l.t, err)
	return l.clientBy(key, host, slog.New(slog.DiscardHandler), servers...)
}

func (l *lab) keyFile(host string) string {
	return filepath.Join(l.dir, host, labHome, "conf/cluster_key")
}

func (l *lab) clientBy(key *clusterkey.Key, host string, log *slog.Logger, servers ...string) *lockclient.Client {
	l.t.Helper()
	tls, err := key.Client(host, "http/1.1")
	must(l.t, err)
	cfg := lockclient.Config{
		TLS: tls, ServerName: key.ServerName, Clock: lease.System(), Log: log, Host: host,
		Dial: func(ctx context.Context, addr string) (conn net.Conn, err error) {
			err = l.onNet(host, func() error {
				conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
				return err
			})
			return conn, err
		},
	}
	for _, entry := range servers {
		cfg.Servers = append(cfg.Servers, lockclient.Server{
			Entry: entry, Addr: net.JoinHostPort("10.77.0.1"+strings.TrimPrefix(entry, "h"), conf.Port),
		})
	}
	c := lockclient.NewClient(cfg)
	l.t.Cleanup(c.Close)
	return c
}

// agreed is the lock of idle as one of the servers sees it.
func (l *lab) agreed(c *lockclient.Client, server string) lock.Lock {
	l.t.Helper()
	var state api.State
	must(l.t, c.Get(l.t.Context(), server, "/v1/locks/idle", &state))
	return state.Lock
}

// A follower, the leader, and at last the manager of the active node are stopped (SIGSTOP) for
// longer than the lease. The servers cost nobody anything. The manager's lock goes to the other
// node when T + S + m are over, and not before; when it goes on it stands by.
func stopped(t *testing.T, tr tree) {
	l := idleLab(t, tr)
	l.startIdle("h1")
	l.await(10*time.Second, "h1 is active", func() bool { return l.isActive("h1") })
	l.startIdle("h2")
	look := l.client("h2", idleServers...)
	leader := l.leader(idleServers...)
	follower := idleServers[0]
	if follower == leader {
		follower = idleServers[1]
	}
	before := l.agreed(look, leader)
	nothingNoticed := func(who string) {
		t.Helper()
		l.stays(quickT+quickS, "h1 stays active with the "+who+" stopped", func() bool { return l.isActive("h1") && !l.isActive("h2") })
	}
	l.lab("sig", follower, "server", "STOP")
	nothingNoticed("follower")
	l.lab("sig", follower, "server", "CONT")

	leader = l.leader(idleServers...)
	ask := l.staleRenewal(leader)
	l.lab("sig", leader, "server", "STOP")
	nothingNoticed("leader")
	ask(func() { l.lab("sig", leader, "server", "CONT") })
	l.await(5*time.Second, "all servers agree", func() bool {
		_, err := l.serverStatus(leader)
		return err == nil
	})
	for _, server := range idleServers {
		if k := l.agreed(look, server); k != before {
			t.Errorf("%s says %+v, want %+v as before", server, k, before)
		}
	}

	both := func(signal string) { // both: otherwise the deadman stops the package, and starts a manager that asks for the lock too
		l.lab("exec", "-w", labHome+"/temp/lockdir_idle", "h1", "sh", "-c", "kill -"+signal+" $(cat pid deadman)")
	}
	both("STOP")
	limit := quickT + quickS + quickM
	got := l.await(limit+takeOver+election, "h2 has the lock", func() bool { return l.isActive("h2") })
	since := got.Sub(l.lastRenewal("h1"))
	t.Logf("granted %.2f s after the last renewal of the stopped manager", since.Seconds())
	if since < limit-quickM || since > limit+takeOver {
		t.Errorf("granted %.2f s after the last renewal, want %v", since.Seconds(), limit)
	}
	now := l.agreed(look, l.leader(idleServers...))
	if now.Node != "h2" || now.Previous != "h1" || now.Term != before.Term+1 {
		t.Errorf("the servers say %+v, want h2 after h1 in term %d", now, before.Term+1)
	}
	both("CONT")
	l.await(5*time.Second, "h1 knows that it has lost it", func() bool { return !l.isActive("h1") })
	l.stays(3*time.Second, "h2 keeps it", func() bool { return l.isActive("h2") })
	l.await(5*time.Second, "h1 stands by", func() bool { return !l.isActive("h1") }) // its deadman may have acted in between
}

// staleRenewal checks that a lock server which was stopped acknowledges no old renewal. It makes a
// holder that renews only through one server, the leader. Call the function that it returns when
// that server is stopped and another leads. That function gives the lock to another session, sends
// a renewal of the first holder, which waits in the socket of the stopped server, and calls wake to
// let the server go on. The renewal must not be acknowledged.
func (l *lab) staleRenewal(leader string) func(wake func()) {
	l.t.Helper()
	ctx := l.t.Context()
	times := lock.Times{Timeout: 2 * time.Second, Stop: time.Second}
	session := func(node string, servers ...string) (*lockclient.Session, *lockclient.Client) {
		c := l.client("h2", servers...)
		return lockclient.NewSession(c, node, lockclient.NewFiles(l.t.TempDir())), c
	}
	first, pinned := session("first", leader)
	h, err := first.Acquire(ctx, lockclient.Wish{Name: "stale", Times: times, Pace: time.Second})
	must(l.t, err)
	renew := func() error {
		_, err := pinned.RenewOnce(ctx, first.Owner.Session, "stale", h.Term)
		return err
	}
	must(l.t, renew())
	return func(wake func()) {
		l.t.Helper()
		second, _ := session("second", l.others(leader)[2:]...)
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, err := second.Acquire(limited, lockclient.Wish{Name: "stale", Times: times, Pace: time.Second})
		must(l.t, err)
		answer := make(chan error, 1)
		go func() { answer <- renew() }()
		time.AfterFunc(100*time.Millisecond, wake) // it is in the socket by then
		if err := <-answer; err == nil {
			l.t.Error("a leader that was stopped acknowledged a renewal of a lock that another has")
		}
	}
}

// Case B8: the nodes' packages have different times. The times of the holder are those that count,
// and a change by USR1 counts once.
func differentTimes(t *testing.T, tr tree) {
	l := idleLab(t, tr)
	seconds := func(timeout, stop int) lock.Times {
		return lock.Times{Timeout: time.Duration(timeout) * time.Second, Stop: time.Duration(stop) * time.Second}
	}
	l.setTimes("h1", 14, 5)
	l.setTimes("h2", 8, 2)
	l.startIdle("h1")
	l.await(10*time.Second, "h1 is active", func() bool { return l.isActive("h1") })
	l.startIdle("h2")
	look := l.client("h2", idleServers...)
	says := func(node string, times lock.Times, seq uint64) {
		t.Helper()
		var k lock.Lock
		for _, server := range idleServers {
			l.await(3*time.Second, fmt.Sprintf("%s says that %s lives by %v (it says %+v)", server, node, times, k), func() bool {
				k = l.agreed(look, server)
				return k.Node == node && k.Times == times && k.Seq == seq
			})
		}
	}
	says("h1", seconds(14, 5), 1)
	l.setTimes("h1", 11, 3)
	l.lab("sig", "h1", "btw", "USR1")
	says("h1", seconds(11, 3), 2)
	l.stays(2*time.Second, "the change counts once", func() bool { return l.agreed(look, idleServers[0]).Seq == 2 })

	moves := func(from, to string, times lock.Times) {
		t.Helper()
		l.cutOff(from, from)
		got := l.await(times.Silence()+takeOver+time.Second, to+" has the lock", func() bool { return l.isActive(to) })
		since := got.Sub(l.lastRenewal(from))
		t.Logf("granted to %s %.2f s after the last renewal of %s", to, since.Seconds(), from)
		if since < times.Timeout+times.Stop || since > times.Silence()+takeOver {
			t.Errorf("granted %.2f s after the last renewal by %s, want %v", since.Seconds(), from, times.Silence())
		}
		l.healAll()
		l.await(10*time.Second, from+" stands by", func() bool { return !l.isActive(from) })
	}
	moves("h1", "h2", seconds(11, 3))
	says("h2", seconds(8, 2), 2) // the second entry comes after its start has succeeded: then nobody is named any more who lost the lock in silence
	moves("h2", "h1", seconds(8, 2))
	says("h1", seconds(11, 3), 2)
}

// Two nodes call themselves the same. The second is refused, and says so; when the first is gone
// the second has the lock by itself.
func twins(t *testing.T, tr tree) {
	l := idleLab(t, tr)
	for _, host := range idleNodes {
		must(t, os.WriteFile(filepath.Join(l.dir, host, labHome, "conf/node_name"), []byte("twin\n"), 0o644))
	}
	l.startIdle("h1")
	l.await(10*time.Second, "h1 is active", func() bool { return l.isActive("h1") })
	l.startIdle("h2")
	const why = `two hosts call themselves "twin": give one of them another name in its conf/node_name`
	l.await(5*time.Second, "the second manager says why it gets no lock", func() bool { return strings.Contains(l.logOf("h2", "btw"), why) })
	out := l.lab("exec", "-w", labHome, "h2", "sh", "-c", "verbose=1 ./dex-lock/dex-lock other; echo exit $?")
	if !strings.Contains(out, why) || !strings.HasSuffix(out, "exit 1") {
		t.Errorf("dex-lock on the second host says %q, want why, and exit 1", out)
	}
	out = l.lab("exec", "-w", labHome, "h1", "sh", "-c", "verbose=1 ./dex-lock/dex-lock other; echo exit $?")
	if !strings.HasSuffix(out, "exit 0") {
		t.Errorf("dex-lock on the first host says %q, want exit 0", out)
	}
	l.stays(3*time.Second, "h1 notices nothing", func() bool { return l.isActive("h1") && !l.isActive("h2") })
	if n := strings.Count(l.logOf("h2", "btw"), why); n > 2 {
		t.Errorf("the second manager says it %d times in a few seconds", n)
	}
	l.lab("sig", "h1", "btw", "INT")
	begin := time.Now()
	at := l.await(20*time.Second, "h2 has the lock", func() bool { return l.isActive("h2") })
	within(t, "the name is free", begin, at, 14*time.Second)
}
