// Package cli knows the commands by name: their arguments, what they print, and
// their exit status. Nothing below it reads os.Args, the environment, or exits.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"backtowork/internal/applet"
	"backtowork/internal/command"
	"backtowork/internal/inheritance"
	"backtowork/internal/script"
	"backtowork/internal/worker"
)

// commands is every name that the binary answers to.
func commands() []command.Command {
	return append([]command.Command{
		{Names: []string{"back-to-work"}, Usage: backToWorkUsage, Run: backToWork},
		serviceCommand(),
		{Names: []string{"clinit"}, Usage: clinitUsage, Run: runClinit},
		{Names: []string{"isinit"}, Usage: isinitUsage, Run: runIsinit},
		{Names: []string{"dex-init"}, Usage: dexInitUsage, Run: dexInit},
		{Names: []string{"dex-exec"}, Usage: dexExecUsage, Run: dexExec},
		{Names: []string{"dex-lock"}, Usage: dexLockUsage, Run: dexLock},
		{Names: []string{"dex-previous"}, Usage: dexPreviousUsage, Run: dexPrevious},
		{Names: []string{"dex-release"}, Usage: dexReleaseUsage, Run: dexRelease},
		{Names: []string{"dex-server"}, Usage: dexServerUsage, Run: dexServer},
		{Names: []string{"dex-server-init"}, Usage: dexServerInitUsage, Run: dexServerInit},
		{Names: []string{"dex-servers"}, Usage: dexServersUsage, Run: dexServers},
		{Names: []string{"dex-show"}, Usage: dexShowUsage, Run: dexShow},
		{Names: []string{"dex-wait"}, Usage: dexWaitUsage, Run: dexWait},
		{Names: []string{"deadman"}, Usage: deadmanUsage, Run: runDeadman},
		{Names: []string{"keygen"}, Usage: keygenUsage, Run: keygen},
		{Names: []string{"set-shell"}, Usage: setShellUsage, Run: setShell},
		{Names: []string{"sh-worker"}, Usage: shWorkerUsage, Run: shWorker},
		{Names: []string{"simulator"}, Usage: simulatorUsage, Run: simulator},
		{Names: []string{"store-check"}, Usage: storeCheckUsage, Run: storeCheck},
		{Names: []string{"watchdog"}, Usage: watchdogUsage, Run: runWatchdog},
	}, applet.Commands()...)
}

// Main runs the command that this process was called as, and returns its exit status.
func Main() int {
	if len(os.Args) > 1 && os.Args[1] == script.ChildVerb {
		return script.RunChild(os.Args[2:], worker.Alone)
	}
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if command.Find(commands(), name) == nil && len(args) > 0 { // bin/btw NAME ...
		name, args = args[0], args[1:]
	}
	if slices.Contains(standing, name) {
		standAside(name)
	}
	if os.Getenv(keeperID) != "" && name == "dex-exec" {
		settleKeeper()
	}
	if !slices.Contains(transparent, name) {
		inheritance.CloseOthers()
		syscall.Umask(inheritance.Umask)
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
	if slices.Contains(standing, name) {
		_ = os.Chdir(home)      // it must not keep in use, or miss, the directory that its caller was in
		_, _ = inheritance.Me() // while the disk can be read
	}
	return Run(ctx, &command.Env{
		Name: name, Args: args, Home: home, Getenv: os.Getenv,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

// callMe names this process for ps and pgrep, as the original's are, where it was started as /proc/self/exe
// or as bin/btw.
func callMe(name string) {
	if b, err := os.ReadFile("/proc/self/comm"); err == nil && (string(b) == "exe\n" || string(b) == "btw\n") {
		_ = os.WriteFile("/proc/self/comm", []byte(name), 0) // else it has the other name
	}
}

// unheeding are the commands that handle no signals: a signal ends them at once. (Some become
// another program: a handler that is set, and taken away before that, could lose a signal in
// between.)
var unheeding = []string{"setsid", "simulator", "sleep"}

// transparent are the commands that start what their arguments say: that is the user's, and inherits
// all.
var transparent = []string{"clinit", "dex-exec", "isinit", "setsid"}

// heeded returns those of signals that are not ignored; the caller (nohup, for one) may have
// ignored some, and that stays so.
func heeded(signals ...os.Signal) []os.Signal { return slices.DeleteFunc(signals, signal.Ignored) }

// outlivePipe makes a write to a pipe that nobody reads any more an error, not the end of the
// process. (Ignoring the signal would do too, but the scripts would inherit that.)
func outlivePipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// Run runs the command env.Name and returns its exit status.
func Run(ctx context.Context, env *command.Env) int {
	if c := command.Find(commands(), env.Name); c != nil {
		if err := refusedOn(runtime.GOOS, env.Name); err != nil {
			c.Run = func(context.Context, *command.Env) error { return err }
		}
		if len(env.Args) == 1 && env.Args[0] == "--version" {
			fmt.Fprintln(env.Stdout, env.Name, Version)
			return 0
		}
		return c.Main(ctx, env)
	}
	return noCommand(env)
}

func noCommand(env *command.Env) int {
	list := "Usage: btw COMMAND [ARGUMENT...]\n\nCommands: " + strings.Join(Names(), " ") + "\n\nExample: btw back-to-work dummy\n"
	switch env.Name {
	case "-h", "--help":
		fmt.Fprint(env.Stdout, list)
		return 0
	case "--version":
		fmt.Fprintln(env.Stdout, "btw", Version)
		return 0
	case "btw": // and nothing behind it
		fmt.Fprint(env.Stderr, list)
		return 2
	}
	fmt.Fprintf(env.Stderr, "btw: no such command: %q\n%s", env.Name, list)
	return 2
}

// Names is every name that the binary answers to.
func Names() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.Names...)
	}
	return names
}
