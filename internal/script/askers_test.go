//go:build linux

package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// interpretForTest is an embedded shell that does what the script's second line says.
func interpretForTest(argv []string) (status int, begun bool, err error) {
	text, err := os.ReadFile(argv[0])
	if err != nil {
		return 0, false, err
	}
	switch lines := strings.SplitN(string(text), "\n", 3); lines[1] {
	case "# declined":
		return 0, false, errors.New("there is a trap in it")
	case "# breaks":
		return 0, true, errors.New("a word is too long")
	}
	fmt.Println("embedded " + strings.Join(argv, " ") + " in " + os.Getenv("BTW_NODE"))
	return 7, true, nil
}

// With conf/shell = embedded, start and stop need no shell, and fall back on it where nothing is lost by that.
func TestEmbedded(t *testing.T) {
	const own = "echo own $0 $1 ; exit 3"
	for name, row := range map[string]struct {
		text, action string
		status       int
		says         string
	}{
		"start":          {"#!/bin/sh\n\n" + own, "start", 7, "embedded packages/pkg start in n1\n"},
		"stop":           {"#!/bin/sh\n\n" + own, "stop", 7, "embedded packages/pkg stop in n1\n"},
		"no first line":  {"\n\n" + own, "stop", 7, "embedded packages/pkg stop in n1\n"},
		"status":         {"#!/bin/sh\n\n" + own, "status", 3, "own packages/pkg status\n"},
		"bash":           {"#!/bin/bash\n\n" + own, "start", 3, "own packages/pkg start\n"},
		"declined start": {"#!/bin/sh\n# declined\n" + own, "start", 3, "back-to-work: the embedded shell leaves this to the script's own shell: there is a trap in it.\nown packages/pkg start\n"},
		"stop breaks":    {"#!/bin/sh\n# breaks\n" + own, "stop", 3, "back-to-work: the embedded shell leaves this to the script's own shell: a word is too long.\nown packages/pkg stop\n"},
		"start breaks":   {"#!/bin/sh\n# breaks\n" + own, "start", 1, "back-to-work: the embedded shell cannot go on with this start: a word is too long. set-shell auto has it run by its own shell.\n"},
	} {
		s := newSite(t, "none", "", func(c *Config) { c.Embedded = true })
		if err := os.WriteFile(filepath.Join(s.home, "packages/pkg"), []byte(row.text), 0o755); err != nil {
			t.Fatal(err)
		}
		if status := s.run(row.action); status != row.status || s.logText() != row.says {
			t.Errorf("%s: status %d, and %q; want %d, and %q", name, status, s.logText(), row.status, row.says)
		}
	}
	s := newSite(t, "none", own, func(c *Config) { c.Embedded = true })
	if err := os.Remove(filepath.Join(s.home, "packages/pkg")); err != nil {
		t.Fatal(err)
	}
	if status := s.run("stop"); status != NotRun {
		t.Errorf("no script: status %d", status)
	}
}

// A wise asker says what it was told to, and has the shell asked what it was told to.
type wise struct {
	said  map[string]Reply
	check []string
	asked []string
	why   []string
}

func (w *wise) Ask(_ context.Context, s Setting, _ string, names []string) (map[string]Reply, []string) {
	w.asked = append(w.asked, names...)
	if s.Path != "packages/pkg" || !strings.Contains(strings.Join(s.Env, " "), "BTW_ACTION=") {
		return nil, nil
	}
	return w.said, w.check
}

func (w *wise) Checked(_, why string) { w.why = append(w.why, why) }

func says(text string, status int) Reply { return Reply{Stdout: []byte(text), Status: status} }

// What an asker says is believed as far as the shell, which is asked some of it, says the same.
func TestAsker(t *testing.T) {
	script := `: $$ ; echo run >>runs ; case $2 in a) echo 1 ;; b) echo 2 ; exit 4 ;; esac ; eval : $2`
	for name, row := range map[string]struct {
		said  map[string]Reply
		check string
		want  string
		runs  int
		why   string
	}{
		"nothing":  {nil, "", "a=1 b=2 c=", 4, ""},
		"all":      {map[string]Reply{unknown: {}, "a": says("7\n", 0), "b": says("8", 0), "c": {}}, "", "a=7 b=8 c=", 0, ""},
		"a part":   {map[string]Reply{unknown: {}, "a": says("7\n", 0)}, "", "a=7 b=2 c=", 2, ""},
		"checked":  {map[string]Reply{unknown: {}, "a": says(" 1\n", 0), "b": says("2\n", 4), "c": {}}, "a b", "a=1 b=2 c=", 3, "ok"},
		"differs":  {map[string]Reply{unknown: {}, "a": says("7\n", 0), "b": says("8", 0), "c": says("9", 0)}, "a", "a=1 b=2 c=", 4, `echo a: status 0 and "7", and 0 and "1" by the shell`},
		"status":   {map[string]Reply{unknown: {}, "a": says("1\n", 1)}, "a", "a=1 b=2 c=", 4, `echo a: status 1 and "1", and 0 and "1" by the shell`},
		"lost":     {map[string]Reply{unknown: {}, "a": says("", 2), "b": says("x", 127), "c": says("9", 0)}, "", "a=1 b=2 c=9", 2, ""},
		"speaks":   {map[string]Reply{unknown: says("what?\n", 0)}, unknown, "a=1 b=2 c=", 4, `echo no_such_parameter: status 0 and "what?", and 0 and "" by the shell`},
		"does not": {map[string]Reply{}, "", "a=1 b=2 c=", 4, ""},
	} {
		w := &wise{said: row.said, check: strings.Fields(row.check)}
		s := newSite(t, "none", script, func(c *Config) { c.Asker = w })
		got, odd := echoes(t, s, "a b c", "")
		if got != row.want || odd != "" || s.runs("run") != row.runs {
			t.Errorf("%s: %s %s after %d runs, want %s after %d", name, got, odd, s.runs("run"), row.want, row.runs)
		}
		switch {
		case row.why == "" && len(w.why) > 0, row.why != "" && len(w.why) != 1:
			t.Errorf("%s: it is told %q", name, w.why)
		case row.why == "ok" && w.why[0] != "", row.why != "" && row.why != "ok" && (w.why[0] != row.why || !strings.Contains(s.logText(), row.why)):
			t.Errorf("%s: it is told %q, and the log says %q; want %q", name, w.why, s.logText(), row.why)
		}
		again, _ := echoes(t, s, "a b c", "")
		if asked := len(w.asked); again != got || asked != 4 || s.runs("run") != row.runs {
			t.Errorf("%s: asked again, %s, %q", name, again, w.asked)
		}
	}
}
