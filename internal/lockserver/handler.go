package lockserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

const (
	maxRequest   = 2 << 20         // bytes: a renewal of maxRenew locks
	requestLimit = 5 * time.Second // of anything but a wait
	transmission = 2 * requestLimit
	waitLimit    = api.WaitLimit   // then a waiting client is told to ask again
	forwarded    = "Btw-Forwarded" // set on what another server passed on
)

var errNoLeader = errors.New("the lock servers have no leader now")

// badRequest is an error that asking again does not mend.
type badRequest struct{ error }

// A fault is an error that has an HTTP status of its own.
type fault struct {
	error
	status int
	after  time.Duration // it makes no sense to ask again before
}

// A handler serves the requests of clients: what they may ask is in doc/api.md, and how much of it here.
type handler struct {
	*Server
	mux                      *http.ServeMux
	requests, changes, lists *rate
	waits, watches           *crowd
	watched                  map[string]int // how many watch each lock; guarded by machine.mu
}

// newHandler is the handler of all requests.
func (s *Server) newHandler() http.Handler {
	h := &handler{
		Server: s, mux: http.NewServeMux(),
		requests: newRate(requestsASecond), changes: newRate(changesASecond), lists: newRate(listsASecond),
		waits: newCrowd(maxWaits), watches: newCrowd(maxWatches), watched: map[string]int{},
	}
	h.mux.Handle("POST /v1/acquire", post[api.AcquireRequest, api.AcquireAnswer]{
		rate: h.changes, check: func(q api.AcquireRequest) error { return checkHost(q.Host) }, serve: s.acquire,
	}.on(h))
	h.mux.Handle("POST /v1/release", post[api.ReleaseRequest, api.ChangedAnswer]{
		rate: h.changes, check: func(q api.ReleaseRequest) error { return lock.CheckName(q.Name) }, serve: s.release,
	}.on(h))
	h.mux.Handle("POST /v1/change", post[api.ChangeRequest, api.ChangedAnswer]{
		rate: h.changes, check: func(q api.ChangeRequest) error { return lock.CheckName(q.Name) }, serve: s.change,
	}.on(h))
	h.mux.Handle("POST /v1/block", post[api.BlockRequest, api.ChangedAnswer]{rate: h.changes, check: checkBlock, serve: s.block}.on(h))
	h.mux.Handle("POST /v1/unblock", post[api.UnblockRequest, api.ChangedAnswer]{rate: h.changes, check: checkUnblock, serve: s.unblock}.on(h))
	h.mux.Handle("POST /v1/fence", post[api.FenceRequest, api.FenceAnswer]{rate: h.changes, check: checkFence, serve: s.fence}.on(h))
	h.mux.Handle("POST /v1/fenced", post[api.FencedRequest, api.ChangedAnswer]{rate: h.changes, check: checkFenced, serve: s.fenced}.on(h))
	h.mux.Handle("POST /v1/settled", post[api.SettledRequest, api.ChangedAnswer]{rate: h.changes, check: checkSettled, serve: s.settled}.on(h))
	h.mux.Handle("POST /v1/renew", post[api.RenewRequest, api.RenewAnswer]{size: maxRequest, check: checkRenew, serve: s.renew}.on(h))
	h.mux.Handle("POST /v1/wait", post[api.WaitRequest, api.State]{
		longer: waitLimit, crowd: h.waits, check: checkWait, serve: s.await,
	}.on(h))
	h.mux.HandleFunc("POST /v1/reports", h.takeReport)
	h.mux.HandleFunc("GET /v1/reports/{package}", func(w http.ResponseWriter, r *http.Request) {
		h.reply(w, s.reports.of(r.PathValue("package")), nil)
	})
	h.mux.HandleFunc("GET /v1/locks", h.seldom(h.showLocks))
	h.mux.HandleFunc("GET /v1/locks/{name}", h.showLock)
	h.mux.HandleFunc("GET /v1/watch/{name}", h.watch)
	h.mux.HandleFunc("GET /v1/server", func(w http.ResponseWriter, _ *http.Request) { h.reply(w, s.status(), nil) })
	h.mux.HandleFunc("GET /v1/servers", h.seldom(h.showServers))
	h.mux.HandleFunc("GET /v1/health", h.seldom(h.showHealth))
	h.mux.HandleFunc("/", h.refuse)
	return h
}

