package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"backtowork/internal/sim/lives"
)

// An act is one run of a package's script. The script itself has noted it, in one or more lines of
// this form (a status in one line, without times):
//
//	BEGAN NOW ACTION TERM PREVIOUS NODE
type act struct {
	host           string // the host on whose disk it noted this
	action         string
	node, previous string // its own node, and the previous one that it was told
	term           uint64
	first, last    string // when it began, and when it was last seen
}

// byHand stands for the node of a script that an admin has run.
const byHand = "-"

// slowToWake is how long before a script's begin its host may have been frozen.
const slowToWake = time.Minute

func parseActs(host, text string) (acts []act) {
	at := map[string]int{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 6 || !strings.HasSuffix(line, "\n") || f[5] == byHand {
			continue
		}
		term, err := strconv.ParseUint(f[3], 10, 64)
		if err != nil {
			continue
		}
		life := f[0] + " " + f[2]
		if i, ok := at[life]; ok && f[0] != "-" {
			acts[i].last = max(acts[i].last, f[1])
			continue
		}
		at[life] = len(acts)
		acts = append(acts, act{host: host, action: f[2], term: term, previous: f[4], node: f[5], first: f[0], last: f[1]})
	}
	return acts
}

func (a act) String() string {
	return fmt.Sprintf("%s of term %d on %s from %s to %s", a.action, a.term, a.host, clock(lives.Time(a.first)), clock(lives.Time(a.last)))
}

// starts is those of acts that are starts, in the order in which they began.
func starts(acts []act) (list []act) {
	for _, a := range acts {
		if a.action == "start" {
			list = append(list, a)
		}
	}
	slices.SortStableFunc(list, func(a, b act) int { return strings.Compare(a.first, b.first) })
	return list
}

// judgeActs looks for what the scripts of a package must never do.
func (f *findings) judgeActs(pkg string) {
	acts := f.logs.acts[pkg]
	f.violations = append(f.violations, beside(pkg, acts)...)
	f.violations = append(f.violations, oneTerm(pkg, acts)...)
	f.violations = append(f.violations, f.termsBack(pkg, starts(acts))...)
	f.violations = append(f.violations, previous(pkg, acts)...)
}

// beside returns the starts and stops that ran at the same time on one host.
func beside(pkg string, acts []act) (wrong []string) {
	var runs []lives.Run
	whose := map[string]act{}
	for i, a := range acts {
		if a.first == "-" {
			continue
		}
		life := strconv.Itoa(i)
		whose[life] = a
		runs = append(runs, lives.Run{Host: a.host, Life: life, First: a.first, Last: a.last})
	}
	for _, o := range lives.Twice(runs) {
		wrong = append(wrong, fmt.Sprintf("BESIDE: %s: %v, and %v: %.3f s", pkg, whose[o.A.Life], whose[o.B.Life], o.Length().Seconds()))
	}
	return wrong
}

// oneTerm returns the terms that two nodes used.
func oneTerm(pkg string, acts []act) (wrong []string) {
	nodes := map[uint64]string{}
	for _, a := range acts {
		switch node := nodes[a.term]; {
		case a.term == 0: // it cleared up, without a lock
		case node == "":
			nodes[a.term] = a.node
		case node != a.node:
			wrong = append(wrong, fmt.Sprintf("ONE TERM: %s: %s and %s both had the lock by term %d", pkg, node, a.node, a.term))
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

// termsBack returns the starts that ran although another node had a later lock already. It allows
// those on a host that was frozen: such a start goes on for a moment when the host wakes up, and is
// killed.
func (f *findings) termsBack(pkg string, starts []act) (wrong []string) {
	var latest act
	for _, a := range starts {
		began, last := lives.Time(a.first), lives.Time(a.last)
		woke := last.Sub(began) <= thawLimit && f.frozen(a.host, began.Add(-slowToWake), began)
		switch {
		case a.term >= latest.term:
			latest = a
		case !woke:
			wrong = append(wrong, fmt.Sprintf("TERM BACK: %s: %v, after the %v", pkg, a, latest))
		}
	}
	return wrong
}

// previous returns the starts that were told a wrong BTW_PREVIOUS. Right is the node that had the
// lock before; the terms in the scripts of all nodes show which that was, if a script ran. Two
// other answers are allowed. The node of the last start may be named, even if another had the lock
// since. And a node that lost the lock in silence is named until a start has succeeded: so a start
// may be told what the last one was told, but never its own node.
func previous(pkg string, acts []act) (wrong []string) {
	holders := map[uint64]string{}
	for _, a := range acts {
		holders[a.term] = a.node
	}
	var before act
	for _, a := range starts(acts) {
		if before.term != 0 && before.term < a.term && before.node != a.node && !couldSay(a, before, holders) {
			wrong = append(wrong, fmt.Sprintf("PREVIOUS: %s: the %v was told %s, after the %v", pkg, a, a.previous, before))
		}
		before = a
	}
	return wrong
}

// couldSay says whether a start that follows another may be told what it was told as BTW_PREVIOUS.
func couldSay(a, before act, holders map[uint64]string) bool {
	switch a.previous {
	case before.node:
		return true
	case a.node, "-":
	case before.previous:
		return true
	}
	for term := before.term + 1; term < a.term; term++ {
		if node, known := holders[term]; !known || node == a.previous {
			return true
		}
	}
	return false
}
