package cluster

import (
	"testing"
	"time"
)

// A stop that is bad leaves a half of the service now and then, either half, and nothing runs twice for that: what is
// left is taken away at the kill end, or the lock stays.
func TestStopsHalfWay(t *testing.T) {
	left := map[string]int{"address": 0, "processes": 0}
	for seed := uint64(1); seed <= 6 && left["address"]*left["processes"] == 0; seed++ {
		p := Plan{
			Seed: seed, Length: 10 * time.Minute, Nodes: 3, Servers: 3,
			Faults: map[string]int{"bad-stop": 3, "halt": 2, "cut-holder": 1, "manager-kill": 1},
		}
		r := simulate(t, p)
		if r.Wrong != "" {
			t.Fatalf("%s\n%s", r.Wrong, againWith(p))
		}
		for what := range left {
			left[what] += r.Happened["script: stop leaves the "+what]
		}
	}
	if left["address"]*left["processes"] == 0 {
		t.Errorf("what stops have left half-way: %v: not each half", left)
	}
}
