package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

	Retries int // how often it is started again in place when it fails, before another node is to start it

	Adopt               bool // a new manager goes on with what an earlier one left running
	KillLeftovers       bool // what a stop left alive is killed, not kept and the lock with it
	ReleaseAfterFailure bool // the lock is given back although the stop failed
	ForceUmount         bool // file systems that the stop left are unmounted by force
	SelfFence           bool // this host reboots rather than leave the package running

	Fence         string        // the module that fences another host; "" for none
	FenceRequired bool          // nobody takes over unless the fence succeeded
	FenceTimeout  time.Duration // how long a fence may take

	KillUnits []string // systemd units that belong to the package; they must have Restart=no
	Groups    []string `json:",omitempty"` // groups of clinit that are the package's
	Socket    string   `json:",omitempty"` // of their daemon
	VIPs      []string // its addresses, those that are addresses
	Mounts    []string // its mount points; known only with ForceUmount
	Sources   []string `json:",omitempty"` // what is mounted there, as its script says it; likewise

	Odd string `json:",omitempty"` // why little of what the script says counts; "" where all does

	vips []string // as the script says them, what is no address too
}

func (p Params) times() lock.Times { return lock.Times{Timeout: p.Timeout, Stop: p.StopTimeout} }

// killGrace is k of SAFETY.md rule 3: how long before the kill end TERM is sent.
func (p Params) killGrace() time.Duration { return min(2*time.Second, p.StopTimeout/4) }

// turn is how often the loop must turn for its lock to be renewed.
func (p Params) turn() time.Duration { return p.times().RenewEvery(p.Pace) / 2 }

// Warnings are what makes little sense in the parameters, but is obeyed: old scripts come as they are.
func (p Params) Warnings() (w []string) {
	if p.Odd != "" {
		w = append(w, p.Odd+".")
	}
	for _, r := range rows {
		if r.warn != nil {
			w = append(w, r.warn(p)...)
		}
	}
	return w
}

// InsteadOf says whether a package that lived by before may live by p: a script that became odd may fail at all that
// it is asked only for now.
func (p Params) InsteadOf(before Params) error {
	if p.Odd != "" && before.Odd == "" {
		return errors.New(p.Odd)
	}
	return nil
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

// A Teller gives the answers of echo NAME.
type Teller interface {
	// Echo is what the script says of names, and of more: unless it is odd, one that says something whatever it
	// is asked, or fails and says nothing of any name. odd says how.
	Echo(ctx context.Context, names, more []string) (said map[string]string, odd string, err error)
	// Sets is the first of names that the package's text gives a value, and in which file; "" where none is.
	Sets(names []string) (file, name string)
}

const (
	askAhead  = 2   // so many of a list are asked for at once: for most there is one, and then the first that is empty
	maxListed = 100 // of NAME_0, NAME_1, ...: a script that answers everything is not asked for ever
)

// ReadParams asks a package script for its parameters, as they are on node. The error names
// every fault; what is of use is returned beside it.
func ReadParams(ctx context.Context, script Teller, node string) (Params, error) {
	a, host := answers{}, namesOf(script, node)
	for names, more := a.wanted(host); len(names)+len(more) > 0; names, more = a.wanted(host) {
		said, odd, err := script.Echo(ctx, names, more)
		if err != nil {
			return Params{}, err
		}
		for _, name := range slices.Concat(names, more) {
			a[name] = said[name]
		}
		if odd != "" {
			p, err := a.original(host, odd)
			return p, errors.Join(err, bindingOf(script, odd))
		}
	}
	return a.params(host)
}

// answers are what a script said, by parameter.
type answers map[string]string

// wanted is what to ask next: names that every package knows, and more. Each question may be a run of the script, so
// what only means something together with another parameter is asked after that.
func (a answers) wanted(host hostNames) (names, more []string) {
	for _, r := range rows {
		if r.asked != nil && !r.asked(a) || r.isList() && a.endless(r.name) {
			continue
		}
		for _, name := range r.askedAs(host) {
			if n := len(a.list(name)); r.isList() {
				more = append(more, a.open(r.nth(name, n), r.nth(name, n+askAhead-1))...)
			} else if r.original {
				names = append(names, a.open(name)...)
			} else {
				more = append(more, a.open(name)...)
			}
		}
	}
	return names, more
}

// open is those of names that were not asked for; none where the first was.
func (a answers) open(names ...string) (open []string) {
	for i, name := range names {
		if _, known := a[name]; !known {
			open = append(open, name)
		} else if i == 0 {
			return nil
		}
	}
	return open
}

// original is what the answers of an odd script mean: the original's parameters are numbers, and what is none is not said.
func (a answers) original(host hostNames, odd string) (Params, error) {
	var names, none []string
	kept := answers{}
	for _, r := range rows {
		if !r.original {
			continue
		}
		for _, name := range r.askedAs(host) {
			names = append(names, name)
			if text := a[name]; text == "" || r.set(new(Params), text) == "" {
				kept[name] = text
			} else {
				none = append(none, fmt.Sprintf("%s=%.60q", name, text))
			}
		}
	}
	p, err := kept.params(host)
	p.Odd = fmt.Sprintf("%s: of what it says only %s count", odd, strings.Join(names, ", "))
	if len(none) > 0 {
		p.Odd += "; the default is taken for " + strings.Join(none, ", ")
	}
	return p, err
}

// bindingOf refuses an odd script that asks for what a package must not run without: whether it does is not known.
func bindingOf(script Teller, odd string) error {
	var names []string
	for _, r := range rows {
		if r.binding {
			names = append(names, r.name)
		}
	}
	if file, name := script.Sets(names); name != "" {
		return fmt.Errorf("%s, but %s sets %s: whether that counts cannot be known. let echo print the value of each name, and nothing for one that has none", odd, file, name)
	}
	return nil
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

// params is what the answers mean.
func (a answers) params(host hostNames) (p Params, _ error) {
	var faults []error
	for _, r := range rows {
		faults = append(faults, a.take(&p, r, host))
		if r.check != nil {
			faults = append(faults, r.check(p))
		}
	}
	return p, errors.Join(faults...)
}

// take makes p say what was said of the parameter r.
func (a answers) take(p *Params, r param, host hostNames) error {
	name := a.first(r.askedAs(host))
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
