package cli

import (
	"context"
	"slices"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/failover"
)

// retireServer tells the lock server that back-to-work has started for this host alone that it is not needed any
// more, when the packages of this process have ended and no others run. The server decides: it ends if no lock is
// held, and nobody asks it for anything.
func (s *site) retireServer(ended map[string]failover.Params) {
	names, err := s.running()
	others := slices.ContainsFunc(names, func(name string) bool { _, ours := ended[name]; return !ours })
	if err != nil || others || !s.sole() {
		return
	}
	const limit = time.Second // it may hang: nobody waits for it here
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	self, _, _ := s.Self(s.servers)
	if status, err := s.probe(ctx, self); err == nil && status.Passing {
		_ = s.signalServer(ctx, self, status.PID, syscall.SIGUSR1) // if it ends by itself, so be it
	}
}

// keepServer makes this host's lock server one that stays, for a user who relies on it. One that goes by another list is
// left as it is: dex-server-init is for that, as the user was told.
func (s *site) keepServer(ctx context.Context) error {
	self, ok, _ := s.Self(s.servers)
	if !ok {
		return nil
	}
	status, err := s.probe(ctx, self)
	if err != nil || !status.Passing || !api.SameServers(status.List, entries(s.servers)) {
		return nil
	}
	if err := s.tellServer(ctx, self); err != nil {
		return err
	}
	return s.ensureServer(ctx) // it may have ended in this moment
}
