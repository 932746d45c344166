package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// acted is the notes of one script.
func acted(action string, term int, previous, node string, from, to float64) string {
	var b strings.Builder
	for t := from; t <= to+0.001; t += 0.02 {
		fmt.Fprintf(&b, "%.9f %.9f %s %d %s %s\n", from, t, action, term, previous, node)
	}
	return b.String()
}

func status(term int, previous, node string) string {
	return fmt.Sprintf("- - status %d %s %s\n", term, previous, node)
}

// The scripts of web, after those of the good logs.
func TestReportOfScripts(t *testing.T) {
	t.Parallel()
	h1, h2 := goodLogs["h1/opt/web.acts"], goodLogs["h2/opt/web.acts"]
	frozen := strings.Replace(goodLogs["faults"], "crash", "freeze", 1)
	tests := []struct {
		name    string
		changed map[string]string
		status  int
		says    string // or, after a "!", does not say
	}{
		{"a stop after its start", map[string]string{"h2/opt/web.acts": h2 + acted("stop", 5, "h1", "h2", 1010, 1010.5)}, 0, "!BESIDE"},
		{"a stop beside its start", map[string]string{"h2/opt/web.acts": h2 + acted("stop", 5, "h1", "h2", 1004.5, 1004.8)}, 1, "BESIDE: web: start of term 5 on h2 from "},
		{"the stop came first", map[string]string{"h2/opt/web.acts": acted("stop", 0, "-", "h2", 1004.1, 1004.3) + h2}, 1, "BESIDE: web: stop of term 0 on h2 from "},
		{"two stops", map[string]string{"h2/opt/web.acts": h2 + acted("stop", 5, "h1", "h2", 1010, 1011) + acted("stop", 5, "h1", "h2", 1010.9, 1012)}, 1, "BESIDE: web: stop of term 5 "},
		{"a stop beside the other's start", map[string]string{"h1/opt/web.acts": h1 + acted("stop", 4, "-", "h1", 1004.1, 1004.5)}, 0, "!BESIDE"},
		{"an admin's stop beside a start", map[string]string{"h2/opt/web.acts": h2 + acted("stop", 0, "-", "-", 1004.3, 1004.5)}, 0, "!BESIDE"},
		{"a term goes back", map[string]string{"h1/opt/web.acts": h1 + acted("start", 4, "-", "h1", 1012, 1012.05)}, 1, "TERM BACK: web: start of term 4 on h1 from "},
		{"the same again, by one lock", map[string]string{"h2/opt/web.acts": h2 + acted("start", 5, "h1", "h2", 1012, 1012.05)}, 0, "!TERM"},
		{"a term goes back after a thaw", map[string]string{"faults": frozen, "h1/opt/web.acts": h1 + acted("start", 4, "-", "h1", 1012, 1012.05)}, 0, "!TERM"},
		{"the same, and it goes on", map[string]string{"faults": frozen, "h1/opt/web.acts": h1 + acted("start", 4, "-", "h1", 1012, 1012.5)}, 1, "TERM BACK: "},
		{"the same, and another was frozen", map[string]string{"faults": strings.Replace(frozen, "h1", "h2", 1), "h1/opt/web.acts": h1 + acted("start", 4, "-", "h1", 1012, 1012.05)}, 1, "TERM BACK: "},
		{"one term on two nodes", map[string]string{"h1/opt/web.acts": h1 + status(5, "-", "h1") + status(5, "-", "h1")}, 1, "ONE TERM: web: h1 and h2 both had the lock by term 5\n"},
		{"scripts that clear up", map[string]string{"h1/opt/web.acts": status(0, "-", "h1") + h1, "h2/opt/web.acts": status(0, "-", "h2") + h2}, 0, "!ONE TERM"},
		{"a wrong node before", map[string]string{"h2/opt/web.acts": acted("start", 5, "h3", "h2", 1004.2, 1004.6)}, 1, "PREVIOUS: web: the start of term 5 on h2 from "},
		{"its own name", map[string]string{"h2/opt/web.acts": acted("start", 5, "h2", "h2", 1004.2, 1004.6)}, 1, " was told h2, after the start of term 4 on h1 from "},
		{"none before", map[string]string{"h2/opt/web.acts": acted("start", 5, "-", "h2", 1004.2, 1004.6)}, 1, "PREVIOUS: "},
		{"the last start failed, and who was silent is still named", map[string]string{"h3/opt/web.acts": acted("start", 6, "h1", "h3", 1008, 1008.1)}, 0, "!PREVIOUS"},
		{"the same, of itself", map[string]string{"h1/opt/web.acts": h1 + acted("start", 6, "h1", "h1", 1008, 1008.1)}, 1, "PREVIOUS: web: the start of term 6 on h1 "},
		{"by another name", map[string]string{"h1/opt/web.acts": acted("start", 4, "-", "h1x", 1000, 1000.1), "h2/opt/web.acts": acted("start", 5, "h1x", "h2", 1004.2, 1004.6)}, 0, "!PREVIOUS"},
		{"another had it, without a start", map[string]string{"h3/opt/web.acts": status(5, "h1", "h3"), "h2/opt/web.acts": acted("start", 6, "h3", "h2", 1004.2, 1004.6)}, 0, "!PREVIOUS"},
		{"the same, and the first is still named", map[string]string{"h3/opt/web.acts": status(5, "h1", "h3"), "h2/opt/web.acts": acted("start", 6, "h1", "h2", 1004.2, 1004.6)}, 0, "!PREVIOUS"},
		{"the same, and itself is named", map[string]string{"h3/opt/web.acts": status(5, "h1", "h3"), "h2/opt/web.acts": acted("start", 6, "h2", "h2", 1004.2, 1004.6)}, 1, "PREVIOUS: "},
		{"the first went on by a new term", map[string]string{"h1/opt/web.acts": h1 + status(5, "-", "h1"), "h2/opt/web.acts": acted("start", 6, "h2", "h2", 1004.2, 1004.6)}, 1, "PREVIOUS: "},
		{"nobody knows who was between", map[string]string{"h2/opt/web.acts": acted("start", 6, "h2", "h2", 1004.2, 1004.6)}, 0, "!PREVIOUS"},
		{"a start after one of its own", map[string]string{"h2/opt/web.acts": h2 + acted("start", 6, "h2", "h2", 1012, 1012.1)}, 0, "!PREVIOUS"},
		{"no start was seen", map[string]string{"h1/opt/web.acts": status(4, "-", "h1"), "h2/opt/web.acts": ""}, 1, "SAW NOTHING: no start of web was noted\n"},
		{"half a line", map[string]string{"h2/opt/web.acts": h2 + "1004.300000000 1004.400000000 stop 5 h1 h"}, 0, "!BESIDE"},
	}
	for _, tt := range tests {
		var out, errs strings.Builder
		got := run([]string{"report", write(t, tt.changed)}, &out, &errs)
		says, not := strings.CutPrefix(tt.says, "!")
		if got != tt.status || errs.Len() > 0 || strings.Contains(out.String(), says) == not {
			t.Errorf("%s: exit status %d, want %d, and %q\n%s%s", tt.name, got, tt.status, tt.says, out.String(), errs.String())
		}
	}
}

// A companion of a script notes nothing once it is no longer that script's child. What it notes can
// be read again.
func TestDuring(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.acts")
	if err := during(t.Context(), path, "start", "1x", "1"); err == nil {
		t.Error("it follows the process 1x")
	}
	if err := during(t.Context(), path, "start", strconv.Itoa(os.Getppid()+1), "1"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || len(text) > 0 {
		t.Errorf("it notes %q of another's child, %v", text, err)
	}
	env := map[string]string{"BTW_TERM": "7", "BTW_NODE": "h1"}
	acts := parseActs("h1", actLine("1000.000000000", time.Unix(1001, 5), "stop", func(name string) string { return env[name] }))
	want := act{host: "h1", action: "stop", node: "h1", previous: "-", term: 7, first: "1000.000000000", last: "1001.000000005"}
	if len(acts) != 1 || acts[0] != want {
		t.Errorf("a note says %+v, want %+v", acts, want)
	}
}
