package shell

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what dash does with the scripts of testdata/rows.json")

// snippet is a script that shells disagree about, or might; out and status are dash's, agree says how many of seven shells
// do the same (dash, busybox, bash --posix, mksh, ksh93, yash, posh), where that was measured.
type snippet struct {
	ID     string `json:"id"`
	Script string `json:"script"`
	Out    string `json:"out"`
	Status int    `json:"status"`
	Agree  int    `json:"agree"`
}

// snippets: snippets.json are those of the measurements in spec/shell.md; rows.json has each kind of difference that is
// known, from there and from FuzzTwins.
func snippets(t testing.TB, file string) []snippet {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []snippet
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

var snippetFiles = []string{"snippets.json", "rows.json"}

// TestSnippets: what is accepted gives dash's stdout and status, also by mvdan.cc/sh alone.
func TestSnippets(t *testing.T) {
	for i := range 2 * len(snippetFiles) {
		file, slow := snippetFiles[i/2], i%2 == 1
		count := map[string]int{}
		for _, s := range snippets(t, file) {
			in := inDir(t.TempDir(), nil)
			in.slow = slow
			got := in.text(t, s.Script)
			if got.quick {
				count["without mvdan.cc/sh"]++
			}
			how := "as dash"
			if got.decline != "" {
				how = "declined"
				t.Logf("%s: declined: %s", s.ID, firstLine(got.decline))
			} else if want := (outcome{out: s.Out, status: s.Status}); !got.same(want) {
				how = "different"
				t.Errorf("%s: %q gives %q, %d; dash: %q, %d (of seven shells, %d)", s.ID, s.Script, got.out, got.status, want.out, want.status, s.Agree)
			}
			count[how]++
			if s.Agree >= 6 {
				count["of those where six of seven shells agree, "+how]++
			}
		}
		t.Logf("%s: %v", file, count)
	}
}

// TestSnippetsOfDash: what was recorded is what dash does here. Signals end it with another number for each kernel's trap of a division.
func TestSnippetsOfDash(t *testing.T) {
	needDash(t)
	if *update {
		record(t)
	}
	if testing.Short() {
		t.Skip("some seconds of dash")
	}
	for _, file := range snippetFiles {
		for _, s := range snippets(t, file) {
			got := dash(t, t.TempDir(), s.Script)
			if want := (outcome{out: s.Out, status: s.Status}); !got.same(want) && s.Status >= 0 {
				t.Errorf("%s: %q: dash gives %q, %d, not %q, %d", s.ID, s.Script, got.out, got.status, want.out, want.status)
			}
		}
	}
}

// record writes rows.json anew, a line for each script: to add one, write its id and script.
func record(t *testing.T) {
	var lines []string
	for _, s := range snippets(t, "rows.json") {
		got := dash(t, t.TempDir(), s.Script)
		s.Out, s.Status = got.out, got.status
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	if err := os.WriteFile("testdata/rows.json", []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
