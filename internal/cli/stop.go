package cli

import (
	"context"
	"errors"
	"fmt"
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
       service stop --hactl

Halts packages on this node, and waits until that is done, with a dot a second. Another node
that runs back-to-work for them takes over. Ctrl-C ends the waiting, and not the halting. What
was left by a back-to-work that is dead is halted too.

  --hactl  the packages are the resource groups of clinit that conf/hactl names

Example: ./service stop dummy
`

func serviceStop(ctx context.Context, env *command.Env, args []string) error {
	opts, packages, err := command.Options(args, "H", map[string]byte{"hactl": 'H'})
	if err != nil {
		return err
	}
	if len(opts) > 0 {
		if len(packages) > 0 {
			return command.Usagef("--hactl takes no packages: conf/hactl names them")
		}
		s, err := openSite(env)
		if err != nil {
			return err
		}
		if packages, err = s.hactl(); err != nil {
			return err
		}
	}
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
	all, errs := make([]*halting, len(packages)), make([]error, len(packages))
	var ended sync.WaitGroup
	for i, name := range packages {
		all[i] = &halting{site: s, name: name, dots: i == 0}
		ended.Go(func() { errs[i] = all[i].halt(ctx) })
	}
	ended.Wait()
	for _, h := range all {
		if h.pid == 0 {
			unheard = append(unheard, h.name)
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

// A halting is a package that is being halted.
type halting struct {
	site     *site
	name     string
	dots     bool           // it prints one a second
	told     manager.Answer // of the manager that has promised to halt it, see Run; zero for none
	pid      int            // of that
	outcomes chan manager.Outcome
	failed   bool // the stop script was seen to
}

// halt asks the package's manager to halt it, again and again until neither manager nor deadman is there: if a manager
// dies, its successor must be asked too. It ends, too, when the package cannot be shown to be down: the manager stays then.
func (h *halting) halt(ctx context.Context) error {
	home := manager.Home(h.site.Home)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.outcomes = make(chan manager.Outcome)
	for i := 1; ; i++ {
		pid, err := home.ManagerOf(h.name)
		if err != nil {
			return err
		}
		if pid == 0 && !home.HasDeadman(h.name) {
			return h.end(ctx)
		}
		if pid != 0 {
			if err := h.ask(ctx, pid, i%10 == 0); err != nil {
				return err
			}
		}
		select {
		case o := <-h.outcomes:
			if err := h.see(o); err != nil {
				return err
			}
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return command.WithHint(fmt.Errorf("package %s is still halting (process %d)", h.name, pid), "see %s", logPath(h.site.Home, h.name))
		}
		if h.dots && i%10 == 0 {
			fmt.Fprint(h.site.env.Stdout, ".")
		}
	}
}

// ask asks process pid to halt, unless that one has promised it before. If looks is set, ask first looks whether the same
// process has since become another program, as by an upgrade: that program may not know of the promise.
func (h *halting) ask(ctx context.Context, pid int, looks bool) error {
	home := manager.Home(h.site.Home)
	if pid == h.pid {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if !looks {
			return nil
		}
		if is, err := home.Ask(limited, h.name, manager.Request{What: manager.State}); err != nil || is.Run == h.told.Run {
			return nil // or it does not answer now: the caller looks again later
		}
	}
	await, err := home.Await(ctx, h.name) // before it is asked to halt, so that what comes of that is not missed
	if err == nil {
		go func() { // it ends with ctx
			if o, err := await(); err == nil {
				select {
				case h.outcomes <- o:
				case <-ctx.Done():
				}
			}
		}()
	}
	a, err := home.Ask(ctx, h.name, manager.Request{What: manager.Halt})
	switch {
	case err == nil:
		h.told, h.pid = a, pid
	case !errors.Is(err, manager.ErrNobody) && ctx.Err() == nil:
		return err
	}
	return nil
}

// see takes in what came of the stop. The error is that the package is not down.
func (h *halting) see(o manager.Outcome) error {
	h.failed = h.failed || o.Failed
	log := filepath.Join(h.site.Home, "log", h.name+".log")
	switch {
	case o.Kept == "":
		return nil
	case o.Lost:
		return command.WithHint(fmt.Errorf("package %s cannot be shown to be down: %s; its lock is lost, another node may start it", h.name, o.Kept),
			"stop it by hand, now; %s says what its stop script did", log)
	}
	return command.WithHint(fmt.Errorf("package %s cannot be shown to be down: %s; this node keeps its lock, so that no other starts it", h.name, o.Kept),
		"%s says what its stop script did; stop it by hand, then: service unblock %s (to run the script again: service stop %s)", log, h.name, h.name)
}

// end is how it ended: its manager is gone.
func (h *halting) end(ctx context.Context) error {
	for range 2 { // the last word may be on its way
		select {
		case o := <-h.outcomes:
			h.failed = h.failed || o.Failed
		case <-time.After(10 * time.Millisecond):
		}
	}
	if !h.failed {
		return nil
	}
	if err := h.site.lookHere(ctx, h.name); err != nil { // what was left by one that was killed may still be there
		return err
	}
	return command.WithHint(fmt.Errorf("the stop script of package %s failed; what it left was killed, and the package is down", h.name),
		"%s says what it did", filepath.Join(h.site.Home, "log", h.name+".log"))
}
