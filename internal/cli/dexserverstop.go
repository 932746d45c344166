package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/lockclient"
)

// besideServer is what is done with this host's lock server by another process, by the arguments.
var besideServer = map[string]func(ctx context.Context, s *site, self conf.Server) error{
	"--status":       func(ctx context.Context, s *site, self conf.Server) error { return s.showServer(ctx, self) },
	"--stop":         func(ctx context.Context, s *site, self conf.Server) error { return s.stopServer(ctx, self, false) },
	"--stop --force": func(ctx context.Context, s *site, self conf.Server) error { return s.stopServer(ctx, self, true) },
	"--force --stop": func(ctx context.Context, s *site, self conf.Server) error { return s.stopServer(ctx, self, true) },
}

// serverSite is the site of this host's lock server, also of one that lock_servers does not name any more.
func serverSite(env *command.Env) (*site, conf.Server, error) {
	s, self, err := openServerSite(env)
	if former, ok := s.removedSelf(); err != nil && ok {
		return s, former, nil
	}
	return s, self, err
}

// showServer prints a line about this host's lock server. The exit status is 1 where it does not run, or serves nobody.
func (s *site) showServer(ctx context.Context, self conf.Server) error {
	status, err := s.probe(ctx, self)
	switch {
	case err != nil && !s.stateInUse() && !slices.Contains(entries(s.servers), self.Entry):
		return fmt.Errorf("%w, and lock_servers does not name this host", s.notRunning(ctx, self))
	case err != nil && !s.stateInUse():
		return command.WithHint(s.notRunning(ctx, self), "%s starts it", s.dexCommand("dex-server-init"))
	case err != nil:
		return fmt.Errorf("the lock server %s runs, but does not answer: %s; see %s", self.Entry, lockclient.Reason(err), s.serverLog())
	}
	line := fmt.Sprintf("server=%s; pid=%d; role=%s; leader=%s; version=%s;", self.Entry, status.PID, status.Role, status.Leader, status.Version)
	if status.Waiting != "" {
		line += fmt.Sprintf(" waits_for=%q;", status.Waiting)
	}
	if _, err := fmt.Fprintln(s.env.Stdout, line); err != nil {
		return err
	}
	if status.Leader == "" {
		return command.Status(1)
	}
	return nil
}

// notRunning says that this host's lock server does not run, and who has its port, if somebody has.
func (s *site) notRunning(ctx context.Context, self conf.Server) error {
	err := fmt.Errorf("the lock server %s does not run", self.Entry)
	if _, taken := s.serverRuns(ctx, self); taken != nil {
		return fmt.Errorf("%w: %w", err, taken)
	}
	return err
}

func (s *site) serverLog() string { return filepath.Join(s.Home, "log/dex-server.log") }

// stopServer ends this host's lock server, and waits for that. With force it does so even if the others are no majority
// without it.
func (s *site) stopServer(ctx context.Context, self conf.Server, force bool) error {
	pid, err := s.serverPID(ctx, self)
	if err != nil {
		return command.WithHint(err, "end its process by hand: kill PID, as ps shows it")
	}
	if pid == 0 {
		fmt.Fprintf(s.env.Stdout, "the lock server %s does not run.\n", self.Entry)
		return s.stayStopped()
	}
	if !force {
		if err := s.canSpare(ctx, self); err != nil {
			return command.WithHint(err, "dex-server --stop --force stops it all the same")
		}
	}
	if err := s.stayStopped(); err != nil { // it is stopped all the same
		s.log.Warn("back-to-work on this host starts the lock server again within a minute", "reason", err)
	}
	if err := s.signalServer(ctx, self, pid, syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.await(ctx, "the lock server still runs", func() bool { return !s.stateInUse() }); err != nil {
		return err
	}
	fmt.Fprintf(s.env.Stdout, "the lock server %s has ended. %s starts it again.\n", self.Entry, s.dexCommand("dex-server-init"))
	return nil
}

// stoppedFile says that a user has stopped this host's lock server: until it is started again, back-to-work does not do
// that by itself.
func (s *site) stoppedFile() string { return filepath.Join(s.LockDir, "stopped") }

func (s *site) stayStopped() error { return os.WriteFile(s.stoppedFile(), nil, 0o644) }

func (s *site) isStopped() bool {
	_, err := os.Stat(s.stoppedFile())
	return err == nil
}

// electionLimit is how long canSpare waits for a leader: longer than an election takes.
const electionLimit = 5 * time.Second

// canSpare returns why this host's lock server cannot be done without now; nil if it can: the others are a majority, or
// nobody has a lock.
func (s *site) canSpare(ctx context.Context, self conf.Server) error {
	own, err := s.probe(ctx, self)
	for end := time.Now().Add(electionLimit); err == nil && own.Cluster != "" && own.Leader == "" && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(100 * time.Millisecond)
		own, err = s.probe(ctx, self)
	}
	if err != nil || own.Cluster == "" { // it serves nobody
		return err
	}
	answers, err := s.askServers(ctx)
	if err != nil {
		return err
	}
	missing, spare := left(own, self.Entry, answers)
	if spare {
		return nil
	}
	held, err := s.heldLocks(ctx, self)
	switch {
	case err != nil:
		return err
	case len(held) == 0:
		return nil
	}
	why := "there is no other"
	if len(own.Servers) > 1 {
		why = "the others that answer are no majority"
		if len(missing) > 0 {
			why += " without " + strings.Join(missing, ", ")
		}
	}
	return fmt.Errorf("the lock server %s is needed: %s, and these locks are held: %s. what runs under them would be stopped", self.Entry, why, strings.Join(held, ", "))
}

// left is which voters do not answer, of those that are left when the server called self, which says own, is stopped;
// and whether the others are enough for a majority.
func left(own api.Status, self string, answers []answer[api.Status]) (missing []string, enough bool) {
	voters, there := 0, 0
	for _, m := range own.Servers {
		if !m.Voter {
			continue
		}
		voters++
		entry := entryOf(m.ID)
		if entry == self {
			continue
		}
		answers := slices.ContainsFunc(answers, func(a answer[api.Status]) bool {
			return a.server == entry && a.err == nil && a.value.ID == m.ID && a.value.Leader != ""
		})
		if answers {
			there++
		} else {
			missing = append(missing, entry)
		}
	}
	return missing, there > voters/2
}

// heldLocks is the locks that somebody has, as this host's lock server knows them.
func (s *site) heldLocks(ctx context.Context, self conf.Server) (names []string, err error) {
	c, err := s.ownClient(self)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var all api.Locks
	if err := c.Get(ctx, self.Entry, "/v1/locks", &all); err != nil {
		return nil, errors.New("cannot tell which locks are held: " + lockclient.Reason(err))
	}
	for name, state := range all.Locks {
		if state.Lock.Held() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
