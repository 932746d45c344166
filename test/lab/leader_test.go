//go:build linux

package lab

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/conf"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"

	"golang.org/x/sys/unix"
)

// onNet calls f in the network of a host. A socket that f opens stays in that network.
func (l *lab) onNet(host string, f func() error) (err error) {
	pid, err := os.ReadFile("/tmp/" + l.name + "/" + host + "/.lab/pid")
	if err != nil {
		return err
	}
	space, err := os.Open("/proc/" + strings.Fields(string(pid))[0] + "/ns/net")
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	}()
	<-done
	return errors.Join(err, space.Close())
}

// serverStatus is what the lock server of a host says of itself, asked on that host.
func (l *lab) serverStatus(host string) (status api.Status, err error) {
	key, err := clusterkey.Load(filepath.Join(l.dir, host, labHome, "conf/cluster_key"))
	if err != nil {
		return status, err
	}
	tls, err := key.Client("test", "http/1.1")
	if err != nil {
		return status, err
	}
	client := lockclient.NewClient(lockclient.Config{
		Servers: []lockclient.Server{{Entry: host, Addr: net.JoinHostPort("127.0.0.1", conf.Port)}},
		TLS:     tls, Clock: lease.System(), Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, addr string) (conn net.Conn, err error) {
			err = l.onNet(host, func() error {
				conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
				return err
			})
			return conn, err
		},
	})
	defer client.Close()
	return status, client.Get(l.t.Context(), host, "/v1/server", &status)
}

// leader waits until one of the lock servers on these hosts leads, and returns its host.
func (l *lab) leader(hosts ...string) string {
	l.t.Helper()
	var leader string
	l.await(10*time.Second, "a lock server leads", func() bool {
		var term uint64
		for _, host := range hosts {
			if status, err := l.serverStatus(host); err == nil && status.Open && status.Term > term {
				leader, term = host, status.Term
			}
		}
		return leader != ""
	})
	return leader
}
