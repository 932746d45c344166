package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"backtowork/internal/lock"
)

// Params are what a package script says of itself (echo VAR). A number is whole seconds.
type Params struct {
	Pace         time.Duration // between two looks at the package; default 4 s
	Timeout      time.Duration // T: the lease, and how long status may hang, be degraded, or not be able to run; default 30 s
	StartTimeout time.Duration // default 30 s
	StopTimeout  time.Duration // S: default 30 s
	Priority     time.Duration // how long this node leaves a free lock to others; 0 if not given

	Adopt               bool // adopt: a new manager goes on with what an earlier one left running; default yes
	KillLeftovers       bool // kill_leftovers: what a stop left alive is killed, not kept and the lock with it; default yes
	ReleaseAfterFailure bool // stop_failure=release: the lock is given back although the stop failed; default block
	ForceUmount         bool // force_umount: file systems that the stop left are unmounted by force; default no
	SelfFence           bool // self_fence=reboot: this host reboots rather than leave the package running; default no

	Fence         string        // fence: the module that fences another host; "" for none
	FenceRequired bool          // fence_required: nobody takes over unless the fence succeeded; default no
	FenceTimeout  time.Duration // fence_timeout: how long a fence may take; default 60 s

	KillUnits []string // kill_unit_0, ...: systemd units that belong to the package; they must have Restart=no
	VIPs      []string // vip_ip_0, ...: its addresses, those that are addresses
	Mounts    []string // fs_dir_0, ...: its mount points; known only with ForceUmount

	vips []string // as the script says them, what is no address too
}

func (p Params) times() lock.Times { return lock.Times{Timeout: p.Timeout, Stop: p.StopTimeout} }

// killGrace is k of SAFETY.md rule 3: how long before the kill end TERM is sent.
func (p Params) killGrace() time.Duration { return min(2*time.Second, p.StopTimeout/4) }

// turn is how often the loop must turn for its lock to be renewed.
func (p Params) turn() time.Duration { return p.times().RenewEvery(p.Pace) / 2 }

// Warnings are what makes little sense in the parameters, but is obeyed: old scripts come as they are.
func (p Params) Warnings() []string {
	var w []string
	if p.Pace > p.Timeout {
		w = append(w, fmt.Sprintf("pace (%v) is longer than timeout (%v).", p.Pace, p.Timeout))
	}
	if p.Timeout < 8*time.Second {
		w = append(w, fmt.Sprintf("timeout (%v) is below 8s: the lock is lost when the leading lock server crashes.", p.Timeout))
	}
	for i, vip := range p.vips {
		if _, err := netip.ParseAddr(vip); err != nil {
			w = append(w, fmt.Sprintf("vip_ip_%d=%q is not an IP address.", i, vip))
		}
	}
	return w
}

// Values are the parameters as a script says them: "30", "yes". Those that are not set are
// left out; priority is there without the node's name.
func (p Params) Values() map[string]string {
	values := map[string]string{
		"pace": whole(p.Pace), "timeout": whole(p.Timeout), "start_timeout": whole(p.StartTimeout), "stop_timeout": whole(p.StopTimeout),
		"adopt":          word(p.Adopt, "yes", "no"),
		"kill_leftovers": word(p.KillLeftovers, "yes", "no"),
		"stop_failure":   word(p.ReleaseAfterFailure, "release", "block"),
		"force_umount":   word(p.ForceUmount, "yes", "no"),
		"self_fence":     word(p.SelfFence, "reboot", "no"),
	}
	if p.Priority > 0 {
		values["priority"] = whole(p.Priority)
	}
	if p.Fence != "" {
		values["fence"], values["fence_timeout"] = p.Fence, whole(p.FenceTimeout)
		values["fence_required"] = word(p.FenceRequired, "yes", "no")
	}
	for prefix, list := range map[string][]string{"kill_unit_": p.KillUnits, "vip_ip_": p.vips, "fs_dir_": p.Mounts} {
		for i, value := range list {
			values[prefix+strconv.Itoa(i)] = value
		}
	}
	return values
}

