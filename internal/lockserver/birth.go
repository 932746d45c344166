package lockserver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/api"
)

// awaitPlace waits until this server has a place in a cluster: one that begins (rule 11), or one
// that has taken it in, as a new server or in place of the one that it was (rule 12). It returns
// nil when it has, or ctx has ended.
func (s *Server) awaitPlace(ctx context.Context) error {
	list := s.list()
	if s.self.markOf() == "" && s.Private && len(list) == 1 && len(s.neighbours()) == 0 {
		return s.begin(nil)
	}
	for ; ctx.Err() == nil; list = s.list() {
		others := s.askOthers(ctx)
		if record, ok := s.mine(others); ok {
			return s.born(record)
		}
		if cluster, ok := s.place(others); ok {
			return s.takePlace(cluster)
		}
		missing := cmp.Or(s.missing(others), s.crowded(ctx))
		switch {
		case s.self.markOf() != "":
			s.wait(s.lostFor(others))
		case missing != "" && !s.Off.Birth:
			s.wait(missing)
		case slices.Min(list) == s.Entry || s.Off.Birth:
			return s.begin(others)
		default:
			s.wait(fmt.Sprintf("%s to begin the cluster", slices.Min(list)))
		}
		select {
		case <-ctx.Done():
		case <-s.reloaded:
		case <-time.After(time.Second / 4):
		}
	}
	return nil
}

// lostFor is what this server waits for if it was in a cluster and knows nothing of it any more.
func (s *Server) lostFor(others map[string]api.Status) string {
	if len(s.list()) == 1 {
		return "it has lost its state, or runs on an old copy of it, and no other server knows the locks (to begin anew: dex-server --force-new-cluster)"
	}
	why := "it has lost its state, does not vote, and waits for the others to take it in as a new server"
	if slices.ContainsFunc(slices.Collect(maps.Values(others)), func(o api.Status) bool { return o.Open }) {
		return why
	}
	return why + ", but without it they have no leader (if a majority is lost for good: dex-server --force-new-cluster on the one that knows most)"
}

// place is the cluster that has this server among its members. A server that was in a cluster
// once has no place in another.
func (s *Server) place(others map[string]api.Status) (cluster string, ok bool) {
	mark := s.self.markOf()
	for _, status := range others {
		member := slices.ContainsFunc(status.Servers, func(m api.Member) bool {
			return m.ID == s.self.ID || (s.Off.Memory || s.Off.Identity) && entryOf(m.ID) == s.Entry
		})
		if member && !status.Lost && (mark == "" || mark == status.Cluster) {
			s.resume(status)
			return status.Cluster, true
		}
	}
	return "", false
}

// takePlace puts this server into the cluster that has taken it in. Then the others send it what the
// cluster knows. Nobody asks it for a vote before it knows that it is a voter.
func (s *Server) takePlace(cluster string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Log.Info("taken into the cluster", "cluster", cluster, "id", s.self.ID)
	return s.self.enter(cluster)
}

// wasOutrun says whether another server remembers a later start of this one than the present: then
// this runs on an old copy of its state (rule 12).
func (s *Server) wasOutrun(ctx context.Context) bool {
	if s.Off.Memory {
		return false
	}
	for entry, status := range s.askOthers(ctx) {
		if status.Cluster == s.self.Cluster && status.Seen[s.self.ID] >= s.self.Starts {
			s.Log.Error("another lock server remembers a later start of this one, which runs on an old copy of its state: that is set aside", "server", entry, "starts", status.Seen[s.self.ID])
			return true
		}
	}
	return false
}

// askOthers is what the other servers of the list say of themselves; who does not answer is
// not in it.
func (s *Server) askOthers(ctx context.Context) map[string]api.Status { return s.ask(ctx, s.list()) }

// ask is what the servers called entries say of themselves, without this one.
func (s *Server) ask(ctx context.Context, entries []string) map[string]api.Status {
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := map[string]api.Status{}
	for _, entry := range entries {
		if entry == s.Entry {
			continue
		}
		wg.Go(func() {
			var status api.Status
			if err := s.look(ctx, entry, "/v1/server", &status); err != nil {
				s.sayAbsent(entry, err)
				return
			}
			s.sayPresent(entry)
			s.others.said(status.ID, status.Entries)
			mu.Lock()
			answers[entry] = status
			mu.Unlock()
		})
	}
	wg.Wait()
	return answers
}

// missing is why a cluster cannot begin: "" if it can.
func (s *Server) missing(others map[string]api.Status) string {
	var silent, different []string
	list := s.list()
	for _, entry := range list {
		status, ok := others[entry]
		switch {
		case entry == s.Entry:
		case !ok:
			silent = append(silent, entry)
		case status.Marked:
			return fmt.Sprintf("the cluster that %s is in to take this server in", entry)
		case status.Entry != entry:
			return otherName(entry, status.Entry)
		case !api.SameServers(status.List, list):
			different = append(different, entry)
		}
	}
	switch {
	case len(silent) > 0:
		return strings.Join(silent, ", ") + " to be reached: a new cluster begins when all its servers are there"
	case len(different) > 0:
		return strings.Join(different, ", ") + " to have the same lock_servers as this server"
	}
	return ""
}

// otherName is what there is to wait for where the server at entry goes by another name.
func otherName(entry, own string) string {
	return fmt.Sprintf("%s to go by that name: it calls itself %s (its lock_servers or conf/node_name say so)", entry, own)
}

// mine is the record of a cluster that began with this server in it. Nothing but the record
// is needed to be born later than the others: a server that was never born never voted.
func (s *Server) mine(others map[string]api.Status) (birth, bool) {
	for _, status := range others {
		if slices.Contains(status.Birth, s.self.ID) {
			return birth{status.Cluster, status.Birth}, true
		}
	}
	return birth{}, false
}

// begin makes the cluster. The others see the record when they ask next.
func (s *Server) begin(others map[string]api.Status) error {
	record := birth{randomID(), []string{s.self.ID}}
	for _, entry := range s.list() {
		if _, ok := others[entry]; ok {
			record.IDs = append(record.IDs, others[entry].ID)
		}
	}
	if err := s.born(record); err != nil {
		return err
	}
	s.Log.Info("cluster begun", "cluster", record.Cluster)
	return nil
}

// born puts this server into the cluster of record, if record names it and it was never in another.
func (s *Server) born(record birth) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.self.Cluster == record.Cluster {
		return nil
	}
	if s.self.markOf() != "" {
		return fmt.Errorf("%s was in another cluster", s.Entry)
	}
	if !slices.Contains(record.IDs, s.self.ID) {
		return fmt.Errorf("%s is not a server of the cluster that was to begin", s.self.ID)
	}
	return s.self.beBorn(record)
}
