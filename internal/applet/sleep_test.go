package applet

import (
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args string
		want time.Duration // -1 for an error
	}{
		{"1", time.Second},
		{"0", 0},
		{".5", 500 * time.Millisecond},
		{"1.25s", 1250 * time.Millisecond},
		{"1m 2h 3d 4", 74*time.Hour + time.Minute + 4*time.Second},
		{"1e1", 10 * time.Second},
		{"infinity", math.MaxInt64 / 2},
		{"infd", math.MaxInt64},
		{"1e300d", math.MaxInt64},
		{"", -1},
		{"x", -1},
		{"s", -1},
		{"-1", -1},
		{"1w", -1},
		{"1_0", -1},
		{"0x10", -1},
		{"nan", -1},
		{"1 x", -1},
		{"1ss", -1},
	} {
		got, err := duration(split(row.args))
		if (err != nil) != (row.want < 0) || err == nil && got != row.want {
			t.Errorf("duration(%q) = %v, %v, want %v", row.args, got, err, row.want)
		}
	}
}
