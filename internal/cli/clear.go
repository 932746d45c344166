package cli

import (
	"context"

	"backtowork/internal/command"
	"backtowork/internal/failover"
)

const clearUsage = `Usage: service clear P [Q ...]

Forgets that packages failed on this node: it does not wait any longer before it tries again.

Example: ./service clear dummy
`

// serviceClear has the failures of a package on this node forgotten.
func serviceClear(ctx context.Context, env *command.Env, packages []string) error {
	return tellManagers(ctx, env, packages, failover.Forget)
}
