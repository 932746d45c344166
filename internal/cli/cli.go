// Package cli knows the commands by name: their arguments, what they print, and
// their exit status. Nothing below it reads os.Args, the environment, or exits.
//
// A person sees results on stdout and nothing else there; what went wrong goes to
// stderr as "name: message", followed by "name: hint: ..." where the next step is
// known. Exit status 0 is done, 1 is no, 2 is wrong arguments.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"backtowork/internal/script"
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

// A command is one of the names of the binary.
type command struct {
	names []string // all the names that it goes by; the first is the one in the documents
	usage string   // hand-written; begins "Usage: " and ends with an example
	run   func(context.Context, *Env) error
}

// commands is every name that the binary answers to.
func commands() []command {
	return []command{
		{[]string{"back-to-work"}, backToWorkUsage, backToWork},
		{[]string{"service", "btwctl"}, serviceUsage, service},
		{[]string{"dex-init"}, dexInitUsage, dexInit},
		{[]string{"dex-exec"}, dexExecUsage, dexExec},
		{[]string{"dex-lock"}, dexLockUsage, dexLock},
		{[]string{"dex-previous"}, dexPreviousUsage, dexPrevious},
		{[]string{"dex-release"}, dexReleaseUsage, dexRelease},
		{[]string{"dex-server"}, dexServerUsage, dexServer},
		{[]string{"dex-server-init"}, dexServerInitUsage, dexServerInit},
		{[]string{"dex-servers"}, dexServersUsage, dexServers},
		{[]string{"dex-show"}, dexShowUsage, dexShow},
		{[]string{"dex-wait"}, dexWaitUsage, dexWait},
		{[]string{"arping"}, arpingUsage, arping},
		{[]string{"deadman"}, deadmanUsage, runDeadman},
		{[]string{"gethexip"}, getHexIPUsage, getHexIP},
		{[]string{"gethostip"}, getHostIPUsage, getHostIP},
		{[]string{"keygen"}, keygenUsage, keygen},
		{[]string{"od"}, odUsage, od},
		{[]string{"pgrep"}, pgrepUsage, pgrep},
		{[]string{"pkill"}, pkillUsage, pkill},
		{[]string{"set-shell"}, setShellUsage, setShell},
		{[]string{"setsid"}, setsidUsage, setsid},
		{[]string{"simulator"}, simulatorUsage, simulator},
		{[]string{"sleep"}, sleepUsage, sleep},
		{[]string{"store-check"}, storeCheckUsage, storeCheck},
		{[]string{"watchdog"}, watchdogUsage, runWatchdog},
	}
}

// An exitStatus ends the command with that status and says nothing more.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A usageError ends the command with status 2.
type usageError string

func (e usageError) Error() string { return string(e) }

// A hintError says what to do next, on a line of its own.
type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }
func (e hintError) Unwrap() error { return e.err }

// withHint gives err a next step.
func withHint(err error, format string, args ...any) error {
	return hintError{err, fmt.Sprintf(format, args...)}
}

// Main runs the command that this process was called as, and returns its exit status.
func Main() int {
	if len(os.Args) > 1 && os.Args[1] == script.ChildVerb {
		return script.RunChild(os.Args[2:])
	}
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if find(name) == nil && len(args) > 0 { // bin/btw NAME ...
		name, args = args[0], args[1:]
	}
	if name != "deadman" {
		script.TakeOOMScore()
	}
	if slices.Contains(standing, name) && os.Getenv(script.AsideMark) == "" {
		standAside(name)
	}
	callMe(name)
	ctx := context.Background()
	if !slices.Contains(unheeding, name) {
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, heeded(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)...)
		defer stop()
	}
	home, err := findHome(os.Args[0], os.Getenv("BTW_HOME"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return Run(ctx, &Env{
		Name: name, Args: args, Home: home, Getenv: os.Getenv,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

// callMe names this process for ps and pgrep, where it was started as /proc/self/exe.
func callMe(name string) {
	if b, err := os.ReadFile("/proc/self/comm"); err == nil && string(b) == "exe\n" {
		_ = os.WriteFile("/proc/self/comm", []byte(name), 0) // else it has the other name
	}
}

// unheeding are the commands that a signal just ends, as it ends a program that asks for none. (To ask
// and then to resign could lose one in between, for those that become another program.)
var unheeding = []string{"setsid", "simulator", "sleep"}

// heeded is those of signals that the caller does not want to be ignored, as nohup does.
func heeded(signals ...os.Signal) []os.Signal { return slices.DeleteFunc(signals, signal.Ignored) }

// outlivePipe makes a write to a pipe that nobody reads any more an error, not the end of the
// process. (Ignoring the signal would do too, but the scripts would inherit that.)
func outlivePipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// Run runs the command env.Name and returns its exit status.
func Run(ctx context.Context, env *Env) int {
	c := find(env.Name)
	if c == nil {
		return noCommand(env)
	}
	if len(env.Args) > 0 && (env.Args[0] == "-h" || env.Args[0] == "--help") {
		fmt.Fprint(env.Stdout, c.usage)
		return 0
	}
	return report(env, c, c.run(ctx, env))
}

// report says what err means to a person, and which exit status it is.
func report(env *Env, c *command, err error) int {
	var status exitStatus
	var usage usageError
	var hint hintError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(env.Stderr, "%s: %s\n", env.Name, strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, &hint) {
		fmt.Fprintf(env.Stderr, "%s: hint: %s\n", env.Name, hint.hint)
	}
	if errors.As(err, &usage) {
		first, _, _ := strings.Cut(c.usage, "\n")
		fmt.Fprintln(env.Stderr, first)
		return 2
	}
	return 1
}

func noCommand(env *Env) int {
	list := "Usage: btw COMMAND [ARGUMENT...]\n\nCommands: " + strings.Join(Names(), " ") + "\n\nExample: btw back-to-work dummy\n"
	if env.Name == "-h" || env.Name == "--help" {
		fmt.Fprint(env.Stdout, list)
		return 0
	}
	fmt.Fprintf(env.Stderr, "btw: no such command: %q\n%s", env.Name, list)
	return 2
}

func find(name string) *command {
	for _, c := range commands() {
		if slices.Contains(c.names, name) {
			return &c
		}
	}
	return nil
}

// Names is every name that the binary answers to.
func Names() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.names...)
	}
	return names
}
