package cli

import (
	"context"
	"errors"
	"fmt"

	"backtowork/internal/command"
	"backtowork/internal/manager"
)

// serviceCommand is service, or btwctl. A new verb has a file of its own, and its row here.
func serviceCommand() command.Command {
	return command.WithVerbs([]string{"service", "btwctl"}, "Main script to init, start or stop the package monitor service.", []command.Verb{
		{
			Name: "start", Args: "P [Q ...]", Usage: startUsage, Run: serviceStart,
			Summary: "run packages in the background, in one process; the output\ngoes to log/back-to-work.P.log",
		},
		{
			Name: "stop", Args: "P [Q ...]", Usage: stopUsage, Run: serviceStop,
			Summary: "halt packages on this node, and wait until that is done",
		},
		{
			Name: "status", Args: "[-v] [REGEX]", Usage: statusUsage, Run: serviceStatus,
			Summary: "one line for each package that runs here",
		},
		{
			Name: "check-conf", Args: "P", Usage: checkConfUsage, Run: serviceCheckConf,
			Summary: "what differs between the nodes, how long a failover takes, and by\nhow much two nodes cannot overlap",
		},
		{
			Name: "lint", Args: "P|FILE [...]", Usage: lintUsage, Run: serviceLint,
			Summary: "what is wrong with a package, its modules and parameters, or a script",
		},
		{
			Name: "simulate", Args: "P", Usage: simulateUsage(), Run: serviceSimulate,
			Summary: "what failovers cost with its parameters, on a cluster in memory; see\nservice simulate --help",
		},
		{
			Name: "upgrade", Args: "[P ...]", Usage: upgradeUsage, Run: serviceUpgrade,
			Summary: "have back-to-work here become this program; packages run on",
		},
		{
			Name: "unblock", Args: "P", Usage: unblockUsage, Run: serviceUnblock,
			Summary: `a package that could not be shown to be down keeps its lock: once
it was stopped by hand, look again, and let other nodes have it.
Only for a node that is OFF for certain, whether it has the lock or must
be powered off before others start: --node-is-down NODE; that is not
believed of a node that the lock servers hear`,
		},
		{
			Name: "clear", Args: "P", Usage: clearUsage, Run: serviceClear,
			Summary: "forget that the package failed here: try again now",
		},
		{
			Name: "reload", Args: "P", Usage: reloadUsage, Run: serviceReload,
			Summary: "have the package's parameters read again",
		},
		{
			Name: "completion", Args: "bash", Usage: completionUsage, Run: serviceCompletion,
			Summary: "what bash needs to complete verbs, options and packages",
		},
	}, "./service start dummy")
}

const errNoPackage = command.OriginalError("you need to specify a package name.")

// openSiteOf opens the site for packages that a user has named, if they can be the names of some.
func openSiteOf(env *command.Env, packages []string) (*site, error) {
	if len(packages) == 0 {
		return nil, errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return nil, err
	}
	return s, packageNames(packages)
}

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
