package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/lint"
	"backtowork/internal/script"
	"backtowork/internal/shell"
)

const lintUsage = `Usage: service lint [-o json] P|FILE [...]
       service lint --explain RULE

Looks for what is wrong with a package, its modules and parameters, or with any script, and runs
nothing of it but echo, for the parameters: what no shell reads, what this host lacks, what makes a
failover go wrong though the script works by hand; why its status is not for a worker (see
set-shell); and what shellcheck finds, if that is installed. A line for each:
  FILE:LINE:COLUMN: error|warning|note: REASON (RULE)
--explain says what a rule is about, with an example. "# lint: ignore RULE" in a script is heeded.
The exit status is 1 if there is an error.

Example: ./service lint pkg1
`

func serviceLint(ctx context.Context, env *command.Env, args []string) error {
	opts, names, err := command.Options(args, "o:e:", map[string]byte{"explain": 'e'})
	if err != nil {
		return err
	}
	asJSON := false
	for _, o := range opts {
		switch {
		case o.Letter == 'e':
			return explainRule(env, o.Value)
		case o.Value != "json":
			return command.Usagef("unknown output %q: json is the only one", o.Value)
		}
		asJSON = true
	}
	if len(names) == 0 {
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	found := []lint.Finding{}
	for _, name := range names {
		more, err := s.lint(ctx, name)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if asJSON {
		err = json.NewEncoder(env.Stdout).Encode(found)
	} else {
		for _, f := range found {
			fmt.Fprintln(env.Stdout, f)
		}
	}
	if err == nil && slices.ContainsFunc(found, func(f lint.Finding) bool { return f.Level == lint.Error }) {
		err = command.Status(1)
	}
	return err
}

func explainRule(env *command.Env, name string) error {
	for _, r := range lint.Rules() {
		if r.Name == name {
			fmt.Fprintf(env.Stdout, "%s (%s)\n\n%s\n\nWrong:\n%s\nRight:\n%s", r.Name, r.Level, r.Explain, indented(r.Bad), indented(r.Good))
			return nil
		}
	}
	if r, ok := shell.Explain(name); ok {
		fmt.Fprintf(env.Stdout, "%s (the script is for its own shell, not for a worker)\n\n%s\n\nFor example:\n%s", r.Name, r.Explain, indented(r.Bad))
		if r.Good != "" {
			fmt.Fprintf(env.Stdout, "Instead:\n%s", indented(r.Good))
		}
		return nil
	}
	return fmt.Errorf("there is no rule called %q", name)
}

// indented is an example as it is shown: what cannot be seen is written out.
func indented(text string) string {
	text = strings.NewReplacer("\r", `\r`, "\ufeff", `\ufeff`).Replace(strings.TrimSuffix(text, "\n"))
	return "   " + strings.ReplaceAll(text, "\n", "\n   ") + "\n"
}

// lint looks at a package and its modules, or at a script.
func (s *site) lint(ctx context.Context, name string) (found []lint.Finding, err error) {
	path := filepath.Join("packages", name)
	if strings.Contains(name, "/") || script.Check(s.Home, name) != nil {
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("there is neither a package nor a file called %q", name)
		}
		return s.lintFile(ctx, name, name, lint.Other)
	}
	functions := s.functions(name)
	if found, err = s.lintFile(ctx, path, filepath.Join(s.Home, path), lint.Package, functions...); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.Home, path))
	if err != nil {
		return nil, err
	}
	found = append(found, s.lintParameters(ctx, name, path, text)...)
	for _, module := range s.modulesOf(name) {
		module = filepath.Join("packages/modules", module)
		more, err := s.lintFile(ctx, module, filepath.Join(s.Home, module), lint.Module, functions...)
		if err != nil {
			continue // it is not there: that was found in the script
		}
		found = append(found, more...)
	}
	return append(found, s.lintForWorker(name, path)...), nil
}

// functionOf finds the functions of a script.
var functionOf = regexp.MustCompile(`(?m)^[ \t]*(?:function[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*\(\)`)

