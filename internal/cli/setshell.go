package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"backtowork/internal/command"
	"backtowork/internal/script"
	"backtowork/internal/worker"
)

var setShellUsage = `Usage: set-shell [auto | embedded | SHELL]

Sets what runs package scripts that are for sh: their first line is #!/bin/sh, or names nothing. All
others (bash, Perl, programs) are always run as they say. Without an argument it prints what is set.
  auto      start and stop by sh; status, and what parameters there are, by one process for all
            packages of a back-to-work, which starts no shell: where it can interpret the script and
            its modules, and as long as sh says the same; else by sh. Where both do it, as in the
            first runs, what a status changes is changed twice
  embedded  start and stop without sh, too. A package that this cannot do is refused
  SHELL     all by this shell: a path, or a name that is found in PATH
It says what auto and embedded mean for the packages there are. A back-to-work that runs goes on as it began.

Example: set-shell /bin/dash
`

// setShell writes conf/shell.
func setShell(ctx context.Context, env *command.Env) error {
	_, args, err := command.Options(env.Args, "", nil)
	if err != nil {
		return err
	}
	file := filepath.Join(env.Home, "conf", "shell")
	switch {
	case len(args) > 1:
		return command.UsageError("one shell only")
	case len(args) == 0:
		return showShell(env, file)
	}
	shell, err := shellPath(ctx, args[0], env.Getenv("PATH"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("cannot make conf: %w", err)
	}
	if err := renameio.WriteFile(file, []byte(shell+"\n"), 0o644); err != nil {
		return fmt.Errorf("cannot write conf/shell: %w", err)
	}
	if filepath.IsAbs(shell) { // the original says nothing then
		return nil
	}
	return tellShell(env, shell)
}

// tellShell says what a shell that is none means for the packages there are.
func tellShell(env *command.Env, shell string) error {
	entries, err := os.ReadDir(filepath.Join(env.Home, "packages"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read packages: %w", err)
	}
	judge := worker.NewJudge(env.Home)
	for _, e := range entries {
		name := e.Name()
		if script.Check(env.Home, name) != nil {
			continue
		}
		fmt.Fprintf(env.Stdout, "%s: %s\n", name, meansFor(env.Home, name, shell, judge))
	}
	return nil
}

// meansFor says what runs a package.
func meansFor(home, name, shell string, judge *worker.Judge) string {
	path := "packages/" + name
	forSh, err := script.ForSh(home, name)
	declined := func(actions ...string) string { return judge.Declined(path, actions...) }
	switch {
	case err != nil:
		return "it cannot be read: " + err.Error()
	case !forSh:
		return "all by what its first line says"
	}
	says := "start and stop by sh; "
	if shell == "embedded" {
		says = "start and stop by the embedded shell; "
		if why := declined("start", "stop"); why != "" {
			return "it will be refused: " + relative(home, why)
		}
	}
	if why := declined("status", "echo"); why != "" {
		return says + "status by sh: " + relative(home, why)
	}
	return says + "status by the worker"
}

// relative shortens the paths in a text.
func relative(home, text string) string { return strings.ReplaceAll(text, home+"/", "") }

func showShell(env *command.Env, file string) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read conf/shell: %w", err)
	}
	shell := strings.TrimSpace(string(text))
	if shell == "" {
		shell = "auto"
	}
	fmt.Fprintln(env.Stdout, shell)
	return nil
}

// shellPath is what is to be written for the shell that was asked for.
func shellPath(ctx context.Context, name, path string) (string, error) {
	switch name {
	case "auto", "embedded":
		return name, nil
	case "":
		return "", command.UsageError("the name of the shell is empty")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("cannot use %q as a shell: the name has a control character in it", name)
	}
	file, err := executable(name, path)
	if err != nil {
		return "", fmt.Errorf("cannot use %q as a shell: %w", name, err)
	}
	if err := isShell(ctx, file); err != nil {
		return "", fmt.Errorf("cannot use %q as a shell: %w", name, err)
	}
	return file, nil
}

// executable is the absolute path of a program, looked for in path if it has no slash.
func executable(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		file, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		return file, canExecute(file)
	}
	for _, dir := range filepath.SplitList(path) {
		file, err := filepath.Abs(filepath.Join(dir, name))
		if err == nil && canExecute(file) == nil {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

func canExecute(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return command.Reason(err)
	case !info.Mode().IsRegular():
		return errors.New("not a file")
	}
	// For root access(2) is content with one x, and so is execve.
	return unix.Access(file, unix.X_OK)
}

// isShell tries a command that a shell must understand: with a program that is none every
// package would fail, and only at its next start.
func isShell(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if exitOf(ctx, file, "-c", "exit 42") != 42 {
		return errors.New("it does not do what a shell does with -c 'exit 42'")
	}
	return nil
}
