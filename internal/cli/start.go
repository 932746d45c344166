package cli

import (
	"context"
	"errors"
	"fmt"

	"backtowork/internal/command"
)

const startUsage = `Usage: service start P [Q ...]

Runs packages on this node in the background, in one process: it waits for their locks, starts
them, watches them, and stops them. service start has ended when that process has begun, or
says why it cannot. Each package begins when it has said its parameters; one that says nonsense
is named and left out (exit status 1), and the others run. What it decides is in
log/back-to-work.P.log, what the scripts print in log/P.log.

Example: ./service start dummy
`

func serviceStart(_ context.Context, env *command.Env, packages []string) error {
	if len(packages) == 0 {
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	if err := s.checkPackages(packages); err != nil { // before anything is written
		return err
	}
	if err := s.startManager(packages...); err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "back-to-work started in background. check logs for status.")
	return nil
}

// startManager starts back-to-work in the background, and waits until it has begun, or says why it cannot.
func (s *site) startManager(packages ...string) error {
	p, err := s.start(logPath(s.Home, packages[0]), "back-to-work", packages...)
	if err != nil {
		return err
	}
	err = p.answer("back-to-work")
	if err != nil && !errors.As(err, new(partError)) {
		_ = p.cmd.Wait() // the answer says more
	}
	return err
}
