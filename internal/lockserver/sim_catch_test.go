package lockserver

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lockclient"
)

// catches are plans in which one rule is off: the faults against which it protects come often.
var catches = map[string]plan{
	"rule 1 time":       {offTime: true, faults: map[string]int{"wall-clock": 3, "isolate": 1}},
	"rule 2 sending":    {offClient: lockclient.Off{Sending: true}, faults: map[string]int{"slow-host": 3, "isolate": 1, "crash-client": 2, "one-way-host": 2}},
	"rule 5 grant":      {switched: Off{Grant: true}, faults: map[string]int{"isolate": 2, "crash-client": 3, "one-way-host": 1}},
	"rule 6 quorum":     {switched: Off{Quorum: true}, faults: map[string]int{"stale-answers": 1}, hasty: true},
	"rule 7 open":       {switched: Off{Open: true}, faults: map[string]int{"there-and-back": 1}},
	"rule 8 conditions": {switched: Off{Conditions: true}, faults: map[string]int{"duplicate": 3, "crash-client": 1, "loss": 1}},
	"rule 9 identity":   {switched: Off{Identity: true}, faults: map[string]int{"amnesia": 1}},
	"rule 10 heartbeat": {switched: Off{Heartbeat: true}, faults: map[string]int{"fast-heartbeat": 1}},
	"rule 11 birth":     {switched: Off{Birth: true}, faults: map[string]int{"isolate": 1}, bornCut: true},
	"rule 11 lone":      {switched: Off{Lone: true}, faults: map[string]int{"second-alone": 3, "isolate": 1}, servers: 1},
	"rule 12 memory":    {switched: Off{Memory: true}, faults: map[string]int{"amnesia": 1, "old-disk": 2}},
	"rule 13 members":   {switched: Off{Members: true}, faults: map[string]int{"members-restart": 1}},
	"rule 14 versions":  {switched: Off{Versions: true}, faults: map[string]int{"crash-holder": 12, "transfer": 3, "upgrade": 1}, old: true},
	"rule 16 blocked":   {switched: Off{Blocked: true}, faults: map[string]int{"crash-holder": 1}},
	"rule 18 adopt":     {switched: Off{Adopt: true}, faults: map[string]int{"crash-holder": 2, "duplicate": 3}},
	"rule 19 fence":     {switched: Off{Fence: true}, faults: map[string]int{"crash-holder": 1}, fencers: true},
	"rule 19 unfenced":  {switched: Off{Unfenced: true}, faults: map[string]int{"crash-holder": 1}},
	"rule 21 overlap":   {offClient: lockclient.Off{Overlap: true}, faults: map[string]int{"slow-host": 2, "wall-clock": 3}, scripts: true},
	"rule 19 fencing":   {switched: Off{Fencing: true}, faults: map[string]int{"crash-holder": 1}, fencers: true},
}

// Every rule that is switched off is seen by the checks of the simulation, within a few seeds; the
// same seeds with the rule on show nothing. A check that cannot fail is no check.
func TestSimulationCatches(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("make simulate does it, without -race")
	}
	for _, name := range slices.Sorted(maps.Keys(catches)) {
		t.Run(name, func(t *testing.T) {
			const seeds = 12
			for seed := range uint64(seeds) {
				without := catches[name]
				without.seed, without.servers, without.length = seed+1, cmp.Or(without.servers, 3), 10*time.Minute
				with := without
				with.switched, with.offClient, with.offTime = Off{}, lockclient.Off{}, false
				if r := once(t, "on", with); r.Wrong != "" {
					t.Fatalf("with the rule on: %s\n%s", r.Wrong, again(seed+1))
				}
				if r := once(t, "off", without); r.Wrong != "" {
					t.Logf("caught by seed %d: %s", seed+1, strings.SplitN(r.Wrong, "\n", 2)[0])
					return
				}
			}
			t.Errorf("the rule was switched off, and nothing was seen of it in %d simulations", seeds)
		})
	}
}

// once simulates p in a test of its own.
func once(t *testing.T, name string, p plan) (r result) {
	//lint:ignore SA1019 raft draws its timeouts from there
	rand.Seed(int64(p.seed))
	t.Run(fmt.Sprintf("%s/%d", name, p.seed), func(t *testing.T) { r = simulate(t, p) })
	return r
}
