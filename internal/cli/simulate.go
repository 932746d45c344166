package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/manager"
	"backtowork/internal/script"
	"backtowork/internal/sim/cluster"
	"backtowork/internal/sim/crew"

	"golang.org/x/sys/unix"
)

// simulateUsage has the list of faults in it.
func simulateUsage() string {
	var list strings.Builder
	all := cluster.Faults()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&list, "  %-16s %s\n", name, all[name])
	}
	return `Usage: service simulate [-o json] [--hours N] [--fault F[,F...]] [--nodes N] [--servers N] [--seed N] PACKAGE

Tries a package's parameters (timeout, stop_timeout, fence ...) on a cluster that is all in memory,
with the program's own failover machine, deadman and lock servers, in virtual time: an hour takes
seconds. Nothing real is touched, and of the package's script only "echo" is called: the simulated
script takes up to 2.5 s to start and to stop. First each fault comes alone, and it is measured for
how long the package was up nowhere; then many come at once, with scripts that fail, hang and lie.
It never may run on two nodes at once, nor after its kill end: then the exit status is 1.

  --hours N         of the cluster (5)
  --fault F,F       only these, and a timeline of the longest of each
  --nodes, --servers  how many (as in conf/cluster_nodes and lock_servers; 3 for a host by itself)
  --seed N          where the random numbers begin (1)

Faults:
` + list.String() + `
Example: ./service simulate dummy --fault node-crash
`
}

const simulatorUsage = `Usage: simulator

Simulates clusters by the plans that it reads from stdin. service simulate starts it.

Example: service simulate dummy
`

// simulator is a worker of service simulate.
func simulator(_ context.Context, env *command.Env) error {
	if len(env.Args) > 0 {
		return command.UsageError("simulator takes no arguments")
	}
	const last = 19
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, last) // this host may have services to run
	cluster.Main(env.Stdin, env.Stdout)
	return nil
}

// A trial is what service simulate is asked for.
type trial struct {
	pkg    string
	hours  float64
	seed   uint64
	asJSON bool
	named  []string // faults that were asked for by name
	plan   cluster.Plan
}

// longestTrial is in hours of the cluster: some weeks of a processor.
const longestTrial = 1_000_000

// parseTrial reads the arguments.
func parseTrial(args []string) (t trial, err error) {
	long := map[string]byte{"hours": 't', "fault": 'f', "nodes": 'n', "servers": 'l', "seed": 's'}
	opts, operands, err := command.Options(args, "o:t:f:n:l:s:", long)
	if err != nil {
		return t, err
	}
	t = trial{hours: 5, seed: 1}
	for _, o := range opts {
		switch o.Letter {
		case 'o':
			if t.asJSON = o.Value == "json"; !t.asJSON {
				return t, command.Usagef("cannot print %q: -o takes json", o.Value)
			}
		case 't':
			if t.hours, err = strconv.ParseFloat(o.Value, 64); err != nil || !(t.hours > 0 && t.hours <= longestTrial) {
				return t, command.Usagef("cannot use --hours %q: say a number above 0", o.Value)
			}
		case 'f':
			t.named = append(t.named, strings.Split(o.Value, ",")...)
		case 'n':
			t.plan.Nodes, err = between(o.Value, "--nodes", 2, 10)
		case 'l':
			t.plan.Servers, err = between(o.Value, "--servers", 1, 9)
		case 's':
			if t.seed, err = strconv.ParseUint(o.Value, 10, 32); err != nil {
				return t, command.Usagef("cannot use --seed %q: say a whole number", o.Value)
			}
		}
		if err != nil {
			return t, err
		}
	}
	switch len(operands) {
	case 0:
		return t, errNoPackage
	case 1:
		t.pkg = operands[0]
	default:
		return t, command.UsageError("simulate takes one package")
	}
	return t, t.takeFaults()
}

// takeFaults makes the plan have the faults that were named.
func (t *trial) takeFaults() error {
	known := cluster.Faults()
	for _, name := range t.named {
		if known[name] == "" {
			return command.WithHint(command.Usagef("no such fault: %q", name), "service simulate --help lists them")
		}
		if t.plan.Faults == nil {
			t.plan.Faults = map[string]int{}
		}
		t.plan.Faults[name] = 1
		t.plan.BothKilled = t.plan.BothKilled || name == cluster.BothKilled
	}
	return nil
}

func between(text, option string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, command.Usagef("cannot use %s %q: say %d to %d", option, text, least, most)
	}
	return n, nil
}

