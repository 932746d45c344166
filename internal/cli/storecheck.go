package cli

import (
	"context"

	"backtowork/internal/lockserver"
)

var storeCheckUsage = `Usage: store-check FILE

Checks that a lock server's store is whole. dex-server does this before it opens its own.
The server must not run.

Example: store-check dex-lock/state/raft.db
`

// storeCheck is the child that dex-server looks at its store by.
func storeCheck(_ context.Context, env *Env) error {
	if len(env.Args) != 1 {
		return usageError("which file?")
	}
	return lockserver.CheckStore(env.Args[0])
}
