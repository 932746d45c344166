package lockserver

import (
	"backtowork/internal/lock"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"

	"github.com/hashicorp/raft"
)

// state is a lock as this server sees it.
func (s *Server) state(name string) lock.State {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.table.Get(name)
	return lock.State{Lock: k, Left: m.leases.Left(name, k, s.Clock.Now()).Milliseconds()}
}

// status is what this server says of itself.
func (s *Server) status() lock.Status {
	s.mu.Lock()
	status := lock.Status{
		Entry: s.Entry, ID: s.self.ID, Cluster: s.self.Cluster, List: s.List, Role: "waiting",
		Marked: s.marked(), Waiting: s.waiting, PID: os.Getpid(), Version: s.Version,
	}
	s.mu.Unlock()
	if record, err := s.birthRecord(); err == nil && record != nil && record.Cluster == status.Cluster {
		status.Birth = record.IDs
	}
	r := s.node()
	if r == nil {
		return status
	}
	_, leader := r.LeaderWithID()
	status.Leader = entryOf(string(leader))
	status.Term, status.Last, status.Applied = r.CurrentTerm(), r.LastIndex(), r.AppliedIndex()
	status.Role, status.Servers = role(r.State()), s.members()
	s.machine.mu.Lock()
	status.Open = r.State() == raft.Leader && s.machine.leases.RaftTerm() == status.Term
	s.machine.mu.Unlock()
	return status
}

func role(state raft.RaftState) string {
	switch state {
	case raft.Leader:
		return "leader"
	case raft.Candidate:
		return "candidate"
	default:
		return "follower"
	}
}

// get asks another server for what stands at path.
func (s *Server) get(ctx context.Context, entry, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, lock.URL(entry, path), nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(io.LimitReader(response.Body, maxRequest)).Decode(answer)
}
