package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/conf"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// probe is what this host's own lock server says of itself, on its own port.
func (s *site) probe(ctx context.Context, self conf.Server) (lock.Status, error) {
	host := self.Host
	if !self.Loopback() {
		host = "localhost" // it listens on all addresses
	}
	addr := net.JoinHostPort(host, self.Port)
	var status lock.Status
	if s.makesKey() { // then whoever listens is not ours
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			err = errors.Join(errors.New("this host has no cluster key yet"), conn.Close())
		}
		return status, err
	}
	c, err := s.clientOf(lockclient.Server{Entry: self.Entry, Addr: addr})
	if err != nil {
		return status, err
	}
	defer c.Close()
	return status, c.Get(ctx, self.Entry, "/v1/server", &status)
}

// serverRuns says whether this host's lock server runs. The error is about another program in
// its place.
func (s *site) serverRuns(ctx context.Context, self conf.Server) (bool, error) {
	status, err := s.probe(ctx, self)
	var dial *net.OpError
	var other *clusterkey.OtherKeyError
	switch {
	case err == nil:
		if !lock.SameServers(status.List, entries(s.servers)) {
			s.log.Warn("this host's lock server was started with another lock_servers",
				"its", strings.Join(status.List, " "), "now", strings.Join(entries(s.servers), " "))
		}
		return true, nil
	case errors.As(err, &dial) && dial.Op == "dial":
		return false, nil
	case errors.As(err, &other):
		return false, withHint(fmt.Errorf("port %s is in use by a lock server with another cluster key: its key is %s, ours %s", self.Port, other.Theirs, other.Ours),
			"if it is this host's own, the key was changed since its start: end it, and it comes back with the new one")
	case s.stateInUse():
		s.log.Warn("this host's lock server runs, but does not answer", "reason", lockclient.Reason(err))
		return true, nil
	}
	return false, withHint(fmt.Errorf("port %s is in use by another program", self.Port),
		"end that, or give this host's lock server another port in %s (host:port)", filepath.Join(s.LockDir, "conf/lock_servers"))
}

// awaitLeader waits, on the only lock server, until it leads: a script that comes after this
// command must not fail because of an election.
func (s *site) awaitLeader(ctx context.Context) {
	if !s.sole() {
		return
	}
	for end := time.Now().Add(startLimit); time.Now().Before(end); {
		if status, err := s.probe(ctx, s.servers[0]); err != nil || status.Open || status.Marked && status.Role == "waiting" {
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
