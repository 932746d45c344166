//go:build linux

package script

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// echoes asks for names, then for more.
func echoes(t *testing.T, s *site, names, more string) (said, odd string) {
	t.Helper()
	got, odd, err := s.Echo(t.Context(), strings.Fields(names), strings.Fields(more))
	if err != nil {
		return err.Error(), ""
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(got)) {
		all = append(all, name+"="+got[name])
	}
	return strings.Join(all, " "), odd
}

// runs is how often the script has begun with a word.
func (s *site) runs(word string) int {
	data, _ := os.ReadFile(filepath.Join(s.home, "runs"))
	return strings.Count(string(data), word)
}

// Answers are kept until the script or a module changes.
func TestEchoIsKept(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, ". packages/modules/m\necho run >>runs\neval \"echo \\\"  \\$$2 \\\"\"\nexit 1")
		module := filepath.Join(s.home, "packages/modules/m")
		if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
			t.Fatal(err)
		}
		set := func(value string, age time.Duration) {
			if err := os.WriteFile(module, []byte("pace="+value+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(-age)
			if err := os.Chtimes(module, when, when); err != nil {
				t.Fatal(err)
			}
		}
		echo := func(names, want string, runs int) {
			t.Helper()
			if got, odd := echoes(t, s, names, ""); got != want || odd != "" || s.runs("run") != runs {
				t.Errorf("echo %s: %s %s after %d runs, want %s after %d", names, got, odd, s.runs("run"), want, runs)
			}
		}
		set("4", time.Hour)
		echo("pace", "pace=4", 2)
		echo("pace", "pace=4", 2)
		echo("pace none", "none= pace=4", 3)
		set("5", time.Minute) // same size, another time
		echo("pace", "pace=5", 5)
		now := time.Now()
		if err := os.Chtimes(filepath.Join(s.home, "packages/pkg"), now, now); err != nil {
			t.Fatal(err)
		}
		echo("pace", "pace=5", 7)
	})
}

// What cannot be an answer, or a question, is an error.
func TestEchoFails(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `case $2 in
bad) kill -9 $$;;
left) sleep 60 & echo early;;
long) head -c 70000 /dev/zero | tr '\0' x;;
esac`)
		for name, want := range map[string]string{
			"left": "left=early",
			"bad":  `cannot ask package "pkg" for its parameters: it cannot be run (exit status 137): log/pkg.log says why`,
			"long": `cannot ask package "pkg" for its parameters: the answer to echo long is longer than 65536 bytes`,
			"a;b":  `cannot ask package "pkg" for its parameters: "a;b" is not a parameter's name`,
		} {
			if got, _ := echoes(t, s, "pace "+name, ""); strings.TrimSuffix(got, " pace=") != want {
				t.Errorf("echo %s: %s, want %s", name, got, want)
			}
		}
	})
}

func TestEchoThatHangs(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		s := newSite(t, mode, `echo $$ >>pids; setsid sh -c 'echo $$ >>pids; sleep 60' & sleep 60`)
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan error)
		go func() {
			_, _, err := s.Echo(ctx, []string{"pace"}, nil)
			asked <- err
		}()
		pids := s.pids("pids", 2)
		cancel()
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Errorf("Echo: %v, want the context's error", err)
		}
		for _, pid := range pids {
			if lives(pid) {
				t.Errorf("%d is alive", pid)
			}
		}
		s.patience = time.Millisecond
		if _, _, err := s.Echo(t.Context(), []string{"pace"}, nil); !errors.Is(err, errSlow) {
			t.Errorf("Echo: %v, want %v", err, errSlow)
		}
	})
}

// A script that its shell cannot read, or a module that it sources, is no package without parameters.
func TestEchoOfABrokenScript(t *testing.T) {
	eachMode(t, func(t *testing.T, mode string) {
		for file, text := range map[string]string{"pkg": "case $1 in\nfi\n", "modules/m.all": "fi\n"} {
			s := newSite(t, mode, ". packages/modules/m.all")
			if err := errors.Join(os.MkdirAll(filepath.Join(s.home, "packages/modules"), 0o755),
				os.WriteFile(filepath.Join(s.home, "packages/modules/m.all"), nil, 0o644),
				os.WriteFile(filepath.Join(s.home, "packages", file), []byte("#!/bin/sh\n"+text), 0o755)); err != nil {
				t.Fatal(err)
			}
			if got, _ := echoes(t, s, "pace", ""); !strings.HasSuffix(got, "its shell cannot read packages/"+file+": log/pkg.log says why") {
				t.Errorf("Echo = %s, want an error", got)
			}
		}
	})
}

