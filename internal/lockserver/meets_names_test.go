package lockserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

func TestNames(t *testing.T) {
	t.Parallel()
	type word struct {
		host  string
		at    time.Duration
		taken bool
	}
	at := func(d time.Duration) lease.Time { return lease.Time{}.Add(d) }
	for _, row := range []struct {
		name  string
		first string // host that says it is n, at 0
		then  []word
	}{
		{"the same host", "h", []word{{"h", 0, false}, {"h", time.Hour, false}}},
		{"another host", "h", []word{{"i", 0, true}, {"i", nameLife - 1, true}, {"i", nameLife, false}, {"h", nameLife + 1, true}}},
		{"another, and the first goes on", "h", []word{{"h", 9 * time.Second, false}, {"i", 18 * time.Second, true}, {"i", 19 * time.Second, false}}},
		{"what comes out of order", "h", []word{{"h", 5 * time.Second, false}, {"h", time.Second, false}, {"i", 14 * time.Second, true}}},
		{"who does not say", "h", []word{{"", 0, false}, {"i", nameLife - 1, true}}},
	} {
		var n names
		n.hear("n", row.first, at(0))
		for _, r := range row.then {
			if taken := n.hear("n", r.host, at(r.at)); taken != r.taken {
				t.Errorf("%s: %q at %v: taken = %v, want %v", row.name, r.host, r.at, taken, r.taken)
			}
		}
		if n.hear("m", "i", at(0)) {
			t.Errorf("%s: another name is taken too", row.name)
		}
	}
}

// Two hosts that call themselves the same: the second gets no lock and is told why, for as long
// as the first is heard; the first notices nothing. After a reboot, which takes a while, a host
// has its own name again.
func TestTwoHostsOfOneName(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y := c.session("n"), c.session("n")
		defer x.stop()
		defer y.stop()
		x.client.Host, y.client.Host = "one boot", "another boot"
		w, other := wish("p"), wish("other")
		h := mustAcquire(t, x, w)
		stop := keep(h)
		refused := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := y.Acquire(ctx, other); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a second host of that name: Acquire = %v, want to be refused all the time", err)
			}
		}
		refused()
		single, err := lockclient.OpenSingle(y.client, "n", lockclient.NewFiles(t.TempDir()), "other", testTimes)
		if err != nil {
			t.Fatal(err)
		}
		if result, err := single.Try(t.Context()); result != lockclient.Refused || err == nil ||
			!strings.Contains(err.Error(), `"n"`) || !strings.Contains(err.Error(), "conf/node_name") {
			t.Errorf("Try = %s, %v, want it refused, with the name and what to do", result, err)
		}
		leader := c.leader()
		c.crash(leader) // the next has to learn it anew
		c.leader()
		time.Sleep(5 * time.Second)
		refused()
		c.start(leader)
		if isLost(h) {
			t.Error("the first host lost its lock over the second")
		}
		got := acquireLater(t, y, other)
		time.Sleep(5 * time.Second)
		notYet(t, got, "while the first is heard")
		stop()
		begin := time.Now()
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if took := (<-got).Sub(begin); took < nameLife-w.Pace-time.Second || took > nameLife+2*time.Second {
			t.Errorf("the name was free %v after the first host was silent, want about %v", took, nameLife)
		}
	})
}

// A renewal is never refused for a name, and a stand-by keeps its name by waiting.
func TestNameOfStandBy(t *testing.T) {
	t.Parallel()
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		x, y, z := c.session("m"), c.session("n"), c.session("n")
		for _, s := range []*holder{x, y, z} {
			defer s.stop()
		}
		x.client.Host, y.client.Host, z.client.Host = "1", "2", "3"
		h := mustAcquire(t, x, wish("p"))
		defer keep(h)()
		got := acquireLater(t, y, wish("p"))
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := z.Acquire(ctx, wish("other")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with the name of a stand-by: Acquire = %v, want to be refused", err)
		}
		leader := c.hosts[c.leader()]
		q := api.RenewRequest{Session: x.Owner.Session, Locks: []api.Renewal{{Name: "p", Term: h.Term}}, Host: "4"}
		if a, err := leader.renew(t.Context(), leader.Clock.Now(), q); err != nil || a.Refused[0] != "" {
			t.Errorf("a renewal from another host: %+v, %v", a, err)
		}
		if _, err := leader.await(t.Context(), leader.Clock.Now(), api.WaitRequest{Name: "p", Node: "o", Host: "5"}); err != nil {
			t.Error(err)
		}
		if !leader.names.hear("o", "6", leader.Clock.Now()) {
			t.Error("a host that waits was not heard")
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		<-got
	})
}
