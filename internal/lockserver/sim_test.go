package lockserver

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/sim/crew"
)

// How to run one simulation again, or for a night: see TestSimulation.
var (
	simSeed   = flag.Uint64("sim.seed", 0, "run the one simulation of this `seed`, and nothing else")
	simHours  = flag.Float64("sim.hours", 0, "how many `hours` of a cluster to simulate; 0: 20, or a bit with -short or -race")
	simLength = flag.Duration("sim.length", time.Hour, "virtual `time` of one simulation; below an hour it has no quiet times")
	simFrom   = flag.Uint64("sim.from", 1, "the first `seed`")
	simFaults = flag.String("sim.faults", "", "only these `faults`, by name, separated by commas")
	simOff    = flag.String("sim.off", "", "switch off a `rule`: the name of a test TestSimulationCatches/RULE")
	simLog    = flag.Bool("sim.log", false, "with -sim.seed, show all events and the logs of the servers")
	simWorker = flag.Bool("sim.worker", false, "be a process that simulates seeds read from stdin, for TestSimulation")
)

// memoryDir is a directory for the state of test servers, on a disk of memory where there is one.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "btw-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// planned is the plan of a seed, as the flags have it.
func planned(seed uint64) plan {
	p := plan{seed: seed, length: *simLength}
	if c, ok := catches[*simOff]; ok {
		p = c
		p.seed, p.length = seed, *simLength
	}
	if *simFaults != "" {
		p.faults = map[string]int{}
		for _, name := range strings.Split(*simFaults, ",") {
			p.faults[name] = 1
		}
	}
	return p
}

// Lock servers with real raft and real clients go through hours of faults in virtual time, and the
// checks of a history hold. It is worked off by processes of one processor each, which is much
// cheaper than goroutines that wake each other on many.
//
// One seed again:        go test ./internal/lockserver -run 'TestSimulation$' -sim.seed=123 -v
// For a night, new ones: make simulate HOURS=20000
func TestSimulation(t *testing.T) {
	if _, ok := catches[*simOff]; !ok && *simOff != "" {
		t.Fatalf("-sim.off=%q is none of %q", *simOff, slices.Sorted(maps.Keys(catches)))
	}
	for name := range planned(0).faults {
		if faults[name].do == nil {
			t.Fatalf("-sim.faults: %q is none of %q", name, slices.Sorted(maps.Keys(faults)))
		}
	}
	switch {
	case *simWorker:
		serve(t)
		return
	case *simSeed != 0:
		//lint:ignore SA1019 raft draws its timeouts from there
		rand.Seed(int64(*simSeed))
		if r := simulate(t, planned(*simSeed)); r.Wrong != "" {
			t.Errorf("%s\n%s", r.Wrong, again(*simSeed))
		} else {
			t.Logf("%+v", r)
		}
		return
	}
	t.Parallel()
	const dense = 25 // faults an hour, at the least
	hours := *simHours
	if hours == 0 {
		hours = 20
		if raceEnabled || testing.Short() { // make simulate does it all
			hours, *simLength = 0.3, 10*time.Minute
		}
	}
	total, wrong := work(hours)
	defer func() { // so that it stands below the figures, where one looks first
		if wrong != nil {
			t.Error(wrong)
		}
	}()
	if wrong == nil && (total.Hours < hours || float64(total.count()) < dense*hours) {
		t.Errorf("only %.1f hours with %d faults were simulated: the check is worth less than it should be", total.Hours, total.count())
	}
	for _, kind := range []lock.Kind{lock.Change, lock.Adopt, lock.Block, lock.Unblock, lock.Fence, lock.Fenced, poweredOff, lock.Settled, takenSilently} {
		if wrong == nil && hours >= 20 && float64(total.Did[kind]) < hours/5 {
			t.Errorf("only %d times did an entry of kind %q change something: the check is worth less than it should be", total.Did[kind], kind)
		}
	}
	t.Logf("simulated %.1f hours of a cluster: %d grants, %d losses, %d faults: %v; changes: %v", total.Hours, total.Grants, total.Lost,
		total.count(), total.Faults, total.Did)
}

func (r result) count() (n int) {
	for _, c := range r.Faults {
		n += c
	}
	return n
}

// again is the command that runs a seed once more.
func again(seed uint64) string {
	more := ""
	if *simLength != time.Hour {
		more += fmt.Sprintf(" -sim.length=%v", *simLength)
	}
	if *simFaults != "" {
		more += " -sim.faults=" + *simFaults
	}
	if *simOff != "" {
		more += fmt.Sprintf(" -sim.off=%q", *simOff)
	}
	return fmt.Sprintf("To see it again (about every second time: goroutines may run in another order):\n"+
		"  GODEBUG=randseednop=0 GOMAXPROCS=1 go test ./internal/lockserver -run 'TestSimulation$' -count=10 -sim.seed=%d%s", seed, more)
}

// work simulates that many hours, by two processes, until something is wrong.
func work(hours float64) (total result, wrong error) {
	c := crew.Crew{Processes: 2, Limit: 15 * time.Minute, Worker: func() *exec.Cmd {
		return exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-test.timeout=0", "-sim.worker",
			"-sim.length="+simLength.String(), "-sim.faults="+*simFaults, "-sim.off="+*simOff)
	}}
	seeds := func(yield func(uint64) bool) {
		for seed := *simFrom; yield(seed); seed++ {
		}
	}
	crew.Run(c, seeds, func(seed uint64, r result, err error) bool {
		total.add(r)
		switch {
		case err != nil:
			wrong = errors.Join(wrong, fmt.Errorf("seed %d: %w\n%s", seed, err, again(seed)))
		case r.Wrong != "":
			wrong = errors.Join(wrong, fmt.Errorf("seed %d: %s\n%s", seed, r.Wrong, again(seed)))
		}
		return total.Hours < hours && wrong == nil
	})
	return total, wrong
}

func (r *result) add(o result) {
	r.Hours += o.Hours
	r.Grants += o.Grants
	r.Lost += o.Lost
	if r.Faults == nil {
		r.Faults, r.Did = map[string]int{}, map[lock.Kind]int{}
	}
	for kind, n := range o.Did {
		r.Did[kind] += n
	}
	for name, n := range o.Faults {
		r.Faults[name] += n
	}
}

// serve simulates the seeds that are read from stdin.
func serve(t *testing.T) {
	err := crew.Serve(os.Stdin, os.Stdout, func(seed uint64) (r result, err error) {
		//lint:ignore SA1019 raft draws its timeouts from there
		rand.Seed(int64(seed))
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { r = simulate(t, planned(seed)) }) {
			err = crew.ErrEnd
		}
		return r, err
	})
	if err != nil {
		t.Fatal(err)
	}
}
