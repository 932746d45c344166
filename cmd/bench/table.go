package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A table is what was measured.
type table struct{ rows [][3]string }

// add adds a row without an aim.
func (t *table) add(name, format string, values ...any) {
	t.rows = append(t.rows, [3]string{name, fmt.Sprintf(format, values...), ""})
}

// aim adds a row for a time that should be below a limit.
func (t *table) aim(name string, took, limit time.Duration) {
	verdict := "< " + inMillis(limit)
	if took >= limit {
		verdict += ", missed"
	}
	t.rows = append(t.rows, [3]string{name, inMillis(took), verdict})
}

// atLeast adds a row for a ratio that should be above a limit.
func (t *table) atLeast(name string, is, limit float64) {
	verdict := fmt.Sprintf("> %.0f", limit)
	if is < limit {
		verdict += ", missed"
	}
	t.rows = append(t.rows, [3]string{name, fmt.Sprintf("%.1f", is), verdict})
}

func (t *table) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "measured\tvalue\taim")
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r[0], r[1], r[2])
	}
	return w.Flush()
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func inMillis(d time.Duration) string { return fmt.Sprintf("%.3g ms", millis(d)) }

// quantile is the time that part q of the sorted times do not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// repeat measures f n times, and returns the times in order of size.
func repeat(n int, f func() (time.Duration, error)) ([]time.Duration, error) {
	times := make([]time.Duration, 0, n)
	for range n {
		took, err := f()
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	slices.Sort(times)
	return times, nil
}
