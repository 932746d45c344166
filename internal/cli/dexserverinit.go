package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/script"
)

const dexServerInitUsage = `Usage: dex-server-init [--join]

Starts this host's lock server in the background if it does not run; if it does,
makes it read a changed dex-lock/conf/lock_servers. It does no harm at any time. The
server's log is log/dex-server.log.

  --join  on a host whose lock server was in another cluster (one of its own, most
          often): forget that, and join the servers in lock_servers. The old state is
          set aside in dex-lock/state/lost-N

Example: dex-lock/dex-server-init
`

func dexServerInit(ctx context.Context, env *command.Env) error {
	join := len(env.Args) == 1 && env.Args[0] == "--join"
	if len(env.Args) > 0 && !join {
		return command.UsageError("dex-server-init takes --join, or no arguments")
	}
	s, self, err := openServerSite(env)
	if err != nil && !join {
		if leaves, err := tellLeaving(ctx, env); leaves {
			return err
		}
	}
	if err != nil {
		return err
	}
	if join {
		if err := s.leaveCluster(ctx, self); err != nil {
			return err
		}
	}
	s.warnUnread()
	s.mendLinks()
	if err := s.ensureServer(ctx); err != nil {
		return err
	}
	if err := s.isElsewhere(ctx, self); err != nil {
		return err
	}
	if err := s.tellServer(ctx, self); err != nil {
		return err
	}
	s.awaitLeader(ctx)
	switch status, err := s.probe(ctx, self); {
	case err != nil || status.Waiting == "":
	case status.Lost:
		s.log.Warn("the lock server does not vote", "reason", status.Waiting)
	case s.sole():
		s.log.Warn("the lock server serves nobody", "waits_for", status.Waiting)
	}
	if env.Getenv("verbose") != "" {
		fmt.Fprintln(env.Stderr, "good. lock server ready.")
	}
	return nil
}

const (
	startLimit  = 10 * time.Second // how long a process in the background may take to say that it has begun
	listenLimit = time.Minute      // how long a lock server may take until it listens, while its process lives: a busy host is slow
)

// startServer does what ensureServer does, for callers that do not make the server read a changed
// lock_servers: they only warn of the difference.
func (s *site) startServer(ctx context.Context) error {
	if err := s.ensureServer(ctx); err != nil {
		return err
	}
	self, ok, _ := s.Self(s.servers)
	if !ok {
		return nil
	}
	if status, err := s.probe(ctx, self); err == nil && !api.SameServers(status.List, entries(s.servers)) {
		s.again("other list", "this host's lock server goes by another lock_servers: dex-server-init makes it read the file",
			"its", strings.Join(status.List, " "), "now", strings.Join(entries(s.servers), " "))
	}
	return nil
}

// ensureServer starts this host's lock server in the background, if this host is one of the
// lock servers and its server does not run.
func (s *site) ensureServer(ctx context.Context) error {
	self, ok, errs := s.Self(s.servers)
	if ok {
		if err := s.notAlone(self); err != nil {
			return err
		}
	}
	if !s.makesKey() {
		if _, err := s.key(); err != nil {
			return err
		}
	}
	for _, err := range errs {
		s.again("name "+err.Error(), "a name of lock_servers does not resolve yet: it is tried again; /etc/hosts on every host is the safest place for it", "reason", err)
	}
	if !ok {
		return nil
	}
	if runs, err := s.serverRuns(ctx, self); runs || err != nil {
		return err
	}
	return s.launchServer(ctx, self)
}

// launchServer starts the lock server, and waits until it listens or has ended.
func (s *site) launchServer(ctx context.Context, self conf.Server) error {
	brief, cancel := context.WithTimeout(ctx, time.Second)
	_ = s.await(brief, "", func() bool { return !s.stateInUse() }) // one ends this moment, perhaps; else the new one says what is wrong
	cancel()
	path := filepath.Join(s.Home, "log/dex-server.log")
	log, err := openLog(path)
	if err != nil {
		return err
	}
	defer log.Close()
	begin, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	cmd, err := s.background(log, nil, "dex-server")
	if err != nil {
		return err
	}
	if err := script.Aside(s.Home, s.Node, "dex-server", cmd.Process.Pid); err != nil {
		s.log.Debug(staysWith("the lock server"), "reason", oneLine(err))
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it said why
		close(ended)
	}()
	return s.awaitServer(ctx, self, path, begin, ended)
}

// awaitServer waits until the server listens, or its process has ended.
func (s *site) awaitServer(ctx context.Context, self conf.Server, path string, begin int64, ended <-chan struct{}) error {
	for end := time.Now().Add(listenLimit); time.Now().Before(end); {
		if runs, _ := s.serverRuns(ctx, self); runs { // another program in its place makes the child end and say why
			return nil
		}
		select {
		case <-ended:
			if runs, _ := s.serverRuns(ctx, self); runs { // another process started it at the same time
				return nil
			}
			return didNotStart(path, begin)
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("given up while the lock server starts: %w", context.Cause(ctx))
		}
	}
	return fmt.Errorf("the lock server does not listen after %v; see %s", listenLimit, path)
}

// openLog opens a log for appending.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the log directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write the log: %w", err)
	}
	return f, nil
}

// didNotStart is why the lock server did not start: its last words in the log at path, after begin.
func didNotStart(path string, begin int64) error {
	b, err := os.ReadFile(path)
	if err != nil || int64(len(b)) <= begin {
		return errors.New("the lock server did not start: it said nothing")
	}
	lines := strings.Split(strings.TrimSpace(string(b[begin:])), "\n")
	last := len(lines) - 1
	if hint, ok := strings.CutPrefix(lines[last], "dex-server: hint: "); ok && last > 0 {
		return command.WithHint(fmt.Errorf("the lock server did not start: %s", lines[last-1]), "%s", hint)
	}
	return fmt.Errorf("the lock server did not start: %s", lines[last])
}
