package failover

import (
	"strings"
	"testing"
	"time"
)

// retrying is a package that is started again twice in place.
var retrying = func() Params { p := dummy; p.Retries = 2; return p }()

func (n *node) down() { n.scripts.set(func() { n.scripts.up = false }) }

// A package that fails is started again in place under the same lock, as often as retries says; then another node may
// have it. A long run makes the count begin anew, a short one does not.
func TestRestartsInPlace(t *testing.T) {
	bubble(t, func(n *node) {
		n.run(retrying)
		n.until(1)
		n.down()
		n.until(7)
		n.has("6 package status is unexpectedly down!", "6 > stop", "6 package failed. restarting it here (1 of 2).",
			"6 package state changes to starting.", "6 > start", "6 package state changes to running.")
		n.until(6 + 10*40 + 1)
		n.down()
		n.until(415)
		n.has("408 package failed. restarting it here (1 of 2).")
		for _, s := range []float64{415, 715} {
			n.until(s)
			n.down()
		}
		n.until(750)
		n.has("420 package failed. restarting it here (2 of 2).", "720 package failed. restarting as stand-by.", "720 released: true")
		n.want([]string{"> start"}, "0 > start", "6 > start", "408 > start", "420 > start", "726 > start")
	})
}

// Degraded for timeout, a status that hangs, and a start that fails after it ran, are failures too; a first start that fails is
// for another node, and so is all after a loss, and after a stop that failed.
func TestRestartsWhat(t *testing.T) {
	slowStop := func(n *node) { n.scripts.acts["stop"] = act{takes: 10 * time.Second} }
	for name, row := range map[string]struct {
		change func(n *node)
		want   string
	}{
		"degraded":    {func(n *node) { n.scripts.acts["status"] = act{code: degraded}; slowStop(n) }, "restarting it here (1 of 2)"},
		"hangs":       {func(n *node) { n.scripts.acts["status"] = act{takes: hang}; slowStop(n) }, "restarting it here (1 of 2)"},
		"start fails": {func(n *node) { n.scripts.up = false; n.scripts.acts["start"] = act{code: 1} }, "restarting it here (2 of 2)"},
		"critical":    {func(n *node) { n.scripts.acts["status"] = act{code: 3} }, "cannot be shown to be down"},
		"a bad stop":  {func(n *node) { n.scripts.up = false; n.scripts.acts["stop"] = act{code: 1} }, "package halted. exit."},
		"the lock":    {func(n *node) { n.locker.setCut(true) }, "package failed. restarting as stand-by."},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.run(retrying)
				n.until(1)
				n.scripts.set(func() { row.change(n) })
				n.until(50) // it fails at 46
				n.scripts.set(func() { delete(n.scripts.acts, "status") })
				n.until(120)
				all := strings.Join(n.with(), "\n")
				const here = "restarting it here"
				if !strings.Contains(all, row.want) || strings.Contains(row.want, here) != strings.Contains(all, here) {
					t.Errorf("want %s in:\n%s", row.want, all)
				}
			})
		})
	}
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{code: 1}
		n.run(retrying)
		n.until(1)
		n.has("0 package failed. restarting as stand-by.")
	})
}

// The start that is run again is not told of the node that had the lock before: the first one has dealt with it, and it
// may be well again.
func TestRestartIsToldOfItself(t *testing.T) {
	bubble(t, func(n *node) {
		n.locker.servers.unfenced, n.locker.servers.node = []string{"h3"}, "h2"
		n.run(retrying)
		n.until(1)
		n.down()
		n.until(20)
		n.want([]string{"told", "> start"}, "0 start is told of h2 before, [h3] unfenced", "0 > start", "6 > start")
		if got := n.manager.token.Previous; got != n.locker.node {
			t.Errorf("the node before is %q, want this one", got)
		}
	})
}

// That it failed is forgotten while it runs, once it has run for timeout.
func TestFailuresAreForgotten(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{code: 1}
		n.run(dummy)
		n.until(1)
		n.scripts.set(func() { delete(n.scripts.acts, "start") })
		noted := func() string {
			_ = n.dir.Sync()
			text, _ := n.dir.Read("failures")
			return text
		}
		for _, row := range []struct {
			at   float64
			want string
		}{{2, "1 6"}, {6 + 39, "1 6"}, {6 + 41, ""}} {
			n.until(row.at)
			if got := noted(); got != row.want {
				t.Errorf("at %v the failures are %q, want %q", row.at, got, row.want)
			}
		}
	})
}
