package lockserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

const (
	maxRequest   = 1 << 20         // bytes
	requestLimit = 4 * time.Second // of anything but a wait
	waitLimit    = lock.WaitLimit  // then a waiting client is told to ask again
	forwarded    = "Btw-Forwarded" // set on what another server passed on
)

var errNoLeader = errors.New("the lock servers have no leader now")

// badRequest is an error that asking again does not mend.
type badRequest struct{ error }

func (s *Server) newAPI(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/acquire", onLeader(s, requestLimit, s.acquire))
	mux.Handle("POST /v1/renew", onLeader(s, requestLimit, s.renew))
	mux.Handle("POST /v1/release", onLeader(s, requestLimit, s.release))
	mux.Handle("POST /v1/change", onLeader(s, requestLimit, s.change))
	mux.Handle("POST /v1/wait", onLeader(s, waitLimit+requestLimit, s.await))
	mux.HandleFunc("GET /v1/server", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.status(), nil) })
	mux.HandleFunc("GET /v1/locks/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, s.state(r.PathValue("name")), nil)
	})
	mux.HandleFunc("POST /v1/reports", s.takeReport)
	mux.HandleFunc("GET /v1/reports/{package}", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, s.reports.of(r.PathValue("package")), nil)
	})
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: handshakeLimit,
		ReadTimeout:       2 * requestLimit,
		WriteTimeout:      2 * requestLimit,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          quiet(s.Log),
	}
}

// onLeader serves requests that only the leader can, and passes them on elsewhere.
func onLeader[Request, Answer any](s *Server, limit time.Duration, serve func(context.Context, lease.Time, Request) (Answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received := s.Clock.Now()
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			s.reply(w, nil, badRequest{unreadable(err)})
			return
		}
		if node := s.node(); node == nil || node.State() != raft.Leader {
			s.pass(ctx, w, r, body)
			return
		}
		var request Request
		if err := json.Unmarshal(body, &request); err != nil {
			s.reply(w, nil, badRequest{unreadable(err)})
			return
		}
		answer, err := serve(ctx, received, request)
		s.reply(w, answer, err)
	})
}

func unreadable(err error) error { return fmt.Errorf("cannot read the request: %w", err) }

// readRequest reads the JSON of a request that any server can serve.
func readRequest[Request any](w http.ResponseWriter, r *http.Request) (q Request, err error) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&q); err != nil {
		return q, unreadable(err)
	}
	return q, nil
}

// pass gives a request to the leader, once, and its answer back.
func (s *Server) pass(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) {
	leader := s.leaderEntry(ctx)
	if leader == "" || leader == s.Entry || r.Header.Get(forwarded) != "" {
		s.reply(w, nil, s.noLeader())
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, lock.URL(leader, r.URL.Path), bytes.NewReader(body))
	if err != nil {
		s.reply(w, nil, err)
		return
	}
	request.Header.Set(forwarded, s.Entry)
	answer, err := s.http.Do(request)
	if err != nil {
		s.reply(w, nil, unknownError{fmt.Errorf("the leader %s does not answer: %w", leader, err)})
		return
	}
	defer answer.Body.Close()
	for _, h := range []string{lock.LeaderHeader, lock.ClusterHeader, "Content-Type"} {
		w.Header().Set(h, answer.Header.Get(h))
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the client sees that it is cut short
}

// noLeader is why nobody leads, as far as this server knows.
func (s *Server) noLeader() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raft == nil && s.waiting != "" {
		return fmt.Errorf("it waits for %s", s.waiting)
	}
	return errNoLeader
}

// leaderEntry is the leader as this server knows it. A server that is in no cluster asks the
// others.
func (s *Server) leaderEntry(ctx context.Context) string {
	if r := s.node(); r != nil {
		_, id := r.LeaderWithID()
		return entryOf(string(id))
	}
	for _, status := range s.askOthers(ctx) {
		if status.Leader != "" {
			return status.Leader
		}
	}
	return ""
}

// reply writes an answer, or what err means to the client.
func (s *Server) reply(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusServiceUnavailable
		var bad badRequest
		if errors.As(err, &bad) {
			status = http.StatusBadRequest
		}
		var unknown unknownError
		answer = lock.ErrorAnswer{Error: err.Error(), Unknown: errors.As(err, &unknown)}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r := s.node(); r != nil {
		_, id := r.LeaderWithID()
		w.Header().Set(lock.LeaderHeader, entryOf(string(id)))
		w.Header().Set(lock.ClusterHeader, s.self.Cluster)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone needs no answer
}
