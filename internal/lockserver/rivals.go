package lockserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A server that lock_servers names alone may have neighbours, the other hosts of cluster_nodes, whose
// lock servers name themselves alone too: each would give away every lock. So before it begins a
// cluster, and while it is one, such a server asks its neighbours which cluster they are of (rule 11).

// lookAside is how often a cluster of one looks at its neighbours.
const lookAside = 2 * time.Second

// A rivalry is what a server that is named alone knows of its neighbours.
type rivalry struct {
	looked bool                  // at all of them, since this server was started
	rivals map[string]string     // by entry: neighbours that are, or may be, of another cluster, and what each must do
	silent map[string]string     // by entry: neighbours that cannot be asked, and why
	leases map[string]lease.Time // by entry: until when the leases of a rival may run, whatever becomes of the rival
}

// mend is what an admin does about a rival.
const mend = "write one lock_servers for all nodes, then dex-lock/dex-server-init on each, with --join where a lock server is in the wrong cluster"

// rivalOf is what the server whose status is o must do before the server that id is of, which is named alone,
// can be a cluster: "" for nothing. A cluster that was begun by force need fear only a cluster that works.
func (id identity) rivalOf(o api.Status) string {
	switch {
	case o.ID == id.ID, o.Cluster != "" && o.Cluster == id.Cluster, id.Forced && o.Leader == "":
		return ""
	case o.Cluster != "":
		return "to be in the same cluster: it is in another one"
	case !slices.Contains(o.List, entryOf(id.ID)): // else it waits to be taken in
		return "to have the same lock_servers: it has " + strings.Join(o.List, " ")
	}
	return ""
}

// neighbours is the other hosts of cluster_nodes, for a server that is named alone.
func (s *Server) neighbours() []string {
	if list := s.list(); s.Nodes == nil || s.Off.Lone || len(list) != 1 || list[0] != s.Entry {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Nodes()), func(entry string) bool { return entry == s.Entry })
}

// lookAround asks all neighbours. A neighbour on whose port nobody listens has no lock server. A rival that is
// silent now is still a rival: two clusters that cannot reach each other must not both go on.
func (s *Server) lookAround(ctx context.Context) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	now := rivalry{true, map[string]string{}, map[string]string{}, map[string]lease.Time{}}
	s.mu.Lock()
	was, self := s.rivalry, s.self.identity
	s.mu.Unlock()
	for _, entry := range s.neighbours() {
		wg.Go(func() {
			var status api.Status
			var other *clusterkey.OtherKeyError
			err := s.look(ctx, entry, "/v1/server", &status)
			rival, longest := self.rivalOf(status), time.Duration(0)
			if err == nil && rival != "" && status.Cluster != "" {
				longest = s.longestLease(ctx, entry)
			}
			mu.Lock()
			defer mu.Unlock()
			ends, gave := was.leases[entry]
			if longest > 0 {
				ends, gave = s.Clock.Now().Add(longest), true
			}
			if gave {
				now.leases[entry] = ends
			}
			switch left := ends.Left(s.Clock.Now()); {
			case err == nil && rival != "":
				now.rivals[entry] = rival
			case (err == nil || errors.Is(err, syscall.ECONNREFUSED)) && gave && left > 0:
				now.rivals[entry] = fmt.Sprintf("to have no leases any more: it was in another cluster until a moment ago (%d s)", int(left.Seconds())+1)
			case err == nil, errors.Is(err, syscall.ECONNREFUSED):
			case errors.As(err, &other):
				now.rivals[entry] = fmt.Sprintf("to have the same cluster key: its key is %s, ours %s", other.Theirs, other.Ours)
			case was.rivals[entry] != "":
				now.rivals[entry] = was.rivals[entry]
			default:
				now.silent[entry] = err.Error()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.rivalry = now
	s.mu.Unlock()
}

// longestLease is for how long, at the most, the leases that the lock server of another cluster gave may still
// run: by the times of their holders or, if it does not tell those, by a lock's usual times.
func (s *Server) longestLease(ctx context.Context, entry string) time.Duration {
	longest := lock.Times{Timeout: 30 * time.Second, Stop: 30 * time.Second}.Silence()
	var all api.Locks
	if s.look(ctx, entry, "/v1/locks", &all) != nil {
		return longest
	}
	longest = time.Second
	for _, state := range all.Locks {
		longest = max(longest, state.Lock.Times.Silence())
	}
	return longest
}

// why is what a cluster of one waits for: "" for nothing.
func (r rivalry) why() string {
	for _, entry := range slices.Sorted(maps.Keys(r.rivals)) {
		return fmt.Sprintf("%s, which cluster_nodes names too, %s; %s", entry, r.rivals[entry], mend)
	}
	return ""
}

// beside is why a server that is named alone must not serve beside its neighbours: "" if it may.
func (s *Server) beside() string {
	if len(s.neighbours()) == 0 {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rivalry.looked {
		return "the other hosts of cluster_nodes to be asked which cluster they are of"
	}
	return s.rivalry.why()
}

// crowded is why a cluster of one must not begin: "" if it may. Here all neighbours must have
// answered, or nobody listen there: one that is silent may be in a cluster.
func (s *Server) crowded(ctx context.Context) string {
	if len(s.neighbours()) == 0 {
		return ""
	}
	s.lookAround(ctx)
	why := s.beside()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range slices.Sorted(maps.Keys(s.rivalry.silent)) {
		if why == "" {
			why = fmt.Sprintf("%s, which cluster_nodes names too, to say that it is in no other cluster (%s); if it is down for good: "+
				"dex-server --force-new-cluster, or leave it out of cluster_nodes", entry, s.rivalry.silent[entry])
		}
	}
	return why
}

// isSuperseded says whether this server, which is a cluster of its own, has nothing to do any more: its
// list names others, one of them is in a cluster that works, and no lease of this one runs any more.
func (s *Server) isSuperseded() bool {
	s.mu.Lock()
	replaced := len(s.refused) > 0 && s.rival != ""
	s.mu.Unlock()
	if !replaced || !s.alone() {
		return false
	}
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, k := range m.table.All() {
		if m.leases.Left(name, k, s.Clock.Now()) > 0 {
			return false
		}
	}
	return m.leases.RaftTerm() != 0
}

// keepLooking looks at the neighbours for as long as this server runs.
func (s *Server) keepLooking(ctx context.Context) {
	said := ""
	for {
		s.lookAround(ctx)
		if why := s.beside(); why != said {
			if said = why; why != "" {
				s.Log.Error("this lock server serves nobody", "waits_for", why)
			} else {
				s.Log.Info("this lock server is alone, as cluster_nodes wants it, and serves")
			}
		}
		select {
		case <-time.After(lookAside):
		case <-ctx.Done():
			return
		}
	}
}
