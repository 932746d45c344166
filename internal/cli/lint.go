package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"backtowork/internal/command"
	"backtowork/internal/lint"
	"backtowork/internal/script"
	"backtowork/internal/shell"
)

const lintUsage = `Usage: service lint [-o json] [--lacks] P|FILE [...]
       service lint [-o json] --all-nodes P [...]
       service lint --explain RULE

Looks for what is wrong with a package, its modules and parameters, or with any script (one that has
cases for start and stop is looked at as a package), and runs nothing of it but a package's echo, for
the parameters: what no shell reads, what this host lacks, what makes a
failover go wrong though the script works by hand; why its status is not for a worker (see
set-shell), and which commands of it cost a process; and what shellcheck finds besides, if that is
installed. A line for each:
  FILE:LINE:COLUMN: error|warning|note: REASON (RULE)
--lacks says only what this host lacks. --all-nodes says it of the other nodes too, and how old
their word is: back-to-work on each looks twice an hour, runs the package or stands by for
it, and tells the lock servers. A node where none runs for the package tells nothing, unless
service lint --all-nodes P is run there: it is told for three minutes.
--explain says what a rule is about, with an example. A line "# lint: ignore RULE ..." in a script,
wherever it is, has these rules find nothing in that file.
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
		printFindings(env, found)
	}
	if err = errors.Join(append(faults, err)...); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f lint.Finding) bool { return f.Level == lint.Error }) {
		return command.Status(1)
	}
	return nil
}

// printFindings prints each once: a module of two packages is looked at twice.
func printFindings(env *command.Env, found []lint.Finding) {
	said := map[string]bool{}
	for _, f := range found {
		if line := f.String(); !said[line] {
			said[line] = true
			fmt.Fprintln(env.Stdout, line)
		}
	}
}

// numberOfShellcheck is a rule that is not ours.
var numberOfShellcheck = regexp.MustCompile(`^SC[0-9]{4}$`)

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
	if numberOfShellcheck.MatchString(name) {
		fmt.Fprintf(env.Stdout, "%s (of shellcheck)\n\nhttps://www.shellcheck.net/wiki/%s says what it is about.\n", name, name)
		return nil
	}
	var names []string
	for _, r := range lint.Rules() {
		names = append(names, r.Name)
	}
	return command.WithHint(fmt.Errorf("there is no rule called %q", name), "a rule is what a finding has in ( ) at its end: one of the worker's, or of shellcheck's, or %s", strings.Join(names, ", "))
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
	if strings.Contains(name, "/") || name == "." || name == ".." {
		found, err = s.lintNamed(ctx, name)
	} else if err = script.Check(s.Home, name); err == nil {
		found, err = s.lintPackage(ctx, name)
	} else if _, missing := os.Lstat(filepath.Join(s.Home, "packages", name)); missing != nil || name == "" {
		found, err = s.lintNamed(ctx, name) // a file, perhaps
	}
	var files []string
	for _, f := range found {
		if !slices.Contains(files, f.File) {
			files = append(files, f.File)
		}
	}
	slices.SortStableFunc(found, func(a, b lint.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return found, err
}
