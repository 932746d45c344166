package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/failover"
)

// put writes a file of a directory.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "vip.Linux", "vip\n")
	put(t, dir, "fs.Linux", "fs\n")
	sums, all := modules(dir)
	vip, err := sum(filepath.Join(dir, "vip.Linux"))
	if err != nil || len(sums) != 2 || sums["vip.Linux"] != vip || sums["vip.Linux"] == sums["fs.Linux"] || len(all) != 32 {
		t.Errorf("modules = %v, %s", sums, all)
	}
	for name, sameNow := range map[string]bool{".vip.Linux.swp": true, "vip.Linux~": true, "vip.Linux.new": true, "nfs.Linux": false} {
		put(t, dir, name, "x")
		if _, now := modules(dir); (now == all) != sameNow {
			t.Errorf("with %s: %s after %s", name, now, all)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Neither a pipe, which would be waited for, nor a directory is a module.
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if now, _ := modules(dir); len(now) != 2 {
		t.Errorf("with a pipe and a directory: %v", now)
	}
	// The same text under another name is not the same.
	if err := os.Rename(filepath.Join(dir, "fs.Linux"), filepath.Join(dir, "fs.linux")); err != nil {
		t.Fatal(err)
	}
	if _, now := modules(dir); now == all {
		t.Error("a module with another name has the same checksum")
	}
	if sums, _ := modules(filepath.Join(dir, "none")); len(sums) != 0 {
		t.Errorf("modules of no directory: %v", sums)
	}
	for i := range mostModules + 1 {
		put(t, dir, fmt.Sprintf("m%d", i), "x")
	}
	if sums, _ := modules(dir); len(sums) != mostModules {
		t.Errorf("%d modules, want %d", len(sums), mostModules)
	}
}

func TestFitted(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("name-%d", i)] = strings.Repeat("x", 32)
		}
		return m
	}
	for _, row := range []struct {
		modules, params                int
		cut, haveModules, haveTheOther bool
	}{
		{13, 11, false, true, true},
		{400, 11, true, false, true},
		{13, 400, true, false, false},
	} {
		r := fitted(api.Report{Node: "h1", Package: "p", AllModules: "a", Modules: many(row.modules), Params: many(row.params)})
		b, err := json.Marshal(r)
		if err != nil || len(b) > longestReport || r.AllModules != "a" {
			t.Errorf("%d modules, %d parameters: %d bytes, %v", row.modules, row.params, len(b), err)
		}
		if r.Cut != row.cut || (r.Modules != nil) != row.haveModules || (r.Params != nil) != row.haveTheOther {
			t.Errorf("%d modules, %d parameters: cut %v, %d and %d are told", row.modules, row.params, r.Cut, len(r.Modules), len(r.Params))
		}
	}
}

