package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"backtowork/internal/lockserver"
)

// tellServer makes this host's running lock server read lock_servers again, if the list that it
// uses is not the file's; and stay, if it was to end with the last package.
func (s *site) tellServer(ctx context.Context, self conf.Server) error {
	same := func() (bool, api.Status) {
		status, err := s.probe(ctx, self)
		return err != nil || !status.Passing && api.SameServers(status.List, entries(s.servers)), status
	}
	ok, status := same()
	if ok { // or it did not answer, as on a disk that hangs; the user was told that before
		return nil
	}
	if err := s.signalServer(ctx, self, status.PID, syscall.SIGHUP); err != nil {
		return err
	}
	return s.await(ctx, "the lock server has not read lock_servers again", func() bool { ok, _ := same(); return ok })
}

// isElsewhere returns why this host's lock server cannot follow lock_servers, and what can be done: it is in a cluster of
// which that names no server, or one of its servers is in another cluster. Else it is nil, as where nobody can tell.
func (s *site) isElsewhere(ctx context.Context, self conf.Server) error {
	own, err := s.probe(ctx, self)
	if err != nil || own.Cluster == "" || own.Lost || len(s.servers) < 2 {
		return nil
	}
	list, join := entries(s.servers), s.dexCommand("dex-server-init")+" --join"
	var members, strangers []string
	for _, m := range own.Servers {
		members = append(members, entryOf(m.ID))
	}
	switch kept := slices.ContainsFunc(members, func(entry string) bool { return slices.Contains(list, entry) }); {
	case kept || len(members) == 0:
	case len(members) == 1:
		return command.WithHint(fmt.Errorf("this host's lock server has a cluster of its own, as %s, which lock_servers does not name: %s", members[0], strings.Join(list, " ")),
			"stop the packages here, then: %s (it forgets that cluster, and joins those servers)", join)
	default:
		return command.WithHint(fmt.Errorf("none of the servers of this host's cluster (%s) is in lock_servers: %s", strings.Join(members, " "), strings.Join(list, " ")),
			"change lock_servers in two steps, so that one server stays each time; or give that cluster up: %s on each of its hosts", join)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, a := range askAll[api.Status](ctx, c, "/v1/server") {
		if other := a.value; a.err == nil && other.Cluster != "" && other.Cluster != own.Cluster && !other.Lost {
			strangers = append(strangers, a.server)
		}
	}
	if len(strangers) > 0 {
		s.log.Warn(fmt.Sprintf("lock servers in another cluster than this host's: %s. to make it one, stop the packages of one, then on its hosts: %s", strings.Join(strangers, " "), join))
	}
	return nil
}

// tellLeaving makes this host's lock server read that lock_servers does not name it any more. That
// server ends when the others have removed it. leaves says whether there is such a server.
func tellLeaving(ctx context.Context, env *command.Env) (leaves bool, err error) {
	s, err := openSite(env)
	if err != nil {
		return false, err
	}
	entry, err := lockserver.EntryIn(filepath.Join(s.LockDir, "state"))
	if err != nil || s.readServers() != nil || slices.Contains(entries(s.servers), entry) {
		return false, err
	}
	self, err := conf.ParseServer(entry)
	if err != nil {
		return false, err
	}
	if _, err := s.probe(ctx, self); err != nil {
		return false, err
	}
	return true, s.tellServer(ctx, self)
}

// signalServer sends sig to this host's lock server, whose process is pid.
func (s *site) signalServer(ctx context.Context, self conf.Server, pid int, sig syscall.Signal) error {
	p, err := holdProcess(pid)
	if err != nil {
		return fmt.Errorf("cannot signal the lock server, process %d: %w", pid, err)
	}
	defer p.letGo()
	if status, err := s.probe(ctx, self); err != nil || status.PID != pid { // it ended, and another has its number
		return fmt.Errorf("the lock server, process %d, has just ended", pid)
	}
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("cannot signal the lock server, process %d: %w", pid, err)
	}
	return nil
}

