package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backtowork/internal/sim/lives"
)

// noted is notes of one life, every 0.02 s, between two times.
func noted(began, from, to float64) string {
	var b strings.Builder
	for t := from; t <= to+0.001; t += 0.02 {
		fmt.Fprintf(&b, "%.9f %.9f\n", began, t)
	}
	return b.String()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func at(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)) }

func TestRounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, log string
		want      []string // name, from, to
	}{
		{"nothing", "100.0 begin 1\n101.0 up\n", nil},
		{"one", "100.0 begin 1\n101.0 up\n102.0 crash h1 -\n110.0 healed\n115.0 up\n118.0 end\n", []string{"crash 102 118"}},
		{"one after another", "102.0 crash h1 -\n110.0 healed\n115.0 up\n118.0 cut h2 -\n120.0 healed\n121.0 up\n", []string{"crash 102 118", "cut 118 121"}},
		{"two at once", "102.0 crash h1 -\n104.0 kill-daemon h2 web\n110.0 healed\n115.0 up\n", []string{"two at once 102 115"}},
		{"the admin is no fault", "102.0 crash h1 -\n110.0 healed\n111.0 started h1 web\n112.0 unblocked h1 beat\n115.0 up\n", []string{"crash 102 115"}},
		{"late", "102.0 crash h1 -\n110.0 healed\n200.0 late not-running\n202.0 cut h2 -\n", []string{"crash 102 202", "cut 202 202"}},
		{"half a line", "102.0 crash h1 -\n110.0 cut h1", []string{"crash 102 102"}},
	}
	for _, tt := range tests {
		var got []string
		for _, r := range rounds(parseEvents(tt.log)) {
			got = append(got, fmt.Sprintf("%s %d %d", r.name(), r.from.Unix(), r.to.Unix()))
		}
		if strings.Join(got, ", ") != strings.Join(tt.want, ", ") {
			t.Errorf("%s: rounds = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		notes    string
		from, to float64
		want     float64
	}{
		{"it runs on", noted(100, 100, 120), 105, 115, 0},
		{"it moves", noted(100, 100, 107) + noted(109.5, 109.5, 120), 105, 115, 2.5},
		{"it moves at once", noted(100, 100, 107) + noted(107.2, 107.2, 120), 105, 115, 0.2},
		{"it moves twice", noted(100, 100, 107) + noted(108, 108, 110) + noted(113, 113, 120), 105, 115, 4},
		{"it stands still", noted(100, 100, 107) + noted(100, 110, 120), 105, 115, 3},
		{"it is late once", noted(100, 100, 107) + noted(100, 107.4, 120), 105, 115, 0},
		{"it was down before", noted(100, 100, 103) + noted(106, 106, 120), 105, 115, 1},
		{"it comes up later", noted(100, 100, 108) + noted(118, 118, 120), 105, 115, 7},
		{"it never comes", noted(100, 100, 108), 105, 115, 7},
		{"its last note is just before the end", noted(100, 100, 114.8), 105, 115, 0},
	}
	for _, tt := range tests {
		got := down(spansOf(lives.Runs("h1", tt.notes, hole)), at(tt.from), at(tt.to))
		if diff := got - seconds(tt.want); diff.Abs() > 25*time.Millisecond {
			t.Errorf("%s: down = %v, want %v s", tt.name, got, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	spans := merge(parseAnswers("100.000 h1\n100.020 h1\n100.300 h1\n101.000 h2\n101.020"))
	if len(spans) != 2 || !spans[0].first.Equal(at(100)) || !spans[0].last.Equal(at(100.3)) || !spans[1].last.Equal(at(101)) {
		t.Errorf("merge = %v", spans)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var f findings
	for i, s := range []float64{3, 1, 8, 2} {
		f.rounds = append(f.rounds, round{faults: []event{{word: "crash"}}, down: map[string]time.Duration{"web": seconds(s)}})
		if i == 2 {
			f.rounds = append(f.rounds, round{faults: []event{{word: "zap"}, {word: "cut"}}, down: map[string]time.Duration{"web": seconds(20)}},
				round{faults: []event{{word: "vanish"}}, down: map[string]time.Duration{"web": 0}})
		}
	}
	var got []string
	for _, r := range f.table() {
		got = append(got, fmt.Sprintf("%s %d %.1f %.1f", r.fault, r.rounds, r.median["web"].Seconds(), r.most["web"].Seconds()))
	}
	const want = "crash 4 2.5 8.0, vanish 1 0.0 0.0, two at once 1 20.0 20.0, all 6 2.5 20.0"
	if strings.Join(got, ", ") != want {
		t.Errorf("table = %q, want %q", strings.Join(got, ", "), want)
	}
}

// The logs of a run in which nothing is wrong: web moves from h1 to h2.
var goodLogs = map[string]string{
	"faults":           "1000.5 begin 42\n1001.0 up\n1002.0 crash h1 -\n1006.0 healed\n1010.0 up\n1020.0 end\n",
	"h1/opt/web.run":   noted(1000, 1000, 1002),
	"h2/opt/web.run":   noted(1004.5, 1004.5, 1020),
	"h1/opt/web.acts":  acted("start", 4, "-", "h1", 1000, 1000.1) + "- - status 4 - h1\n",
	"h2/opt/web.acts":  acted("start", 5, "h1", "h2", 1004.2, 1004.6) + "- - status 5 h1 h2\n",
	"h4/bg/client.log": answers(1000.5, 1002) + answers(1005, 1020),
}

func answers(from, to float64) string {
	var b strings.Builder
	for t := from; t <= to; t += 0.02 {
		fmt.Fprintf(&b, "%.3f h1\n", t)
	}
	return b.String()
}

// write makes a directory of the good logs, changed.
func write(t *testing.T, changed map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, files := range []map[string]string{goodLogs, changed} {
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestReport(t *testing.T) {
	t.Parallel()
	frozen := strings.Replace(goodLogs["faults"], "crash", "freeze", 1)
	tests := []struct {
		name    string
		changed map[string]string
		status  int
		says    []string
	}{
		{"all is well", nil, 0, []string{"seed 42: 1 faults in 20 s; ", "web down", "crash      1      2.50  2.50", " 3.00  3.00", "overlaps: 0\n"}},
		{"two ran", map[string]string{"h2/opt/web.run": noted(1001.5, 1001.5, 1020)}, 1, []string{"overlaps: 1\n", "OVERLAP: web ran on h1 from ", " and on h2 from ", ": 0.500 s\n"}},
		{"twice on one host", map[string]string{"h1/opt/web.run": noted(1000, 1000, 1002) + noted(1001, 1001, 1003)}, 1, []string{"overlaps: 1\n", "TWICE: web ran on h1"}},
		{"two ran for a moment after a thaw", map[string]string{"faults": frozen, "h1/opt/web.run": noted(1000, 1000, 1002) + noted(1000, 1006, 1006.08)}, 0, []string{"overlaps: 0\n", "after a thaw: web ran on h2 from ", "0.080 s (limit 0.100)\n"}},
		{"the same, just before the other began", map[string]string{"faults": frozen, "h1/opt/web.run": noted(1000, 1000, 1002) + noted(1000, 1004.46, 1004.54)}, 0, []string{"overlaps: 0\n", "after a thaw: "}},
		{"the same, for too long", map[string]string{"faults": frozen, "h1/opt/web.run": noted(1000, 1000, 1002) + noted(1000, 1006, 1006.2)}, 1, []string{"overlaps: 1\n", "OVERLAP: web"}},
		{"a pause, and nobody was frozen", map[string]string{"h1/opt/web.run": noted(1000, 1000, 1002) + noted(1000, 1006, 1006.08)}, 1, []string{"OVERLAP: web"}},
		{"another host was frozen", map[string]string{"faults": strings.Replace(frozen, "h1", "h2", 1), "h1/opt/web.run": noted(1000, 1000, 1002) + noted(1000, 1006, 1006.08)}, 1, []string{"OVERLAP: web"}},
		{"it does not come up", map[string]string{"faults": strings.Replace(goodLogs["faults"], "1010.0 up", "1010.0 late not-running", 1)}, 1, []string{"overlaps: 0\n", "NOT UP: ", ": not-running\n"}},
		{"a package never ran", map[string]string{"h1/opt/beat.run": ""}, 1, []string{"SAW NOTHING: beat never ran\n", "SAW NOTHING: no start of beat was noted\n"}},
		{"nobody answered", map[string]string{"h4/bg/client.log": ""}, 1, []string{"SAW NOTHING: no notes, or no answers\n"}},
		{"the admin had work", map[string]string{"faults": strings.Replace(goodLogs["faults"], "1010.0 up", "1007.0 unblocked h1 web\n1008.0 started h1 web\n1010.0 up", 1)}, 0, []string{"the admin unblocked 1, started 1 again\n"}},
	}
	for _, tt := range tests {
		dir := write(t, tt.changed)
		var out, errs strings.Builder
		if got := run([]string{"report", dir}, &out, &errs); got != tt.status || errs.Len() > 0 {
			t.Errorf("%s: exit status %d, want %d; it says %q\n%s", tt.name, got, tt.status, errs.String(), out.String())
		}
		for _, want := range append(tt.says, "logs: "+dir+"\n") {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: it does not say %q:\n%s", tt.name, want, out.String())
			}
		}
		out.Reset()
		if got := run([]string{"report", "-o", "json", dir}, &out, &errs); got != tt.status {
			t.Errorf("%s: in JSON: exit status %d, want %d", tt.name, got, tt.status)
		}
		var said jsonReport
		if err := json.Unmarshal([]byte(out.String()), &said); err != nil || said.Faults != 1 || (len(said.Violations) > 0) != (tt.status == 1) {
			t.Errorf("%s: in JSON: %v\n%s", tt.name, err, out.String())
		}
	}
}

func TestReportLast(t *testing.T) {
	t.Parallel()
	dir := write(t, nil)
	var out, errs strings.Builder
	if got := run([]string{"report", "--last", dir}, &out, &errs); got != 0 || !strings.Contains(out.String(), "  crash h1  ") || !strings.Contains(out.String(), "web down  2.50 s  no answer  3.00 s\n") {
		t.Errorf("report --last: exit status %d, %q%q", got, out.String(), errs.String())
	}
}

func TestReadTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{0: "one\ntwo\nthree\n", 100: "one\ntwo\nthree\n", 9: "three\n", 7: "three\n"} {
		if got, err := readTail(path, limit); err != nil || got != want {
			t.Errorf("readTail %d = %q, %v, want %q", limit, got, err, want)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "serve", "serve a", "beat a", "ask", "ask a b", "during a start 1", "report", "report -x", "report -o text a", "report a b", "nothing", "report --last"} {
		var out, errs strings.Builder
		if got := run(strings.Fields(args), &out, &errs); got != 2 || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("web %s: exit status %d, %q%q", args, got, out.String(), errs.String())
		}
	}
	var out, errs strings.Builder
	if got := run([]string{"--help"}, &out, &errs); got != 0 || out.String() != usage || errs.Len() > 0 {
		t.Errorf("web --help: exit status %d, %q%q", got, out.String(), errs.String())
	}
	if got := run([]string{"report", t.TempDir()}, &out, &errs); got != 1 || !strings.HasPrefix(errs.String(), "web: cannot read the log of faults: ") {
		t.Errorf("web report of nothing: exit status %d, %q", got, errs.String())
	}
}
