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

// speaks returns the raft term in which this server speaks for the others: the one that it
// leads in and has opened a table of leases for (rule 7). Both terms are the same, unless the
// rule is off.
func (s *Server) speaks() (leaseTerm, raftTerm uint64, err error) {
	s.machine.mu.Lock()
	leaseTerm = s.machine.leases.RaftTerm()
	s.machine.mu.Unlock()
	raftTerm = s.node().CurrentTerm()
	if leaseTerm == 0 || leaseTerm != raftTerm && !s.off.open {
		return 0, 0, errNoLeader
	}
	return leaseTerm, raftTerm, nil
}

// acquire grants a lock that is free, or whose holder was silent for long enough.
func (s *Server) acquire(ctx context.Context, received lease.Time, q lock.AcquireRequest) (lock.AcquireAnswer, error) {
	if err := checkAcquire(q); err != nil {
		return lock.AcquireAnswer{}, badRequest{err}
	}
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if q.Cluster != "" && q.Cluster != s.self.Cluster {
		return lock.AcquireAnswer{Stranger: true}, nil
	}
	k, left, err := s.judge(leaseTerm, q)
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if left > 0 {
		return lock.AcquireAnswer{State: lock.State{Lock: k, Left: left.Milliseconds()}}, nil
	}
	majority := make(chan error, 1)
	go func() { majority <- s.asker.ask(ctx, s.node(), raftTerm) }() // ends with ctx
	now, err := s.apply(ctx, lock.Entry{
		Kind: lock.Acquire, Name: q.Name, Term: k.Term, Session: k.Session, RaftTerm: raftTerm, Owner: q.Owner, Times: q.Times,
	})
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if err := <-majority; err != nil {
		return lock.AcquireAnswer{}, unknownError{err}
	}
	return lock.AcquireAnswer{Granted: now.changed, State: lock.State{Lock: now.lock}}, nil
}

// judge says how long it is until the lock may be had by who asks, and how the lock is. Nought
// means now: it is free, its holder is judged gone, or it is the asker's own already and in
// the term that it was told (rule 18: such an acquire raises the term too).
func (s *Server) judge(leaseTerm uint64, q lock.AcquireRequest) (k lock.Lock, left time.Duration, err error) {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k = m.table.Get(q.Name)
	switch {
	case m.leases.RaftTerm() != leaseTerm:
		return k, 0, errNoLeader
	case k.Session == q.Owner.Session && k.Term == q.Own:
		return k, 0, nil
	case k.Session == q.Owner.Session, q.Own != 0:
		return k, time.Millisecond, nil // it may ask again at once: it knew the lock otherwise
	}
	left, err = m.leases.Judge(q.Name, k, s.Clock.Now())
	if left > 0 {
		left += time.Millisecond // it is given in whole ones
	}
	return k, left, err
}

func checkAcquire(q lock.AcquireRequest) error {
	if err := lock.CheckName(q.Name); err != nil {
		return err
	}
	if len(q.Owner.Session) < 8 || len(q.Owner.Session) > 100 {
		return fmt.Errorf("cannot use %q as a session", q.Owner.Session)
	}
	if err := lock.CheckName(q.Owner.Node); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	return q.Times.Check()
}

// renew acknowledges those of a session's locks that it still holds. It touches no disk.
func (s *Server) renew(ctx context.Context, received lease.Time, q lock.RenewRequest) (lock.RenewAnswer, error) {
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return lock.RenewAnswer{}, err
	}
	if err := s.asker.ask(ctx, s.node(), raftTerm); err != nil {
		return lock.RenewAnswer{}, err
	}
	answer := lock.RenewAnswer{Refused: make([]string, len(q.Locks))}
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, l := range q.Locks {
		err := m.leases.Renew(leaseTerm, l.Name, m.table.Get(l.Name), l.Term, q.Session, received)
		if errors.Is(err, lock.ErrNotOpen) {
			return lock.RenewAnswer{}, errNoLeader
		}
		if err != nil {
			answer.Refused[i] = err.Error()
		}
	}
	return answer, nil
}

// release frees a lock that the session holds in that term.
func (s *Server) release(ctx context.Context, _ lease.Time, q lock.ReleaseRequest) (lock.ChangedAnswer, error) {
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Release, Name: q.Name, Term: q.Term, Session: q.Session})
	return lock.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// change gives a holder other times to live by.
func (s *Server) change(ctx context.Context, _ lease.Time, q lock.ChangeRequest) (lock.ChangedAnswer, error) {
	if err := q.Times.Check(); err != nil {
		return lock.ChangedAnswer{}, badRequest{err}
	}
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Change, Name: q.Name, Term: q.Term, Session: q.Session, Seq: q.Seq, Times: q.Times})
	return lock.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// await answers when it makes sense to ask for a lock: it is free, has another holder than
// was waited for, or its holder may be taken for gone; or after a while, to be asked again.
func (s *Server) await(ctx context.Context, _ lease.Time, q lock.WaitRequest) (lock.State, error) {
	if err := lock.CheckName(q.Name); err != nil {
		return lock.State{}, badRequest{err}
	}
	m := s.machine
	over := time.After(waitLimit)
	for {
		m.mu.Lock()
		k, opened := m.table.Get(q.Name), m.leases.RaftTerm() != 0
		left := m.leases.Left(q.Name, k, s.Clock.Now())
		changed := m.watch(q.Name)
		m.mu.Unlock()
		if s.node().State() != raft.Leader || !opened {
			return lock.State{}, errNoLeader
		}
		state := lock.State{Lock: k, Left: left.Milliseconds()}
		if !k.Held() || k.Term != q.Term || left <= 0 {
			return state, nil
		}
		select {
		case <-changed:
		case <-time.After(min(left, raftTimeout)): // a renewal may have made it longer; the leader may be one no more
		case <-over:
			return state, nil
		case <-ctx.Done():
			return lock.State{}, ctx.Err()
		}
	}
}

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
		Marked: s.marked(), Waiting: s.waiting, Version: s.Version,
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
	status.Term, status.Applied = r.CurrentTerm(), r.AppliedIndex()
	status.Role, status.Servers = role(r.State()), s.servers()
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