// Scripts of all kinds: what they say, whether they are odd, and how many processes it took. None is asked more than
// once for anything, and an odd one for nothing of more.
func TestEchoOfAll(t *testing.T) {
	const names, more = "pace timeout", "a b c"
	const some = -1 // the first that fails ends those beside it
	for name, row := range map[string]struct {
		script, said, odd string
		processes         int
	}{
		"the original's form":    {"pace=4 a='x  y'\ncase $1 in\n echo) eval echo \\$$2 ;;\nesac", "a=x y b= c= pace=4 timeout=", "", 1},
		"options":                {"#!/bin/sh -e\npace=4\neval echo \\$$2", "a= b= c= pace=4 timeout=", "", 1},
		"bash":                   {"#!/bin/bash\nv=(pace) pace=4\necho ${!2}", "a= b= c= pace=4 timeout=", "", 1},
		"by env":                 {"#!/usr/bin/env bash\npace=4\necho ${!2}", "a= b= c= pace=4 timeout=", "", 1},
		"lines, without an end":  {"pace=4 a='1\n2'\neval printf %s '\"'\\$$2'\"'", "a=1\n2 b= c= pace=4 timeout=", "", 1},
		"variables that clash":   {"pace=$#-$*- btw_text=\neval echo \\$$2", "a= b= c= pace=2-echo pace- timeout=", "", 1},
		"not a shell":            {"#!/usr/bin/awk -f\nBEGIN { if (ARGV[2] == \"pace\") print 4 }", "a= b= c= pace=4 timeout=", "", 0},
		"it knows BASH_SUBSHELL": {"#!/bin/bash\n[ \"$BASH_SUBSHELL\" = 0 ] || exit 0\npace=4\necho ${!2}", "a= b= c= pace=4 timeout=", "", 6},
		"it sees who calls it":   {"read -r x < /proc/self/cmdline\ncase $x in *btw_text*) exit 0 ;; esac\npace=4\neval echo \\$$2", "a= b= c= pace=4 timeout=", "", 7},
		"its process's number":   {"pace=$((1 + 0 * $$))\neval echo \\$$2", "a= b= c= pace=1 timeout=", "", 6},
		"nothing said":           {"exit 0", "a= b= c= pace= timeout=", "", 7},
		"0 for all":              {"pace=4 timeout=9\neval echo \\${$2:-0}", "pace=4 timeout=9", `"echo no_such_parameter" says "0"`, 4},
		"refuses":                {"pace=4\ncase $2 in pace|timeout) eval echo \\$$2 ;; *) echo unknown $2 ; exit 1 ;; esac", "pace=4 timeout=", `"echo no_such_parameter" says "unknown no_such_parameter"`, 4},
		"LSB":                    {"echo Usage >&2 ; exit 2", "pace= timeout=", `"echo no_such_parameter" ends with exit status 2, and nothing is said of any name`, 7},
		"strict":                 {"#!/bin/bash\nset -euo pipefail\npace=4 a=5\ncase $1 in echo) eval \"echo \\$$2\" ;; esac", "a=5 b= c= pace=4 timeout=", "", 1},
		"only names it knows":    {"pace=4 a=5\ncase $2 in pace|a) eval echo \\$$2 ;; *) exit 1 ;; esac", "a=5 b= c= pace=4 timeout=", "", 1},
		"2 for others":           {"pace=4 a=5\ncase $2 in pace|a) eval echo \\$$2 ;; *) exit 2 ;; esac", "a=5 b= c= pace=4 timeout=", "", 7},
		"only more":              {"a=5\ncase $2 in a) echo 5 ;; *) exit 1 ;; esac", "a=5 b= c= pace= timeout=", "", 1},
		"fails always":           {"pace=4 a=5\neval echo \\$$2\nexit 1", "a=5 b= c= pace=4 timeout=", "", 1},
		"quiet where sourced":    {"#!/bin/bash\na=5\nreturn 2>/dev/null\neval echo \\$$2", "a=5 b= c= pace= timeout=", "", 1},
		"says that it is":        {"#!/bin/bash\na=5\n(return 0 2>/dev/null) && echo sourced\neval echo \\$$2", "a=5 b= c= pace= timeout=", "", 1},
		"a trap that exits":      {"a=5\ntrap 'eval echo \\$$2 ; exit 3' EXIT\nreadonly a\nexit 0", "a=5 b= c= pace= timeout=", "", 1},
		"a loop's words":         {"#!/bin/bash\na=5\nbreak\ncontinue\neval echo \\$$2", "a=5 b= c= pace= timeout=", "", 1},
		"no interpreter at all":  {"#!/no/such", `cannot ask package "pkg" for its parameters: cannot run packages/pkg: the interpreter "/no/such" is missing, which its first line names: no such file or directory`, "", 0},
		"one cannot be answered": {"case $2 in a) kill -9 $$ ;; esac", `cannot ask package "pkg" for its parameters: it cannot be run (exit status 137): log/pkg.log says why`, "", some},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, rest := "#!/bin/sh", row.script
			if strings.HasPrefix(rest, "#!") {
				first, rest, _ = strings.Cut(rest, "\n")
			}
			s := newSite(t, "none", "")
			if row.processes != 0 {
				rest = "eval echo \\$\\$ >>runs\n" + rest // not seen to ask for its number
			}
			if err := os.WriteFile(filepath.Join(s.home, "packages/pkg"), []byte(first+"\n"+rest+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			said, odd := echoes(t, s, names, more)
			if row.said != "" && said != row.said || odd != row.odd {
				t.Errorf("it says %s, odd: %s; want %s, odd: %s", said, odd, row.said, row.odd)
			}
			data, _ := os.ReadFile(filepath.Join(s.home, "runs"))
			pids := strings.Fields(string(data))
			slices.Sort(pids)
			if got := len(slices.Compact(pids)); got != row.processes && row.processes != some {
				t.Errorf("%d processes, want %d", got, row.processes)
			}
		})
	}
}

