package lockserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
	"backtowork/internal/lockserver/store"

	"github.com/hashicorp/raft"
)

const (
	raftTimeout  = time.Second                   // heartbeat, election and leader lease: rule 10
	aloneTimeout = 50 * time.Millisecond         // the same, of a server without others
	keptEntries  = 1024                          // behind a snapshot, for a follower that lags
	snapshotAt   = 4096                          // entries since the last snapshot
	applyLimit   = 2*store.Limit + time.Second/2 // then the answer to a change is "unknown": a change waits for the one before it
)

func (s *Server) raftConfig(hasty bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(s.self.ID)
	c.HeartbeatTimeout = raftTimeout
	c.ElectionTimeout = raftTimeout
	c.LeaderLeaseTimeout = raftTimeout
	c.CommitTimeout = 500 * time.Millisecond
	if hasty { // there is nobody to wait for
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = aloneTimeout, aloneTimeout, aloneTimeout
	}
	c.ShutdownOnRemove = false
	c.SnapshotThreshold = snapshotAt
	c.TrailingLogs = keptEntries
	if s.logs != (logSizes{}) {
		c.SnapshotThreshold, c.TrailingLogs = s.logs.snapshotAt, s.logs.kept
	}
	c.Logger = raftLogger(s.Log)
	return c
}

// startRaft takes part in the cluster that this server's state belongs to, until ctx or the server ends.
func (s *Server) startRaft(ctx context.Context) error {
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          s.stream,
		MaxPool:         3,
		MaxRPCsInFlight: 1,
		Timeout:         raftTimeout,
		Logger:          raftLogger(s.Log),
	})
	logs, err := raft.NewLogCache(512, s.self.store)
	if err != nil {
		return err
	}
	transport := &transport{network, s.Off.Heartbeat}
	known, err := raft.GetConfiguration(s.raftConfig(false), newMachine(s.Clock, s.Fatal), s.self.store, s.self.store, s.self.store, transport)
	if err != nil {
		return fmt.Errorf("cannot read the servers of the cluster: %w", errors.Join(err, network.Close()))
	}
	if err := s.impose(ctx, known); err != nil {
		return errors.Join(err, network.Close())
	}
	if s.self.Forced && !slices.ContainsFunc(known.Servers, func(o raft.Server) bool { return string(o.ID) == s.self.ID }) {
		return errors.Join(errors.New("the beginning of a new cluster was cut short: run dex-server --force-new-cluster again"), network.Close())
	}
	hasty := len(known.Servers) == 1 && len(s.list()) == 1
	r, err := raft.NewRaft(s.raftConfig(hasty), s.machine, logs, s.self.store, s.self.store, transport)
	if err != nil {
		return fmt.Errorf("cannot start raft: %w", errors.Join(err, network.Close()))
	}
	s.mu.Lock()
	s.raft, s.network, s.hasty = r, network, hasty
	s.mu.Unlock()
	s.wait("")
	s.Log.Info("in the cluster", "cluster", s.self.Cluster, "servers", s.servers())
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.openTerms(ctx, r) })
	wg.Go(func() { s.keepMembers(ctx, r) })
	wg.Go(func() { s.keepLooking(ctx) })
	defer wg.Wait()
	defer cancel()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.over:
		return err
	}
}

// openTerms logs an "open" entry for each raft term in which this server leads. LeaderCh
// says when to look, not what is so: it keeps only its last value, so a leadership that was
// lost and regained looks like one that never ended. The term tells them apart (rule 7).
func (s *Server) openTerms(ctx context.Context, r *raft.Raft) {
	var opened uint64
	led := time.Now()
	for {
		select {
		case leads := <-r.LeaderCh():
			s.sayLeads(leads, r.CurrentTerm())
		case <-time.After(raftTimeout):
		case <-ctx.Done():
			return
		}
		s.sayLeaderless(r, &led)
		term := r.CurrentTerm()
		if r.State() != raft.Leader || term == opened || s.Off.Open && opened != 0 {
			continue
		}
		if _, err := s.apply(ctx, lock.Entry{Kind: lock.Open}); err != nil {
			s.again(slog.LevelInfo, "not opened", "this server leads, but no majority has agreed yet: no lock is given before", "raft_term", term, "reason", err)
			continue
		}
		opened = term
	}
}

// An unknownError means that a change may or may not have been made.
type unknownError struct{ err error }

func (e unknownError) Error() string {
	return "the change may or may not have been made: " + e.err.Error()
}
func (e unknownError) Unwrap() error { return e.err }

// apply has the servers log e, and returns what became of it.
func (s *Server) apply(ctx context.Context, e lock.Entry) (outcome, error) {
	r := s.node()
	if r == nil {
		return outcome{}, errNoLeader
	}
	e.Version = e.Needs()
	b, err := json.Marshal(e)
	if err != nil {
		return outcome{}, err
	}
	future := r.Apply(b, applyLimit)
	done := make(chan error, 1)
	go func() { done <- future.Error() }() // ends when raft does, at the latest
	ctx, cancel := context.WithTimeout(ctx, applyLimit)
	defer cancel()
	select {
	case err = <-done:
	case <-ctx.Done():
		return outcome{}, unknownError{ctx.Err()}
	}
	switch {
	case errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout):
		return outcome{}, errNoLeader // it was never in the log
	case err != nil:
		return outcome{}, unknownError{err}
	}
	return future.Response().(outcome), nil
}

// configuration is the servers of the cluster, as this server knows them. It is empty while raft
// does not run.
func (s *Server) configuration() (c raft.Configuration) {
	r := s.node()
	if r == nil {
		return c
	}
	future := r.GetConfiguration()
	if future.Error() != nil {
		return c
	}
	return future.Configuration()
}

// configured is the index of the log entry that last changed the servers of the cluster. (The library's
// future of the configuration does not tell it.)
func (s *Server) configured() (uint64, error) {
	snapshots, err := s.self.store.List()
	if err != nil {
		return 0, err
	}
	s.machine.mu.Lock()
	index := s.machine.members
	s.machine.mu.Unlock()
	for _, snapshot := range snapshots {
		index = max(index, snapshot.ConfigurationIndex)
	}
	return index, nil
}

// servers is the ids of the servers of the cluster.
func (s *Server) servers() []string {
	var ids []string
	for _, server := range s.configuration().Servers {
		ids = append(ids, string(server.ID))
	}
	return ids
}

// members is the servers of the cluster, as this server tells others of them.
func (s *Server) members() []api.Member {
	var all []api.Member
	for _, server := range s.configuration().Servers {
		m := api.Member{ID: string(server.ID), Voter: server.Suffrage == raft.Voter}
		if m.ID != s.self.ID {
			m.Silence = s.others.silence(m.ID, s.Clock.Now()).Milliseconds()
		}
		all = append(all, m)
	}
	return all
}
