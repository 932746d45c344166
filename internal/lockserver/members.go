package lockserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

const (
	goneAfter    = 10 * time.Second // unheard: an id that another took the place of is removed then
	lookSeldom   = 10 * time.Second // between two looks at the other servers, while nothing is to be done
	lookOften    = time.Second      // and while something is
	caughtUp     = 64               // log entries that a server may lag behind, to become a voter
	memberLimit  = 10 * time.Second // of one change of the members
	trustedLooks = 10 * lookOften   // how long the last look counts
)

// A deed is one change of the cluster's members.
type deed int

const (
	nothing deed = iota
	add          // as a non-voter, which is sent the log
	promote      // to a voter
	remove
	handOver // leadership, before the leader itself is removed
)

// A step is the next change of the cluster's members, and of which one.
type step struct {
	deed deed
	id   string
}

// A roster is what a leader knows when it looks at the servers of its cluster, and of the list
// that the cluster is to follow (rule 13).
type roster struct {
	self    string // id
	cluster string
	list    []string // lock_servers
	members []lock.Member
	others  map[string]lock.Status // by entry: what those say that answer
	silence func(id string) time.Duration
	applied uint64 // by this server, before the others were asked
}

// isListed says whether the server with that id is, by its name, one of the list.
func (r *roster) isListed(id string) bool { return slices.Contains(r.list, entryOf(id)) }

// live says whether the server with that id answered.
func (r *roster) live(id string) bool {
	status, ok := r.others[entryOf(id)]
	return id == r.self || ok && status.ID == id
}

// next is the next step towards the list. Where one is wanted but not possible now, the step is
// nothing, and why says what it waits for.
func (r *roster) next() (s step, why string) {
	s, why = r.wanted()
	if s.deed == nothing {
		return s, why
	}
	if dissent := r.dissent(); dissent != "" {
		return step{}, dissent
	}
	return s, ""
}

// wanted is the next step, whatever the others' files say. Servers that are gone go first, since
// they count for the majority; servers that work go last, when those in their place do too.
func (r *roster) wanted() (step, string) {
	for _, m := range r.members {
		replaced := !r.live(m.ID) && (!r.isListed(m.ID) || r.others[entryOf(m.ID)].Entry == entryOf(m.ID))
		if replaced && r.silence(m.ID) >= goneAfter {
			return step{remove, m.ID}, ""
		}
		if replaced {
			return step{}, fmt.Sprintf("%s, which does not answer under that id any more, to be silent for %v", m.ID, goneAfter)
		}
	}
	if s, why := r.newcomer(); s.deed != nothing || why != "" {
		return s, why
	}
	for _, m := range r.members {
		switch {
		case r.isListed(m.ID):
		case m.ID != r.self:
			return step{remove, m.ID}, ""
		default:
			return step{handOver, m.ID}, ""
		}
	}
	return step{}, ""
}

// newcomer is the step by which a server that is missing among the voters becomes one. One that
// cannot be taken in now does not keep others from it.
func (r *roster) newcomer() (s step, why string) {
	for _, m := range r.members {
		if m.Voter || !r.isListed(m.ID) {
			continue
		}
		if why = r.unready(m.ID); why == "" {
			return step{promote, m.ID}, ""
		}
	}
	if why := r.missing(); why != "" {
		return step{}, why
	}
	for _, entry := range r.list {
		if slices.ContainsFunc(r.members, func(m lock.Member) bool { return entryOf(m.ID) == entry }) {
			continue
		}
		status, ok := r.others[entry]
		switch {
		case !ok:
			why = entry + " to be reached, to take it into the cluster"
		case status.Entry != entry:
			why = fmt.Sprintf("%s to call itself so: it calls itself %s", entry, status.Entry)
		case status.Cluster != "" && status.Cluster != r.cluster:
			why = entry + " to leave the cluster that it is in (there: dex-server-init --join)"
		default:
			return step{add, status.ID}, ""
		}
	}
	return step{}, why
}

// unready is why the non-voter with that id cannot be a voter yet: "" if it can. It must know
// from the log that it is a member, or its answer only shows that it runs.
func (r *roster) unready(id string) string {
	status := r.others[entryOf(id)]
	knows := slices.ContainsFunc(status.Servers, func(m lock.Member) bool { return m.ID == id })
	switch {
	case !r.live(id):
		return id + " to be reached, to become a voter"
	case !knows, status.Applied+caughtUp < r.applied, status.Cluster != r.cluster, status.Role == "waiting":
		return id + " to catch up, to become a voter"
	}
	return ""
}

// missing is whom a cluster of one server misses, which grows only when all are there: they could
// be clusters of their own, and it must serve nobody while it does not know (rule 11).
func (r *roster) missing() string {
	for _, entry := range r.list {
		if _, ok := r.others[entry]; !ok && entry != entryOf(r.self) && len(r.members) == 1 {
			return entry + " to be reached"
		}
	}
	return ""
}