// A sheet that may not be what separate runs would say is not used again, also where a later question finds all quiet.
func TestASheetIsDoubtedOnce(t *testing.T) {
	for name, row := range map[string]struct{ text, module string }{
		"quiet in a sheet":      {text: "read -r x < /proc/self/cmdline\ncase $x in *btw_text*) exit 0 ;; esac"},
		"talks in a sheet":      {text: "read -r x < /proc/self/cmdline\ncase $x in *btw_text*) echo sheet ; exit ;; esac"},
		"quiet where sourced":   {text: "return 2>/dev/null"},
		"a module that tells":   {text: ". packages/modules/m.all", module: "[ \"$BASH_SUBSHELL\" = 0 ] || exit 0\n"},
		"a module that returns": {text: ". packages/modules/m.all", module: "f () { return ; }\n(return) && return\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "none", "")
			if err := errors.Join(os.MkdirAll(filepath.Join(s.home, "packages/modules"), 0o755),
				os.WriteFile(filepath.Join(s.home, "packages/modules/m.all"), []byte(row.module), 0o644),
				os.WriteFile(filepath.Join(s.home, "packages/pkg"), []byte("#!/bin/bash\na=5 b=6 c=7\n"+row.text+"\necho ${!2}\n"), 0o755)); err != nil {
				t.Fatal(err)
			}
			for _, round := range []struct{ names, more, want string }{
				{"pace timeout", "a", "a=5 pace= timeout="},
				{"", "b c none", "b=6 c=7 none="},
			} {
				if said, odd := echoes(t, s, round.names, round.more); said != round.want || odd != "" {
					t.Errorf("it says %s, odd: %s; want %s", said, odd, round.want)
				}
			}
		})
	}
}

// What the text of a package, or of a module that it sources, gives a value.
func TestSets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"fence=ilo4":                    "packages/pkg fence",
		"pace=4 export fence=ilo4":      "packages/pkg fence",
		": ${fence:=ilo4}":              "packages/pkg fence",
		"case $2 in\n fence) echo ilo4": "packages/pkg fence",
		"kill_unit_0=db.service":        "packages/pkg kill_unit_",
		"eval kill_unit_$i=x":           "packages/pkg kill_unit_",
		". packages/modules/m.all":      "packages/modules/m.all fence",
		" # fence=ilo4":                 " ",
		"[ \"$fence\" ] || my_fence=1":  " ",
		"case $1 in\n fence)\n x ;;":    " ",
	} {
		s := newSite(t, "none", text)
		if err := errors.Join(os.MkdirAll(filepath.Join(s.home, "packages/modules"), 0o755),
			os.WriteFile(filepath.Join(s.home, "packages/modules/m.all"), []byte("fence=x\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if file, name := s.Sets([]string{"fence", "kill_unit_"}); file+" "+name != want {
			t.Errorf("%q sets %s in %s, want %s", text, name, file, want)
		}
	}
}
