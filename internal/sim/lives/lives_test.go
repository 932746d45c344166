package lives

import (
	"slices"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	t.Parallel()
	began, now := time.Unix(1700000000, 5), time.Unix(1700000001, 250_000_000)
	const want = "1700000000.000000005 1700000001.250000000\n"
	if got := Line(began, now); got != want {
		t.Errorf("Line = %q, want %q", got, want)
	}
	if got := Time("1700000001.250000000"); !got.Equal(now) {
		t.Errorf("Time = %v, want %v", got, now)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, notes string
		want        []Run
	}{
		{"one life", "10.0 10.5\n10.0 11.0\n", []Run{{"h1", "10.0", "10.0", "11.0", ""}}},
		{"two lives", "10.0 10.5\n12.0 12.5\n", []Run{{"h1", "10.0", "10.0", "10.5", ""}, {"h1", "12.0", "12.0", "12.5", ""}}},
		{"a pause", "10.0 10.5\n10.0 15.0\n10.0 15.5\n", []Run{{"h1", "10.0", "10.0", "10.5", ""}, {"h1", "10.0", "15.0", "15.5", "10.5"}}},
		{"two at once", "10.0 10.5\n10.2 10.6\n10.0 11.0\n10.2 11.1\n", []Run{{"h1", "10.0", "10.0", "11.0", ""}, {"h1", "10.2", "10.2", "11.1", ""}}},
		{"half a line", "10.0 10.5\n10.0 1", []Run{{"h1", "10.0", "10.0", "10.5", ""}}},
	}
	for _, tt := range tests {
		if got := Runs("h1", tt.notes, time.Second); !slices.Equal(got, tt.want) {
			t.Errorf("%s: Runs = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		h1, h2 string
		want   int
		twice  int
	}{
		{"one after the other", "10.0 10.0\n10.0 12.5\n", "12.6 12.6\n12.6 14.0\n", 0, 0},
		{"and back again", "10.0 10.5\n10.0 12.5\n16.0 16.0\n16.0 17.0\n", "12.6 12.6\n12.6 14.0\n", 0, 0},
		{"a shared moment", "10.0 10.5\n10.0 12.5\n", "12.4 12.4\n12.4 14.0\n", 1, 0},
		{"one within the other", "10.0 10.5\n10.0 19.5\n", "12.4 12.4\n12.4 14.0\n", 1, 0},
		{"two within another", "10.0 10.5\n10.0 19.5\n", "12.4 12.4\n12.4 14.0\n15.0 15.0\n15.0 16.0\n", 2, 0},
		{"half a line at a crash", "10.0 10.5\n10.0 1", "12.4 12.4\n12.4 14.0\n", 0, 0},
		{"twice on one host", "10.0 10.5\n10.0 12.5\n11.0 11.0\n", "", 0, 1},
	}
	for _, tt := range tests {
		runs := append(Runs("h1", tt.h1, Forever), Runs("h2", tt.h2, Forever)...)
		if got := Overlaps(runs); len(got) != tt.want {
			t.Errorf("%s: Overlaps = %v, want %d", tt.name, got, tt.want)
		}
		if got := Twice(runs); len(got) != tt.twice {
			t.Errorf("%s: Twice = %v, want %d", tt.name, got, tt.twice)
		}
	}
}

func TestLongestOverlap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		h1, h2 string
		want   time.Duration
	}{
		{"one after the other", "10.0 10.0\n10.0 12.5\n", "12.6 12.6\n12.6 14.0\n", 0},
		{"the end of one", "10.0 12.0\n10.0 12.5\n", "12.25 12.25\n12.25 13.0\n", 250 * time.Millisecond},
		{"a pause of more than a second", "10.0 10.5\n10.0 15.0\n10.0 15.5\n", "12.0 12.5\n12.0 13.5\n12.0 14.5\n12.0 15.25\n12.0 16.0\n", 500 * time.Millisecond},
		{"a pause of less", "10.0 10.5\n10.0 11.5\n", "10.75 10.75\n10.75 11.25\n", 500 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := LongestOverlap(append(Runs("h1", tt.h1, time.Second), Runs("h2", tt.h2, time.Second)...)); got != tt.want {
			t.Errorf("%s: LongestOverlap = %v, want %v", tt.name, got, tt.want)
		}
	}
}