func (s *Server) newHTTP(ctx context.Context) *http.Server {
	return &http.Server{
		Handler:                      s.newHandler(),
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               maxHeader,
		ReadHeaderTimeout:            handshakeLimit,
		ReadTimeout:                  transmission,
		WriteTimeout:                 transmission,
		IdleTimeout:                  2 * time.Minute,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ErrorLog:                     quiet(s),
	}
}

// ServeHTTP serves one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); path.Clean(p) != p || p[0] != '/' {
		h.reply(w, nil, fault{status: http.StatusNotFound, error: fmt.Errorf("there is nothing at %q", p)})
		return
	}
	if err := h.requests.allow(r); err != nil {
		h.reply(w, nil, err)
		return
	}
	leave, err := h.retirement.enter(r.URL.Path)
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	defer leave()
	h.mux.ServeHTTP(w, r)
}

// refuse answers requests for a path that does not exist, or by a method that the path does not take.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	other := r.WithContext(r.Context())
	for _, other.Method = range []string{http.MethodGet, http.MethodPost} {
		if _, pattern := h.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, other.Method)
		}
	}
	if allowed == nil {
		h.reply(w, nil, fault{status: http.StatusNotFound, error: fmt.Errorf("there is nothing at %q", r.URL.Path)})
		return
	}
	methods := strings.Join(allowed, ", ")
	w.Header().Set("Allow", methods)
	h.reply(w, nil, fault{
		status: http.StatusMethodNotAllowed,
		error:  fmt.Errorf("cannot %q %s: it takes %s", r.Method, r.URL.Path, methods),
	})
}

// allow counts q, and returns why q is not served if there were too many. A request that another
// server passed on was counted there.
func (r *rate) allow(q *http.Request) error {
	client := clientOf(q)
	if client == "" {
		return nil
	}
	if wait := r.take(client); wait > 0 {
		return fault{
			status: http.StatusTooManyRequests, after: wait,
			error: fmt.Errorf("too many requests from %s: more than %d a second", client, time.Second/r.every),
		}
	}
	return nil
}

// clientOf is the client that q comes from; "" if another server passed it on.
func clientOf(q *http.Request) string {
	if q.Header.Get(forwarded) != "" {
		return ""
	}
	return clientAt(q.RemoteAddr)
}

// seldom serves what a client may ask for only so often.
func (h *handler) seldom(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h.lists.allow(r); err != nil {
			h.reply(w, nil, err)
			return
		}
		serve(w, r)
	}
}

// A post is a kind of request that only the leader can serve. The other servers pass it on to the leader.
type post[Request, Answer any] struct {
	size   int64         // of the request, at most; 0 for smallBody
	longer time.Duration // that it may take, over requestLimit
	rate   *rate         // nil for none
	crowd  *crowd        // nil for none
	check  func(Request) error
	serve  func(context.Context, lease.Time, Request) (Answer, error)
}

func (p post[Request, Answer]) on(h *handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received := h.Clock.Now()
		ctx, cancel := context.WithTimeout(r.Context(), p.longer+requestLimit)
		defer cancel()
		leave, err := p.admit(r)
		if err != nil {
			h.reply(w, nil, err)
			return
		}
		defer leave()
		body, request, err := p.read(w, r)
		switch node := h.node(); {
		case err != nil:
			h.reply(w, nil, err)
		case node == nil || node.State() != raft.Leader:
			h.pass(ctx, w, r, body)
		default:
			answer, err := p.serve(ctx, received, request)
			h.reply(w, answer, err)
		}
	})
}

// admit returns an error if too many of r's kind come or wait. leave is called when r has been served.
func (p post[Request, Answer]) admit(r *http.Request) (leave func(), err error) {
	if p.rate != nil {
		if err := p.rate.allow(r); err != nil {
			return nil, err
		}
	}
	if p.crowd != nil {
		return p.crowd.enter(clientOf(r))
	}
	return func() {}, nil
}

