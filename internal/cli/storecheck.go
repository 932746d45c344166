package cli

import (
	"context"
	"errors"

	"backtowork/internal/command"
	"backtowork/internal/lockserver/store"
)

var storeCheckUsage = `Usage: store-check FILE

Checks that a lock server's store is whole. dex-server does this before it opens its own.
The server must not run. The exit status is 3 if it is damaged, 1 if it cannot be looked at.

Example: store-check dex-lock/state/raft.db
`

// storeCheck is the child that dex-server looks at its store by.
func storeCheck(_ context.Context, env *command.Env) error {
	if len(env.Args) != 1 {
		return command.UsageError("which file?")
	}
	err := store.Check(env.Args[0])
	if errors.Is(err, store.ErrDamaged) {
		return command.Failed(env, store.DamagedStatus, err)
	}
	return err
}