// functions is the names of those that the modules of a package have.
func (s *site) functions(name string) (names []string) {
	for _, module := range s.modulesOf(name) {
		text, _ := os.ReadFile(filepath.Join(s.Home, "packages/modules", module)) // one that is missing is found elsewhere
		for _, m := range functionOf.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// lintFile looks at one file, which is called path to people. What it sources has functions.
func (s *site) lintFile(ctx context.Context, path, file string, kind lint.Kind, functions ...string) ([]lint.Finding, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	host := s.lintHost()
	isProgram := host.HasCommand
	host.HasCommand = func(name string) bool { return slices.Contains(functions, name) || isProgram(name) }
	found := lint.File(path, kind, text, host)
	return append(found, shellcheck(ctx, path, file, string(text))...), nil
}

// lintHost is what scripts find on this host.
func (s *site) lintHost() lint.Host {
	var system unix.Utsname
	_ = unix.Uname(&system) // it never fails
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	return lint.Host{
		System: unix.ByteSliceToString(system.Sysname[:]), Exists: exists,
		IsModule: func(name string) bool { return exists(filepath.Join(s.Home, "packages/modules", name)) },
		HasCommand: func(name string) bool {
			for _, dir := range []string{"bin", "dex-lock", "utils"} {
				if exists(filepath.Join(s.Home, dir, name)) {
					return true
				}
			}
			_, err := exec.LookPath(name)
			return err == nil
		},
	}
}

// lintParameters looks at what a package sets, and has it say its parameters.
func (s *site) lintParameters(ctx context.Context, name, path string, text []byte) []lint.Finding {
	read := lint.Read{}
	for _, p := range failover.Parameters() {
		read.Known = append(read.Known, strings.TrimSuffix(p.Name, "0"))
	}
	for _, module := range s.modulesOf(name) {
		if text, err := os.ReadFile(filepath.Join(s.Home, "packages/modules", module)); err == nil {
			read.Modules = append(read.Modules, string(text))
		}
	}
	found := lint.Parameters(path, text, read, s.lintHost())
	r, err := s.asker(name)
	if err != nil {
		return found
	}
	defer r.Close()
	_, err = failover.ReadParams(ctx, r, s.Node)
	if err == nil {
		return found
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		found = append(found, lint.Finding{File: path, Line: lineOf(line, text), Col: 1, Level: lint.Error, Reason: line, Rule: "parameter"})
	}
	return found
}

var saidParameter = regexp.MustCompile(`^cannot use (\w+)=`)

// lineOf is where a parameter is set that a message names; 1 if that is not to be found.
func lineOf(message string, text []byte) uint {
	if m := saidParameter.FindStringSubmatch(message); m != nil {
		if at := regexp.MustCompile(`(?m)^[ \t]*` + m[1] + `=`).FindIndex(text); at != nil {
			return 1 + uint(strings.Count(string(text[:at[0]]), "\n"))
		}
	}
	return 1
}

// lintForWorker says why the status of a package is for its own shell.
func (s *site) lintForWorker(name, path string) (found []lint.Finding) {
	glob := func(pattern string) []string { files, _ := filepath.Glob(pattern); return files }
	_, why := shell.CheckAll(filepath.Join(s.Home, path), os.ReadFile, glob, "status")
	for _, f := range why {
		file, err := filepath.Rel(s.Home, f.File)
		if err != nil {
			file = f.File
		}
		found = append(found, lint.Finding{File: file, Line: f.Line, Col: f.Col, Level: lint.Note, Reason: "status is for the shell, not for a worker: " + f.Reason, Rule: f.Rule})
	}
	return found
}

// shellcheck is what that program says of a script for sh, if it is installed.
func shellcheck(ctx context.Context, path, file, text string) (found []lint.Finding) {
	if strings.Contains(text, "lint: ignore shellcheck") {
		return nil
	}
	out, err := outputOf(ctx, "shellcheck", "-s", "sh", "-f", "json", file)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil
	}
	var said []struct {
		Line, Column uint
		Level        string
		Code         int
		Message      string
	}
	if json.Unmarshal([]byte(out), &said) != nil {
		return nil
	}
	levels := map[string]lint.Level{"error": lint.Error, "warning": lint.Warning}
	for _, c := range said {
		level, ok := levels[c.Level]
		if !ok {
			level = lint.Note
		}
		found = append(found, lint.Finding{File: path, Line: c.Line, Col: c.Column, Level: level, Reason: c.Message, Rule: fmt.Sprintf("SC%d", c.Code)})
	}
	return found
}
