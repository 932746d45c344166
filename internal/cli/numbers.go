package cli

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
)

// showParams prints the package's parameters on this node, and how those of the other nodes differ.
// same says whether all are the same, as far as they are known.
func (v *view) showParams() (same bool) {
	fmt.Fprintf(v.out, "\nparameters of package %s on %s, version %s\n", v.own.Package, v.own.Node, v.own.Version)
	for _, name := range sortedKeys(v.own.Params) {
		fmt.Fprintf(v.out, "%s=%s\n", name, plain(v.own.Params[name]))
	}
	var lines []string
	for _, line := range paramDifferences(v.manager, v.own.Params, "the script says") {
		lines = append(lines, "back-to-work here lives by "+line+" (service reload makes it read that)")
	}
	for _, node := range slices.Sorted(maps.Keys(v.nodes)) {
		if node == v.own.Node {
			continue
		}
		for _, line := range differences(v.nodes[node], v.own) {
			lines = append(lines, node+": "+line)
		}
	}
	v.showList("\ndifferences", lines)
	v.showList("\nnot compared", v.notCompared())
	return len(lines) == 0
}

func (v *view) showList(title string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(v.out, "%s\n%s\n", title, strings.Join(lines, "\n"))
	}
}

func (v *view) showWarnings(texts []string) {
	var lines []string
	for _, text := range texts {
		lines = append(lines, journal.Line{Level: journal.Warning, Text: text}.Words())
	}
	v.showList("", lines)
}

// notCompared returns a line for each node whose report was too long to include everything.
func (v *view) notCompared() (lines []string) {
	for _, node := range slices.Sorted(maps.Keys(v.nodes)) {
		if r := v.nodes[node]; r.Cut && r.Params == nil && node != v.own.Node {
			lines = append(lines, node+": its parameters are too long to be told")
		}
	}
	return lines
}

// differences returns what is different on another node. What that node did not tell counts as the
// same.
func differences(other, own api.Report) (lines []string) {
	if other.Script == "" { // it told nothing
		return nil
	}
	if other.Servers != own.Servers {
		lines = append(lines, "lock_servers differs")
	}
	if other.Script != own.Script {
		lines = append(lines, "packages/"+own.Package+" differs")
	}
	if other.Watchdog != own.Watchdog && other.Version == own.Version { // an older one does not tell
		lines = append(lines, fmt.Sprintf("conf/watchdog names %s, here %s", cmp.Or(plain(other.Watchdog), "none"), cmp.Or(plain(own.Watchdog), "none")))
	}
	lines = append(lines, moduleDifferences(other, own)...)
	lines = append(lines, paramDifferences(other.Params, own.Params, "here")...)
	switch other.Version {
	case own.Version:
	case "":
		lines = append(lines, "an older version, here "+own.Version)
	default:
		lines = append(lines, "version "+plain(other.Version)+", here "+own.Version)
	}
	return lines
}

func moduleDifferences(other, own api.Report) (lines []string) {
	switch {
	case other.AllModules == "" || other.AllModules == own.AllModules:
		return nil
	case other.Cut:
		return []string{"modules differ (too many to tell which)"}
	}
	for _, name := range keysOfBoth(other.Modules, own.Modules) {
		theirs, there := other.Modules[name]
		ours, here := own.Modules[name]
		switch module := plain("modules/" + name); {
		case !there:
			lines = append(lines, module+" is missing there")
		case !here:
			lines = append(lines, module+" is missing here")
		case theirs != ours:
			lines = append(lines, module+" differs")
		}
	}
	return lines
}

// paramDifferences compares parameters with those of this node, which are called here. Which
// node goes first is each node's own matter.
func paramDifferences(theirs, ours map[string]string, here string) (lines []string) {
	if theirs == nil {
		return nil
	}
	for _, name := range keysOfBoth(theirs, ours) {
		a, b := theirs[name], ours[name]
		if a == b || name == "priority" {
			continue
		}
		line := plain(name) + " not set"
		if a != "" {
			line = plain(name) + "=" + plain(a)
		}
		if b == "" {
			b = "not set"
		} else {
			b = plain(b)
		}
		lines = append(lines, line+", "+here+" "+b)
	}
	return lines
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func keysOfBoth(a, b map[string]string) []string {
	both := maps.Clone(b)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, a)
	return sortedKeys(both)
}

// plain is text that another host has told, as it can be shown on a terminal.
func plain(text string) string {
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` || text == "" || strings.Contains(text, " ") {
		return quoted
	}
	return text
}

// showNumbers prints what follows from the parameters, and warnings about them. safe says whether
// some time is left between the package's last moment here and its first moment elsewhere.
func (v *view) showNumbers(p failover.Params, status time.Duration, w resettable) (safe bool) {
	p.Priority = v.longestPriority()
	b := p.Bounds()
	if v.alone {
		fmt.Fprintln(v.out, "\nno other node can run it: this host is the only one, and so is its lock server")
	} else {
		v.showBounds(b, p.StartTimeout)
	}
	safe = b.Margin > 0 || v.alone
	if w.device != "" {
		fmt.Fprintf(v.out, "%-24s %s\n", "hardware watchdog", w.promise(p))
	}
	doubts := append(p.Warnings(), p.Doubts(status)...)
	if !v.alone {
		doubts = append(doubts, p.Overlaps(w.resets(p))...)
	}
	v.showWarnings(doubts)
	return safe
}

// showBounds prints how long each failover takes.
func (v *view) showBounds(b failover.Bounds, start time.Duration) {
	elsewhere := func(d time.Duration) string { return "it runs elsewhere within " + inSeconds(d) }
	fmt.Fprintln(v.out, "\nat worst, where another node can run it (in it: start_timeout, "+inSeconds(start)+"; on top: what status takes)")
	for _, row := range [][2]string{
		{"this node crashes", elsewhere(b.Crash) + ", or " + inSeconds(b.LeaderCrash) + " if it leads the lock servers"},
		{"this node is cut off", "nothing of it is left here after " + inSeconds(b.CutOff) + ", " + elsewhere(b.Crash)},
		{"the lock is lost", fmt.Sprintf("stop has %g s, then what is left is killed", b.LostStop.Seconds())},
		{"service stop", elsewhere(b.HandOver)},
		{"it ends by itself", elsewhere(b.Ends)},
		{"it hangs or is degraded", elsewhere(b.Hangs)},
		{"no overlap", margin(b)},
	} {
		fmt.Fprintf(v.out, "%-24s %s\n", row[0], row[1])
	}
}

// margin says what the no-overlap margin is.
func margin(b failover.Bounds) string {
	const rounding = 1e-9
	m := math.Floor(b.Margin.Seconds()*100+rounding) / 100
	if b.Margin <= 0 {
		return fmt.Sprintf("not guaranteed: the margin is %g s, since what is killed may take a second to end. a longer stop_timeout helps", m)
	}
	apart := math.Floor(b.Apart*1000+rounding) / 10
	return fmt.Sprintf("a margin of %g s (used up where the nodes' clocks differ by %g %%)", m, apart)
}

// longestPriority is the longest time for which any other known node leaves a free lock to others.
func (v *view) longestPriority() (longest time.Duration) {
	for node, r := range v.nodes {
		n, err := strconv.Atoi(r.Params["priority"])
		if node != v.own.Node && err == nil && n > 0 && n <= 1_000_000 {
			longest = max(longest, time.Duration(n)*time.Second)
		}
	}
	return longest
}

// inSeconds writes d in seconds with one decimal, rounded up.
func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(math.Ceil(d.Seconds()*10)/10, 'f', -1, 64) + " s"
}
