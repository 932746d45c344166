package failover

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// says is a package script's parameters.
type says map[string]string

var errNoScript = errors.New("cannot run the script")

func (says) Sets([]string) (file, name string) { return "", "" }

// Echo answers for parameters. One that is "!" cannot be asked.
func (s says) Echo(ctx context.Context, names, more []string) (map[string]string, string, error) {
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	said := map[string]string{}
	for _, name := range slices.Concat(names, more) {
		if s[name] == "!" {
			return nil, "", errNoScript
		}
		said[name] = s[name]
	}
	return said, "", nil
}

func TestReadParams(t *testing.T) {
	t.Parallel()
	const s = time.Second
	standard := Params{
		Pace: 4 * s, Timeout: 30 * s, StartTimeout: 30 * s, StopTimeout: 30 * s,
		Adopt: true, KillLeftovers: true, FenceTimeout: 60 * s,
	}
	with := func(change func(*Params)) Params { p := standard; change(&p); return p }
	for name, row := range map[string]struct {
		node string
		says says
		want Params
	}{
		"nothing said": {"h1", says{}, standard},
		"all said": {
			"h1",
			says{"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "60", "h1_priority": "3"},
			with(func(p *Params) {
				p.Pace, p.Timeout, p.StartTimeout, p.StopTimeout, p.Priority = 6*s, 40*s, 20*s, 60*s, 3*s
			}),
		},
		"the most":                    {"h1", says{"timeout": "1000000"}, with(func(p *Params) { p.Timeout = 1e6 * s })},
		"the priority of another":     {"h1", says{"h2_priority": "3"}, standard},
		"a host name with -":          {"web-1", says{"web_1_priority": "3"}, with(func(p *Params) { p.Priority = 3 * s })},
		"a host name with .":          {"a.b", says{"a_b_priority": "3"}, with(func(p *Params) { p.Priority = 3 * s })},
		"a host name of digits":       {"7up", says{"7up_priority": "3"}, standard}, // no shell has it
		"priority -1, the original's": {"h1", says{"h1_priority": "-1"}, standard},
		"priority 0":                  {"h1", says{"h1_priority": "0"}, standard},
		"every word, the default's": {
			"h1",
			says{"adopt": "yes", "kill_leftovers": "yes", "stop_failure": "block", "force_umount": "no", "self_fence": "no", "fence_required": "no"},
			standard,
		},
		"every word, the other": {
			"h1",
			says{
				"adopt": "no", "kill_leftovers": "no", "stop_failure": "release", "force_umount": "yes", "self_fence": "reboot",
				"fence": "ilo4", "fence_required": "yes", "fence_timeout": "90",
			},
			Params{
				Pace: 4 * s, Timeout: 30 * s, StartTimeout: 30 * s, StopTimeout: 30 * s,
				ReleaseAfterFailure: true, ForceUmount: true, SelfFence: true, Fence: "ilo4", FenceRequired: true, FenceTimeout: 90 * s,
			},
		},
		"lists, up to the first that is empty": {
			"h1",
			says{
				"kill_unit_0": "db.service", "kill_unit_1": `dev-disk\x2d1.mount`, "kill_unit_3": "late.service",
				"vip_ip_0": "10.0.2.12", "vip_ip_1": "fe80::1%eth0",
			},
			with(func(p *Params) {
				p.KillUnits, p.VIPs = []string{"db.service", `dev-disk\x2d1.mount`}, []string{"10.0.2.12", "fe80::1%eth0"}
				p.vips = p.VIPs
			}),
		},
		"no address": {"h1", says{"vip_ip_0": "www", "vip_ip_1": "10.0.2.12"}, with(func(p *Params) {
			p.VIPs, p.vips = []string{"10.0.2.12"}, []string{"www", "10.0.2.12"}
		})},
		"mount points": {
			"h1",
			says{"force_umount": "yes", "fs_dir_0": "/data/", "fs_dir_1": "/var//lib/db", "fs_dev_0": "UUID=x"},
			with(func(p *Params) {
				p.ForceUmount, p.Mounts, p.Sources = true, []string{"/data", "/var/lib/db"}, []string{"UUID=x"}
			}),
		},
		"mount points that nobody needs": {"h1", says{"fs_dir_0": "data"}, standard},
		"a time for no fence":            {"h1", says{"fence_timeout": "0"}, standard},
	} {
		if got, err := ReadParams(t.Context(), row.says, row.node); !reflect.DeepEqual(got, row.want) || err != nil {
			t.Errorf("%s: ReadParams = %+v, %v, want %+v", name, got, err, row.want)
		}
	}
}

func TestReadParamsFaults(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pace", "timeout", "start_timeout", "stop_timeout"} {
		for _, text := range []string{"0", "-1", "4s", "four", "1.5", " ", "1e3", "0x10", "1000001", "99999999999999999999", "4\n5"} {
			_, err := ReadParams(t.Context(), says{name: text}, "h1")
			if err == nil || !strings.Contains(err.Error(), "cannot use "+name+"=") || strings.Contains(err.Error(), "\n") {
				t.Errorf("ReadParams with %s=%q: %v, want one line that says so", name, text, err)
			}
		}
	}
	for _, text := range []string{"high", "1.5", "1000001"} {
		if _, err := ReadParams(t.Context(), says{"h1_priority": text}, "h1"); err == nil || !strings.Contains(err.Error(), "h1_priority") {
			t.Errorf("ReadParams with priority %q: %v", text, err)
		}
	}
	all := says{"pace": "x", "timeout": "0", "start_timeout": "-3", "stop_timeout": "y", "h1_priority": "z"}
	_, err := ReadParams(t.Context(), all, "h1")
	for name := range maps.Keys(all) {
		if err == nil || !strings.Contains(err.Error(), name+"=") {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

func TestReadParamsOfABrokenScript(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pace", "stop_timeout", "h1_priority"} {
		if _, err := ReadParams(t.Context(), says{name: "!"}, "h1"); !errors.Is(err, errNoScript) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: ReadParams = %v, want %v once", name, err, errNoScript)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadParams(ctx, says{}, "h1"); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadParams = %v, want %v", err, context.Canceled)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pace, timeout time.Duration
		want          []string
	}{
		{4, 30, nil},
		{8, 8, nil},
		{31, 30, []string{"pace (31s) is longer than timeout (30s)."}},
		{4, 7, []string{"timeout (7s) is below 8s: the lock is lost when the leading lock server crashes."}},
		{9, 7, []string{
			"pace (9s) is longer than timeout (7s).",
			"timeout (7s) is below 8s: the lock is lost when the leading lock server crashes.",
		}},
	} {
		got := Params{Pace: row.pace * time.Second, Timeout: row.timeout * time.Second}.Warnings()
		if strings.Join(got, "\n") != strings.Join(row.want, "\n") {
			t.Errorf("pace %d, timeout %d: %q, want %q", row.pace, row.timeout, got, row.want)
		}
	}
	vips := Params{Timeout: 30 * time.Second, vips: []string{"10.0.2.12", "www"}}.Warnings()
	if len(vips) != 1 || vips[0] != `vip_ip_1="www" is not an IP address.` {
		t.Errorf("Warnings() = %q", vips)
	}
}

func TestReadParamsWords(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		says says
		want string
	}{
		{says{"adopt": "maybe"}, `cannot use adopt="maybe": say yes or no`},
		{says{"kill_leftovers": "Yes"}, `cannot use kill_leftovers="Yes": say yes or no`},
		{says{"stop_failure": "yes"}, `cannot use stop_failure="yes": say release or block`},
		{says{"force_umount": "1"}, `cannot use force_umount="1": say yes or no`},
		{says{"self_fence": "yes"}, `cannot use self_fence="yes": say reboot or no`},
		{says{"fence_required": "true", "fence": "ilo4"}, `cannot use fence_required="true": say yes or no`},
		{says{"fence_required": "yes"}, `cannot use fence_required="yes": fence says no module`},
		{says{"fence": "../ilo4"}, `cannot use fence="../ilo4": say the name of a module`},
		{says{"fence": "ilo4", "fence_timeout": "1m"}, `cannot use fence_timeout="1m": say whole seconds, more than 0`},
		{says{"kill_unit_0": "a b"}, `cannot use kill_unit_0="a b": say the name of a unit of systemd`},
		{says{"kill_unit_0": "a", "kill_unit_1": "-H"}, `cannot use kill_unit_1="-H": say the name of a unit of systemd`},
		{says{"kill_unit_0": "/etc/a.service"}, `cannot use kill_unit_0="/etc/a.service": say the name of a unit of systemd`},
		{says{"force_umount": "yes", "fs_dir_0": "data"}, `cannot use fs_dir_0="data": say the full path of a directory`},
		{says{"force_umount": "yes", "fs_dir_0": "//"}, `cannot use fs_dir_0="//": say the full path of a directory`},
	} {
		if _, err := ReadParams(t.Context(), row.says, "h1"); err == nil || err.Error() != row.want {
			t.Errorf("ReadParams of %v: %v, want %s", row.says, err, row.want)
		}
	}
}

