package worker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"backtowork/internal/native"
	"backtowork/internal/shell"

	"golang.org/x/sys/unix"
)

// umask is that of all scripts; package inheritance sets it.
const umask = 0o022

// embedded interprets scripts by package shell, with the commands of package native.
type embedded struct {
	commands *native.Set
	library  *shell.Library
	faults   atomic.Int64 // files that could not be read for what was so at that moment

	mu     sync.Mutex
	loaded map[string]*slot // by path
}

// A slot is for one script. Who loads it has it locked.
type slot struct {
	mu    sync.Mutex
	files string
	has   map[string]*loaded // by action
}

// Embedded returns an interpreter for Serve.
func Embedded() Interpreter {
	e := &embedded{commands: native.New(), loaded: map[string]*slot{}}
	e.library = shell.NewLibrary(e.read, versionOf)
	return e
}

// read reads a file, and takes note of what may be over in a moment: that says nothing of a script.
func (e *embedded) read(path string) ([]byte, error) {
	text, err := shell.ReadFile(path)
	for _, passing := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EIO, unix.EAGAIN, unix.ESTALE} {
		if errors.Is(err, passing) {
			e.faults.Add(1)
		}
	}
	return text, err
}

// loaded is a script that was read, with what it sources.
type loaded struct {
	e        *embedded
	declined string
	main     *shell.Script            // nil of one that cannot be read
	sourced  map[string]*shell.Script // by path
}

// Load reads a script, unless that was done.
func (e *embedded) Load(r Request) (Program, string, error) {
	path, action := filepath.Join(r.Dir, r.Path), ""
	if len(r.Args) > 0 {
		action = r.Args[0]
	}
	e.mu.Lock()
	s := e.loaded[path]
	if s == nil {
		s = &slot{}
		e.loaded[path] = s
	}
	e.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has == nil || s.files != r.Files {
		s.has, s.files = map[string]*loaded{}, r.Files
	}
	l := s.has[action]
	if l == nil {
		var err error
		if l, err = e.load(path, action, s.script()); err != nil {
			return nil, "", err
		}
		s.has[action] = l
	}
	return l, l.declined, nil
}

// script is the script itself, if it was read for another action: they all run the same tree.
func (s *slot) script() *shell.Script {
	for _, l := range s.has {
		if l.main != nil {
			return l.main
		}
	}
	return nil
}

// load reads a script, unless it is given, for an action; for all that it can do where that is "".
func (e *embedded) load(path, action string, read *shell.Script) (*loaded, error) {
	var actions []string
	if action != "" {
		actions = []string{action}
	}
	faults := e.faults.Load()
	var scripts []*shell.Script
	var findings []shell.Finding
	if read != nil {
		scripts, findings = e.library.Again(read, shell.Glob, actions...)
	} else {
		scripts, findings = e.library.CheckAll(path, shell.Glob, actions...)
	}
	l := &loaded{e: e, sourced: map[string]*shell.Script{}}
	switch {
	case e.faults.Load() != faults:
		return nil, fmt.Errorf("cannot read what it needs: %s", reason(findings))
	case len(findings) > 0:
		l.declined = reason(findings)
	case len(scripts) == 0:
		return nil, fmt.Errorf("cannot read %s", path)
	default:
		l.main = scripts[0]
		for _, s := range scripts[1:] {
			l.sourced[filepath.Clean(s.Path)] = s
		}
	}
	return l, nil
}

// reason says why a script is for its own shell.
func reason(findings []shell.Finding) string {
	if len(findings) == 0 {
		return "a file"
	}
	if more := len(findings) - 1; more > 0 {
		return fmt.Sprintf("%s, and %d more", findings[0], more)
	}
	return findings[0].String()
}

// versionOf is another text whenever the file at path is another, or was changed.
func versionOf(path string) string {
	var is unix.Stat_t
	if err := unix.Stat(path, &is); err != nil {
		return err.Error()
	}
	return fmt.Sprint(is.Dev, is.Ino, is.Size, is.Mtim, is.Ctim)
}

// Run runs it: in files, and beside the package's other processes, only where it needs more than the evaluator.
func (l *loaded) Run(ctx context.Context, r Request, a *Answer) error {
	o := l.options(append([]string{r.Path}, r.Args...), r.Env, r.Dir)
	var done bool
	if a.Status, a.Stdout, a.Stderr, done = shell.Quick(ctx, l.main, o); done {
		return errors.Join(tooLong(a.Stdout), tooLong(a.Stderr))
	}
	attr, begun, err := childrenIn(r.Cgroup)
	if err != nil {
		return err
	}
	defer begun()
	var count atomic.Int64
	o.Slow = true
	o.Exec = func(ctx context.Context, c *shell.Call) (int, error) {
		count.Add(1)
		its := attr
		return shell.ExecWith(ctx, c, &its)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = inFiles(a, func(f Files) (int, error) {
		defer guardFlood(cancel, f.Stdout, f.Stderr)()
		o.Stdin, o.Stdout, o.Stderr = f.Stdin, f.Stdout, f.Stderr
		return shell.Run(ctx, l.main, o)
	})
	a.Forks = int(count.Load())
	return errors.Join(err, ctx.Err())
}

// options are those of any run.
func (l *loaded) options(argv, env []string, dir string) shell.Options {
	return shell.Options{
		Args: argv, Env: env, Dir: dir, Umask: umask, Commands: l.e.command,
		Source: func(path string) (*shell.Script, error) {
			if s := l.sourced[filepath.Clean(path)]; s != nil {
				return s, nil
			}
			return nil, fmt.Errorf("%s was not looked at", path)
		},
	}
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
