package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/manager"
)

const stopUsage = `Usage: service stop P [Q ...]

Halts packages on this node, and waits until that is done, with a dot a second. Another node
that runs back-to-work for them takes over. Ctrl-C ends the waiting, and not the halting. What
was left by a back-to-work that is dead is halted too.

Example: ./service stop dummy
`

func serviceStop(ctx context.Context, env *command.Env, packages []string) error {
	s, err := openSiteOf(env, packages)
	if err != nil {
		return err
	}
	home := manager.Home(s.Home)
	var alone []string // nobody runs them here; before it is looked at what was left by who did, who may be dying now
	for _, name := range packages {
		pid, err := home.ManagerOf(name)
		if err != nil {
			return err
		}
		if pid != 0 || home.HasDeadman(name) {
			continue
		}
		alone = append(alone, name)
		if _, err := os.Stat(filepath.Join(s.Home, "packages", name)); errors.Is(err, fs.ErrNotExist) {
			// Most likely a slip of the finger, and the package that was meant goes on running.
			return command.WithHint(fmt.Errorf("package %q not found", name), "service status shows what runs here")
		}
	}
	return s.stop(ctx, packages, alone)
}

// stop halts packages. Those of alone had nobody who ran them here when that was looked at.
func (s *site) stop(ctx context.Context, packages, alone []string) error {
	home, out := manager.Home(s.Home), s.env.Stdout
	abandoned, err := s.abandoned(ctx, packages)
	if err != nil {
		return err
	}
	packages = slices.DeleteFunc(packages, func(name string) bool {
		pid, err := home.ManagerOf(name)
		idle := slices.Contains(alone, name) && !slices.Contains(abandoned, name) && pid == 0 && err == nil && !home.HasDeadman(name)
		if idle {
			fmt.Fprintf(out, "package %s does not run here.\n", name)
		}
		return idle
	})
	if len(packages) == 0 {
		return nil
	}
	fmt.Fprint(out, "sending TERM signal and waiting for package to halt.")
	unheard, err := s.haltAll(ctx, packages)
	if err == nil { // their managers were just being killed, and still seemed alive, at the first look
		var late []string
		if late, err = s.abandoned(ctx, unheard); err == nil {
			_, err = s.haltAll(ctx, late)
		}
		abandoned = append(abandoned, late...)
	}
	if err != nil {
		fmt.Fprintln(out)
		return err
	}
	for _, name := range abandoned {
		if err := s.lookHere(ctx, name); err != nil {
			fmt.Fprintln(out)
			return err
		}
	}
	fmt.Fprintln(out, " done.")
	return nil
}

// haltAll halts packages, each while the others halt. Of the unheard nobody said that he would halt them, and nobody runs
// them any more.
func (s *site) haltAll(ctx context.Context, packages []string) (unheard []string, err error) {
	heard, errs := make([]bool, len(packages)), make([]error, len(packages))
	var all sync.WaitGroup
	for i, name := range packages {
		all.Go(func() { heard[i], errs[i] = halt(ctx, manager.Home(s.Home), name, s.env.Stdout, i == 0) })
	}
	all.Wait()
	for i, name := range packages {
		if !heard[i] {
			unheard = append(unheard, name)
		}
	}
	return unheard, errors.Join(errs...)
}

// isClearing says whether the package's manager here is killing what an earlier one has left.
func (s *site) isClearing(ctx context.Context, name string) bool {
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	is, err := manager.Home(s.Home).Ask(limited, name, manager.Request{What: manager.State})
	return err == nil && is.Doing == string(failover.Clearing)
}

// abandoned finds those packages that run here with nobody to stop them, because manager and
// deadman were both killed. It starts a manager for each: that one takes over the package, or kills
// what is left, and can be halted. A package of which such a manager is killing the rest already is
// returned too.
func (s *site) abandoned(ctx context.Context, packages []string) (names []string, err error) {
	home := manager.Home(s.Home)
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	for _, name := range packages {
		if pid, err := home.ManagerOf(name); pid != 0 || err != nil || home.HasDeadman(name) {
			if s.isClearing(ctx, name) {
				names = append(names, name)
			}
			continue
		}
		r, err := manager.ReadRecord(home.Notes(name), boot)
		if err != nil {
			return nil, err
		}
		if r.Word.Session == "" || r.Word.Phase == deadman.Free {
			continue
		}
		fmt.Fprintf(s.env.Stderr, "%s: back-to-work and its deadman of package %s were killed: starting it, to halt the package.\n", s.env.Name, name)
		if err := s.startManager(name); err != nil {
			return nil, command.WithHint(fmt.Errorf("package %s may run here, and cannot be halted: %w", name, err), "stop it by hand; another node may start it")
		}
		names = append(names, name)
	}
	return names, ctx.Err()
}

// halt asks the package's manager to halt it, again and again until neither manager nor deadman is
// there: if a manager dies, its successor must be asked too. With dots it prints one a second.
func halt(ctx context.Context, home manager.Home, name string, out io.Writer, dots bool) (heard bool, err error) {
	var asked toldToHalt
	for i := 1; ; i++ {
		pid, err := home.ManagerOf(name)
		if pid == 0 && !home.HasDeadman(name) || err != nil {
			return asked.pid != 0, err
		}
		if pid != 0 {
			if err := asked.ask(ctx, home, name, pid, i%10 == 0); err != nil {
				return asked.pid != 0, err
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return false, command.WithHint(fmt.Errorf("package %s is still halting (process %d)", name, pid), "see %s", logPath(string(home), name))
		}
		if dots && i%10 == 0 {
			fmt.Fprint(out, ".")
		}
	}
}

// A toldToHalt is the manager that has promised to halt a package.
type toldToHalt struct {
	pid int
	run string
}

// ask asks process pid to halt, unless that one has promised it before. If looks is set, ask first
// looks whether the same process has since become another program, as by an upgrade: that program
// may not know of the promise.
func (t *toldToHalt) ask(ctx context.Context, home manager.Home, name string, pid int, looks bool) error {
	if pid == t.pid {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if !looks {
			return nil
		}
		if is, err := home.Ask(limited, name, manager.Request{What: manager.State}); err != nil || is.Run == t.run {
			return nil // or it does not answer now: the caller looks again later
		}
	}
	a, err := home.Ask(ctx, name, manager.Request{What: manager.Halt})
	switch {
	case err == nil:
		*t = toldToHalt{pid, a.Run}
	case !errors.Is(err, manager.ErrNobody) && ctx.Err() == nil:
		return err
	}
	return nil
}
