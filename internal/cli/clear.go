package cli

import (
	"context"
	"fmt"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/manager"
)

const clearUsage = `Usage: service clear P [Q ...]

Forgets that packages failed on this node: it does not wait any longer before it tries again.

Example: ./service clear dummy
`

// serviceClear has the failures of a package on this node forgotten.
func serviceClear(ctx context.Context, env *command.Env, packages []string) error {
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
		if err := s.ask(ctx, name, manager.Request{What: string(failover.Forget)}); err != nil {
			return err
		}
	}
	return nil
}
