package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"backtowork/internal/lock"
)

// Params are what a package script says of itself (echo VAR). A number is whole seconds.
type Params struct {
	Pace         time.Duration // between two looks at the package; default 4 s
	Timeout      time.Duration // T: the lease, and how long status may hang or be degraded; default 30 s
	StartTimeout time.Duration // default 30 s
	StopTimeout  time.Duration // S: default 30 s
	Priority     time.Duration // how long this node leaves a free lock to others; 0 if not given
}

func (p Params) times() lock.Times { return lock.Times{Timeout: p.Timeout, Stop: p.StopTimeout} }

// killGrace is k of SAFETY.md rule 3: how long before the kill end TERM is sent.
func (p Params) killGrace() time.Duration { return min(2*time.Second, p.StopTimeout/4) }

// turn is how often the loop must turn for its lock to be renewed.
func (p Params) turn() time.Duration { return min(p.Pace, p.Timeout/3) / 2 }

// Warnings are what makes little sense, but is done: old scripts come as they are.
func (p Params) Warnings() []string {
	var w []string
	if p.Pace > p.Timeout {
		w = append(w, fmt.Sprintf("warning: pace (%v) is longer than timeout (%v).", p.Pace, p.Timeout))
	}
	if p.Timeout < 8*time.Second {
		w = append(w, fmt.Sprintf("warning: timeout (%v) is below 8s: the lock is lost when the leading lock server crashes.", p.Timeout))
	}
	return w
}

// A Teller gives the answers of echo VAR.
type Teller interface {
	Echo(ctx context.Context, name string) (string, error)
}

// echoLimit is how long a script may take to echo a parameter.
const echoLimit = 10 * time.Second

// ReadParams asks a package script for its parameters, as they are on node. The error names
// every fault.
func ReadParams(ctx context.Context, script Teller, node string) (Params, error) {
	ctx, cancel := context.WithTimeout(ctx, echoLimit)
	defer cancel()
	var p Params
	var faults []error
	for _, f := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"pace", &p.Pace, 4 * time.Second},
		{"timeout", &p.Timeout, 30 * time.Second},
		{"start_timeout", &p.StartTimeout, 30 * time.Second},
		{"stop_timeout", &p.StopTimeout, 30 * time.Second},
	} {
		text, err := script.Echo(ctx, f.name)
		if err != nil {
			return p, err // the next would fail alike
		}
		*f.value = f.standard
		if text != "" {
			*f.value, err = seconds(f.name, text)
		}
		faults = append(faults, err)
	}
	priority, err := readPriority(ctx, script, node)
	p.Priority = priority
	return p, errors.Join(append(faults, err)...)
}

func seconds(name, text string) (time.Duration, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 || n > 1_000_000 {
		return 0, fmt.Errorf("cannot use %s=%q: say whole seconds, more than 0", name, text)
	}
	return time.Duration(n) * time.Second, nil
}

// readPriority reads <node>_priority: lower goes first. None, or one below 0, means that it
// does not matter which node goes first.
func readPriority(ctx context.Context, script Teller, node string) (time.Duration, error) {
	name := strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(node) + "_priority"
	if name[0] >= '0' && name[0] <= '9' {
		return 0, nil // no shell has a variable of that name
	}
	text, err := script.Echo(ctx, name)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1_000_000 {
		return 0, fmt.Errorf("cannot use %s=%q: say whole seconds", name, text)
	}
	return time.Duration(max(n, 0)) * time.Second, nil
}
