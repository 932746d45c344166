package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/dial"
	"backtowork/internal/lockclient"
)

// ownClient is a client of this host's own lock server, on its own port.
func (s *site) ownClient(self conf.Server) (*lockclient.Client, error) {
	return s.clientOf(lockclient.Server{Entry: self.Entry, Addr: ownAddr(self)})
}

func ownAddr(self conf.Server) string {
	host := self.Host
	if !self.Loopback() {
		host = "localhost" // it listens on all addresses
	}
	return net.JoinHostPort(host, self.Port)
}

// probe is what this host's own lock server says of itself.
func (s *site) probe(ctx context.Context, self conf.Server) (api.Status, error) {
	var status api.Status
	if s.makesKey() { // there is no key yet, so whoever listens there is not our server
		conn, err := dial.New().Dial(ctx, ownAddr(self), nil)
		if err == nil {
			err = errors.Join(errors.New("this host has no cluster key yet"), conn.Close())
		}
		return status, err
	}
	c, err := s.ownClient(self)
	if err != nil {
		return status, err
	}
	defer c.Close()
	return status, c.Get(ctx, self.Entry, "/v1/server", &status)
}

// serverRuns says whether this host's lock server runs. It returns an error if another program
// listens in its place.
func (s *site) serverRuns(ctx context.Context, self conf.Server) (bool, error) {
	status, err := s.probe(ctx, self)
	var dial *net.OpError
	var other *clusterkey.OtherKeyError
	switch {
	case err == nil && status.Ending:
		return false, s.await(ctx, "the lock server has not ended", func() bool { return !s.stateInUse() })
	case err == nil:
		return true, nil
	case errors.As(err, &dial) && dial.Op == "dial":
		return false, nil
	}
	if holder, ok := portHolderOf(self.Port); ok && !s.isMine(holder) {
		return false, command.WithHint(fmt.Errorf("port %s is in use: %w", self.Port, holder),
			"end that (%s --stop, or kill %d) if it is left of a trial; else give one of the two another port in lock_servers (host:port)",
			holder.command(), holder.pid)
	}
	switch {
	case errors.As(err, &other):
		return false, command.WithHint(fmt.Errorf("port %s is in use by a lock server with another cluster key: its key is %s, ours %s", self.Port, other.Theirs, other.Ours),
			"if it is this host's own, it takes up a changed key within some seconds: try again; else give one of the two another port")
	case s.stateInUse():
		s.again("server silent", "this host's lock server runs, but does not answer: log/dex-server.log may say why", "reason", lockclient.Reason(err))
		return true, nil
	}
	return false, command.WithHint(fmt.Errorf("port %s is in use by another program", self.Port),
		"end that, or give this host's lock server another port in %s (host:port)", filepath.Join(s.LockDir, "conf/lock_servers"))
}

// isMine says whether h is the lock server of this home, or of one that goes by the same lock directory.
func (s *site) isMine(h portHolder) bool {
	theirs, err := conf.Load(h.home, s.Node)
	if err != nil {
		return false
	}
	a, err1 := os.Stat(s.LockDir)
	b, err2 := os.Stat(theirs.LockDir)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// awaitLeader waits, on the only lock server, until it leads: a script that comes after this
// command must not fail because of an election.
func (s *site) awaitLeader(ctx context.Context) {
	if !s.sole() {
		return
	}
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		if status, err := s.probe(ctx, s.servers[0]); err != nil || status.Open || status.Waiting != "" || status.Marked && status.Role == "waiting" {
			return // whoever asks for a lock is told what is wrong
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// stateInUse says whether a lock server has this tree's state open.
func (s *site) stateInUse() bool {
	f, err := os.Open(filepath.Join(s.LockDir, "state/raft.db"))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