// told is what a node like ours has told.
func told(node string, change func(*api.Report)) api.Report {
	r := api.Report{
		Node: node, Package: "p", Servers: "1", Script: "2", Version: "0.1.0", AllModules: "3",
		Modules: map[string]string{"fs.Linux": "4", "vip.Linux": "5"},
		Params:  map[string]string{"timeout": "30", "priority": "1", "vip_ip_0": "10.0.2.12"},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		other api.Report
		want  []string
	}{
		"none":              {told("h2", nil), nil},
		"nothing told":      {api.Report{Node: "h2"}, nil},
		"priority":          {told("h2", func(r *api.Report) { r.Params["priority"] = "7" }), nil},
		"lock_servers":      {told("h2", func(r *api.Report) { r.Servers = "x" }), []string{"lock_servers differs"}},
		"the script":        {told("h2", func(r *api.Report) { r.Script = "x" }), []string{"packages/p differs"}},
		"the version":       {told("h2", func(r *api.Report) { r.Version = "0.2.0" }), []string{"version 0.2.0, here 0.1.0"}},
		"an old version":    {api.Report{Node: "h2", Servers: "1", Script: "2"}, []string{"an older version, here 0.1.0"}},
		"a parameter":       {told("h2", func(r *api.Report) { r.Params["timeout"] = "20" }), []string{"timeout=20, here 30"}},
		"a parameter less":  {told("h2", func(r *api.Report) { delete(r.Params, "vip_ip_0") }), []string{"vip_ip_0 not set, here 10.0.2.12"}},
		"a parameter more":  {told("h2", func(r *api.Report) { r.Params["fence"] = "ilo4" }), []string{"fence=ilo4, here not set"}},
		"no clean text":     {told("h2", func(r *api.Report) { r.Params["timeout"] = "\x1b[2J 9" }), []string{`timeout="\x1b[2J 9", here 30`}},
		"modules, by name":  {told("h2", otherModules), []string{"modules/fs.Linux is missing there", "modules/nfs.Linux is missing here", "modules/vip.Linux differs"}},
		"too many modules":  {told("h2", func(r *api.Report) { r.AllModules, r.Modules, r.Cut = "x", nil, true }), []string{"modules differ (too many to tell which)"}},
		"many, but same":    {told("h2", func(r *api.Report) { r.Modules, r.Cut = nil, true }), nil},
		"too much to tell":  {told("h2", func(r *api.Report) { r.Modules, r.Params, r.Cut = nil, nil, true }), nil},
		"two at a time":     {told("h2", func(r *api.Report) { r.Script = "x"; r.Params["timeout"] = "20" }), []string{"packages/p differs", "timeout=20, here 30"}},
		"a module's ESC":    {told("h2", func(r *api.Report) { r.AllModules = "x"; r.Modules["\x1b"] = "6" }), []string{`"modules/\x1b" is missing here`}},
		"a version's ESC":   {told("h2", func(r *api.Report) { r.Version = "\x1b" }), []string{`version "\x1b", here 0.1.0`}},
		"a parameter's ESC": {told("h2", func(r *api.Report) { r.Params["\x1b"] = "1" }), []string{`"\x1b"=1, here not set`}},
	} {
		if got := differences(row.other, told("h1", nil)); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func otherModules(r *api.Report) {
	r.AllModules = "x"
	r.Modules = map[string]string{"nfs.Linux": "6", "vip.Linux": "7"}
}

func TestShowParams(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		manager map[string]string
		others  []api.Report
		same    bool
		want    string // after the parameters
	}{
		"alone":                   {nil, nil, true, ""},
		"a manager, as it should": {map[string]string{"timeout": "30", "priority": "1", "vip_ip_0": "10.0.2.12"}, nil, true, ""},
		"a manager that knows the old": {
			map[string]string{"timeout": "20", "priority": "1", "vip_ip_0": "10.0.2.12"},
			nil, false,
			"\ndifferences\nback-to-work here lives by timeout=20, the script says 30 (service reload makes it read that)\n",
		},
		"in the order of names": {
			nil,
			[]api.Report{
				told("h3", func(r *api.Report) { r.Params["timeout"] = "20" }),
				told("h2", func(r *api.Report) { r.Script = "x" }),
				{Node: "h4"},
			},
			false,
			"\ndifferences\nh2: packages/p differs\nh3: timeout=20, here 30\n",
		},
		"too much to tell": {
			nil,
			[]api.Report{told("h2", func(r *api.Report) { r.Params, r.Modules, r.Cut = nil, nil, true })},
			true,
			"\nnot compared\nh2: its parameters are too long to be told\n",
		},
	} {
		var out bytes.Buffer
		own := told("h1", nil)
		v := &view{out: &out, own: own, manager: row.manager, nodes: map[string]api.Report{"h1": own}}
		for _, r := range row.others {
			v.nodes[r.Node] = r
		}
		same := v.showParams()
		want := "\nparameters of package p on h1, version 0.1.0\npriority=1\ntimeout=30\nvip_ip_0=10.0.2.12\n" + row.want
		if same != row.same || out.String() != want {
			t.Errorf("%s: same %v, %q, want %v, %q", name, same, out.String(), row.same, want)
		}
	}
}

func TestShowNumbers(t *testing.T) {
	t.Parallel()
	p := failover.Params{Pace: 4 * time.Second, Timeout: 30 * time.Second, StartTimeout: 30 * time.Second, StopTimeout: 30 * time.Second}
	var w resettable
	show := func(p failover.Params) (string, bool) {
		var out bytes.Buffer
		v := &view{out: &out, own: told("h1", func(r *api.Report) { r.Params["priority"] = "99" }), nodes: map[string]api.Report{
			"h1": told("h1", func(r *api.Report) { r.Params["priority"] = "99" }),
			"h2": told("h2", func(r *api.Report) { r.Params["priority"] = "5" }),
			"h3": told("h3", nil),
			"h4": told("h4", func(r *api.Report) { r.Params["priority"] = "much" }),
		}}
		safe := v.showNumbers(p, time.Second, w)
		return out.String(), safe
	}
	const want = `
at worst, where another node can run it (in it: start_timeout, 30 s; on top: what status takes)
this node crashes        it runs elsewhere within 90.6 s, or 94.6 s if it leads the lock servers
this node is cut off     nothing of it is left here after 60 s, it runs elsewhere within 90.6 s
the lock is lost         stop has 28 s, then what is left is killed
service stop             it runs elsewhere within 69.5 s
it ends by itself        it runs elsewhere within 73.5 s
it hangs or is degraded  it runs elsewhere within 105 s
no overlap               a margin of 0.54 s (used up where the nodes' clocks differ by 1 %)

warning: no overlap: not guaranteed if cut off and the stop fails (self_fence=reboot, fence_required=yes or conf/watchdog would guard it).
`
	if got, safe := show(p); got != want || !safe {
		t.Errorf("%v, %s\nwant %s", safe, got, want)
	}
	p.Timeout, p.StopTimeout = 10*time.Second, 2*time.Second
	const less = "no overlap               not guaranteed: the margin is -0.27 s, since what is killed may take a second to end. a longer stop_timeout helps\n"
	if got, safe := show(p); !strings.Contains(got, less) || safe {
		t.Errorf("%v, %s\nwant %s", safe, got, less)
	}
	p.SelfFence, p.Timeout, p.StopTimeout = true, 30*time.Second, 30*time.Second
	if got, _ := show(p); strings.Contains(got, "warning") || strings.HasSuffix(got, "\n\n") {
		t.Errorf("%q, want no warning", got)
	}
	p.SelfFence, w = false, resettable{device: "/dev/watchdog", timeout: 10 * time.Second}
	const reset = "hardware watchdog        this host is reset at the kill end, unless the package was seen down\n"
	if got, _ := show(p); !strings.Contains(got, reset) || strings.Contains(got, "warning") {
		t.Errorf("%s\nwant %s, and no warning", got, reset)
	}
	w.timeout = time.Minute
	const late = "its 1m0s are too long for timeout + stop_timeout = 1m0s: this host is reset up to 1m1s after the kill end\n"
	if got, _ := show(p); !strings.Contains(got, late) || !strings.Contains(got, "no overlap: not guaranteed") {
		t.Errorf("%s\nwant %s, and the warning", got, late)
	}
}

// A node stands for one host of cluster_nodes, whose name may be longer: of two of which either fits, one has told nothing.
func TestExpect(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ told, known, want string }{
		{"vm", "vm.paris vm.london", "vm vm.london"},
		{"vm.london", "vm.paris vm.london", "vm.london vm.paris"},
		{"vm", "vm.paris vm", "vm vm.paris"},
		{"H1 h2.example.com", "h1.example.com h2 h3", "H1 h2.example.com h3"},
		{"h1", "", "h1"},
	} {
		v := view{nodes: map[string]api.Report{}}
		for _, node := range strings.Fields(row.told) {
			v.nodes[node] = api.Report{Node: node}
		}
		v.expect(strings.Fields(row.known))
		if got := strings.Join(slices.Sorted(maps.Keys(v.nodes)), " "); got != row.want {
			t.Errorf("%s told, in %q: %s, want %s", row.told, row.known, got, row.want)
		}
	}
}