func serviceSimulate(ctx context.Context, env *command.Env, args []string) error {
	t, err := parseTrial(args)
	if err != nil {
		return err
	}
	if err := lockName(t.pkg); err != nil {
		return err
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	params, err := s.simulated(ctx, &t)
	if err != nil {
		return err
	}
	begin := time.Now()
	total, err := s.simulate(ctx, t)
	if err != nil {
		return err
	}
	r := reportOf(t, params, total, time.Since(begin))
	if t.asJSON {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print(env.Stdout)
	}
	if err == nil && total.Wrong != "" {
		err = t.violated(params, total)
	}
	return err
}

// simulated sets up the plan with the package's parameters and this site's numbers of nodes and
// servers.
func (s *site) simulated(ctx context.Context, t *trial) (p failover.Params, err error) {
	if err := script.Check(s.Home, t.pkg); err != nil {
		return p, err
	}
	if err := s.readServers(); err != nil {
		return p, err
	}
	nodes, err := s.ClusterNodes()
	if err != nil {
		return p, err
	}
	r, err := s.asker(t.pkg)
	if err != nil {
		return p, err
	}
	defer r.Close()
	if p, err = failover.ReadParams(ctx, r, s.Node); err != nil {
		return p, manager.AboutPackage(t.pkg, err)
	}
	count, servers := len(nodes), len(s.servers)
	if count < 2 && servers < 2 { // a host by itself: simulate the usual cluster
		count, servers = 3, 3
	}
	t.plan.Nodes = cmp.Or(t.plan.Nodes, min(max(count, 2), 10))
	t.plan.Servers = cmp.Or(t.plan.Servers, min(servers, 9))
	t.plan.Name, t.plan.Params = t.pkg, []failover.Params{p}
	t.plan.Alone, t.plan.Together, t.plan.Fixed, t.plan.Length = true, true, true, time.Minute
	return p, nil
}

// simulate has worker processes run one seed after another until enough hours are simulated.
func (s *site) simulate(ctx context.Context, t trial) (total cluster.Result, err error) {
	const most = 8
	if t.plan.Dir, err = cluster.MakeDir(""); err != nil {
		return total, err
	}
	defer func() { _ = os.RemoveAll(t.plan.Dir) }() // a worker that is killed leaves what it has
	c := crew.Crew{Processes: min(runtime.NumCPU(), most), Limit: time.Hour, Worker: func() *exec.Cmd { return simulation(ctx) }}
	plans := func(yield func(cluster.Plan) bool) {
		for p := t.plan; ; p.Seed++ {
			p.Seed = max(p.Seed, t.seed)
			p.Tough = p.Seed%2 == 0
			if !yield(p) {
				return
			}
		}
	}
	tell := progress(s.env.Stderr)
	defer tell("")
	tell("simulating ...")
	crew.Run(c, plans, func(p cluster.Plan, r cluster.Result, fault error) bool {
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("cannot simulate with seed %d: %w", p.Seed, fault))
			return false
		}
		total.Add(r)
		tell(fmt.Sprintf("simulated %.1f of %g hours ...", total.Hours, t.hours))
		return total.Hours < t.hours && total.Wrong == "" && ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return total, context.Cause(ctx)
	}
	return total, err
}

