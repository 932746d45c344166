package lockserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/lock"
)

// awaitBirth waits until a cluster with this server in it has begun (rule 11). A server begins
// one unasked only when every server of the list was reached, was never in a cluster, and has
// the same list; the first by name does it, and the others take the record from it or from
// one another. It returns nil when this server is or was in a cluster, or ctx has ended.
func (s *Server) awaitBirth(ctx context.Context) error {
	if s.marked() {
		return nil
	}
	if s.Private && len(s.List) == 1 {
		return s.begin(nil)
	}
	for ctx.Err() == nil {
		others := s.askOthers(ctx)
		if record, ok := s.mine(others); ok {
			return s.born(record)
		}
		missing := s.missing(others)
		switch {
		case missing != "":
			s.wait(missing)
		case slices.Min(s.List) == s.Entry:
			return s.begin(others)
		default:
			s.wait(fmt.Sprintf("%s to begin the cluster", slices.Min(s.List)))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second / 4):
		}
	}
	return nil
}

// askOthers is what the other servers of the list say of themselves; who does not answer is
// not in it.
func (s *Server) askOthers(ctx context.Context) map[string]lock.Status {
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := map[string]lock.Status{}
	for _, entry := range s.List {
		if entry == s.Entry {
			continue
		}
		wg.Go(func() {
			var status lock.Status
			if err := s.get(ctx, entry, "/v1/server", &status); err != nil {
				s.Log.Debug("no answer", "from", entry, "reason", err)
				return
			}
			mu.Lock()
			answers[entry] = status
			mu.Unlock()
		})
	}
	wg.Wait()
	return answers
}

// missing is why a cluster cannot begin: "" if it can.
func (s *Server) missing(others map[string]lock.Status) string {
	var silent, different []string
	for _, entry := range s.List {
		status, ok := others[entry]
		switch {
		case entry == s.Entry:
		case !ok:
			silent = append(silent, entry)
		case status.Marked:
			return fmt.Sprintf("%s is in a cluster already, without this server", entry)
		case status.Entry != entry:
			return fmt.Sprintf("%s calls itself %s", entry, status.Entry)
		case !lock.SameServers(status.List, s.List):
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

// mine is the record of a cluster that began with this server in it. Nothing but the record
// is needed to be born later than the others: a server that was never born never voted.
func (s *Server) mine(others map[string]lock.Status) (birth, bool) {
	for _, status := range others {
		if slices.Contains(status.Birth, s.self.ID) {
			return birth{status.Cluster, status.Birth}, true
		}
	}
	return birth{}, false
}

// begin makes the cluster. The others see the record when they ask next.
func (s *Server) begin(others map[string]lock.Status) error {
	record := birth{randomID(), []string{s.self.ID}}
	for _, entry := range s.List {
		if entry != s.Entry {
			record.IDs = append(record.IDs, others[entry].ID)
		}
	}
	if err := s.born(record); err != nil {
		return err
	}
	s.Log.Info("cluster begun", "cluster", record.Cluster)
	return nil
}

// born puts this server into the cluster of record, if it is meant and was never in another.
func (s *Server) born(record birth) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.self.Cluster == record.Cluster {
		return nil
	}
	if s.marked() {
		return fmt.Errorf("%s was in another cluster", s.Entry)
	}
	if !slices.Contains(record.IDs, s.self.ID) || !lock.SameServers(record.entries(), s.List) {
		return fmt.Errorf("%s is not a server of the cluster that was to begin", s.self.ID)
	}
	return s.beBorn(record)
}
