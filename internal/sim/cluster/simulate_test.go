package cluster

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/crew"
)

// How to run one simulation again, or for a night: see TestCluster.
var (
	simSeed   = flag.Uint64("sim.seed", 0, "run the one simulation of this `seed`, and nothing else")
	simHours  = flag.Float64("sim.hours", 0, "how many `hours` of a cluster to simulate; 0: 20, or a bit with -short or -race")
	simLength = flag.Duration("sim.length", 3*time.Hour, "virtual `time` of one simulation; below an hour it has no quiet times")
	simFrom   = flag.Uint64("sim.from", 1, "the first `seed`")
	simFaults = flag.String("sim.faults", "", "only these `faults`, by name, separated by commas")
	simNodes  = flag.Int("sim.nodes", 0, "how many `nodes`; 0: as the seed says")
	simOwn    = flag.Int("sim.servers", 0, "how many lock `servers`; 0: as the seed says")
	simOff    = flag.String("sim.off", "", "switch off a `rule`: the name of a test TestClusterCatches/RULE")
	simLog    = flag.Bool("sim.log", false, "with -sim.seed, show all events")
	simWorker = flag.Bool("sim.worker", false, "be a process that simulates seeds read from stdin, for TestCluster")
)

// planned is the plan of a seed, as the flags have it.
func planned(seed uint64) Plan {
	p := catches[*simOff]
	p.Seed, p.Length, p.Nodes, p.Servers = seed, *simLength, *simNodes, *simOwn
	p.Tough, p.Alone = seed%4 == 0, seed%8 == 1
	if *simFaults != "" {
		p.Faults = map[string]int{}
		for _, name := range strings.Split(*simFaults, ",") {
			p.Faults[name] = 1
		}
	}
	return p
}

// simulate runs a plan.
func simulate(t *testing.T, p Plan) Result {
	t.Helper()
	r, err := InBubble(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A whole cluster goes through hours of faults in virtual time, and nothing runs twice. It is worked
// off by processes of one processor each, which is much cheaper than goroutines that wake each
// other on many.
//
// One seed again:        go test ./internal/sim/cluster -run 'TestCluster$' -sim.seed=123 -v
// For a night, new ones: make simulate-cluster HOURS=20000
func TestCluster(t *testing.T) {
	switch {
	case *simWorker:
		if err := Serve(t, os.Stdin, os.Stdout); err != nil {
			t.Fatal(err)
		}
		return
	case *simSeed != 0:
		p := planned(*simSeed)
		if *simLog {
			p.Trace = func(line string) { fmt.Println(line) }
		}
		if r := simulate(t, p); r.Wrong != "" {
			t.Errorf("%s\n%s", r.Wrong, again(*simSeed))
		} else {
			t.Logf("%+v", r)
		}
		return
	}
	t.Parallel()
	hours := *simHours
	if hours == 0 {
		hours = 20
		if raceEnabled || testing.Short() { // make simulate-cluster does it all
			hours, *simLength = 0.3, 10*time.Minute
		}
	}
	total, wrong := work(hours)
	defer func() { // so that it stands below the figures, where one looks first
		if wrong != nil {
			t.Error(wrong)
		}
	}()
	const dense = 25 // faults an hour, at the least
	if wrong == nil && (total.Hours < hours || float64(total.Count()) < dense*hours) {
		t.Errorf("only %.1f hours with %d faults were simulated: the check is worth less than it should be", total.Hours, total.Count())
	}
	t.Logf("%.1f hours of a cluster: %d faults: %v", total.Hours, total.Count(), total.Faults)
	t.Logf("%d grants, %d adoptions (%d of packages that ran on), %d stops by a deadman, %d blocked, %d changes beside what could not be killed",
		total.Grants, total.Adoptions, total.Kept, total.TakeOvers, total.Blocked, total.Unkillable)
	t.Logf("what scripts and others did: %v", total.Happened)
	for _, name := range slices.Sorted(maps.Keys(total.Alone)) {
		m := total.Alone[name]
		t.Logf("%-15s alone %4d times: up nowhere for %.1f s, at most %.1f s (seed %d)", name, len(m.Down), m.Median(), m.Most(), m.Seed)
	}
}

// again is the command that runs a seed once more.
func again(seed uint64) string { return againWith(planned(seed)) }

// againWith is the command that runs a plan once more.
func againWith(p Plan) string {
	more := fmt.Sprintf(" -sim.length=%v", p.Length)
	if p.Nodes != 0 {
		more += fmt.Sprintf(" -sim.nodes=%d -sim.servers=%d", p.Nodes, p.Servers)
	}
	if *simOff != "" {
		more += fmt.Sprintf(" -sim.off=%q", *simOff)
	} else if p.Faults != nil {
		more += fmt.Sprintf(" -sim.faults=%q", strings.Join(slices.Sorted(maps.Keys(p.Faults)), ","))
	}
	return fmt.Sprintf("To see it again (not every time: goroutines may run in another order):\n"+
		"  GODEBUG=randseednop=0 GOMAXPROCS=1 go test ./internal/sim/cluster -run 'TestCluster$' -count=10 -sim.seed=%d%s", p.Seed, more)
}

// work simulates that many hours, by two processes, until something is wrong.
func work(hours float64) (total Result, wrong error) {
	c := crew.Crew{Processes: 2, Limit: 15 * time.Minute, Worker: func() *exec.Cmd {
		return exec.Command(os.Args[0], "-test.run=^TestCluster$", "-test.timeout=0", "-sim.worker")
	}}
	plans := func(yield func(Plan) bool) {
		for seed := *simFrom; yield(planned(seed)); seed++ {
		}
	}
	crew.Run(c, plans, func(p Plan, r Result, err error) bool {
		total.Add(r)
		switch {
		case err != nil:
			wrong = errors.Join(wrong, fmt.Errorf("seed %d: %w\n%s", p.Seed, err, again(p.Seed)))
		case r.Wrong != "":
			wrong = errors.Join(wrong, fmt.Errorf("seed %d: %s\n%s", p.Seed, r.Wrong, again(p.Seed)))
		}
		return total.Hours < hours && wrong == nil
	})
	return total, wrong
}
