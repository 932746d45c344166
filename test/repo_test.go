// Package test holds what is true of the whole tree.
package test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestRepoImports holds the packages of ours against the imports that doc/DESIGN.md names: these, and no others.
func TestRepoImports(t *testing.T) {
	t.Parallel()
	named := namedImports(t)
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "backtowork/cmd/btw", "backtowork/cmd/probe", "backtowork/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := short(words[0])
		list, known := named[name]
		if !known {
			t.Errorf("doc/DESIGN.md does not know package %s", name)
		}
		delete(named, name)
		for _, imported := range words[1:] {
			if !strings.HasPrefix(imported, "backtowork/") {
				continue
			}
			at := slices.Index(list, short(imported))
			if at < 0 {
				t.Errorf("%s imports %s, and doc/DESIGN.md does not say so", name, short(imported))
				continue
			}
			list = slices.Delete(list, at, at+1)
		}
		if len(list) > 0 {
			t.Errorf("%s does not import %s, as doc/DESIGN.md says", name, list)
		}
	}
	for name := range maps.Keys(named) {
		t.Errorf("there is no package %s, of which doc/DESIGN.md tells", name)
	}
}

// namedImports is what doc/DESIGN.md says that each package imports, of ours.
func namedImports(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../doc/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found1 := strings.Cut(string(text), "```imports\n")
	table, _, found2 := strings.Cut(table, "```")
	if !found1 || !found2 {
		t.Fatal("doc/DESIGN.md has no table of imports")
	}
	named := map[string][]string{}
	for line := range strings.Lines(table) {
		name, list, row := strings.Cut(line, "->")
		if !row {
			continue
		}
		if name = strings.TrimSpace(name); name != "none of ours" {
			named[name] = strings.Fields(list)
			continue
		}
		for _, free := range strings.Fields(list) {
			named[free] = nil
		}
	}
	return named
}

func short(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "backtowork/"), "internal/")
}