func whole(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func word(value bool, on, off string) string {
	if value {
		return on
	}
	return off
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
// every fault.
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
func (a answers) wanted(node string) []string {
	if len(a) == 0 {
		return []string{"pace"}
	}
	names := []string{
		"timeout", "start_timeout", "stop_timeout", "adopt", "kill_leftovers", "stop_failure",
		"force_umount", "self_fence", "fence", "fence_required",
	}
	if name := priorityOf(node); name != "" {
		names = append(names, name)
	}
	if a["fence"] != "" {
		names = append(names, "fence_timeout")
	}
	lists := []string{"kill_unit_", "vip_ip_"}
	if a["force_umount"] == "yes" {
		lists = append(lists, "fs_dir_")
	}
	for _, prefix := range lists {
		if n := len(a.list(prefix)); n < maxListed {
			names = append(names, prefix+strconv.Itoa(n))
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { _, known := a[name]; return known })
}

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
	faults := []error{
		a.seconds(&p.Pace, "pace", 4*time.Second),
		a.seconds(&p.Timeout, "timeout", 30*time.Second),
		a.seconds(&p.StartTimeout, "start_timeout", 30*time.Second),
		a.seconds(&p.StopTimeout, "stop_timeout", 30*time.Second),
		a.priority(&p.Priority, priorityOf(node)),
		a.choice(&p.Adopt, true, "adopt", "yes", "no"),
		a.choice(&p.KillLeftovers, true, "kill_leftovers", "yes", "no"),
		a.choice(&p.ReleaseAfterFailure, false, "stop_failure", "release", "block"),
		a.choice(&p.ForceUmount, false, "force_umount", "yes", "no"),
		a.choice(&p.SelfFence, false, "self_fence", "reboot", "no"),
		a.fence(&p),
		a.units(&p),
		a.vips(&p),
		a.mounts(&p),
	}
	return p, errors.Join(faults...)
}

func (a answers) seconds(value *time.Duration, name string, standard time.Duration) error {
	*value = standard
	text := a[name]
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 || n > 1_000_000 {
		return fmt.Errorf("cannot use %s=%q: say whole seconds, more than 0", name, text)
	}
	*value = time.Duration(n) * time.Second
	return nil
}

// choice is a parameter that is one of two words: on, which is true, or off.
func (a answers) choice(value *bool, standard bool, name, on, off string) error {
	switch text := a[name]; text {
	case "":
		*value = standard
	case on, off:
		*value = text == on
	default:
		return fmt.Errorf("cannot use %s=%q: say %s or %s", name, text, on, off)
	}
	return nil
}

// priorityOf is the parameter <node>_priority; "" where no shell has a variable of that name.
func priorityOf(node string) string {
	name := strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(node) + "_priority"
	if name[0] >= '0' && name[0] <= '9' {
		return ""
	}
	return name
}

// priority is read from <node>_priority: lower goes first. None, or one below 0, means that it
// does not matter which node goes first.
func (a answers) priority(value *time.Duration, name string) error {
	text := a[name]
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1_000_000 {
		return fmt.Errorf("cannot use %s=%q: say whole seconds", name, text)
	}
	*value = time.Duration(max(n, 0)) * time.Second
	return nil
}

func (a answers) fence(p *Params) error {
	p.Fence = a["fence"]
	faults := []error{
		a.choice(&p.FenceRequired, false, "fence_required", "yes", "no"),
		a.seconds(&p.FenceTimeout, "fence_timeout", 60*time.Second),
	}
	if p.Fence != "" && lock.CheckName(p.Fence) != nil {
		faults = append(faults, fmt.Errorf("cannot use fence=%q: say the name of a module", p.Fence))
	}
	if p.FenceRequired && p.Fence == "" {
		faults = append(faults, errors.New(`cannot use fence_required="yes": fence says no module`))
	}
	return errors.Join(faults...)
}

// checked is the list NAME_0, NAME_1, ... of a parameter, and what is wrong in it: all that is
// not good, each with what it should be.
func (a answers) checked(prefix, say string, good func(string) bool) ([]string, error) {
	values := a.list(prefix)
	if len(values) >= maxListed {
		return nil, fmt.Errorf("cannot use %s%d=%q: the list does not end", prefix, maxListed-1, values[maxListed-1])
	}
	var faults []error
	for i, value := range values {
		if !good(value) {
			faults = append(faults, fmt.Errorf("cannot use %s%d=%q: say %s", prefix, i, value, say))
		}
	}
	return values, errors.Join(faults...)
}

func (a answers) units(p *Params) (err error) {
	p.KillUnits, err = a.checked("kill_unit_", "the name of a unit of systemd", func(unit string) bool {
		return unit[0] != '-' && !strings.ContainsFunc(unit, func(r rune) bool {
			return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r)
		})
	})
	return err
}

func (a answers) mounts(p *Params) error {
	dirs, err := a.checked("fs_dir_", "the full path of a directory", func(dir string) bool {
		return filepath.IsAbs(dir) && filepath.Clean(dir) != "/"
	})
	for _, dir := range dirs {
		p.Mounts = append(p.Mounts, filepath.Clean(dir))
	}
	return err
}

// vips takes the addresses. What is none is the module's to refuse: old scripts may mean
// something else by it.
func (a answers) vips(p *Params) (err error) {
	p.vips, err = a.checked("vip_ip_", "", func(string) bool { return true })
	for _, vip := range p.vips {
		if _, err := netip.ParseAddr(vip); err == nil {
			p.VIPs = append(p.VIPs, vip)
		}
	}
	return err
}
