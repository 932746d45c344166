package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/lint"
	"backtowork/internal/native"
	"backtowork/internal/script"
	"backtowork/internal/shell"
)

const lintUsage = `Usage: service lint [-o json] [--lacks] P|FILE [...]
       service lint [-o json] --all-nodes P [...]
       service lint --explain RULE

Looks for what is wrong with a package, its modules and parameters, or with any script, and runs
nothing of it but echo, for the parameters: what no shell reads, what this host lacks, what makes a
failover go wrong though the script works by hand; why its status is not for a worker (see
set-shell), and which commands of it cost a process; and what shellcheck finds, if that is
installed. A line for each:
  FILE:LINE:COLUMN: error|warning|note: REASON (RULE)
--lacks says only what this host lacks. --all-nodes says it of the other nodes too, and how old
their word is: back-to-work on each looks twice an hour, runs the package or stands by for
it, and tells the lock servers. A node where none runs for the package tells nothing, unless
service lint --all-nodes P is run there: it is told for three minutes.
--explain says what a rule is about, with an example. "# lint: ignore RULE" in a script is heeded.
The exit status is 1 if there is an error.

Example: ./service lint pkg1
`

func serviceLint(ctx context.Context, env *command.Env, args []string) error {
	opts, names, err := command.Options(args, "o:e:al", map[string]byte{"explain": 'e', "all-nodes": 'a', "lacks": 'l'})
	if err != nil {
		return err
	}
	var asJSON, everywhere, lacks bool
	for _, o := range opts {
		switch {
		case o.Letter == 'e':
			return explainRule(env, o.Value)
		case o.Letter == 'a':
			everywhere = true
		case o.Letter == 'l':
			lacks = true
		case o.Value != "json":
			return command.Usagef("unknown output %q: json is the only one", o.Value)
		default:
			asJSON = true
		}
	}
	if len(names) == 0 {
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	l := linter{site: s, needs: lacks}
	found, faults := []lint.Finding{}, []error{}
	for _, name := range names {
		more, err := l.lint(ctx, name)
		if err == nil && everywhere {
			var others []lint.Finding
			others, err = s.othersLack(ctx, name, more)
			more = append(more, others...)
		}
		if err != nil {
			faults = append(faults, err)
		}
		found = append(found, more...)
	}
	if lacks {
		found = slices.DeleteFunc(found, func(f lint.Finding) bool { return !lint.IsNeed(f) })
	}
	if asJSON {
		err = json.NewEncoder(env.Stdout).Encode(found)
	} else {
		for _, f := range found {
			fmt.Fprintln(env.Stdout, f)
		}
	}
	if err = errors.Join(append(faults, err)...); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f lint.Finding) bool { return f.Level == lint.Error }) {
		return command.Status(1)
	}
	return nil
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

// A linter looks at the packages and scripts of a site.
type linter struct {
	*site
	needs bool // only at what is wanted of the host: nothing is run for it
}

// lint looks at a package and its modules, or at a script.
func (s linter) lint(ctx context.Context, name string) (found []lint.Finding, err error) {
	path := filepath.Join("packages", name)
	if strings.Contains(name, "/") || script.Check(s.Home, name) != nil {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) || name == "" {
			return nil, fmt.Errorf("there is neither a package nor a file called %q", name)
		}
		found, _, err := s.lintFile(ctx, name, name, lint.Other)
		return found, err
	}
	functions := s.functions(name)
	found, text, err := s.lintFile(ctx, path, filepath.Join(s.Home, path), lint.Package, functions...)
	if err != nil {
		return nil, err
	}
	found = append(found, s.lintParameters(ctx, name, path, text)...)
	for _, module := range s.modulesOf(name) {
		module = filepath.Join("packages/modules", module)
		more, _, err := s.lintFile(ctx, module, filepath.Join(s.Home, module), lint.Module, functions...)
		if err == nil { // else it is not there: that was found in the script
			found = append(found, more...)
		}
	}
	if !s.needs {
		found = append(found, s.lintForWorker(name, path)...)
	}
	for i := range found {
		found[i].Package = name
	}
	return found, nil
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

