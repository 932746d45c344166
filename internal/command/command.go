// Package command is what all commands have in common: the world that they run in, their options, and how
// a person learns what went wrong.
//
// A person sees results on stdout and nothing else there; what went wrong goes to stderr as "name: message",
// followed by "name: hint: ..." where the next step is known. Exit status 0 is done, 1 is no, 2 is wrong arguments.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// An Env is the world that a command runs in.
type Env struct {
	Name   string   // the name that the command was called by
	Args   []string // what follows the name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Home   string // absolute; packages/, conf/, log/ stand in it
}

// A Command is a program that the binary can be, by one of its names.
type Command struct {
	Names []string // all the names that it goes by; the first is the one in the documents
	Usage string   // hand-written; begins "Usage: " and ends with an example
	Run   func(context.Context, *Env) error
	Verbs []Verb // what Run does, by the first argument; none for most commands
}

// Find is the command called name; nil if there is none.
func Find(all []Command, name string) *Command {
	for _, c := range all {
		if slices.Contains(c.Names, name) {
			return &c
		}
	}
	return nil
}

// Main runs the command, or prints its usage if that is asked for, and returns its exit status.
func (c *Command) Main(ctx context.Context, env *Env) int {
	if AsksHelp(env.Args) {
		fmt.Fprint(env.Stdout, c.usageAs(env.Name, c.Usage))
		return 0
	}
	return Report(env, c.usageAs(env.Name, c.Usage), c.Run(ctx, env))
}

// usageAs is a usage of the command, or of one of its verbs, for who has called it by name.
func (c *Command) usageAs(name, usage string) string {
	if rest, ok := strings.CutPrefix(usage, "Usage: "+c.Names[0]+" "); ok && slices.Contains(c.Names, name) {
		return "Usage: " + name + " " + rest
	}
	return usage
}

// AsksHelp says whether the first of args asks for the usage.
func AsksHelp(args []string) bool { return len(args) > 0 && (args[0] == "-h" || args[0] == "--help") }

// A Status ends the command with that exit status, and says nothing more.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A UsageError is wrong arguments: it ends the command with status 2, and the first line of the usage is shown.
type UsageError string

func (e UsageError) Error() string { return string(e) }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return UsageError(fmt.Sprintf(format, args...)) }

// An OriginalError is in words of the original, which says them on stdout, by themselves: scripts may read them there.
type OriginalError string

func (e OriginalError) Error() string { return string(e) }

// A HintError says what to do next, on a line of its own.
type HintError struct {
	Err  error
	Hint string
}

func (e HintError) Error() string { return e.Err.Error() }
func (e HintError) Unwrap() error { return e.Err }

// WithHint gives err a next step.
func WithHint(err error, format string, args ...any) error {
	return HintError{err, fmt.Sprintf(format, args...)}
}

// Report says to a person what err means, and returns which exit status it is.
func Report(env *Env, usage string, err error) int {
	var status Status
	var wrong UsageError
	var hint HintError
	var original OriginalError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &original):
		fmt.Fprintln(env.Stdout, original)
		return 1
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(env.Stderr, "%s: %s\n", env.Name, strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, &hint) {
		fmt.Fprintf(env.Stderr, "%s: hint: %s\n", env.Name, hint.Hint)
	}
	if errors.As(err, &wrong) {
		first, _, _ := strings.Cut(usage, "\n")
		fmt.Fprintln(env.Stderr, first)
		return 2
	}
	return 1
}

// Failed prints err as Report does, and ends the command with the given status.
func Failed(env *Env, status int, err error) error {
	var wrong UsageError
	if errors.As(err, &wrong) {
		return err
	}
	Report(env, "", err)
	return Status(status)
}

// CannotExecute ends the command with a shell's status: 127 if the program was not found, 126 if it
// was.
func CannotExecute(env *Env, name string, err error) error {
	status := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = 127
	}
	return Failed(env, status, fmt.Errorf("cannot execute %q: %w", name, Reason(err)))
}

// Reason is what the system said, without the names of calls and files around it.
func Reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	if errors.Is(err, exec.ErrNotFound) {
		return exec.ErrNotFound
	}
	return err
}
