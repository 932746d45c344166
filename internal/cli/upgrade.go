package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/manager"
)

const upgradeUsage = `Usage: service upgrade [P ...]

Has the back-to-work of the packages, or of all that run here, become the program that this
command is, and waits until it is. The packages run on. Where one process runs several
packages, it is upgraded for all of them.

Example: make install && ./service upgrade
`

// serviceUpgrade makes the managers of this node become the program that this command is.
func serviceUpgrade(ctx context.Context, env *command.Env, packages []string) error {
	s, err := openSite(env)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell what to upgrade to: %w", err)
	}
	running, err := s.running()
	if err != nil {
		return err
	}
	for _, name := range packages {
		if !slices.Contains(running, name) {
			return fmt.Errorf("back-to-work does not run package %s here", name)
		}
	}
	if len(packages) == 0 {
		packages = running
	}
	done := map[int]bool{} // processes, each of which may run several
	for _, name := range packages {
		pid, err := manager.Home(s.Home).ManagerOf(name)
		if err != nil {
			return err
		}
		if pid == 0 { // it has ended by itself
			continue
		}
		if err := s.upgrade(ctx, name, exe, done[pid]); err != nil {
			return err
		}
		done[pid] = true // an upgrade keeps the process, and so its pid
		fmt.Fprintf(env.Stdout, "package=%s; version=%s;\n", name, Version)
	}
	return nil
}

// upgrade asks the manager of a package to upgrade, unless done says that its process was asked
// already, and waits until the new program has taken over.
func (s *site) upgrade(ctx context.Context, name, exe string, done bool) error {
	ctx, cancel := context.WithTimeout(ctx, manager.UpgradeLimit+5*time.Second)
	defer cancel()
	home := manager.Home(s.Home)
	is, err := home.Ask(ctx, name, manager.Request{What: manager.State})
	if err == nil && is.Node != s.Node {
		return command.WithHint(fmt.Errorf("package %s runs here under the name %s, and this node is called %s now", name, is.Node, s.Node),
			"what runs goes by its name: stop and start the package to change that, or write %s to conf/node_name", is.Node)
	}
	if err == nil && !done {
		a, err := home.Ask(ctx, name, manager.Request{What: manager.Upgrade, Text: exe})
		if err == nil {
			return command.WithHint(fmt.Errorf("package %s is not upgraded: %s", name, a.Error), "see %s", logPath(s.Home, name))
		}
		if !errors.Is(err, manager.ErrNobody) { // ErrNobody: it became the new program before it could answer
			return err
		}
	}
	for ctx.Err() == nil {
		is, err := home.Ask(ctx, name, manager.Request{What: manager.State})
		if err == nil && is.Version == Version && is.Doing != string(failover.Unknown) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return command.WithHint(fmt.Errorf("package %s is not upgraded", name), "see %s", logPath(s.Home, name))
}
