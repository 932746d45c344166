package lockserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"

	"github.com/hashicorp/raft"
)

const (
	lookSeldom   = 10 * time.Second // between two looks at the other servers, while nothing is to be done
	lookOften    = time.Second      // and while something is
	memberLimit  = 10 * time.Second // of one change of the members
	trustedLooks = 10 * lookOften   // how long the last look counts
)

// keepMembers makes the cluster's members follow lock_servers, for as long as this server leads.
func (s *Server) keepMembers(ctx context.Context, r *raft.Raft) {
	pause, away, looked := lookOften, 0, lease.Time{}
	for {
		select {
		case <-time.After(pause):
		case <-s.reloaded:
		case <-ctx.Done():
			return
		}
		pause = lookOften
		if slow := s.self.store.Slow(); slow != "" {
			s.again(slog.LevelWarn, "disk", "the disk is slow: lock changes wait for it, and over 2 s this server ends", "state", s.Dir, "disk", slow)
		}
		switch {
		case s.leads():
			if s.stepMembers(ctx, r) {
				pause = lookSeldom
			}
		case s.left(ctx):
			if away++; away > 1 { // the first time the change may not be agreed on yet
				s.end(ErrLeft)
			}
		default:
			s.others.sighted(&roster{}, s.Clock.Now()) // silence counts from when this server leads
			s.wait(s.absence(ctx))
			if now := s.Clock.Now(); looked == (lease.Time{}) || now.Shortest(looked) >= lookSeldom {
				looked = now
				s.ask(ctx, unionOf(nil, s.members())) // for what they know, should it lead one day
			}
		}
	}
}

// absence is what a server that follows waits for: "" unless it was removed from the cluster. Its own log
// may not say so, since nobody sends it anything more. So without a leader it asks the others.
func (s *Server) absence(ctx context.Context) string {
	servers := s.servers()
	_, leader := s.node().LeaderWithID()
	member := len(servers) == 0 || slices.Contains(servers, s.self.ID)
	if member && (leader != "" || !s.dismissed(ctx, func(o api.Status) bool { return o.Leader != "" })) {
		return ""
	}
	return "the others to take it in again: it was removed from the cluster, and its lock_servers may be another than theirs"
}

// ErrLeft is returned by Run when this server is none of the cluster's any more, nor of its list.
var ErrLeft = errors.New("this host is no lock server any more")

// left says whether the cluster has removed this server, as its own list wants it. The server ends then, so
// it believes only the leader.
func (s *Server) left(ctx context.Context) bool {
	return !slices.Contains(s.list(), s.Entry) && s.dismissed(ctx, func(o api.Status) bool { return o.Open })
}

// dismissed says whether another server of this cluster says that this one is not a member. Only those count
// for which counts is true.
func (s *Server) dismissed(ctx context.Context, counts func(api.Status) bool) bool {
	for _, status := range s.askOthers(ctx) {
		isMe := func(m api.Member) bool { return m.ID == s.self.ID }
		if counts(status) && status.Cluster == s.self.Cluster && !slices.ContainsFunc(status.Servers, isMe) {
			return true
		}
	}
	return false
}

// leads says whether this server is an open leader, or would be if it were not alone.
func (s *Server) leads() bool {
	return s.knowsLeases() || s.node().State() == raft.Leader && s.alone()
}

// stepMembers looks at the servers, and takes a step if one is due. It returns whether all is as
// it should be.
func (s *Server) stepMembers(ctx context.Context, r *raft.Raft) (settled bool) {
	index, err := s.configured()
	if err != nil {
		return false
	}
	roster := &roster{
		self: s.self.ID, cluster: s.self.Cluster, list: s.list(), members: s.members(), applied: r.AppliedIndex(),
		silence: func(id string) time.Duration { return s.others.silence(id, s.Clock.Now()) },
	}
	roster.others = s.ask(ctx, unionOf(append(s.refusedList(), roster.list...), roster.members))
	s.others.sighted(roster, s.Clock.Now())
	next, why := roster.next()
	s.noteGrowth(roster, why)
	if s.isSuperseded() {
		s.end(ErrLeft)
	}
	s.settle()
	s.wait(why)
	if next.deed == nothing {
		return why == "" && len(s.refusedList()) == 0 && len(roster.others) == len(roster.members)-1
	}
	if err := s.take(r, next, index); err != nil && ctx.Err() == nil {
		s.again(slog.LevelWarn, "not changed "+next.id, "the cluster of lock servers could not be changed as lock_servers wants it: it is tried again", "server", next.id, "reason", err)
	}
	return false
}