// counted counts what a script is asked, and how often.
type counted struct {
	Teller
	asked map[string]int
	runs  int
}

func (*counted) Sets([]string) (file, name string) { return "", "" }

func (s *counted) Echo(ctx context.Context, names, more []string) (map[string]string, string, error) {
	s.runs++
	for _, name := range slices.Concat(names, more) {
		s.asked[name]++
	}
	return s.Teller.Echo(ctx, names, more)
}

// Most packages have one address: they are asked once. None is asked for anything twice, or for nothing.
func TestReadParamsAsksLittle(t *testing.T) {
	t.Parallel()
	for runs, says := range map[int]says{
		1: {"vip_ip_0": "10.0.2.12"},
		2: {"vip_ip_0": "10.0.2.12", "vip_ip_1": "10.0.2.13", "fence": "ilo4"},
	} {
		s := &counted{Teller: says, asked: map[string]int{}}
		if _, err := ReadParams(t.Context(), s, "h1"); err != nil {
			t.Fatal(err)
		}
		for name, n := range s.asked {
			if n != 1 {
				t.Errorf("%s was asked %d times", name, n)
			}
		}
		for _, name := range []string{"fs_dir_0", "kill_unit_2", "vip_ip_4"} {
			if s.asked[name] > 0 {
				t.Errorf("%s was asked for nothing", name)
			}
		}
		if s.runs != runs || (s.asked["fence_timeout"] > 0) != (says["fence"] != "") {
			t.Errorf("asked %d times, want %d: %v", s.runs, runs, s.asked)
		}
	}
}

