package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"backtowork/internal/lint"
	"backtowork/internal/native"
	"backtowork/internal/script"
)

// lintNamed looks at a script by its path: a package or a module of this home is looked at as what it is.
func (s linter) lintNamed(ctx context.Context, name string) ([]lint.Finding, error) {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) || name == "" {
		return nil, fmt.Errorf("there is neither a package nor a file called %q", name)
	}
	kind := lint.Other
	switch dir := realDir(filepath.Dir(name)); dir {
	case realDir(filepath.Join(s.Home, "packages")):
		if base := filepath.Base(name); script.Check(s.Home, base) == nil {
			return s.lintPackage(ctx, base)
		}
	case realDir(filepath.Join(s.Home, "packages/modules")):
		kind = lint.Module
	}
	text, err := readScript(name, name)
	if err != nil {
		return nil, err
	}
	if kind == lint.Other {
		kind = lint.KindOf(name, text)
	}
	modules := script.Sourced(text)
	found, err := s.lintFile(ctx, name, name, kind, s.functions(modules)...)
	if err == nil && kind == lint.Package {
		found = append(found, lint.Parameters(name, text, s.readBy(modules))...)
	}
	return found, err
}

// realDir is a directory without links in its path; "" where there is none.
func realDir(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	real, _ = filepath.Abs(real) // it fails only where there is no working directory
	return real
}

// functionOf finds the functions of a script.
var functionOf = regexp.MustCompile(`(?m)^[ \t]*(?:function[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*\(\)`)

// sourcedFile finds the files that a script sources by their full path.
var sourcedFile = regexp.MustCompile(`(?m)(?:^|[;&|]|\b(?:then|else|do))[ \t]*(?:\.|source)[ \t]+(/[A-Za-z0-9_./-]+)`)

// functions is the names of those that modules have.
func (s *site) functions(modules []string) (names []string) {
	for _, text := range s.moduleTexts(modules) {
		for _, m := range functionOf.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// moduleTexts is the texts of modules, which are named by patterns, and of those that they source themselves. One that
// is missing is found elsewhere.
func (s *site) moduleTexts(modules []string) (texts []string) {
	const most = 200
	modules = slices.Clone(modules)
	var seen []string
	for i := 0; i < len(modules) && len(seen) < most; i++ {
		paths, _ := filepath.Glob(filepath.Join(s.Home, "packages/modules", modules[i]))
		for _, path := range paths {
			text, err := readScript(path, path)
			if err == nil && !slices.Contains(seen, path) {
				seen, texts = append(seen, path), append(texts, string(text))
				modules = append(modules, script.Sourced(text)...)
			}
		}
	}
	return texts
}

// longestScript is more than any script has, in bytes.
const longestScript = 1 << 20

// readScript reads what may be anything: never a device or a pipe, which may have no end, or keep who opens it waiting.
func readScript(path, file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %q: %w", path, reasonOf(err))
	case info.IsDir():
		return nil, fmt.Errorf("%q is no script: it is a directory", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%q is no script: it is not a regular file", path)
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
func (s linter) lintFile(ctx context.Context, path, file string, kind lint.Kind, functions ...string) ([]lint.Finding, error) {
	text, err := readScript(path, file)
	if err != nil {
		return nil, err
	}
	host := s.lintHost()
	isProgram := host.HasCommand
	for _, m := range sourcedFile.FindAllSubmatch(text, -1) {
		if library, err := readScript(string(m[1]), string(m[1])); err == nil {
			for _, f := range functionOf.FindAllSubmatch(library, -1) {
				functions = append(functions, string(f[1]))
			}
		}
	}
	host.HasCommand = func(name string) bool { return slices.Contains(functions, name) || isProgram(name) }
	host.Native = func(name string) bool { return slices.Contains(functions, name) || native.Knows(name) }
	found := lint.File(path, kind, text, host)
	if s.needs {
		return found, nil
	}
	if i := slices.IndexFunc(found, func(f lint.Finding) bool { return f.Rule == "syntax" }); i >= 0 { // shellcheck would say the same
		unclosed := strings.HasPrefix(found[i].Reason, "unclosed here-document") // which a shell reads to the end of the file
		if shell := lint.Dialect(text, kind); !unclosed && reads(ctx, shell, file) {
			found[i].Level, found[i].Reason = lint.Note, "not looked at, though "+shell+" can read it: "+found[i].Reason
		}
		return found, nil
	}
	return append(found, shellcheck(ctx, path, file, text, kind, found)...), nil
}

// reads says whether a shell that is installed here finds nothing wrong with how a script is written.
func reads(ctx context.Context, shell, file string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	path, err := filepath.Abs(file)
	if err == nil && shell != "" {
		_, err = outputOf(ctx, shell, "-n", path)
	}
	return err == nil && shell != ""
}

// lintHost is what scripts find on this host.
func (s *site) lintHost() lint.Host {
	var system unix.Utsname
	_ = unix.Uname(&system) // it never fails
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	dirs := []string{filepath.Join(s.Home, "bin"), filepath.Join(s.Home, "dex-lock"), s.LockDir}
	for _, v := range environ() {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			dirs = append(dirs, filepath.SplitList(path)...)
		}
	}
	known := map[string]bool{}
	return lint.Host{
		System: unix.ByteSliceToString(system.Sysname[:]), Exists: exists,
		IsModule: func(name string) bool { return exists(filepath.Join(s.Home, "packages/modules", name)) },
		HasCommand: func(name string) bool {
			if is, ok := known[name]; ok {
				return is
			}
			known[name] = slices.ContainsFunc(dirs, func(dir string) bool { return isProgram(filepath.Join(dir, name)) })
			return known[name]
		},
	}
}

// isProgram says whether a file is there that can be run.
func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
