//go:build linux

package worker

import (
	"os"
	"path/filepath"
	"testing"
)

// All actions of a script run the same tree, until the files change.
func TestOneScript(t *testing.T) {
	dir, env := t.TempDir(), []string{"PATH=/usr/bin:/bin"}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "p"), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e := Embedded()
	run := func(files string, args ...string) (*loaded, Answer) {
		t.Helper()
		r := Request{Path: "p", Files: files, Args: args, Dir: dir, Env: env}
		p, declined, err := e.Load(r)
		if err != nil || declined != "" {
			t.Fatal(declined, err)
		}
		var a Answer
		if err := p.Run(t.Context(), r, &a); err != nil {
			t.Fatal(err)
		}
		return p.(*loaded), a
	}
	write(`case $1 in status) exit 3 ;; echo) echo "$2" ;; esac`)
	status, a := run("1", "status")
	if a.Status != 3 {
		t.Errorf("%+v", a)
	}
	echo, a := run("1", "echo", "pace")
	if string(a.Stdout) != "pace\n" || echo.main != status.main || echo == status {
		t.Errorf("%+v; the same script: %v", a, echo.main == status.main)
	}
	write(`case $1 in status) exit 4 ;; echo) echo "$2" >&2 ;; esac`)
	if _, a = run("2", "echo", "pace"); string(a.Stderr) != "pace\n" || len(a.Stdout) > 0 {
		t.Errorf("%+v", a)
	}
	if _, a = run("2", "status"); a.Status != 4 {
		t.Errorf("%+v", a)
	}
}

// What needs files has them, also in the cgroup of the package, and says the same.
func TestWithFiles(t *testing.T) {
	dir := t.TempDir()
	text := "#!/bin/sh\necho out; echo err >&2; sh -c 'echo real; echo too >&2; cat; exit 5'\n"
	if err := os.WriteFile(filepath.Join(dir, "p"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	r := Request{Path: "p", Files: "1", Dir: dir, Env: []string{"PATH=/usr/bin:/bin"}}
	p, declined, err := Embedded().Load(r)
	if err != nil || declined != "" {
		t.Fatal(declined, err)
	}
	var a Answer
	if err := p.Run(t.Context(), r, &a); err != nil || a.Status != 5 || string(a.Stdout) != "out\nreal\n" || string(a.Stderr) != "err\ntoo\n" || a.Forks != 1 {
		t.Errorf("%v: %+v", err, a)
	}
}
