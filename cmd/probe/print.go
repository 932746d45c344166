package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"backtowork/internal/sim/lives"
)

// report prints what the logs in a directory tell: its exit status is 1 if something must not be.
func report(args []string, stdout, stderr io.Writer) int {
	var asJSON, last bool
	switch {
	case len(args) > 1 && args[0] == "-o" && args[1] == "json":
		asJSON, args = true, args[2:]
	case len(args) > 0 && args[0] == "--last":
		last, args = true, args[1:]
	}
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintln(stderr, firstLine(usage))
		return 2
	}
	limit := int64(0)
	if last {
		limit = tail
	}
	l, err := readLogs(args[0], limit)
	if err != nil {
		fmt.Fprintln(stderr, "web:", err)
		return 1
	}
	f := look(l)
	switch {
	case last:
		f.printLast(stdout)
		return 0
	case asJSON:
		err = f.printJSON(stdout)
	default:
		err = f.print(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "web:", err)
		return 1
	}
	if len(f.violations) > 0 {
		return 1
	}
	return 0
}

// columns returns for whom the report gives seconds, and the titles of these columns.
func (f *findings) columns() (names, titles []string) {
	for _, pkg := range f.logs.packages() {
		names, titles = append(names, pkg), append(titles, pkg+" down")
	}
	return append(names, client), append(titles, "no answer")
}

func (f *findings) seed() (seed string, seconds float64) {
	events := f.logs.events
	if len(events) == 0 {
		return "", 0
	}
	return events[0].host, events[len(events)-1].at.Sub(events[0].at).Seconds()
}

// printLast prints one line, for a person who watches.
func (f *findings) printLast(w io.Writer) {
	if len(f.rounds) == 0 {
		return
	}
	r := f.rounds[len(f.rounds)-1]
	var what []string
	for _, e := range r.faults {
		what = append(what, strings.TrimSuffix(e.word+" "+e.host+" "+e.pkg, " -"))
	}
	line := fmt.Sprintf("%s  %-44s", r.from.Format(time.TimeOnly), strings.Join(what, ", "))
	names, titles := f.columns()
	for i, name := range names {
		line += fmt.Sprintf("  %s %5.2f s", titles[i], r.down[name].Seconds())
	}
	fmt.Fprintln(w, line)
	for _, v := range f.violations {
		fmt.Fprintln(w, v)
	}
}

func (f *findings) print(w io.Writer) error {
	seed, seconds := f.seed()
	fmt.Fprintf(w, "seed %s: %d faults in %.0f s; the admin unblocked %d, started %d again\n", seed, f.faults, seconds, f.count[unblocked], f.count[started])
	fmt.Fprintf(w, "a client had %d answers, and for %.2f s none at the longest\n\n", f.answers, f.longestGap.Seconds())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	names, titles := f.columns()
	fmt.Fprintf(t, "seconds\ttimes\t%s\t\n", strings.Join(titles, "\tmost\t")+"\tmost")
	for _, r := range f.table() {
		fmt.Fprintf(t, "%s\t%d\t", r.fault, r.rounds)
		for _, name := range names {
			fmt.Fprintf(t, "%.2f\t%.2f\t", r.median[name].Seconds(), r.most[name].Seconds())
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\noverlaps: %d\n", len(f.overlaps)+len(f.twice))
	for _, o := range f.thaws {
		fmt.Fprintf(w, "after a thaw: %s ran %s: %.3f s (limit %.3f)\n", o.pkg, inWords(o.Overlap), o.Length().Seconds(), thawLimit.Seconds())
	}
	for _, v := range f.violations {
		fmt.Fprintln(w, v)
	}
	_, err := fmt.Fprintln(w, "logs:", f.logs.dir)
	return err
}

// How the report stands in JSON. Seconds, and times since 1970.
type (
	jsonReport struct {
		Seed       string      `json:"seed"`
		Seconds    float64     `json:"seconds"`
		Faults     int         `json:"faults"`
		Unblocked  int         `json:"unblocked"`
		Started    int         `json:"started"`
		Answers    int         `json:"answers"`
		LongestGap float64     `json:"longest_gap"`
		Table      []jsonRow   `json:"table"`
		Rounds     []jsonRound `json:"rounds"`
		Overlaps   []jsonBoth  `json:"overlaps"`
		Twice      []jsonBoth  `json:"twice"`
		AfterThaw  []jsonBoth  `json:"after_thaw"`
		Violations []string    `json:"violations"`
		Logs       string      `json:"logs"`
	}
	jsonRow struct {
		Fault  string             `json:"fault"`
		Times  int                `json:"times"`
		Median map[string]float64 `json:"median"`
		Most   map[string]float64 `json:"most"`
	}
	jsonRound struct {
		At     float64            `json:"at"`
		Faults []jsonFault        `json:"faults"`
		Down   map[string]float64 `json:"down"`
	}
	jsonFault struct {
		At      float64 `json:"at"`
		Fault   string  `json:"fault"`
		Host    string  `json:"host"`
		Package string  `json:"package"`
	}
	jsonBoth struct {
		Package string    `json:"package"`
		Seconds float64   `json:"seconds"`
		Runs    []jsonRun `json:"runs"`
	}
	jsonRun struct {
		Host  string  `json:"host"`
		First float64 `json:"first"`
		Last  float64 `json:"last"`
	}
)

func (f *findings) printJSON(w io.Writer) error {
	r := jsonReport{
		Faults: f.faults, Unblocked: f.count[unblocked], Started: f.count[started], Answers: f.answers,
		LongestGap: f.longestGap.Seconds(), Overlaps: inJSON(f.overlaps), Twice: inJSON(f.twice), AfterThaw: inJSON(f.thaws),
		Table: []jsonRow{}, Rounds: []jsonRound{}, Violations: append([]string{}, f.violations...), Logs: f.logs.dir,
	}
	r.Seed, r.Seconds = f.seed()
	for _, row := range f.table() {
		r.Table = append(r.Table, jsonRow{row.fault, row.rounds, inSeconds(row.median), inSeconds(row.most)})
	}
	for _, round := range f.rounds {
		j := jsonRound{At: since1970(round.from), Down: inSeconds(round.down)}
		for _, e := range round.faults {
			j.Faults = append(j.Faults, jsonFault{since1970(e.at), e.word, e.host, e.pkg})
		}
		r.Rounds = append(r.Rounds, j)
	}
	return json.NewEncoder(w).Encode(r)
}

func inJSON(list []both) []jsonBoth {
	out := []jsonBoth{}
	for _, o := range list {
		j := jsonBoth{Package: o.pkg, Seconds: o.Length().Seconds()}
		for _, run := range []lives.Run{o.A, o.B} {
			j.Runs = append(j.Runs, jsonRun{run.Host, since1970(lives.Time(run.First)), since1970(lives.Time(run.Last))})
		}
		out = append(out, j)
	}
	return out
}

func inSeconds(durations map[string]time.Duration) map[string]float64 {
	seconds := map[string]float64{}
	for name, d := range durations {
		seconds[name] = d.Seconds()
	}
	return seconds
}

func since1970(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
