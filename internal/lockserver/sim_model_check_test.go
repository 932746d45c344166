package lockserver

import (
	"testing"
	"time"
)

// The model tells histories that may be from those that may not.
func TestLinearizable(t *testing.T) {
	at := func(s int) time.Time {
		if s == 0 {
			return time.Time{}
		}
		return time.Unix(int64(s), 0)
	}
	of := func(session string, term uint64, called, got, gaveUp, freed, kill int) holding {
		return holding{session: session, term: term, called: at(called), got: at(got), gaveUp: at(gaveUp), freed: at(freed), kill: at(kill)}
	}
	adopted := func(h holding, from string) holding { h.from = from; return h }
	for name, test := range map[string]struct {
		legal   bool
		history []holding
	}{
		"released, then another":          {true, []holding{of("x", 1, 1, 2, 5, 6, 20), of("y", 2, 3, 6, 8, 9, 30)}},
		"the end, then another":           {true, []holding{of("x", 1, 1, 2, 0, 0, 20), of("y", 2, 3, 21, 0, 0, 30)}},
		"another before the end":          {false, []holding{of("x", 1, 1, 2, 0, 0, 20), of("y", 2, 3, 19, 0, 0, 30)}},
		"another before the release":      {false, []holding{of("x", 1, 1, 2, 10, 11, 20), of("y", 2, 3, 9, 0, 0, 30)}},
		"a release without an answer":     {true, []holding{of("x", 1, 1, 2, 10, 0, 20), of("y", 2, 3, 11, 0, 0, 30)}},
		"a release after the end":         {true, []holding{of("x", 1, 1, 2, 40, 41, 20), of("y", 2, 3, 21, 0, 0, 60)}},
		"the same session, in a new term": {true, []holding{of("x", 1, 1, 2, 0, 0, 20), of("x", 3, 3, 4, 0, 0, 30)}},
		"adopted before the end":          {true, []holding{of("x", 1, 1, 2, 0, 0, 9), adopted(of("y", 2, 3, 9, 0, 0, 30), "x")}},
		"adopted from another":            {false, []holding{of("x", 1, 1, 2, 0, 0, 20), adopted(of("y", 2, 3, 9, 0, 0, 30), "z")}},
		"the same term twice":             {false, []holding{of("x", 1, 1, 2, 3, 4, 20), of("y", 1, 5, 6, 0, 0, 30)}},
		"a term that goes back":           {false, []holding{of("x", 4, 1, 2, 3, 4, 20), of("y", 3, 5, 6, 0, 0, 30)}},
	} {
		if why, _ := linearizable(test.history); (why == "") != test.legal {
			t.Errorf("%s: %q", name, why)
		}
	}
}
