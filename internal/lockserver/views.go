package lockserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// showLocks is GET /v1/locks.
func (h *handler) showLocks(w http.ResponseWriter, _ *http.Request) {
	if h.node() == nil {
		h.reply(w, nil, h.noLeader())
		return
	}
	h.reply(w, h.allLocks(), nil)
}

// allLocks is every lock as this server sees it.
func (h *handler) allLocks() api.Locks {
	leads, m := h.knowsLeases(), h.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	now, all := h.Clock.Now(), m.table.All()
	states := make(map[string]api.State, len(all))
	for name, k := range all {
		states[name] = m.view(name, k, now, leads)
	}
	return api.Locks{Locks: states}
}

// knowsLeases says whether this server is an open leader, as far as it knows: only that one knows when
// holders were heard.
func (s *Server) knowsLeases() bool {
	node := s.node()
	if node == nil || node.State() != raft.Leader {
		return false
	}
	_, _, err := s.speaks()
	return err == nil
}

// view is k, the lock called name, to be shown. The caller holds m.mu.
func (m *machine) view(name string, k lock.Lock, now lease.Time, leads bool) api.State {
	if !leads {
		return api.State{Lock: k}
	}
	return stateOf(k, m.leases.Left(name, k, now), 0)
}

// showLock is GET /v1/locks/{name}.
func (h *handler) showLock(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	switch err := lock.CheckName(name); {
	case err != nil:
		h.reply(w, nil, badRequest{err})
	case h.node() == nil:
		h.reply(w, nil, h.noLeader())
	default:
		state, _ := h.glimpse(glance{name: name})
		h.reply(w, state, nil)
	}
}

// showServers is GET /v1/servers: it asks those of lock_servers and those of the cluster.
func (h *handler) showServers(w http.ResponseWriter, r *http.Request) {
	status := h.status()
	entries := slices.Clone(status.List)
	for _, member := range status.Servers {
		if entry := entryOf(member.ID); !slices.Contains(entries, entry) {
			entries = append(entries, entry)
		}
	}
	if !slices.Contains(entries, h.Entry) {
		entries = append(entries, h.Entry)
	}
	answer := api.Servers{Servers: make([]api.Asked, len(entries))}
	var wg sync.WaitGroup
	for i, entry := range entries {
		asked := &answer.Servers[i]
		if asked.Entry = entry; entry == h.Entry {
			asked.Status = &status
			continue
		}
		wg.Go(func() {
			var said api.Status
			if err := h.look(r.Context(), entry, "/v1/server", &said); err != nil {
				asked.Error = err.Error()
				return
			}
			asked.Status = &said
		})
	}
	wg.Wait()
	h.reply(w, answer, nil)
}

// look asks the server called entry for what stands at path. That server answers by itself, and asks no other.
func (s *Server) look(ctx context.Context, entry, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL(entry, path), nil)
	if err != nil {
		return err
	}
	request.Header.Set(forwarded, s.Entry)
	response, err := s.http.Do(request)
	var failed *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", dialLimit)
	case errors.As(err, &failed):
		return failed.Err // without the URL, which names nobody
	case err != nil:
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	if err != nil {
		return fmt.Errorf("the answer was cut short: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		var e api.ErrorAnswer
		if json.Unmarshal(b, &e) != nil || e.Error == "" {
			e.Error = response.Status
		}
		return errors.New(e.Error)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	return nil
}

// showHealth is GET /v1/health.
func (h *handler) showHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialLimit)
	defer cancel()
	leader, err := h.healthyLeader(ctx, r.Header.Get(forwarded) != "")
	if err != nil {
		h.write(w, http.StatusServiceUnavailable, api.Health{Entry: h.Entry, Error: err.Error()})
		return
	}
	h.write(w, http.StatusOK, api.Health{Healthy: true, Entry: h.Entry, Leader: leader})
}

// healthyLeader is the leader, if a majority has just confirmed it. A server that does not lead asks the
// leader for that, unless it was asked by another server itself.
func (s *Server) healthyLeader(ctx context.Context, asked bool) (leader string, err error) {
	node := s.node()
	if node == nil {
		return "", s.noLeader()
	}
	if node.State() == raft.Leader {
		_, term, err := s.speaks()
		if err != nil {
			return "", err
		}
		return s.Entry, s.asker.ask(ctx, node, term)
	}
	_, id := node.LeaderWithID()
	leader = entryOf(string(id))
	if leader == "" || leader == s.Entry || asked {
		return "", errNoLeader
	}
	var health api.Health
	if err := s.look(ctx, leader, "/v1/health", &health); err != nil {
		return "", fmt.Errorf("the leader, %s: %w", leader, err)
	}
	return leader, nil
}
