package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/journal"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
)

const dexInitUsage = `Usage: dex-init [LOCK=default [T=30 [T2=0]]]

Prepares this node to use a lock: writes dex-lock/temp/LOCK_htsp, _counter and
_params. T is how many seconds a holder may act unheard, T2 how long it then needs
to stop. The files of a package that back-to-work runs here are left to that. Starts
this host's lock server if it is one and does not run; one that runs because of
packages then stays when they end.

Example: dex-lock/dex-init backup 30 10
`

const dexLockUsage = `Usage: dex-lock [LOCK=default [T=30 [T2=0 [step=1 [prio]]]]]

Tries once to take a lock, or to renew it. The exit status is 0 only for the holder.
Call it again before T seconds are over. With verbose set in the environment it says
how it went; without, only where no majority of the lock servers answers. step and
prio are taken for the sake of old scripts and do nothing: time is measured, not
counted, and the first to ask is the first to have.

Example: verbose=1 dex-lock/dex-lock backup 30 10
`

const dexReleaseUsage = `Usage: dex-release [LOCK=default [T=30 [T2=0]]]

Gives a lock back if this node holds it.

Example: dex-lock/dex-release backup
`

// lockArgs are the arguments of the dex commands.
type lockArgs struct {
	name  string
	times lock.Times
}

// parseLockArgs reads LOCK, T and T2, of which at most most may be given.
func parseLockArgs(env *command.Env, most int) (lockArgs, error) {
	a := lockArgs{"default", lock.Times{Timeout: 30 * time.Second}}
	if len(env.Args) > most {
		return a, command.Usagef("%d arguments are too many", len(env.Args))
	}
	if len(env.Args) > 0 {
		a.name = env.Args[0]
	}
	if err := lockName(a.name); err != nil {
		return a, err
	}
	for i, value := range []*time.Duration{&a.times.Timeout, &a.times.Stop} {
		if len(env.Args) < i+2 {
			break
		}
		n, err := strconv.Atoi(env.Args[i+1])
		if err != nil || n < 0 || n > 1_000_000 || n == 0 && i == 0 {
			return a, command.Usagef("cannot use %q as a number of seconds", env.Args[i+1])
		}
		*value = time.Duration(n) * time.Second
	}
	for _, arg := range env.Args[min(len(env.Args), 3):] { // step and prio
		if _, err := strconv.Atoi(arg); err != nil && arg != "" {
			return a, command.Usagef("cannot use %q as a number", arg)
		}
	}
	return a, nil
}

func dexInit(ctx context.Context, env *command.Env) error {
	a, err := parseLockArgs(env, 3)
	if err != nil {
		return err
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	if err := s.readServers(); err != nil {
		if len(s.servers) == 0 { // in the original's words too
			journal.To(env.Stdout).Plain(journal.Error, "Error: you cannot use dex-lock without lock servers configured.")
		}
		return err
	}
	s.warnUnread()
	s.mendLinks()
	if err := s.startServer(ctx); err != nil {
		return err
	}
	if err := s.keepServer(ctx); err != nil {
		return err
	}
	s.awaitLeader(ctx)
	if pid, err := manager.Home(s.Home).ManagerOf(a.name); pid == 0 || err != nil { // else its manager knows how the lock is
		s.files.Init(a.name, s.Node, len(s.servers), a.times)
	}
	if err := s.files.Sync(); err != nil {
		return err
	}
	level, line := journal.Info, "Lock initialization done."
	switch n := len(s.servers); {
	case n == 1:
		level, line = journal.Warning, oneServer
	case n%2 == 0:
		level, line = journal.Warning, fmt.Sprintf("Warning: an even number of lock servers (%d) tolerates no more failures than one fewer.", n)
	}
	journal.To(env.Stdout).Plain(level, line)
	return nil
}

// openSingle is what dex-lock and dex-release work with: the lock as this node keeps it
// between calls.
func openSingle(env *command.Env, a lockArgs) (*lockclient.Single, error) {
	s, c, err := openClient(env)
	if err != nil {
		return nil, err
	}
	if env.Getenv("verbose") != "" { // else only dex-init says so: these are run again and again
		s.warnUnread()
	}
	return lockclient.OpenSingle(c, s.Node, s.files, a.name, a.times)
}

func dexLock(ctx context.Context, env *command.Env) error {
	a, err := parseLockArgs(env, 5)
	if err != nil {
		return err
	}
	l, err := openSingle(env, a)
	if err != nil {
		return err
	}
	result, reason := l.Try(ctx)
	switch {
	case env.Getenv("verbose") != "":
		fmt.Fprintln(env.Stderr, resultLine(result, reason))
	case !result.Held() && errors.Is(reason, lockclient.ErrUnreachable): // else it looks as if another had it
		return command.WithHint(reason, "dex-init starts this host's lock server, where it is one of them")
	}
	if !result.Held() {
		return command.Status(1)
	}
	return nil
}

// resultLine is a result, with its reason in brackets.
func resultLine(result lockclient.Result, reason error) string {
	if reason == nil {
		return string(result)
	}
	// That there is no majority, the result says.
	text := strings.TrimPrefix(reason.Error(), lockclient.ErrUnreachable.Error()+" ")
	if !strings.HasPrefix(text, "(") {
		text = "(" + text + ")"
	}
	return string(result) + " " + text
}

func dexRelease(ctx context.Context, env *command.Env) error {
	a, err := parseLockArgs(env, 3)
	if err != nil {
		return err
	}
	l, err := openSingle(env, a)
	if err != nil {
		return err
	}
	err = l.Release(ctx)
	if errors.Is(err, lockclient.ErrManaged) {
		return command.WithHint(err, "use service stop %s", a.name)
	}
	if err != nil {
		return err
	}
	if env.Getenv("verbose") != "" {
		fmt.Fprintln(env.Stderr, "good. lock released")
	}
	return nil
}
