package cli

import (
	"context"
	"errors"
)

func serviceCheckConf(_ context.Context, env *Env, packages []string) error {
	return errors.New("not yet")
}
