package applet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"backtowork/internal/command"
)

var setsidUsage = `Usage: setsid [-f] [-w] COMMAND [ARGUMENT...]

Runs COMMAND in a new session: without a terminal, and in no process group of the caller.
  -f  in a new process, always (else only when the caller leads a process group)
  -w  wait for that process, and exit with its status

Example: setsid -f my-daemon </dev/null >>log 2>&1
`

// setsid runs a command in a session of its own.
func setsid(_ context.Context, env *command.Env) error {
	opts, argv, err := command.Options(env.Args, "+fw", map[string]byte{"fork": 'f', "wait": 'w'})
	if err != nil {
		return err
	}
	var fork, wait bool
	for _, o := range opts {
		switch o.Letter {
		case 'f':
			fork = true
		case 'w':
			wait = true
		}
	}
	if len(argv) == 0 {
		return command.UsageError("which command? it is missing")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return command.CannotExecute(env, argv[0], err)
	}
	if fork || syscall.Getpgrp() == os.Getpid() { // the leader of a group cannot leave it
		return setsidFork(env, path, argv, wait)
	}
	if _, err := syscall.Setsid(); err != nil {
		return fmt.Errorf("cannot make a new session: %w", err)
	}
	return command.CannotExecute(env, argv[0], syscall.Exec(path, argv, os.Environ()))
}

func setsidFork(env *command.Env, path string, argv []string, wait bool) error {
	cmd := &exec.Cmd{
		Path: path, Args: argv, Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return command.CannotExecute(env, argv[0], err)
	}
	if !wait {
		return nil
	}
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return command.Status(128 + int(status.Signal()))
		}
		return command.Status(status.ExitStatus())
	default:
		return err
	}
}