// progress shows how far something is, on a terminal: each time in place of what was shown before.
func progress(to io.Writer) func(string) {
	f, ok := to.(*os.File)
	if !ok {
		return func(string) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(line string) { fmt.Fprintf(f, "\r%s\033[K", line) }
}

// violated returns an error that says what went wrong, and whether it is our fault or the user's.
func (t trial) violated(p failover.Params, total cluster.Result) error {
	hint := fmt.Sprintf("this should never be: please report it, with all that was printed (seed %d)", total.Seed)
	switch {
	case p.ReleaseAfterFailure:
		hint = "stop_failure=release is meant like that: leave it out"
	case t.plan.BothKilled:
		hint = "see doc/failover-scenarios.md, what remains"
	}
	first, _, _ := strings.Cut(total.Wrong, "\n")
	return command.WithHint(errors.New(first), "%s", hint)
}

// A simulationReport is what service simulate prints.
type simulationReport struct {
	Package    string             `json:"package"`
	Params     map[string]string  `json:"params"`
	Nodes      int                `json:"nodes"`
	Servers    int                `json:"servers"`
	Hours      float64            `json:"hours"`
	Seconds    float64            `json:"took_seconds"`
	Faults     map[string]int     `json:"faults"`
	Alone      []faultReport      `json:"alone"`
	Mixed      map[string]float64 `json:"mixed_down_most"` // seconds, by the fault before
	Grants     int                `json:"grants"`
	Adoptions  int                `json:"adoptions"`
	Takeovers  int                `json:"stops_by_deadman"`
	Blocked    int                `json:"blocked"`
	Violations string             `json:"violation"` // "" for none

	timelines []string // faults whose timelines people are to see
}

// A faultReport is what one fault costs, in seconds.
type faultReport struct {
	Fault    string   `json:"fault"`
	Times    int      `json:"times"`
	Median   float64  `json:"down_median"`
	Most     float64  `json:"down_most"`
	Bound    *float64 `json:"check_conf,omitempty"` // what service check-conf says; nil where it says nothing
	Seed     uint64   `json:"seed"`
	Timeline []string `json:"timeline"`
}

// reportOf is what came of a trial.
func reportOf(t trial, p failover.Params, total cluster.Result, took time.Duration) *simulationReport {
	r := &simulationReport{
		Package: t.pkg, Params: p.Values(), Nodes: t.plan.Nodes, Servers: t.plan.Servers, Hours: total.Hours, Seconds: took.Seconds(),
		Faults: total.Faults, Alone: []faultReport{}, Mixed: total.Down, Grants: total.Grants, Adoptions: total.Adoptions, Takeovers: total.TakeOvers,
		Blocked: total.Blocked, Violations: total.Wrong, timelines: t.named,
	}
	b := p.Bounds()
	bounds := map[string]time.Duration{
		"node-crash": b.LeaderCrash, "cut-holder": b.LeaderCrash, "node-pause": b.LeaderCrash, "halt": b.HandOver,
	}
	for _, name := range slices.Sorted(maps.Keys(total.Alone)) {
		m := total.Alone[name]
		f := faultReport{Fault: name, Times: len(m.Down), Median: m.Median(), Most: m.Most(), Seed: m.Seed, Timeline: m.Timeline}
		if bound, ok := bounds[name]; ok {
			seconds := bound.Seconds()
			f.Bound = &seconds
		}
		r.Alone = append(r.Alone, f)
	}
	slices.SortStableFunc(r.Alone, func(a, b faultReport) int { return cmp.Compare(b.Most, a.Most) })
	if len(r.timelines) == 0 && len(r.Alone) > 0 {
		r.timelines = []string{r.Alone[0].Fault}
	}
	return r
}

// print prints it for people.
func (r *simulationReport) print(to io.Writer) error {
	faults := 0
	for _, n := range r.Faults {
		faults += n
	}
	fmt.Fprintf(to, "package %s on %d simulated nodes with %d lock servers: %.1f hours, %d faults\n", r.Package, r.Nodes, r.Servers, r.Hours, faults)
	var params []string
	for _, name := range sortedKeys(r.Params) {
		params = append(params, name+"="+plain(r.Params[name]))
	}
	fmt.Fprintln(to, strings.Join(params, " "))
	if r.Violations != "" {
		fmt.Fprintf(to, "\nthis may never be:\n%s\n", r.Violations)
		return nil
	}
	fmt.Fprintln(to, "it never ran on two nodes at once, nor after its kill end")
	fmt.Fprintln(to, "\neach fault alone: for how many seconds it was up nowhere (promised: the most that service check-conf allows)")
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "times\tmedian\tmost\tpromised\t  fault")
	for _, f := range r.Alone {
		bound := "-"
		if f.Bound != nil {
			bound = fmt.Sprintf("%.1f", *f.Bound)
		}
		fmt.Fprintf(w, "%d\t%.1f\t%.1f\t%s\t  %s\n", f.Times, f.Median, f.Most, bound, f.Fault)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var worst float64
	for _, seconds := range r.Mixed {
		worst = max(worst, seconds)
	}
	fmt.Fprintf(to, "\nmany at once, and scripts that fail, hang and lie: at most %.1f; %d changes of node, %d adoptions, %d stops by a deadman, %d blocked\n",
		worst, r.Grants, r.Adoptions, r.Takeovers, r.Blocked)
	for _, f := range r.Alone {
		if slices.Contains(r.timelines, f.Fault) {
			fmt.Fprintf(to, "\nthe longest of %s, in seconds after it:\n%s\n", f.Fault, strings.Join(f.Timeline, "\n"))
		}
	}
	return nil
}
