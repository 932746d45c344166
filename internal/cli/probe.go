package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/conf"
)

// probeLimit is how long this host's own lock server may take to be recognised.
const probeLimit = time.Second

// serverRuns says whether this host's lock server runs. The error is about another program in
// its place.
func (s *site) serverRuns(ctx context.Context, self conf.Server) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	host := self.Host
	if !self.Loopback() {
		host = "localhost" // it listens on all addresses
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, self.Port))
	if err != nil {
		return false, nil
	}
	defer conn.Close()
	err = s.greet(ctx, conn)
	var other *clusterkey.OtherKeyError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &other):
		return false, withHint(fmt.Errorf("port %s is in use by a lock server with another cluster key: its key is %s, ours %s", self.Port, other.Theirs, other.Ours),
			"if it is this host's own, the key was changed since its start: end it, and it comes back with the new one")
	case s.stateInUse():
		s.log.Warn("this host's lock server runs, but does not answer", "reason", err)
		return true, nil
	}
	return false, withHint(fmt.Errorf("port %s is in use by another program", self.Port),
		"end that, or give this host's lock server another port in %s (host:port)", filepath.Join(s.LockDir, "conf/lock_servers"))
}

// greet finds out whether conn leads to a lock server with our key.
func (s *site) greet(ctx context.Context, conn net.Conn) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	config, err := key.Client(s.Node, "http/1.1")
	if err != nil {
		return err
	}
	return tls.Client(conn, config).HandshakeContext(ctx)
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