// await waits until ok, as long as a start may take.
func (s *site) await(ctx context.Context, not string, ok func() bool) error {
	for end := time.Now().Add(startLimit); !ok(); {
		if time.Now().After(end) {
			return fmt.Errorf("%s after %v; see %s", not, startLimit, filepath.Join(s.Home, "log/dex-server.log"))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// leaveCluster makes this host's lock server one that never was in a cluster.
func (s *site) leaveCluster(ctx context.Context, self conf.Server) error {
	if len(s.servers) == 1 {
		return errors.New("there is nothing to join: lock_servers names this host alone")
	}
	mark, err := os.ReadFile(s.markFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot read %w", err)
	}
	pid, err := s.serverPID(ctx, self)
	if err != nil {
		return err
	}
	if err := s.mayLeave(ctx, self, strings.TrimSpace(string(mark))); err != nil {
		return err
	}
	if pid != 0 {
		if err := s.signalServer(ctx, self, pid, syscall.SIGTERM); err != nil {
			return err
		}
	}
	if err := s.await(ctx, "the lock server still runs", func() bool { return !s.stateInUse() }); err != nil {
		return err
	}
	state := filepath.Join(s.LockDir, "state")
	to, err := lockserver.SetAside(state)
	if err == nil {
		err = os.Remove(s.markFile())
	}
	if err != nil {
		return err
	}
	s.log.Info("the lock server has left its cluster", "old_state", to)
	return nil
}

// serverPID returns the pid of this host's lock server, 0 if it does not run. If the key was just
// changed, the server may need a moment to accept it.
func (s *site) serverPID(ctx context.Context, self conf.Server) (pid int, err error) {
	var status api.Status
	awaitErr := s.await(ctx, "the lock server runs, but does not answer", func() bool {
		if !s.stateInUse() {
			return true
		}
		status, err = s.probe(ctx, self)
		return err == nil
	})
	if awaitErr != nil && err != nil {
		return 0, fmt.Errorf("%w (%s)", awaitErr, lockclient.Reason(err))
	}
	return status.PID, awaitErr
}

// wasAlone says whether the state is of a lock server that can only have been alone.
func (s *site) wasAlone() bool {
	entry, err := lockserver.EntryIn(filepath.Join(s.LockDir, "state"))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	self, err := conf.ParseServer(entry)
	return err == nil && self.Loopback()
}

// mayLeave refuses to leave a cluster of which others are members too, and one with held locks: in
// the new cluster they would be free.
func (s *site) mayLeave(ctx context.Context, self conf.Server, cluster string) error {
	if err := s.elsewhere(ctx, self, cluster); err != nil {
		return err
	}
	own, err := s.ownClient(self)
	if err != nil {
		return err
	}
	defer own.Close()
	var all api.Locks
	if err := own.Get(ctx, self.Entry, "/v1/locks", &all); err != nil {
		return nil // it does not run, so nobody can hold one of its locks for long
	}
	for name, state := range all.Locks {
		if state.Lock.Held() {
			return command.WithHint(fmt.Errorf("the lock %s is held, by %s: in the new cluster it would be free", name, state.Lock.Node),
				"put lock_servers back, and stop it first: service stop %s there, or dex-release %s", name, name)
		}
	}
	return nil
}

// elsewhere makes sure that no other server of the list is in the cluster that is to be left. If
// none of them can be reached, they may be in it and just be down.
func (s *site) elsewhere(ctx context.Context, self conf.Server, cluster string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var silent []string
	for _, server := range s.servers {
		var status api.Status
		if server.Entry == self.Entry {
			continue
		}
		if err := c.Get(ctx, server.Entry, "/v1/server", &status); err != nil {
			silent = append(silent, fmt.Sprintf("%s (%s)", server.Entry, lockclient.Reason(err)))
		} else if status.Cluster == cluster && !status.Lost {
			return fmt.Errorf("there is nothing to join: %s is in the same cluster", server.Entry)
		}
	}
	if len(silent) < len(s.servers)-1 {
		return nil
	}
	own, err := s.probe(ctx, self)
	if err != nil && s.wasAlone() || err == nil && len(own.Servers) <= 1 {
		return nil
	}
	return fmt.Errorf("this host's lock server may not be alone in its cluster, and no lock server to join can be reached: %s", strings.Join(silent, ", "))
}
