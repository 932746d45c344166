package cluster

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lockserver"
)

// catches are plans in which one rule is off: the faults against which it protects come often.
var catches = map[string]Plan{
	"rule 3 kill end":    {Off: Off{KillEnd: true}, Faults: map[string]int{"node-pause": 2, "bad-stop": 2}},
	"rule 4 name":        {Off: Off{Name: true}, Faults: map[string]int{"rename": 3, "bad-stop": 2, "cut-holder": 2}},
	"rule 17 aside":      {Off: Off{Aside: true}, Faults: map[string]int{"halt": 1}, Nested: true},
	"rule 18 unkilled":   {Off: Off{Unkilled: true}, Faults: map[string]int{"kill-in-start": 1}},
	"rule 18 previous":   {Off: Off{Previous: true}, Faults: map[string]int{"manager-kill": 1, "halt": 1}},
	"rule 7 open":        {Off: Off{Servers: lockserver.Off{Open: true}}, Faults: map[string]int{"to-and-fro": 1}},
	"rule 15 not run":    {Off: Off{NotRun: true}, Faults: map[string]int{"no-forks": 1}, Alone: true},
	"rule 18 parameters": {Off: Off{Strict: true}, Faults: map[string]int{changedBadly: 1}, Alone: true},
	"rule 15 standing":   {Off: Off{Standing: true}, Faults: map[string]int{"parameters": 2, "halt": 1, "manager-kill": 1}},
	"rule 15 release":    {Off: Off{LetLive: true}, Faults: map[string]int{"halt": 1}},
	"rule 17 deadman":    {Off: Off{Deadman: true}, Faults: map[string]int{"manager-kill": 1}},
	"rule 17 silence":    {Off: Off{Silence: true}, Faults: map[string]int{"manager-pause": 1}},
	"rule 17 word":       {Off: Off{Word: true}, Faults: map[string]int{"pause-at-start": 1}},
	"rule 17 release":    {Off: Off{Release: true}, Faults: map[string]int{"kill-releaser": 1}},
	"rule 18 adoption":   {Off: Off{Adoption: true}, Faults: map[string]int{"kill-releaser": 3, "manager-kill": 3, "slow": 2, "cut-holder": 1, "manager-pause": 2, "loss": 1, "parameters": 2}},
	"rule 20 smaller":    {Off: Off{Smaller: true}, Faults: map[string]int{"parameters": 2, "cut-holder": 2}},
}

// Every rule that is switched off is seen by the checks, within a few seeds; the same seeds with the
// rule on show nothing. A check that cannot fail is no check.
func TestClusterCatches(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("make simulate-cluster does it, without -race")
	}
	for _, name := range slices.Sorted(maps.Keys(catches)) {
		t.Run(name, func(t *testing.T) {
			const seeds = 12
			for seed := range uint64(seeds) {
				without := catches[name]
				without.Seed, without.Length, without.Nodes, without.Servers = seed+1, 10*time.Minute, 3, 3
				with := without
				with.Off = Off{}
				if r := simulate(t, with); r.Wrong != "" {
					t.Fatalf("with the rule on: %s\n%s", r.Wrong, againWith(with))
				}
				if r := simulate(t, without); r.Wrong != "" {
					t.Logf("caught by seed %d: %s", seed+1, strings.SplitN(r.Wrong, "\n", 2)[0])
					return
				}
			}
			t.Errorf("the rule was switched off, and nothing was seen of it in %d simulations", seeds)
		})
	}
}

// Manager and deadman that are killed at once leave their package unguarded (SAFETY.md, what remains):
// two may be alive. All else holds, and what comes after them ends it.
func TestClusterBothKilled(t *testing.T) {
	const seeds = 12
	doubled := 0
	for seed := range uint64(seeds) {
		p := Plan{
			Seed: seed + 1, Length: 10 * time.Minute, Nodes: 3, Servers: 3, BothKilled: true,
			Faults: map[string]int{"both-killed": 3, "cut-holder": 1, "manager-kill": 1},
		}
		r := simulate(t, p)
		if r.Wrong != "" {
			t.Fatalf("%s\n%s", r.Wrong, againWith(p))
		}
		if doubled += r.Doubled; doubled > 0 || raceEnabled || testing.Short() {
			return
		}
	}
	t.Errorf("in %d simulations nothing was seen of packages without a guard", seeds)
}

// With fence_required nobody takes over before the node of the two is off: so there are no two all the same.
func TestClusterBothKilledFenced(t *testing.T) {
	seeds, fenced := 6, 0
	if raceEnabled || testing.Short() {
		seeds = 1
	}
	for seed := range uint64(seeds) {
		p := Plan{
			Seed: seed + 1, Length: 10 * time.Minute, Nodes: 3, Servers: 3, BothKilled: true, Fixed: true,
			Faults: map[string]int{BothKilled: 3, "cut-holder": 1},
			Params: []failover.Params{{
				Pace: 2 * time.Second, Timeout: 8 * time.Second, StartTimeout: 20 * time.Second, StopTimeout: 6 * time.Second,
				Adopt: true, KillLeftovers: true, Fence: "power", FenceRequired: true, FenceTimeout: 10 * time.Second,
			}},
		}
		r := simulate(t, p)
		if r.Wrong != "" || r.Doubled > 0 {
			t.Fatalf("%d times two were alive, %s", r.Doubled, r.Wrong)
		}
		fenced += r.Happened["fenced"]
	}
	if fenced == 0 {
		t.Error("nobody was fenced: this shows nothing")
	}
}
