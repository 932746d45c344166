package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lint"
)

// What a node lacks comes to the others with its age, within bounds; who has told nothing, or is of an older version, is named.
func TestLacks(t *testing.T) {
	t.Parallel()
	need := func(i int, reason string) lint.Finding {
		return lint.Finding{File: "packages/p", Line: uint(i), Col: 1, Level: lint.Warning, Reason: reason, Rule: "missing-command", Package: "p"}
	}
	long := strings.Repeat("ä", api.LongestLack)
	seen := looked{at: time.Now().Add(-time.Hour), found: []lint.Finding{{Package: "other"}}}
	for i := range 30 {
		seen.found = append(seen.found, need(i, long))
	}
	r := api.Report{Node: "n2", Package: "p", Script: "sum"}
	seen.tell(&r)
	if len(r.Lacks) != api.MostLacks || r.More != 30-api.MostLacks || len(r.Lacks[0].Reason) > api.LongestLack || r.Looked < time.Hour.Milliseconds() {
		t.Errorf("told are %d and %d more, since %d ms", len(r.Lacks), r.More, r.Looked)
	}
	if b, err := json.Marshal(fitted(r)); err != nil || len(b) > longestReport || fitted(r).Lacks == nil {
		t.Errorf("the report has %d bytes, %v", len(b), err)
	}
	told := func(l ...api.Lack) api.Report {
		return api.Report{Node: "n2", Package: "p", Script: "sum", Looked: 2000, Age: 40000, Lacks: l}
	}
	for want, r := range map[string]api.Report{
		"packages/p:1:1: note: on n2, 42s ago: nothing is missing (node)": told(),
		"modules/m:3:4: error: on n2, 42s ago: 5% of ?[31m is away (missing-path)": told(
			api.Lack{File: "modules/m", Line: 3, Col: 4, Level: "error", Reason: "5% of \x1b[31m is away", Rule: "missing-path"}),
		"packages/p:1:1: warning: n2 has not reported: see that back-to-work runs p there, or run service lint --all-nodes p there (node)": {},
		"packages/p:1:1: note: n2 does not say what it lacks: it, or a lock server, runs an older version, or it has not looked yet (node)": {
			Script: "sum", Age: 1000,
		},
	} {
		if got := lacksOf("p", "n2", r); fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("it says %v, want %s", got, want)
		}
	}
}
