package cli

import (
	"testing"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

func TestFresher(t *testing.T) {
	t.Parallel()
	at := func(term, seq uint64, left int64) api.State {
		return api.State{Lock: lock.Lock{Term: term, Seq: seq}, Left: left}
	}
	for _, row := range []struct {
		a, b api.State
		want bool
	}{
		{at(2, 1, 0), at(1, 9, 0), true},
		{at(1, 9, 5), at(2, 1, 0), false},
		{at(1, 2, 0), at(1, 1, 5), true},
		{at(1, 1, 5), at(1, 1, 0), true},
		{at(1, 1, 0), at(1, 1, 5), false},
		{at(1, 1, 0), at(1, 1, 0), false},
		{at(0, 0, 0), at(0, 0, 0), false},
	} {
		if got := fresher(row.a, row.b); got != row.want {
			t.Errorf("fresher(%+v, %+v) = %v, want %v", row.a, row.b, got, row.want)
		}
	}
}
