package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"backtowork/internal/native"
	"backtowork/internal/shell"
)

// A Judge tells which scripts are for the embedded shell. It reads each module once.
type Judge struct {
	home        string
	status, all *shell.Library
}

// NewJudge returns one for the packages at home.
func NewJudge(home string) *Judge {
	read := func() *shell.Library { return shell.NewLibrary(shell.ReadFile, versionOf) }
	return &Judge{home, read(), read().Own()}
}

// Declined says why the package's script at path is not for the embedded shell when it is called with one of actions; "" if it is. It goes
// by the text, as [Interpreter] does.
func (j *Judge) Declined(path string, actions ...string) string {
	library := j.status
	if slices.Contains(actions, "start") {
		library = j.all
	}
	_, findings := library.CheckAll(filepath.Join(j.home, path), shell.Glob, actions...)
	if len(findings) == 0 {
		return ""
	}
	return reason(findings)
}

// Alone runs the script argv[0] in this process, with its arguments, environment, directory and files. The error says why
// the status counts for nothing; begun, that something was done all the same.
func Alone(argv []string) (status int, begun bool, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, false, err
	}
	e := &embedded{commands: native.New(), library: shell.NewLibrary(shell.ReadFile, versionOf).Own()}
	l, err := e.load(filepath.Join(dir, argv[0]), append(argv, "")[1], nil)
	switch {
	case err != nil:
		return 0, false, err
	case l.declined != "":
		return 0, false, fmt.Errorf("%w: %s", shell.ErrDeclined, l.declined)
	}
	options := l.options(argv, os.Environ(), dir)
	options.Own = true
	options.Stdin, options.Stdout, options.Stderr = os.Stdin, os.Stdout, os.Stderr
	ctx, cancel := context.WithCancelCause(context.Background())
	limit(func(why string) { // its own shell has none
		cancel(errors.New(why))
		time.AfterFunc(endLimit, func() { os.Exit(1) })
	})
	status, err = shell.Run(ctx, l.main, options)
	return status, true, err
}

// endLimit is how long a script that takes too much may take to end.
const endLimit = 2 * time.Second