// unionOf is the entries of list, and of the members that are not in it.
func unionOf(list []string, members []api.Member) []string {
	all := slices.Clone(list)
	for _, m := range members {
		if entry := entryOf(m.ID); !slices.Contains(all, entry) {
			all = append(all, entry)
		}
	}
	return all
}

// take takes a step. index is the log entry by which the servers were last changed: raft refuses the step if
// they have changed since then.
func (s *Server) take(r *raft.Raft, next step, index uint64) error {
	id, address := raft.ServerID(next.id), raft.ServerAddress(next.id)
	switch next.deed {
	case add:
		s.Log.Info("taking a lock server into the cluster", "server", next.id)
		return r.AddNonvoter(id, address, index, memberLimit).Error()
	case promote:
		s.Log.Info("a new lock server has caught up and votes", "server", next.id)
		return r.AddVoter(id, address, index, memberLimit).Error()
	case remove:
		s.Log.Info("removing a lock server from the cluster", "server", next.id)
		return r.RemoveServer(id, index, memberLimit).Error()
	default:
		s.Log.Info("handing over, since this server is to leave the cluster")
		s.handOver(r)
		return nil
	}
}

// alone says whether this server is a cluster of its own.
func (s *Server) alone() bool {
	c := s.configuration()
	return len(c.Servers) == 1 && string(c.Servers[0].ID) == s.self.ID
}

// noteGrowth notes whether a cluster of one server may go on while its list is longer: only while
// all the others are there to be taken in. They could be in clusters of their own, which give away
// the same locks (rule 11).
func (s *Server) noteGrowth(r *roster, why string) {
	reached, rival := 0, ""
	for _, entry := range append(s.refusedList(), r.list...) {
		status, ok := r.others[entry]
		switch {
		case !ok:
		case status.Cluster == "" || status.Cluster == r.cluster:
			reached++
		case status.Leader != "":
			rival = fmt.Sprintf("%s is in another cluster, which has a leader", entry)
		}
	}
	others := slices.DeleteFunc(slices.Clone(r.list), func(entry string) bool { return entry == entryOf(r.self) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grows, s.rival = lease.Time{}, rival
	if why == "" && reached == len(others) {
		s.grows = s.Clock.Now()
	}
}

// loneliness is why this server, if it is a cluster of its own, must not serve: "" if it may. A cluster that
// was begun by force need not wait for others, but must not serve beside another cluster that works.
func (s *Server) loneliness() string {
	s.mu.Lock()
	refused, only := len(s.refused) > 0, len(s.current) == 1 && s.current[0] == s.Entry
	s.mu.Unlock()
	switch {
	case !refused && (s.Off.Birth || !s.alone()):
		return ""
	case !refused && only:
		if why := s.beside(); why != "" {
			return "this lock server is alone, but cluster_nodes names others: it waits for " + why
		}
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.rival != "" && (s.self.Forced || len(s.refused) > 0):
		return "this lock server serves nobody: " + s.rival
	case len(s.refused) > 0:
		return ""
	case s.self.Forced:
		return ""
	case s.grows != (lease.Time{}) && s.Clock.Now().Longest(s.grows) < trustedLooks:
		return ""
	}
	why := s.waiting
	if why == "" {
		why = "the other lock servers to be reached"
	}
	return "this lock server is alone, but lock_servers names others: it waits for " + why
}

// refusedList is the lock_servers that Reload refused, since it names none of the cluster's servers. If the
// servers that it names have begun a cluster of their own all the same, this one must not go on beside it.
func (s *Server) refusedList() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// settle notes that a cluster that was begun by force is like any other, now that it has several servers.
func (s *Server) settle() {
	if !s.self.Forced || s.alone() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.self.Forced = false
	if err := s.self.store.Beside(s.self.save); err != nil { // as in outrun
		s.Fatal(err)
	}
}
