//go:build linux

package lab

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// heard is a slog.Handler that keeps lines.
type heard struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

// Enabled says yes.
func (h *heard) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps the message.
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, r.Message)
	return nil
}

func (h *heard) count(line string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lines {
		if l == line {
			n++
		}
	}
	return n
}

const keyChanged = "the cluster key has changed"

// The key is changed while everything runs: nothing is restarted, a holder that renews twice a
// second has each renewal acknowledged, and at every step every host's new connections to all
// servers are good. Afterwards the old key is refused, and a host that misses a step is named.
func keyRotation(t *testing.T, tr tree) {
	l := idleLab(t, tr)
	all := append(append([]string{}, idleServers...), idleNodes...)
	old, err := clusterkey.Load(l.keyFile("h3"))
	must(t, err)
	l.startIdle("h1")
	l.await(10*time.Second, "h1 is active", func() bool { return l.isActive("h1") })
	said := &heard{}
	held, end := l.fastHolder("h2", said)
	defer end()
	look := l.client("h2", idleServers...)
	before := l.agreed(look, l.leader(idleServers...)) // a follower hears of it later

	for i, step := range []string{"--add", "--switch", "--drop"} {
		l.lab("exec", "-w", labHome, "h3", "./utils/keygen", step)
		for _, host := range all {
			l.copyKey("h3", host)
			l.takesUp(host, i+1)
			l.allReach(all)
		}
	}
	if n := said.count("not renewed"); n > 0 {
		t.Errorf("%d renewals failed", n)
	}
	t.Logf("%d renewals in the rotation, all acknowledged", said.count("lock renewed"))
	select {
	case <-held.Lost():
		t.Error("the lock was lost in the rotation")
	default:
	}
	if k := l.agreed(l.client("h2", idleServers...), l.leader(idleServers...)); k != before || !l.isActive("h1") {
		t.Errorf("the servers say %+v, want %+v as before; the manager is active: %v", k, before, l.isActive("h1"))
	}
	var other *clusterkey.OtherKeyError
	refused := l.clientBy(old, "h2", slog.New(slog.DiscardHandler), idleServers...)
	for _, server := range idleServers {
		if err := refused.Get(t.Context(), server, "/v1/server", &api.Status{}); !errors.As(err, &other) {
			t.Errorf("%s answers a client with the old key: %v", server, err)
		}
	}
	l.missedStep(all)
}

// fastHolder makes a holder on a host that renews every half second and uses that host's key file.
func (l *lab) fastHolder(host string, said *heard) (held *lockclient.Held, end func()) {
	l.t.Helper()
	key, err := clusterkey.Load(l.keyFile(host))
	must(l.t, err)
	ctx, cancel := context.WithCancel(l.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { key.Follow(ctx, l.keyFile(host), slog.New(said)) })
	session := lockclient.NewSession(l.clientBy(key, host, slog.New(said), idleServers...), "fast", lockclient.NewFiles(l.t.TempDir()))
	wg.Go(func() { session.Run(ctx) })
	held, err = session.Acquire(ctx, lockclient.Wish{
		Name: "fast", Times: lock.Times{Timeout: 8 * time.Second, Stop: time.Second}, Pace: 500 * time.Millisecond,
	})
	must(l.t, err)
	wg.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; held.Turn() {
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	return held, func() {
		cancel()
		wg.Wait()
	}
}

// copyKey copies the key file from one host to another in place, as scp does.
func (l *lab) copyKey(from, to string) {
	l.t.Helper()
	if from == to {
		return
	}
	data, err := os.ReadFile(l.keyFile(from))
	must(l.t, err)
	must(l.t, os.WriteFile(l.keyFile(to), data, 0o600))
}

// takesUp waits until what runs on a host has said n times that it uses the changed key.
func (l *lab) takesUp(host string, n int) {
	l.t.Helper()
	name := map[string]string{"h1": "btw", "h2": ""}[host]
	if host != "h1" && host != "h2" {
		name = "server"
	}
	if name == "" { // the holder of the test itself
		return
	}
	l.await(5*time.Second, host+" takes up the key", func() bool { return strings.Count(l.logOf(host, name), keyChanged) == n })
}

// allReach wants every server to answer every host, on a new connection.
func (l *lab) allReach(hosts []string) {
	l.t.Helper()
	for _, host := range hosts {
		if out := l.lab("exec", "-w", labHome, host, "./dex-lock/dex-show", "idle"); strings.Count(out, "h1 1 ") != len(idleServers) {
			l.t.Errorf("dex-show on %s says %q, want an answer from each server", host, out)
		}
	}
}

// missedStep changes the key again, but leaves one server out: it is named with both keys, and
// comes back when it gets the file.
func (l *lab) missedStep(all []string) {
	l.t.Helper()
	missing := idleServers[2]
	was, err := clusterkey.Load(l.keyFile(missing))
	must(l.t, err)
	for _, step := range []string{"--add", "--switch"} {
		l.lab("exec", "-w", labHome, "h3", "./utils/keygen", step)
		for _, host := range all {
			if host != missing {
				l.copyKey("h3", host)
			}
		}
	}
	now, err := clusterkey.Load(l.keyFile("h3"))
	must(l.t, err)
	both := func(text string) bool {
		return strings.Contains(text, was.Fingerprint()) && strings.Contains(text, now.Fingerprint())
	}
	l.await(10*time.Second, "what runs on h3 takes up the key", func() bool { return strings.Count(l.logOf("h3", "server"), keyChanged) > 3 })
	var out string
	l.await(5*time.Second, "dex-show names the keys", func() bool {
		out = l.lab("exec", "-w", labHome, "h1", "./dex-lock/dex-show", "idle")
		return both(out) || strings.Contains(out, missing+": it has another cluster key")
	})
	l.lab("exec", "-w", labHome, missing, "sh", "-c", "./dex-lock/dex-show idle > /tmp/show 2>&1; true")
	shown, err := os.ReadFile(l.dir + "/" + missing + "/tmp/show")
	must(l.t, err)
	if !both(string(shown)) {
		l.t.Errorf("on a host that missed a step dex-show says %q, want both keys named", shown)
	}
	l.await(5*time.Second, "a server names it in its log", func() bool { return both(l.logOf("h3", "server")) })
	l.copyKey("h3", missing)
	l.takesUp(missing, 4)
	l.allReach(all)
	if !l.isActive("h1") {
		l.t.Error("the manager lost its lock over a server that missed a step")
	}
}