// longestScript is more than any script has, in bytes.
const longestScript = 1 << 20

// readScript reads what may be anything: never a device or a pipe, which may have no end, or keep who opens it waiting.
func readScript(path, file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %q: %w", path, reasonOf(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is not a regular file", path)
	case info.Size() == 0: // or a file of /proc, of which a read may wait for ever
		return nil, fmt.Errorf("%q is no script: it is empty", path)
	case info.Size() > longestScript:
		return nil, fmt.Errorf("%q is no script: it has more than %d bytes", path, longestScript)
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, reasonOf(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestScript))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %q: %w", path, reasonOf(err))
	case bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%q is no script: it has bytes that are 0", path)
	}
	return text, nil
}

// reasonOf is an error of a file without the file, which its message has already.
func reasonOf(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// lintFile looks at one file, which is called path to people. What it sources has functions.
func (s linter) lintFile(ctx context.Context, path, file string, kind lint.Kind, functions ...string) ([]lint.Finding, []byte, error) {
	text, err := readScript(path, file)
	if err != nil {
		return nil, nil, err
	}
	host := s.lintHost()
	isProgram := host.HasCommand
	host.HasCommand = func(name string) bool { return slices.Contains(functions, name) || isProgram(name) }
	host.Native = func(name string) bool { return slices.Contains(functions, name) || native.Knows(name) }
	found := lint.File(path, kind, text, host)
	broken := slices.ContainsFunc(found, func(f lint.Finding) bool { return f.Rule == "syntax" })
	if !s.needs && !broken { // it would say the same
		found = append(found, shellcheck(ctx, path, file, text, kind)...)
	}
	return found, text, nil
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
func (s linter) lintParameters(ctx context.Context, name, path string, text []byte) []lint.Finding {
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
	if s.needs || slices.Contains(lint.Ignored(text), "parameter") {
		return found
	}
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
	_, why := shell.CheckAll(filepath.Join(s.Home, path), os.ReadFile, shell.Glob, "status")
	ignored := map[string][]string{}
	for _, f := range why {
		if _, ok := ignored[f.File]; !ok {
			text, _ := readScript(f.File, f.File) // it was read just now
			ignored[f.File] = lint.Ignored(text)
		}
		if slices.Contains(ignored[f.File], f.Rule) {
			continue
		}
		file, err := filepath.Rel(s.Home, f.File)
		if err != nil {
			file = f.File
		}
		found = append(found, lint.Finding{File: file, Line: f.Line, Col: f.Col, Level: lint.Note, Reason: "status is for the shell, not for a worker: " + f.Reason, Rule: f.Rule})
	}
	return found
}

// notAsked are findings of shellcheck that are none here: parameters are read by others than the script that sets
// them, what is sourced is found when the script runs, and every sh that runs packages knows local.
const notAsked = "SC1090,SC1091,SC2034,SC2154,SC3043"

// shellcheck is what that program says of a script, if it is installed and knows the shell.
func shellcheck(ctx context.Context, path, file string, text []byte, kind lint.Kind) (found []lint.Finding) {
	dialect := lint.Dialect(text, kind)
	ignored := lint.Ignored(text)
	if dialect == "" || slices.Contains(ignored, "shellcheck") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := outputOf(ctx, "shellcheck", "-s", dialect, "-S", "info", "-e", notAsked, "-f", "json", "--", file)
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
		rule := fmt.Sprintf("SC%d", c.Code)
		if !slices.Contains(ignored, rule) {
			found = append(found, lint.Finding{File: path, Line: c.Line, Col: c.Column, Level: level, Reason: c.Message, Rule: rule})
		}
	}
	return found
}
