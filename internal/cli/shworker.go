package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"backtowork/internal/command"
	"backtowork/internal/manager"
	"backtowork/internal/worker"
)

const shWorkerUsage = `Usage: sh-worker

back-to-work starts it, where conf/shell says worker: it answers the status of packages without
starting a shell for each. It ends with back-to-work.

Example: set-shell worker
`

// shWorker interprets scripts for the back-to-work that has started this process.
func shWorker(_ context.Context, env *command.Env) error {
	if len(env.Args) > 0 {
		return command.UsageError("sh-worker takes no arguments")
	}
	conn, err := inherited(env)
	if err != nil {
		return err
	}
	if conn == nil {
		return errors.New("sh-worker is for back-to-work to start")
	}
	defer conn.Close()
	worker.Limit(env.Stderr)
	return worker.Serve(conn, worker.Embedded())
}

// scripts returns what runs the packages of a manager: with a worker, if conf/shell asks for one. Who acts beside a
// manager has none.
func (s *site) scripts() (func(name, mark string, also []string, beside bool) (manager.Scripts, error), error) {
	shell, err1 := s.Shell()
	has, err2 := s.HasWorker()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	client := worker.NewClient(s.spawnWorker)
	return func(name, mark string, also []string, beside bool) (manager.Scripts, error) {
		r, err := s.runner(name, mark, shell, also, beside)
		if err != nil {
			return nil, err
		}
		if !has || beside {
			return manager.OnHost(r), nil
		}
		return worker.New(worker.OnRunner(r), client, func(line string) { r.Logf("back-to-work: %s", line) }), nil
	}, nil
}

// workerConn is the connection with a worker, and the process.
type workerConn struct {
	io.ReadWriteCloser
	kill func()
}

func (c workerConn) Kill() { c.kill() }

func (s *site) spawnWorker() (worker.Conn, error) {
	conn, proc, err := s.startOther("sh-worker")
	if err != nil {
		return nil, err
	}
	return workerConn{conn, func() { _ = proc.Kill() }}, nil
}

// askedBy says how the status of a package is answered, where that is not by its own shell alone.
func askedBy(is manager.Answer) string {
	if is.Asked == "" {
		return ""
	}
	return fmt.Sprintf(" status_by=%q;", is.Asked)
}
