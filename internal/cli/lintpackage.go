package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"backtowork/internal/failover"
	"backtowork/internal/lint"
	"backtowork/internal/script"
	"backtowork/internal/shell"
)

// lintPackage looks at a package, its parameters and its modules.
func (s linter) lintPackage(ctx context.Context, name string) ([]lint.Finding, error) {
	path := filepath.Join("packages", name)
	text, err := readScript(path, filepath.Join(s.Home, path))
	if err != nil {
		return nil, err
	}
	modules := script.Sourced(text)
	functions := s.functions(modules)
	found, err := s.lintFile(ctx, path, filepath.Join(s.Home, path), lint.Package, functions...)
	if err != nil {
		return nil, err
	}
	found = append(found, lint.Parameters(path, text, s.readBy(modules))...)
	for _, module := range s.modulesOf(name) {
		module = filepath.Join("packages/modules", module)
		more, err := s.lintFile(ctx, module, filepath.Join(s.Home, module), lint.Module, functions...)
		if _, missing := os.Stat(filepath.Join(s.Home, module)); err != nil && missing == nil { // else that was found in the script
			more = []lint.Finding{{File: module, Line: 1, Col: 1, Level: lint.Error, Reason: err.Error(), Rule: "missing-module"}}
		}
		found = append(found, more...)
	}
	if !s.needs {
		found = s.lintRun(ctx, name, path, text, found)
	}
	for i := range found {
		found[i].Package = name
	}
	return found, nil
}

// lintRun has the package say its parameters, where its shell can read it, and adds why its status is not for a worker.
func (s linter) lintRun(ctx context.Context, name, path string, text []byte, found []lint.Finding) []lint.Finding {
	unreadable := slices.ContainsFunc(found, func(f lint.Finding) bool {
		return f.Level == lint.Error && slices.Contains([]string{"syntax", "interpreter", "carriage-return", "bom"}, f.Rule) ||
			f.Rule == "missing-module" && f.File != path // it is there, and no file: sh -n would wait for it
	})
	if unreadable {
		return found
	}
	wrong := s.lintSyntax(ctx, name)
	if found = append(found, wrong...); len(wrong) > 0 {
		return found
	}
	found = append(found, s.lintParameters(ctx, name, path, text)...)
	return append(found, s.lintForWorker(name, path, text)...)
}

// readBy is who reads the parameters of a package with these modules.
func (s *site) readBy(modules []string) lint.Read {
	by := lint.Read{Modules: s.moduleTexts(modules)}
	for _, p := range failover.Parameters() {
		by.Known = append(by.Known, strings.TrimSuffix(p.Name, "0"))
	}
	return by
}

var saidLine = regexp.MustCompile(`^.*?: (?:line )?(\d+): (?:\S+: )?(.*)$`)

// lintSyntax is what the package's own shell says against its files.
func (s *site) lintSyntax(ctx context.Context, name string) (found []lint.Finding) {
	wrong, _ := s.checkSyntax(ctx, name) // what cannot be read was found before
	for _, err := range wrong {
		var w complaint
		if !errors.As(err, &w) {
			continue
		}
		f := lint.Finding{File: w.file, Line: 1, Col: 1, Level: lint.Error, Reason: w.said, Rule: "syntax"}
		if m := saidLine.FindStringSubmatch(w.said); m != nil {
			if n, err := strconv.ParseUint(m[1], 10, 32); err == nil {
				f.Line, f.Reason = uint(n), w.shell+" says: "+m[2]
			}
		}
		found = append(found, f)
	}
	return found
}

// lintParameters has a package say its parameters.
func (s linter) lintParameters(ctx context.Context, name, path string, text []byte) (found []lint.Finding) {
	if slices.Contains(lint.Ignored(text), "parameter") {
		return nil
	}
	r, err := s.asker(name)
	if err != nil {
		return nil
	}
	defer r.Close()
	if _, err = failover.ReadParams(ctx, r, s.Node); err == nil {
		return nil
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		at := placeOf(line, text)
		found = append(found, lint.Finding{File: path, Line: at.Line, Col: at.Col, Level: lint.Error, Reason: line, Rule: "parameter"})
	}
	return found
}

var saidParameter = regexp.MustCompile(`^cannot use (\w+)=`)

// placeOf is where a parameter is set that a message names; the first line if that is not to be found.
func placeOf(message string, text []byte) lint.Place {
	if m := saidParameter.FindStringSubmatch(message); m != nil {
		if at := regexp.MustCompile(`(?m)^[ \t]*(?:(?:export|readonly)[ \t]+)?(` + m[1] + `)=`).FindSubmatchIndex(text); at != nil {
			before := string(text[:at[2]])
			return lint.Place{Line: 1 + uint(strings.Count(before, "\n")), Col: uint(len(before) - strings.LastIndex(before, "\n"))}
		}
	}
	return lint.Place{Line: 1, Col: 1}
}

// cannotParse is what the worker's parser says of a script.
var cannotParse = regexp.MustCompile(`^cannot parse: .*?:(\d+):(\d+): (.*)$`)

// lintForWorker says why the status of a package is for its own shell: of what has another interpreter no more than that.
func (s *site) lintForWorker(name, path string, text []byte) (found []lint.Finding) {
	const why = "status is for the shell, not for a worker: "
	if lint.Dialect(text, lint.Package) == "" {
		return []lint.Finding{{File: path, Line: 1, Col: 1, Level: lint.Note, Reason: why + "it is a script for another interpreter", Rule: "shebang"}}
	}
	open := func(file string) ([]byte, error) { return readScript(file, file) }
	_, all := shell.CheckAll(filepath.Join(s.Home, path), open, shell.Glob, "status")
	ignored := map[string][]string{}
	for _, f := range all {
		if _, ok := ignored[f.File]; !ok {
			text, _ := readScript(f.File, f.File) // it was read just now
			ignored[f.File] = lint.Ignored(text)
		}
		if m := cannotParse.FindStringSubmatch(f.Reason); m != nil {
			fmt.Sscan(m[1], &f.Line)
			fmt.Sscan(m[2], &f.Col)
			f.Reason = "cannot parse it: " + m[3]
		}
		at := slices.IndexFunc(found, func(g lint.Finding) bool { return g.Line == f.Line && g.Col == f.Col })
		if slices.Contains(ignored[f.File], f.Rule) || at >= 0 {
			continue
		}
		file, err := filepath.Rel(s.Home, f.File)
		if err != nil {
			file = f.File
		}
		found = append(found, lint.Finding{File: file, Line: f.Line, Col: f.Col, Level: lint.Note, Reason: why + f.Reason, Rule: f.Rule})
	}
	if i := slices.IndexFunc(found, func(f lint.Finding) bool { return f.Rule == "shebang" && f.File == path }); i >= 0 {
		return found[i : i+1]
	}
	return found
}
