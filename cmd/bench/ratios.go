package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// A figure is a row of the comparison. Its ratio is our value divided by the best value of the
// others. The best is the highest for what is counted per second, else the lowest.
type figure struct {
	name    string
	atLeast float64 // goal of the ratio; 0 is none
	atMost  float64
}

func (f figure) more() bool { return strings.HasPrefix(f.name, "renewals/s") }

func figures() []figure {
	all := []figure{
		{name: "acquire, p50 ms", atMost: 1},
		{name: "acquire, p99 ms"},
		{name: "acquire and release, p50 ms"},
		{name: "acquire and release, p99 ms"},
		{name: "hand-over to who waits, p50 ms"},
		{name: "hand-over to who waits, p99 ms"},
		{name: "renew, p50 ms"},
		{name: "renew, p99 ms"},
	}
	var who []string
	for _, n := range heldCounts {
		who = append(who, fmt.Sprintf("%d in one process", n))
	}
	for _, n := range processCounts {
		who = append(who, fmt.Sprintf("%d processes", n))
	}
	goals := map[string]float64{"100 in one process": 10, "100 processes": 1}
	for _, w := range who {
		all = append(all, figure{name: "renewals/s, " + w, atLeast: goals[w]})
	}
	for _, side := range []string{"servers", "clients"} {
		for _, w := range who {
			all = append(all, figure{name: "CPU ms per 1000, " + side + ", " + w})
		}
	}
	return append(all, figure{name: "RSS MB, leader", atMost: 0.5}, figure{name: "RSS MB, follower", atMost: 0.5})
}

// compare prints what was measured of the contestants; the first is ours. It prints the median of
// the rounds, and, if there are others, the median, lowest and highest ratio.
func compare(to io.Writer, all []*contestant, measured [][]values) error {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return compareBy(to, figures(), names, "btw / best of etcd", measured)
}

// compareBy is compare, by some figures.
func compareBy(to io.Writer, figures []figure, names []string, ratio string, measured [][]values) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	row := append([]string{fmt.Sprintf("median of %d rounds", len(measured[0]))}, names...)
	if len(names) > 1 {
		row = append(row, ratio, "goal")
	}
	fmt.Fprintln(w, strings.Join(row, "\t"))
	for _, f := range figures {
		row := []string{f.name}
		for i := range names {
			row = append(row, number(median(f.of(measured[i]))))
		}
		if len(names) > 1 {
			row = append(row, f.verdict(f.ratios(measured))...)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// of is the figure in those rounds in which it was measured.
func (f figure) of(rounds []values) (found []float64) {
	for _, v := range rounds {
		if x, ok := v[f.name]; ok {
			found = append(found, x)
		}
	}
	return found
}

// ratios are ours to the best of the others', round by round.
func (f figure) ratios(measured [][]values) (ratios []float64) {
	for round, ours := range measured[0] {
		var others []float64
		for _, theirs := range measured[1:] {
			others = append(others, f.of(theirs[round:round+1])...)
		}
		mine := f.of([]values{ours})
		if len(mine) == 0 || len(others) == 0 {
			continue
		}
		best := slices.Min(others)
		if f.more() {
			best = slices.Max(others)
		}
		if best > 0 { // 0: too short for the clock that measured it
			ratios = append(ratios, mine[0]/best)
		}
	}
	return ratios
}

// verdict is the ratio with its spread, and the goal.
func (f figure) verdict(ratios []float64) []string {
	if len(ratios) == 0 {
		return []string{"", ""}
	}
	m := median(ratios)
	ratio := fmt.Sprintf("%.2f (%.2f to %.2f)", m, slices.Min(ratios), slices.Max(ratios))
	goal, met := "", true
	switch {
	case f.atLeast > 0:
		goal, met = fmt.Sprintf(">= %g", f.atLeast), m >= f.atLeast
	case f.atMost > 0:
		goal, met = fmt.Sprintf("<= %g", f.atMost), m <= f.atMost
	}
	if !met {
		goal += ", missed"
	}
	return []string{ratio, goal}
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func number(x float64) string {
	switch {
	case x == 0:
		return ""
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
