package simulate

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// How to run one simulation again, or for a night: see TestCluster.
var (
	simSeed   = flag.Uint64("sim.seed", 0, "run the one simulation of this `seed`, and nothing else")
	simHours  = flag.Float64("sim.hours", 0, "how many `hours` of a cluster to simulate; 0: 20, or half an hour with -short or -race")
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
	p.Tough = seed%4 == 0
	if *simFaults != "" {
		p.Faults = map[string]int{}
		for _, name := range strings.Split(*simFaults, ",") {
			p.Faults[name] = 1
		}
	}
	return p
}

// simulate runs a plan in a bubble of its own.
func simulate(t *testing.T, p Plan) (r Result) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "btw-test-")
	if err != nil {
		dir = t.TempDir()
	}
	defer func() { _ = os.RemoveAll(dir) }()
	//lint:ignore SA1019 raft draws its timeouts from there
	rand.Seed(int64(p.Seed))
	synctest.Test(t, func(t *testing.T) {
		if r, err = Run(p, dir); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// A whole cluster goes through hours of faults in virtual time, and nothing runs twice. It is worked
// off by processes of one processor each, which is much cheaper than goroutines that wake each
// other on many.
//
// One seed again:        go test ./internal/simulate -run 'TestCluster$' -sim.seed=123 -v
// For a night, new ones: make simulate-cluster HOURS=20000
func TestCluster(t *testing.T) {
	switch {
	case *simWorker:
		work(t)
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
			hours, *simLength = 0.5, 10*time.Minute
		}
	}
	total := crew(t, hours)
	const dense = 25 // faults an hour, at the least
	if !t.Failed() && (total.Hours < hours || float64(total.count()) < dense*hours) {
		t.Errorf("only %.1f hours with %d faults were simulated: the check is worth less than it should be", total.Hours, total.count())
	}
	text, err := json.MarshalIndent(total, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d faults: %s", total.count(), text)
}

func (r Result) count() (n int) {
	for _, c := range r.Faults {
		n += c
	}
	return n
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
		"  GODEBUG=randseednop=0 GOMAXPROCS=1 go test ./internal/simulate -run 'TestCluster$' -count=10 -sim.seed=%d%s", p.Seed, more)
}

// crew simulates that many hours, by two processes, and reports what is wrong.
func crew(t *testing.T, hours float64) (total Result) {
	const processes = 2
	seeds := make(chan uint64)
	stop := make(chan struct{})
	go func() {
		defer close(seeds)
		for seed := *simFrom; ; seed++ {
			select {
			case seeds <- seed:
			case <-stop:
				return
			}
		}
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var stopped bool
	took := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		total.add(r)
		if r.Wrong != "" {
			t.Errorf("seed %d: %s\n%s", r.Seed, r.Wrong, again(r.Seed))
		}
		if (total.Hours >= hours || t.Failed()) && !stopped {
			stopped = true
			close(stop)
		}
	}
	for range processes {
		wg.Go(func() { employ(t, seeds, took) })
	}
	wg.Wait()
	return total
}

func (r *Result) add(o Result) {
	if r.Faults == nil {
		r.Faults, r.Happened, r.Down = map[string]int{}, map[string]int{}, map[string]float64{}
	}
	r.Hours += o.Hours
	r.Grants += o.Grants
	r.Adoptions += o.Adoptions
	r.TakeOvers += o.TakeOvers
	r.Kept += o.Kept
	r.Blocked += o.Blocked
	r.Unkillable += o.Unkillable
	r.Doubled += o.Doubled
	for name, n := range o.Faults {
		r.Faults[name] += n
	}
	for name, n := range o.Happened {
		r.Happened[name] += n
	}
	for name, seconds := range o.Down {
		r.Down[name] = max(r.Down[name], seconds)
	}
}

// employ has a process of its own simulate seeds.
func employ(t *testing.T, seeds <-chan uint64, took func(Result)) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCluster$", "-test.timeout=0", "-sim.worker",
		"-sim.length="+simLength.String(), fmt.Sprint("-sim.nodes=", *simNodes), fmt.Sprint("-sim.servers=", *simOwn), "-sim.faults="+*simFaults, "-sim.off="+*simOff)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=1000", "GODEBUG=randseednop=0")
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Errorf("cannot start a process to simulate with: %v %v", err1, err2)
		return
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for seed := range seeds {
		const limit = 5 * time.Minute
		hangs := time.AfterFunc(limit, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // it says where it stands
		_, err := fmt.Fprintln(in, seed)
		r, ok := nextResult(lines)
		if !hangs.Stop() || err != nil || !ok {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // and with it all that it said
			took(Result{Seed: seed, Wrong: fmt.Sprintf("the process crashed, or hung for %v: %s%s", limit, r.Wrong, stands(errs.String()))})
			return
		}
		took(r)
	}
}

// stands is, of a process that says where all its goroutines stand, those that may be why it hangs: not
// who waits as one does in virtual time.
func stands(text string) string {
	var some []string
	for part := range strings.SplitSeq(text, "\n\n") {
		if first, _, _ := strings.Cut(part, "\n"); strings.Contains(first, "bubble") && !strings.Contains(first, "durable") {
			some = append(some, part)
		}
	}
	return last(strings.Join(some, "\n\n"))
}

func last(text string) string { return text[max(0, len(text)-30000):] }

const (
	mark       = "RESULT " // begins the line of a result
	testFailed = "the test itself failed"
)

// nextResult is the next result that a worker says.
func nextResult(lines *bufio.Scanner) (r Result, ok bool) {
	var before strings.Builder
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), mark); ok {
			err := json.Unmarshal([]byte(text), &r)
			if r.Wrong == testFailed {
				r.Wrong += ": " + last(before.String())
			}
			return r, err == nil
		}
		before.WriteString(lines.Text() + "\n")
	}
	return Result{Wrong: last(before.String())}, false
}

// work simulates the seeds that are read from stdin.
func work(t *testing.T) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var seed uint64
		if _, err := fmt.Sscan(lines.Text(), &seed); err != nil {
			t.Fatal(err)
		}
		var r Result
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { r = simulate(t, planned(seed)) }) && r.Wrong == "" {
			r.Seed, r.Wrong = seed, testFailed
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\n%s%s\n", mark, b)
	}
}
