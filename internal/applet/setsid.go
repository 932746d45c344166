package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

var setsidUsage = `Usage: setsid [-f] [-w] COMMAND [ARGUMENT...]

Runs COMMAND in a new session: without a terminal, and in no process group of the caller.
  -f  in a new process, always (else only when the caller leads a process group)
  -w  wait for that process, and exit with its status

Example: setsid -f my-daemon </dev/null >>log 2>&1
`

// setsid runs a command in a session of its own.
func setsid(_ context.Context, env *Env) error {
	opts, command, err := options(env.Args, "+fw", map[string]byte{"fork": 'f', "wait": 'w'})
	if err != nil {
		return err
	}
	var fork, wait bool
	for _, o := range opts {
		switch o.letter {
		case 'f':
			fork = true
		case 'w':
			wait = true
		}
	}
	if len(command) == 0 {
		return usageError("which command? it is missing")
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return cannotExecute(env, command[0], err)
	}
	if fork || syscall.Getpgrp() == os.Getpid() { // the leader of a group cannot leave it
		return setsidFork(env, path, command, wait)
	}
	if _, err := syscall.Setsid(); err != nil {
		return fmt.Errorf("cannot make a new session: %w", err)
	}
	return cannotExecute(env, command[0], syscall.Exec(path, command, os.Environ()))
}

func setsidFork(env *Env, path string, command []string, wait bool) error {
	cmd := &exec.Cmd{
		Path: path, Args: command, Stdin: env.Stdin, Stdout: env.Stdout, Stderr: env.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return cannotExecute(env, command[0], err)
	}
	if !wait {
		return nil
	}
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return exitStatus(128 + int(status.Signal()))
		}
		return exitStatus(status.ExitStatus())
	default:
		return err
	}
}

// cannotExecute ends with the statuses that shells have for it: 127 not found, 126 found.
func cannotExecute(env *Env, name string, err error) error {
	status := 126
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = 127
	}
	return failed(env, status, fmt.Errorf("cannot execute %q: %w", name, reason(err)))
}

// reason is what the system said, without the names of calls and files around it.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	if errors.Is(err, exec.ErrNotFound) {
		return exec.ErrNotFound
	}
	return err
}
