package lockserver

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// forcedRaise is what a forced new cluster adds to every term: more than the old one can have
// given in the meantime.
const forcedRaise = 1000

// Knows tells a person what this server, which is open and does not run, knows of the locks.
func (s *Server) Knows() string {
	switch {
	case s.self.store.Newest() == 0:
		return "nothing of any lock"
	case s.self.doubted != "":
		return fmt.Sprintf("the cluster's log up to entry %d, and maybe not all (%s)", s.self.store.Newest(), s.self.doubted)
	}
	return fmt.Sprintf("the cluster's log up to entry %d", s.self.store.Newest())
}

// Close closes a server that never ran.
func (s *Server) Close() error { return s.self.store.Close() }

// ForceNewCluster makes a new cluster, of this server alone, from what it knows, and returns its
// id. The server is open and must not have run. Locks that the old cluster gave without it are not
// known in the new one: it is for an admin who is sure that the other servers are gone for good and
// nothing that they allowed still runs (rule 11). All terms are raised by 1,000, so that none is
// given twice.
func (s *Server) ForceNewCluster() (cluster string, err error) {
	cluster = randomID()
	id := s.Entry + "/" + randomID()
	record := birth{cluster, []string{id}}
	if s.self.store.Newest() == 0 { // it knows nothing: the terms are raised all the same
		if err := s.self.bootstrap(record); err != nil {
			return "", err
		}
	}
	s.stream = &streamLayer{newQueue(nil), s}
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s.stream, MaxPool: 1, Timeout: raftTimeout, Logger: raftLogger(s.Log),
	})
	defer network.Close()
	config := s.raftConfig(true)
	config.LocalID = raft.ServerID(id)
	// Its new identity is written first: if the rest is cut short, it is a server of no cluster, and says so.
	s.self.identity = identity{ID: id, File: s.self.File, Forced: true}
	if err := s.self.enter(cluster); err != nil {
		return "", err
	}
	err = raft.RecoverCluster(config, raised{s.machine}, s.self.store, s.self.store, s.self.store, network, record.configuration())
	if err != nil {
		return "", fmt.Errorf("cannot begin a new cluster: %w", err)
	}
	return cluster, nil
}

// configuration is the servers of the cluster that begins, as raft has them.
func (b birth) configuration() (c raft.Configuration) {
	for _, id := range b.IDs {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

// A raised machine is one whose snapshot has higher terms.
type raised struct{ *machine }

// Snapshot is the table with all terms raised.
func (r raised) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	r.table.Raise(forcedRaise)
	r.mu.Unlock()
	return r.machine.Snapshot()
}
