package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// All bracket expressions of up to three characters that the analysis lets pass mean what they mean to dash, where
// they are taken off a value and in case.
func TestBrackets(t *testing.T) {
	needDash(t)
	const text = "a-b.c_d,e:f0+g*h?i=j%k@l#m"
	letters := strings.Split("- . , : a c 0 _ ! * ? = + % @ #", " ")
	var patterns []string
	for _, x := range letters {
		patterns = append(patterns, x)
		for _, y := range letters {
			patterns = append(patterns, x+y)
			for _, z := range letters {
				patterns = append(patterns, x+y+z)
			}
		}
	}
	var lines []string
	for _, p := range patterns {
		line := fmt.Sprintf("x='%s'; echo \"${x%%%%[%s]*} ${x##*[%s]}\"; case $x in a[%s]*) echo 1;; *) echo 0;; esac", text, p, p, p)
		if s, err := Parse("script", []byte(line)); err == nil && len(s.Check()) == 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) < 2000 {
		t.Errorf("only %d of %d are let pass", len(lines), len(patterns))
	}
	dir := t.TempDir()
	for lines := range slices.Chunk(lines, 100) { // a script may not have too many brackets
		script := strings.Join(lines, "\n")
		if err := os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		got, want := strings.Split(interpret(t, dir, script).out, "\n"), strings.Split(inDir(dir, nil).dash(t, "").out, "\n")
		if len(got) != len(want) || len(want) != 2*len(lines)+1 {
			t.Fatalf("%d lines, and %d of dash, of %d", len(got), len(want), 2*len(lines))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %s; dash: %s", lines[i/2], got[i], want[i])
			}
		}
	}
}
