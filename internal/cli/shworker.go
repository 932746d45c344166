package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"backtowork/internal/command"
	"backtowork/internal/manager"
	"backtowork/internal/script"
	"backtowork/internal/worker"
)

const shWorkerUsage = `Usage: sh-worker

back-to-work starts it, unless conf/shell names a shell: it answers the status of packages, and what
parameters they have, without starting a shell for each. It ends with back-to-work.

Example: set-shell auto
`

// shWorker interprets scripts for the back-to-work that has started this process.
func shWorker(_ context.Context, env *command.Env) error {
	if len(env.Args) > 0 {
		return command.UsageError("sh-worker takes no arguments")
	}
	requests, answers := given(env, requestsFD), given(env, answersFD)
	if requests == nil || answers == nil {
		return errors.New("sh-worker is for back-to-work to start")
	}
	defer requests.Close()
	defer answers.Close()
	worker.Limit(env.Stderr)
	return worker.Serve(requests, answers, worker.Embedded())
}

// These are the environment variables that tell a worker the numbers of the pipes to its manager.
const (
	requestsFD = "BTW_REQUESTS_FD"
	answersFD  = "BTW_ANSWERS_FD"
)

// scripts returns what runs the packages of a manager: with a worker, unless conf/shell asks for a shell. Who acts beside a
// manager has none.
func (s *site) scripts() (func(name, mark string, also []string, beside bool) (manager.Scripts, error), error) {
	shell, err := s.Shell()
	if err != nil {
		return nil, err
	}
	client := worker.NewClient(s.spawnWorker)
	return func(name, mark string, also []string, beside bool) (manager.Scripts, error) {
		with := !beside && shell.HasWorker()
		var asker script.Asker
		if with {
			asker = worker.NewAsker(client)
		}
		r, err := s.runner(name, mark, shell, also, asker, beside)
		switch {
		case err != nil:
			return nil, err
		case with:
			return worker.New(worker.OnRunner(r), client, func(line string) { r.Logf("back-to-work: %s", line) }), nil
		}
		return manager.OnHost(r), nil
	}, nil
}

// checkEmbedded returns what refuses a package that the embedded shell cannot start or stop, where conf/shell asks for that one.
func (s *site) checkEmbedded() (func(name string) error, error) {
	shell, err := s.Shell()
	if err != nil || !shell.Embedded {
		return func(string) error { return nil }, err
	}
	judge := worker.NewJudge(s.Home)
	return func(name string) error {
		forSh, err := script.ForSh(s.Home, name)
		if err != nil || !forSh {
			return err
		}
		why := judge.Declined("packages/"+name, "start", "stop")
		if why == "" {
			return nil
		}
		return command.WithHint(fmt.Errorf("the embedded shell of conf/shell cannot run package %q: %s", name, relative(s.Home, why)), "set-shell auto has it run by sh; service lint %s says more", name)
	}, nil
}

func (s *site) spawnWorker() (worker.Conn, error) {
	return worker.Start(func(requests, answers *os.File) (*exec.Cmd, error) {
		cmd := s.self("sh-worker")
		give(cmd, requests, requestsFD)
		give(cmd, answers, answersFD)
		return cmd, cmd.Start()
	})
}

// askedBy says how the status of a package is answered, where that is not by its own shell alone.
func askedBy(is manager.Answer) string {
	if is.Asked == "" {
		return ""
	}
	return fmt.Sprintf(" status_by=%q;", is.Asked)
}
