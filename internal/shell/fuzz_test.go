package shell

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

const lib = "l=lib\nf_lib() { echo in lib $1; }\nx=${x}l\n[ \"$y\" != ret ] || return 4\n"

// twins runs a script by both, in a directory each.
func twins(t testing.TB, script string) (here, there outcome) {
	t.Helper()
	args := []string{"a", "b c"}
	here = interpret(t, libDir(t), script, args...)
	if here.decline != "" {
		return here, here
	}
	there = dash(t, libDir(t), script, args...)
	if !here.same(there) {
		return here, there
	}
	slow := inDir(libDir(t), args)
	slow.slow = true
	if by := slow.text(t, script); by.decline == "" && !by.same(there) {
		by.out = "(by mvdan.cc/sh) " + by.out
		return by, there
	}
	// The same when it is sourced: the first time it is text that is printed and parsed again, then a tree.
	main, err := Parse("main", []byte(". ./whole"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse("whole", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	main.mode = whole.mode
	for range 2 {
		s := inDir(libDir(t), args)
		s.slow = true
		path := filepath.Join(s.dir, "whole")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s.source = func(file string) (*Script, error) {
			if file == s.dir+"/./whole" {
				return whole, nil
			}
			return readScript(file)
		}
		here = s.interpret(t, main)
		if !here.same(there) && here.decline == "" {
			here.out = "(sourced) " + here.out
			return here, there
		}
	}
	return there, there
}

func libDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lib"), []byte(lib), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// FuzzTwins: a script of the grammar does what it does in dash, or is declined.
func FuzzTwins(f *testing.F) {
	needDash(f)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		b := make([]byte, 40+rnd.IntN(160))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &grammar{data: data}
		script := g.script()
		here, there := twins(t, script)
		// Both sides of a pipeline may write to one file: then dash, too, does now this and now that.
		for range 4 {
			if here.decline == "" && !here.same(there) {
				here, there = twins(t, script)
			}
		}
		if here.decline != "" {
			t.Skip(here.decline)
		}
		if !here.same(there) {
			t.Errorf("%s\nhere: %d\n%s\ndash: %d\n%s", script, here.status, here.out, there.status, there.out)
		}
	})
}
