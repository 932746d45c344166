package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"backtowork/internal/command"
	"backtowork/internal/conf"
)

// oneServer is what the original says of a list of one.
const oneServer = "Warning: with one not fault tolerant lock server you introduce a single point of failure."

// soleServerWarning is oneServer where several nodes depend on one lock server; else "".
func (s *site) soleServerWarning() string {
	others, err := s.OtherNodes()
	if err != nil || len(s.servers) != 1 || len(others) == 0 {
		return ""
	}
	return oneServer
}

// notAlone refuses to run a lock server that only this host uses on a node of a cluster: each node
// would be the holder of every lock.
func (s *site) notAlone(self conf.Server) error {
	others, err := s.OtherNodes()
	if err != nil || !self.Loopback() || len(s.servers) > 1 || len(others) == 0 {
		return err
	}
	return command.WithHint(fmt.Errorf("lock_servers names only %s, but conf/cluster_nodes names %s too", self.Entry, others[0]),
		"write the same list of lock servers to %s on every node", filepath.Join(s.LockDir, "conf/lock_servers"))
}

// warnUnread tells of what stands in the site's files and is not read.
func (s *site) warnUnread() {
	for _, w := range s.Unread() {
		s.log.Warn(w)
	}
}

// dexCommand is where, seen from the home, one of the dex commands is: where the lock directory is
// beside the home, `make install` makes no dex-lock in it.
func (s *site) dexCommand(name string) string {
	if _, err := os.Lstat(filepath.Join(s.Home, "dex-lock", name)); err != nil {
		if _, err := os.Lstat(filepath.Join(s.Home, "bin", name)); err == nil {
			return "bin/" + name
		}
	}
	return "dex-lock/" + name
}
