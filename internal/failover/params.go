package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/lock"
)

// Params are what a package script says of itself (echo VAR); what each means, and what it is where nothing is said,
// stands in rows.
type Params struct {
	Pace         time.Duration // between two looks at the package
	Timeout      time.Duration // T: the lease, and how long status may hang, be degraded, or not be able to run
	StartTimeout time.Duration
	StopTimeout  time.Duration // S
	Priority     time.Duration // how long this node leaves a free lock to others; 0 if not given

	Adopt               bool // a new manager goes on with what an earlier one left running
	KillLeftovers       bool // what a stop left alive is killed, not kept and the lock with it
	ReleaseAfterFailure bool // the lock is given back although the stop failed
	ForceUmount         bool // file systems that the stop left are unmounted by force
	SelfFence           bool // this host reboots rather than leave the package running

	Fence         string        // the module that fences another host; "" for none
	FenceRequired bool          // nobody takes over unless the fence succeeded
	FenceTimeout  time.Duration // how long a fence may take

	KillUnits []string // systemd units that belong to the package; they must have Restart=no
	VIPs      []string // its addresses, those that are addresses
	Mounts    []string // its mount points; known only with ForceUmount

	vips []string // as the script says them, what is no address too
}

func (p Params) times() lock.Times { return lock.Times{Timeout: p.Timeout, Stop: p.StopTimeout} }

// killGrace is k of SAFETY.md rule 3: how long before the kill end TERM is sent.
func (p Params) killGrace() time.Duration { return min(2*time.Second, p.StopTimeout/4) }

// turn is how often the loop must turn for its lock to be renewed.
func (p Params) turn() time.Duration { return p.times().RenewEvery(p.Pace) / 2 }

// Warnings are what makes little sense in the parameters, but is obeyed: old scripts come as they are.
func (p Params) Warnings() (w []string) {
	for _, r := range rows {
		if r.warn != nil {
			w = append(w, r.warn(p)...)
		}
	}
	return w
}

// Values are the parameters as a script says them: "30", "yes". Those that are not set are
// left out; priority is there without the node's name.
func (p Params) Values() map[string]string {
	values := map[string]string{}
	for _, r := range rows {
		if r.told != nil && !r.told(p) {
			continue
		}
		for i, value := range r.values(&p) {
			values[r.nth(r.name, i)] = value
		}
	}
	return values
}

// A Teller gives the answers of echo VAR.
type Teller interface {
	Echo(ctx context.Context, name string) (string, error)
}

const (
	echoLimit  = 10 * time.Second // how long a script may take to echo all its parameters
	echoAtOnce = 4                // runs of it at a time
	maxListed  = 100              // of NAME_0, NAME_1, ...: a script that answers everything is not asked for ever
)

// ReadParams asks a package script for its parameters, as they are on node. The error names
// every fault; what is of use is returned beside it.
func ReadParams(ctx context.Context, script Teller, node string) (Params, error) {
	ctx, cancel := context.WithTimeout(ctx, echoLimit)
	defer cancel()
	a := answers{}
	for names := a.wanted(node); len(names) > 0; names = a.wanted(node) {
		if err := a.ask(ctx, script, names); err != nil {
			return Params{}, err
		}
	}
	return a.params(node)
}

// answers are what a script said, by parameter.
type answers map[string]string

// wanted is what to ask next. Each question is a run of the script, so what only means
// something together with another parameter is asked after that. The first is asked alone: a
// script that cannot be run fails once, and says so once in its log.
func (a answers) wanted(node string) (names []string) {
	if len(a) == 0 {
		return []string{rows[0].name}
	}
	for _, r := range rows {
		name := r.askedAs(node)
		if name == "" || r.asked != nil && !r.asked(a) || r.isList() && a.endless(name) {
			continue
		}
		name = r.nth(name, len(a.list(name)))
		if _, known := a[name]; !known {
			names = append(names, name)
		}
	}
	return names
}

// endless says whether prefix0, prefix1, ... was said so often that no more is asked.
func (a answers) endless(prefix string) bool { return len(a.list(prefix)) >= maxListed }

// list is what was said of prefix0, prefix1, ..., up to the first that is empty.
func (a answers) list(prefix string) (values []string) {
	for {
		value := a[prefix+strconv.Itoa(len(values))]
		if value == "" {
			return values
		}
		values = append(values, value)
	}
}

// ask asks for all names, some at a time. One that cannot be asked ends it: the others would
// fail alike.
func (a answers) ask(ctx context.Context, script Teller, names []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	values := make([]string, len(names))
	var next atomic.Int64
	var fault error
	var failed sync.Once
	var askers sync.WaitGroup
	for range echoAtOnce {
		askers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				value, err := script.Echo(ctx, names[i])
				if err != nil {
					failed.Do(func() { fault = err }) // the first: it ends the others
					cancel()
					return
				}
				values[i] = value
			}
		})
	}
	askers.Wait()
	for i, name := range names {
		a[name] = values[i]
	}
	return fault
}

// params is what the answers mean.
func (a answers) params(node string) (p Params, _ error) {
	var faults []error
	for _, r := range rows {
		faults = append(faults, a.take(&p, r, node))
		if r.check != nil {
			faults = append(faults, r.check(p))
		}
	}
	return p, errors.Join(faults...)
}

// take makes p say what was said of the parameter r.
func (a answers) take(p *Params, r param, node string) error {
	name := r.askedAs(node)
	said := []string{cmp.Or(a[name], r.standard)}
	if r.isList() {
		said = a.list(name)
	}
	if r.isList() && a.endless(name) {
		return fmt.Errorf("cannot use %s=%q: the list does not end", r.nth(name, maxListed-1), said[maxListed-1])
	}
	var faults []error
	for i, text := range said {
		if text == "" {
			continue
		}
		if say := r.set(p, text); say != "" {
			faults = append(faults, fmt.Errorf("cannot use %s=%q: say %s", r.nth(name, i), text, say))
		}
	}
	return errors.Join(faults...)
}
