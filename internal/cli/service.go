package cli

import (
	"context"
	"errors"
	"fmt"

	"backtowork/internal/command"
	"backtowork/internal/manager"
)

const serviceUsage = `Usage: btwctl { start | stop | status | check-conf | simulate | upgrade | unblock | clear }
  Main script to init, start or stop the package monitor service.

  start P [Q ...]   run packages in the background, in one process; the output
                    goes to log/back-to-work.P.log
  stop P [Q ...]    halt packages on this node, and wait until that is done
  status [REGEX]    one line for each package that runs here
  check-conf P      what differs between the nodes, how long a failover takes, and by
                    how much two nodes cannot overlap
  simulate P        what failovers cost with its parameters, on a cluster in memory; see
                    service simulate --help
  upgrade [P ...]   have back-to-work here become this program; packages run on
  unblock P         a package that could not be shown to be down keeps its lock: once
                    it was stopped by hand, look again, and let other nodes have it.
                    Only for a node that is OFF for certain, whether it has the lock or must
                    be powered off before others start: --node-is-down NODE; that is not
                    believed of a node that the lock servers hear
  clear P           forget that the package failed here: try again now

Example: ./service start dummy
`

func service(ctx context.Context, env *command.Env) error {
	verbs := map[string]func(context.Context, *command.Env, []string) error{
		"start": serviceStart, "stop": serviceStop, "status": serviceStatus, "check-conf": serviceCheckConf,
		"simulate": serviceSimulate,
		"upgrade":  serviceUpgrade, "unblock": serviceUnblock, "clear": serviceClear,
	}
	if len(env.Args) == 0 || verbs[env.Args[0]] == nil {
		fmt.Fprint(env.Stderr, serviceUsage)
		return command.Status(2)
	}
	return verbs[env.Args[0]](ctx, env, env.Args[1:])
}

//lint:ignore ST1005 the original's words
var errNoPackage = errors.New("you need to specify a package name.")

// ask asks the package's manager on this node.
func (s *site) ask(ctx context.Context, name string, q manager.Request) error {
	a, err := manager.Home(s.Home).Ask(ctx, name, q)
	switch {
	case errors.Is(err, manager.ErrNobody):
		return command.WithHint(fmt.Errorf("the manager of package %s does not answer", name), "it may just be starting or ending: try again")
	case err != nil:
		return err
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}