func (p post[Request, Answer]) read(w http.ResponseWriter, r *http.Request) (body []byte, q Request, err error) {
	size := p.size
	if size == 0 {
		size = smallBody
	}
	body, q, err = read[Request](w, r, size)
	if err == nil && p.check != nil {
		if err = p.check(q); err != nil {
			err = badRequest{err}
		}
	}
	return body, q, err
}

func checkRenew(q api.RenewRequest) error {
	if len(q.Locks) > maxRenew {
		return fmt.Errorf("cannot renew %d locks at once: %d are the most", len(q.Locks), maxRenew)
	}
	return checkHost(q.Host)
}

func checkWait(q api.WaitRequest) error {
	var err error
	for _, session := range []string{q.StandBy, q.Was} {
		if session != "" {
			err = errors.Join(err, api.CheckSession(session))
		}
	}
	if q.Node != "" { // it need not say
		err = errors.Join(err, lock.CheckName(q.Node))
	}
	return errors.Join(err, checkHost(q.Host))
}

// checkHost refuses a host id that is too long: the servers keep it in memory.
func checkHost(host string) error {
	if len(host) > maxHost {
		return fmt.Errorf("the host has %d characters, %d are the most", len(host), maxHost)
	}
	return nil
}

// read reads the JSON of a request that may have that size.
func read[Request any](w http.ResponseWriter, r *http.Request, size int64) (body []byte, q Request, err error) {
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, size))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, q, fault{
			status: http.StatusRequestEntityTooLarge, error: fmt.Errorf("the request is too long: %d bytes are the most", size),
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, q, fault{status: http.StatusRequestTimeout, error: errors.New("the request did not come in time")}
	case err == nil:
		err = json.Unmarshal(body, &q) // all of it: nothing may follow
	}
	if err != nil {
		return nil, q, badRequest{fmt.Errorf("cannot read the request: %w", err)}
	}
	return body, q, nil
}

// readRequest reads the JSON of a small request that any server can serve.
func readRequest[Request any](w http.ResponseWriter, r *http.Request) (Request, error) {
	_, q, err := read[Request](w, r, smallBody)
	return q, err
}

// pass gives a request to the leader, once, and its answer back.
func (h *handler) pass(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) {
	leader := h.leaderEntry(ctx)
	if leader == "" || leader == h.Entry || r.Header.Get(forwarded) != "" {
		h.reply(w, nil, h.noLeader())
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL(leader, r.URL.Path), bytes.NewReader(body))
	if err != nil {
		h.reply(w, nil, err)
		return
	}
	request.Header.Set(forwarded, h.Entry)
	answer, err := h.http.Do(request)
	if err != nil {
		h.reply(w, nil, unknownError{fmt.Errorf("the leader %s does not answer: %w", leader, err)})
		return
	}
	defer answer.Body.Close()
	for _, name := range []string{api.LeaderHeader, api.ClusterHeader, "Content-Type", "Retry-After"} {
		if v := answer.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
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
func (h *handler) reply(w http.ResponseWriter, answer any, err error) {
	if err == nil {
		h.write(w, http.StatusOK, answer)
		return
	}
	status := http.StatusServiceUnavailable
	var f fault
	switch {
	case errors.As(err, &f):
		status = f.status
	case errors.As(err, new(badRequest)):
		status = http.StatusBadRequest
	}
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.after.Seconds()))))
	}
	h.write(w, status, api.ErrorAnswer{Error: err.Error(), Code: codeOf(err, status), Unknown: errors.As(err, new(unknownError))})
}

// codeOf is the code of an answer with that status: "" where there is none.
func codeOf(err error, status int) api.Code {
	switch {
	case errors.Is(err, errNoLeader), errors.Is(err, errDeposed):
		return api.CodeNoLeader
	case errors.Is(err, errNoMajority):
		return api.CodeNoMajority
	case status == http.StatusTooManyRequests:
		return api.CodeTooMany
	case status < http.StatusInternalServerError:
		return api.CodeBadRequest
	}
	return ""
}

func (h *handler) write(w http.ResponseWriter, status int, answer any) {
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err) // no answer has anything in it that JSON cannot say
	}
	if r := h.node(); r != nil {
		_, id := r.LeaderWithID()
		w.Header().Set(api.LeaderHeader, entryOf(string(id)))
		w.Header().Set(api.ClusterHeader, h.self.Cluster)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone needs no answer
}
