//go:build linux

package script

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseFirstLine(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]firstLine{
		"":                              {},
		"exit 0\n":                      {},
		"#!/bin/sh":                     {interpreter: "/bin/sh"},
		"#!/bin/sh\nx\x00":              {interpreter: "/bin/sh"},
		"#! \t/bin/sh -e -u \n":         {interpreter: "/bin/sh", option: "-e -u"},
		"#!/bin/sh\r\n":                 {interpreter: "/bin/sh\r"},
		"#!/usr/bin/env python3\nx = 1": {interpreter: "/usr/bin/env", option: "python3"},
		"\x7fELF\x02\x00":               {binary: true},
		"text\n\x00":                    {},
	} {
		if got := parseFirstLine([]byte(head)); got != want {
			t.Errorf("%q: %+v, want %+v", head, got, want)
		}
	}
}

// A package's own first line, or its being a program, comes before conf/shell.
func TestShellIsForScriptsOfSh(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skip(err)
	}
	const byShell = 42
	for name, row := range map[string]struct {
		text string
		want int
	}{
		"sh":              {"#!/bin/sh\nexit 1\n", byShell},
		"sh with options": {"#! /bin/sh -eu\nexit 1\n", byShell},
		"no first line":   {"exit 1\n", byShell},
		"another":         {"#!/bin/cat\n", 0},
		"through env":     {"#!/usr/bin/env cat\n", 0},
		"bash":            {"#!/bin/bash\nexit 7\n", 7},
		"program":         {string(program), 0},
	} {
		s := newSite(t, "none", "", func(c *Config) { c.Shell = filepath.Join(c.Home, "shell") })
		for file, text := range map[string]string{"shell": "#!/bin/sh\necho \"$*\"\nexit 42\n", "packages/pkg": row.text} {
			if err := os.WriteFile(filepath.Join(s.home, file), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.run("packages/pkg"); got != row.want { // cat prints itself then
			t.Errorf("%s: status = %d, want %d; log: %q", name, got, row.want, s.logText())
		}
		if name == "sh with options" && s.logText() != "-eu packages/pkg packages/pkg\n" {
			t.Errorf("%s: the shell was given %q", name, s.logText())
		}
	}
}

func TestSourced(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		". modules/a":                              "a",
		"   . \"modules/vip.$os\" || exit 1":       "vip.Linux",
		"source ${0%/*}/modules/vip.$(uname) ;":    "vip.Linux",
		". modules/vip.`uname -s`":                 "vip.Linux",
		"[ -r modules/a ] && . ./modules/a;":       "a",
		"if x ; then . modules/a ; . modules/b":    "a b",
		". modules/$m.${os}":                       "*.Linux",
		"# . modules/a\necho . modules/b":          "",
		"start)\n\t. modules/fs.Linux\r\n":         "fs.Linux",
		" start) . modules/c;;":                    "c",
		"(. modules/a)":                            "a",
		"( . modules/v.${os} ) ; . 'modules/i' ;;": "v.Linux i",
		"source /opt/x/packages/modules/b && ls":   "b",
		"echo x # . modules/a\n./modules/x":        "",
		"ls modules/a; cat packages/x.modules/b":   "",
	} {
		if got := strings.Join(Sourced([]byte(text)), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestDOSLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                      false,
		"#!/bin/sh\nexit 0\n":                   false,
		"#!/bin/sh\r\nexit 0\n":                 true,
		"#!/bin/sh\na\r\nb\r\nc\r\n":            true,
		"# module\r\n":                          true,
		"# module":                              false,
		"#!/bin/sh\na\nprintf 'x\r\n'\nc\n":     false,
		"#!/usr/bin/python3\na\r\nb\r\nc\r\n":   false,
		"#!/usr/bin/python3\r\na\r\nb\r\nc\r\n": true,
	} {
		if got := hasDOSLines([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// Modules that others source are found too, and looked at by the package's own shell.
func TestSyntaxChecks(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(home, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("packages/modules/a", ". modules/b\n. modules/a\n. modules/none\n")
	write("packages/modules/b", "# \r\n")
	write("packages/modules/c", "# \r\n")
	for _, row := range []struct {
		first, shell string
		want         []string
	}{
		{"#!/bin/sh", "", []string{"/bin/sh -n packages/p", "/bin/sh -n packages/modules/a", "/bin/sh -n packages/modules/b"}},
		{"#!/bin/sh -e", "/bin/dash", []string{"/bin/dash -n packages/p", "/bin/dash -n packages/modules/a", "/bin/dash -n packages/modules/b"}},
		{"#!/bin/bash", "/bin/dash", []string{"/bin/bash -n packages/p", "/bin/bash -n packages/modules/a", "/bin/bash -n packages/modules/b"}},
		{"#!/usr/bin/env bash", "", []string{"/usr/bin/env bash -n packages/p", "/usr/bin/env bash -n packages/modules/a", "/usr/bin/env bash -n packages/modules/b"}},
		{"", "", []string{"/bin/sh -n packages/p", "/bin/sh -n packages/modules/a", "/bin/sh -n packages/modules/b"}},
		{"#!/usr/bin/perl", "/bin/sh", nil},
		{"#!/usr/bin/env perl", "/bin/sh", nil},
		{"\x7fELF\x00", "/bin/sh", nil},
	} {
		write("packages/p", row.first+"\n. modules/a\n")
		commands, err := SyntaxChecks(home, "p", row.shell)
		var got []string
		for _, c := range commands {
			got = append(got, strings.Join(c, " "))
		}
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%q, %q: %q, %v; want %q", row.first, row.shell, got, err, row.want)
		}
	}
	write("packages/p", "#!/bin/sh\n. modules/a\n")
	if err := CheckLineEnds(home, "p"); err == nil || err.Error() != "packages/modules/b has DOS line ends (CR LF)" {
		t.Errorf("CheckLineEnds: %v", err)
	}
	write("packages/p", "#!/bin/sh\n# . modules/b\n")
	if err := CheckLineEnds(home, "p"); err != nil {
		t.Errorf("CheckLineEnds of what is not sourced: %v", err)
	}
}