// A script that answers whatever it is asked does not keep the manager for ever.
func TestReadParamsEnds(t *testing.T) {
	t.Parallel()
	if _, err := ReadParams(t.Context(), endless("kill_unit_"), "h1"); err == nil || err.Error() != `cannot use kill_unit_99="x": the list does not end` {
		t.Errorf("ReadParams of a list without end: %v", err)
	}
}

// endless is a script that says something of every parameter that begins with it.
type endless string

func (endless) Sets([]string) (file, name string) { return "", "" }

func (e endless) Echo(_ context.Context, names, more []string) (map[string]string, string, error) {
	said := map[string]string{}
	for _, name := range slices.Concat(names, more) {
		if strings.HasPrefix(name, string(e)) {
			said[name] = "x"
		}
	}
	return said, "", nil
}

// An odd script is asked for the original's parameters only; what is no number there is not said. One line tells.
func TestReadParamsOfAnOddScript(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, row := range map[string]struct {
		says oddly
		want Params
		told string
	}{
		"0 to all that it does not know": {
			oddly{"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "60", "h1_priority": "0", "vip_ip_0": "0", "adopt": "0"},
			Params{Pace: 6 * s, Timeout: 40 * s, StartTimeout: 20 * s, StopTimeout: 60 * s},
			"it is odd: of what it says only pace, timeout, start_timeout, stop_timeout, h1_priority count.",
		},
		"no number": {
			oddly{"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "no such thing", "h1_priority": "none"},
			Params{Pace: 6 * s, Timeout: 40 * s, StartTimeout: 20 * s, StopTimeout: 30 * s},
			`it is odd: of what it says only pace, timeout, start_timeout, stop_timeout, h1_priority count; the default is taken for stop_timeout="no such thing", h1_priority="none".`,
		},
		"nothing": {
			oddly{},
			Params{Pace: 4 * s, Timeout: 30 * s, StartTimeout: 30 * s, StopTimeout: 30 * s},
			"it is odd: of what it says only pace, timeout, start_timeout, stop_timeout, h1_priority count.",
		},
	} {
		want := row.want
		want.Adopt, want.KillLeftovers, want.FenceTimeout, want.Odd = true, true, 60*s, strings.TrimSuffix(row.told, ".")
		got, err := ReadParams(t.Context(), row.says, "h1")
		if !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%s: ReadParams = %+v, %v, want %+v", name, got, err, want)
		}
		if got.InsteadOf(Params{}) == nil || got.InsteadOf(got) != nil {
			t.Errorf("%s: it may take the place of one that was not odd, or not of one that was", name)
		}
		if w := got.Warnings(); len(w) != 1 || w[0] != row.told {
			t.Errorf("%s: warnings are %q, want %q", name, w, row.told)
		}
	}
}

// oddly is what an odd script says.
type oddly map[string]string

func (oddly) Sets([]string) (file, name string) { return "", "" }

func (o oddly) Echo(context.Context, []string, []string) (map[string]string, string, error) {
	return o, "it is odd", nil
}

// Of an odd script it cannot be known whether it asks for a fence, or for anything that it must not run without.
func TestOddScriptsThatAskForMuch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"fence", "fence_required", "self_fence", "kill_unit_", "force_umount"} {
		_, err := ReadParams(t.Context(), oddlyWith{name: name}, "h1")
		want := "it is odd, but packages/p sets " + name + ": whether that counts cannot be known. let echo print the value of each name, and nothing for one that has none"
		if err == nil || err.Error() != want {
			t.Errorf("ReadParams where %s is set: %v, want %s", name, err, want)
		}
	}
	if _, err := ReadParams(t.Context(), oddlyWith{name: "retries"}, "h1"); err != nil {
		t.Errorf("ReadParams where nothing of weight is set: %v", err)
	}
}

// oddlyWith is an odd script whose text sets a name.
type oddlyWith struct {
	oddly
	name string
}

func (o oddlyWith) Sets(names []string) (file, name string) {
	if slices.Contains(names, o.name) {
		return "packages/p", o.name
	}
	return "", ""
}