// dissent is why no step is taken now: all servers of the cluster and of the list that can be
// reached must have the same list, and they must be a majority of each.
func (r *roster) dissent() string {
	var members []string
	for _, m := range r.members {
		members = append(members, entryOf(m.ID))
	}
	agree := func(entry string) bool {
		_, ok := r.others[entry]
		return ok || entry == entryOf(r.self)
	}
	for _, entry := range slices.Sorted(maps.Keys(r.others)) {
		if status := r.others[entry]; !lock.SameServers(status.List, r.list) {
			return fmt.Sprintf("%s to have the same lock_servers as %s (it has %s)", entry, entryOf(r.self), strings.Join(status.List, " "))
		}
	}
	for _, all := range [][]string{members, r.list} {
		reached := slices.DeleteFunc(slices.Clone(all), func(entry string) bool { return !agree(entry) })
		if len(reached) <= len(all)/2 {
			return fmt.Sprintf("a majority of %s to be reached", strings.Join(all, " "))
		}
	}
	return ""
}

// keepMembers makes the cluster's members follow lock_servers, for as long as this server leads.
func (s *Server) keepMembers(ctx context.Context, r *raft.Raft) {
	pause, away := lookOften, 0
	for {
		select {
		case <-time.After(pause):
		case <-s.reloaded:
		case <-ctx.Done():
			return
		}
		pause = lookOften
		if slow := s.store.slow(); slow != "" && s.rare.first("disk") {
			s.Log.Warn("the disk is slow: lock changes wait for it, and over 2 s this server ends", "state", s.Dir, "disk", slow)
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
			s.sighted(&roster{}) // silence counts from when this server leads
			s.wait(s.absence())
		}
	}
}

// absence is what a server that follows waits for: nothing, unless it was removed.
func (s *Server) absence() string {
	if servers := s.servers(); len(servers) == 0 || slices.Contains(servers, s.self.ID) {
		return ""
	}
	return "the others to take it in again: it was removed from the cluster, and its lock_servers may be another than theirs"
}

// ErrLeft is returned by Run when this server is none of the cluster's any more, nor of its list.
var ErrLeft = errors.New("this host is no lock server any more")

// left says whether the cluster has let this server go, as its own list wants it: the leader says
// so, since who is removed is told nothing more.
func (s *Server) left(ctx context.Context) bool {
	if slices.Contains(s.list(), s.Entry) {
		return false
	}
	for _, status := range s.askOthers(ctx) {
		isMe := func(m lock.Member) bool { return m.ID == s.self.ID }
		if status.Open && status.Cluster == s.self.Cluster && !slices.ContainsFunc(status.Servers, isMe) {
			return true
		}
	}
	return false
}

// leads says whether this server is an open leader, or would be if it were not alone.
func (s *Server) leads() bool {
	if r := s.node(); r.State() != raft.Leader {
		return false
	}
	_, _, err := s.speaks()
	return err == nil || s.alone()
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
		silence: s.silence,
	}
	roster.others = s.ask(ctx, unionOf(append(s.refusedList(), roster.list...), roster.members))
	s.sighted(roster)
	next, why := roster.next()
	s.noteGrowth(roster, why)
	s.settle()
	s.wait(why)
	if next.deed == nothing {
		return why == "" && len(s.refusedList()) == 0 && len(roster.others) == len(roster.members)-1
	}
	if err := s.take(r, next, index); err != nil && ctx.Err() == nil {
		s.Log.Warn("the lock servers were not changed", "server", next.id, "reason", err)
	}
	return false
}

// unionOf is the entries of list, and of the members that are not in it.
func unionOf(list []string, members []lock.Member) []string {
	all := slices.Clone(list)
	for _, m := range members {
		if entry := entryOf(m.ID); !slices.Contains(all, entry) {
			all = append(all, entry)
		}
	}
	return all
}

// take takes a step, from the configuration that the log has at index.
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

// sighted notes which ids were heard.
func (s *Server) sighted(r *roster) {
	now := s.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]lease.Time{}
	for _, m := range r.members {
		known[m.ID] = now
		if at, ok := s.heard[m.ID]; ok && !r.live(m.ID) {
			known[m.ID] = at
		}
	}
	s.heard = known
}

// silence is how long the server with that id was not heard, as far as this one, which leads, knows.
func (s *Server) silence(id string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.heard[id]
	if !ok {
		return 0
	}
	return s.Clock.Now().Shortest(at)
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

// loneliness is why a cluster of one server serves nobody: "" if it does. One that was begun by
// force needs no others, but must not find them in another cluster that works.
func (s *Server) loneliness() string {
	if refused := s.refusedList(); len(refused) == 0 && (slices.Equal(s.list(), []string{s.Entry}) || s.off.birth || !s.alone()) {
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

// refusedList is a list that was refused, since it names none of the cluster's servers. Where those
// have begun a cluster of their own all the same, this one must not go on beside it.
func (s *Server) refusedList() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// settle notes that a cluster that was begun by force has become one like others.
func (s *Server) settle() {
	if !s.self.Forced || s.alone() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.self.Forced = false
	if err := s.saveIdentity(); err != nil {
		s.Fatal(err)
	}
}
