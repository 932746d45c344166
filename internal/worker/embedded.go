package worker

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"backtowork/internal/native"
	"backtowork/internal/shell"
)

// umask is that of all scripts; package inheritance sets it.
const umask = 0o022

// longestFile is how much of a script is read. A longer one is for its own shell.
const longestFile = 1 << 20

// embedded interprets scripts by package shell, with the commands of package native.
type embedded struct {
	commands *native.Set

	mu     sync.Mutex
	loaded map[string]*loaded // by path
}

// Embedded returns an interpreter for Serve.
func Embedded() Interpreter {
	return &embedded{commands: native.New(), loaded: map[string]*loaded{}}
}

// loaded is a script that was read, with what it sources.
type loaded struct {
	e        *embedded
	files    string
	declined string
	main     *shell.Script
	sourced  map[string]*shell.Script // by path
}

// Load reads a script, unless that was done.
func (e *embedded) Load(r Request) (Program, string, error) {
	path := filepath.Join(r.Dir, r.Path)
	e.mu.Lock()
	known := e.loaded[path]
	e.mu.Unlock()
	if known != nil && known.files == r.Files {
		return known, known.declined, nil
	}
	l := &loaded{e: e, files: r.Files, sourced: map[string]*shell.Script{}}
	scripts, findings := shell.CheckAll(path, readFile, glob, r.Args...)
	switch {
	case len(findings) > 0:
		l.declined = findings[0].String()
		if more := len(findings) - 1; more > 0 {
			l.declined += fmt.Sprintf(", and %d more", more)
		}
	case len(scripts) == 0:
		return nil, "", fmt.Errorf("cannot read %s", path)
	default:
		l.main = scripts[0]
		for _, s := range scripts[1:] {
			l.sourced[filepath.Clean(s.Path)] = s
		}
	}
	e.mu.Lock()
	e.loaded[path] = l
	e.mu.Unlock()
	return l, l.declined, nil
}

// readFile is the text of a file, or an error where it is no script's.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, longestFile+1))
	if err == nil && len(text) > longestFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, longestFile)
	}
	return text, err
}

func glob(pattern string) []string {
	paths, _ := filepath.Glob(pattern) // a pattern that is none matches nothing
	return paths
}

// Run runs it.
func (l *loaded) Run(ctx context.Context, r Request, files Files) (status, forks int, err error) {
	attr, done, err := childrenIn(r.Cgroup)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	var count atomic.Int64
	status, err = shell.Run(ctx, l.main, shell.Options{
		Args: append([]string{r.Path}, r.Args...), Env: r.Env, Dir: r.Dir, Umask: umask,
		Stdin: files.Stdin, Stdout: files.Stdout, Stderr: files.Stderr,
		Commands: l.e.command,
		Exec: func(ctx context.Context, c *shell.Call) (int, error) {
			count.Add(1)
			its := attr
			return shell.ExecWith(ctx, c, &its)
		},
		Source: func(path string) (*shell.Script, error) {
			if s := l.sourced[filepath.Clean(path)]; s != nil {
				return s, nil
			}
			return nil, fmt.Errorf("%s was not looked at", path)
		},
	})
	return status, int(count.Load()), err
}

// command is what is run instead of a program; nil where that is run.
func (e *embedded) command(name string) shell.Command {
	if !native.Knows(name) {
		return nil
	}
	return func(ctx context.Context, c *shell.Call) (int, bool) {
		return e.commands.Run(ctx, (*native.Call)(c))
	}
}
