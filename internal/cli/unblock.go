package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

const unblockUsage = `Usage: service unblock [--node-is-down NODE] P

A package that could not be shown to be down keeps its lock, so that no other node starts it:
service status and dex-show say that it is blocked, and why. Stop it by hand on that node, then
unblock it there: what of it is alive and its status are looked at again, and if it is down its
lock is given back.

  --node-is-down NODE  only if NODE is OFF for certain, else the package may run twice. On any
                       node: others may have the lock that NODE has, or need not power NODE
                       off any more before they start. It is not believed of a node that the
                       lock servers hear. On a terminal NODE must be typed once more

Example: ./service unblock dummy
`

// serviceUnblock checks again whether a package is down that could not be shown to be down before.
// If so, its lock is given back.
func serviceUnblock(ctx context.Context, env *command.Env, args []string) error {
	opts, packages, err := command.Options(args, "n:", map[string]byte{"node-is-down": 'n'})
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return errNoPackage
	}
	if len(packages) > 1 {
		return command.UsageError("unblock takes one package")
	}
	down := ""
	for _, o := range opts {
		down = o.Value
	}
	name := packages[0]
	if err := lockName(name); err != nil {
		return err
	}
	s, c, err := openClient(env)
	if err != nil {
		return err
	}
	pid, err := manager.Home(s.Home).ManagerOf(name)
	if err != nil {
		return err
	}
	// A manager that stands by has blocked nothing itself: an earlier one did, before this host was
	// booted.
	if role, _ := manager.Home(s.Home).Notes(name).Read("role"); down == "" && pid != 0 && role != "stand-by" {
		return s.askLook(ctx, name)
	}
	return s.unblock(ctx, c, name, down, pid != 0)
}

// askLook has the manager that runs the package here look again, and says what it saw.
func (s *site) askLook(ctx context.Context, name string) error {
	dir := manager.Home(s.Home).Notes(name)
	blocked := func() string { why, _ := dir.Read("blocked"); return why }
	noted := func() os.FileInfo {
		info, _ := os.Stat(filepath.Join(manager.Home(s.Home).Path(name), "blocked"))
		return info
	}
	before := noted()
	if blocked() == "" {
		return fmt.Errorf("package %s is not blocked here", name)
	}
	if err := s.ask(ctx, name, manager.Request{What: string(failover.Look)}); err != nil {
		return err
	}
	const limit = 10 * time.Second
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if now, err := manager.Home(s.Home).ManagerOf(name); err == nil && (now == 0 || blocked() == "") {
			fmt.Fprintf(s.env.Stdout, "package %s is down: its lock is given back.\n", name)
			return nil
		}
		if now := noted(); now != nil && !os.SameFile(before, now) {
			break // it was blocked again
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return command.WithHint(fmt.Errorf("package %s is still not down: %s", name, blocked()), "stop it by hand; see %s", logPath(s.Home, name))
}

// unblock gives back a package's blocked lock that no manager here holds. The package must be down
// on this node; or the user says with down that the node which holds the lock is off. standsBy says
// that a manager stands by here.
func (s *site) unblock(ctx context.Context, c *lockclient.Client, name, down string, standsBy bool) error {
	state, err := c.Look(ctx, name)
	if err != nil {
		return fmt.Errorf("cannot tell whether the lock of package %s is blocked: %w", name, err)
	}
	k := state.Lock
	if down != "" {
		return s.nodeIsDown(ctx, c, name, k, down)
	}
	switch {
	case !k.Held() || k.Blocked == "":
		return notBlocked(name, k)
	case k.Node != s.Node:
		return command.WithHint(fmt.Errorf("the lock of package %s is blocked by %s: %s", name, k.Node, k.Blocked),
			"use service unblock %s there; what if that node is off for certain: service --help", name)
	}
	if err := s.isDownHere(ctx, name, standsBy); err != nil {
		return err
	}
	return s.free(ctx, c, name, k)
}

func notBlocked(name string, k lock.Lock) error {
	if !k.Held() {
		return fmt.Errorf("the lock of package %s is not blocked", name)
	}
	return fmt.Errorf("the lock of package %s is not blocked: %s has it", name, k.Node)
}

// free asks the servers to give back the blocked lock k.
func (s *site) free(ctx context.Context, c *lockclient.Client, name string, k lock.Lock) error {
	a, err := c.Unblock(ctx, name, k.Term, k.Session, s.Node)
	switch {
	case err != nil:
		return err
	case a.Refused != "":
		return s.isUp(name, a.Refused, k.Node)
	case !a.Changed:
		return changedMeanwhile(name)
	}
	fmt.Fprintf(s.env.Stdout, "the lock of package %s is free.\n", name)
	return nil
}

func changedMeanwhile(name string) error {
	return fmt.Errorf("the lock of package %s has changed in this moment: nothing was done", name)
}

// isDownHere returns why a package is not down on this node; nil if it is. No manager runs it here,
// and none can begin to: one that stands by cannot have the blocked lock, and if there is none,
// isDownHere takes its place.
func (s *site) isDownHere(ctx context.Context, name string, standsBy bool) error {
	if err := script.Check(s.Home, name); err != nil {
		return err
	}
	if standsBy {
		return s.lookHere(ctx, name)
	}
	if manager.Home(s.Home).HasDeadman(name) {
		return fmt.Errorf("the deadman of back-to-work still stops package %s here", name)
	}
	dir, err := manager.Home(s.Home).Take(name, false)
	if err != nil {
		return err
	}
	if err := s.lookHere(ctx, name); err != nil {
		dir.Leave()
		return err
	}
	dir.Remove()
	return nil
}

// finder makes a Runner beside the package's manager on this node, if there is one. It finds what
// that manager has left running.
func (s *site) finder(name string) (*script.Runner, error) {
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	r, err := manager.ReadRecord(manager.Home(s.Home).Notes(name), boot)
	if err != nil {
		return nil, err
	}
	if r.Mark == "" {
		r.Mark = lockclient.NewID()
	}
	shell, err := s.Shell()
	if err != nil {
		return nil, err
	}
	return s.runner(name, r.Mark, shell, r.Cgroups(), nil, true)
}

// lookHere says what of a package is alive on this node, or that its status is not down.
func (s *site) lookHere(ctx context.Context, name string) error {
	runner, err := s.finder(name)
	if err != nil {
		return err
	}
	defer func() { _ = runner.Close() }()
	params, err := failover.ReadParams(ctx, runner, s.Node)
	if err != nil {
		return manager.AboutPackage(name, err)
	}
	runner.SetUnits(params.Units())
	left, err := runner.Alive()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return command.WithHint(fmt.Errorf("of package %s is still alive: %s", name, script.InWords(left)), "stop it by hand")
	}
	status, err := statusOf(ctx, runner)
	if err != nil {
		return err
	}
	if status != 1 {
		return command.WithHint(fmt.Errorf("the status of package %s is %d, not 1 (down)", name, status), "stop it by hand")
	}
	return nil
}

// statusOf runs the status script once.
func statusOf(ctx context.Context, runner *script.Runner) (int, error) {
	const limit = 30 * time.Second
	a, err := runner.Start("status", 0, "")
	if err != nil {
		return 0, err
	}
	select {
	case <-a.Done():
		return a.Status(), a.Err()
	case <-time.After(limit):
	case <-ctx.Done():
	}
	a.Kill(time.Second)
	return 0, fmt.Errorf("its status hangs")
}
