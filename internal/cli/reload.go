package cli

import (
	"context"
	"fmt"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/manager"
)

const reloadUsage = `Usage: service reload P [Q ...]

Has packages that run here read their parameters again, as signal USR1 to back-to-work does for
all packages of one process. What came of it is in its log; where they are bad the old ones stay.

Example: ./service reload dummy
`

// serviceReload has the managers of packages on this node read the parameters again.
func serviceReload(ctx context.Context, env *command.Env, packages []string) error {
	return tellManagers(ctx, env, packages, failover.Reread)
}

// tellManagers gives an order to the managers of packages on this node. It goes over their sockets, so nobody
// else can get it, as a signal to a process whose number stands in a file that was left.
func tellManagers(ctx context.Context, env *command.Env, packages []string, o failover.Order) error {
	s, err := openSiteOf(env, packages)
	if err != nil {
		return err
	}
	for _, name := range packages {
		pid, err := manager.Home(s.Home).ManagerOf(name)
		if err != nil {
			return err
		}
		if pid == 0 {
			return fmt.Errorf("back-to-work does not run package %s here", name)
		}
		if err := s.ask(ctx, name, manager.Request{What: string(o)}); err != nil {
			return err
		}
	}
	return nil
}
