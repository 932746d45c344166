package lockserver

import (
	"cmp"
	"os"

	"backtowork/internal/api"

	"github.com/hashicorp/raft"
)

// status is what this server says of itself.
func (s *Server) status() api.Status {
	beside := s.beside() // first: it takes s.mu
	s.mu.Lock()
	mark := s.self.markOf()
	status := api.Status{
		Entry: s.Entry, ID: s.self.ID, Cluster: mark, List: s.current, Role: "waiting",
		Marked: mark != "", Lost: mark != s.self.Cluster, Waiting: cmp.Or(s.waiting, s.rivalry.why()), PID: os.Getpid(), Seen: map[string]uint64{}, Disk: s.self.store.Slow(), Version: s.Version, Entries: s.machine.knows,
	}
	s.mu.Unlock()
	if record, err := s.self.birthRecord(); err == nil && record != nil && record.Cluster == status.Cluster && !status.Lost {
		status.Birth = record.IDs
	}
	if seen, err := s.self.seen(); err == nil {
		for id, last := range seen {
			status.Seen[id] = last.Starts
		}
	}
	status.Passing, status.Ending = s.retirement.state()
	r := s.node()
	if r == nil {
		return status
	}
	_, leader := r.LeaderWithID()
	status.Leader = entryOf(string(leader))
	status.Term, status.Last, status.Applied = r.CurrentTerm(), r.LastIndex(), r.AppliedIndex()
	status.Role, status.Servers = role(r.State()), s.members()
	s.machine.mu.Lock()
	status.Open = r.State() == raft.Leader && beside == "" && s.machine.leases.RaftTerm() == status.Term
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
