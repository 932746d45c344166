package lockserver

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// ErrRetired is returned by Run when nobody needs this server any more: see [Server.Retire].
var ErrRetired = errors.New("no package of this host is left that needs this lock server")

// quietFor is how long nobody may have asked anything before a server retires. It is longer than the pauses of a
// stand-by, which asks all the time.
const quietFor = 2 * waitLimit

var errRetires = errors.New("this lock server is about to end")

// A retirement is the end of a server that was started for the packages of this host alone (Config.Passing). It
// begins when a manager says that no package is left. The server serves on until nobody has asked
// anything for a while; from the moment in which it decides to end it takes no more requests, so it gives no lock
// that nobody would renew. A lock that is held meanwhile, or a user who says that the server is to stay, ends it.
type retirement struct {
	mu     sync.Mutex
	passes bool
	open   int       // requests being served
	last   time.Time // when there was one
	begun  bool
	ended  bool // no more requests are taken
}

// Retire makes Run end with ErrRetired when nobody needs this server, until ctx ends. It does nothing to one that is
// to stay.
func (s *Server) Retire(ctx context.Context) {
	r := &s.retirement
	r.mu.Lock()
	begins := r.passes && !r.begun
	r.begun = r.begun || begins
	r.last = time.Now()
	r.mu.Unlock()
	for ; begins; begins = s.retires() {
		select {
		case <-time.After(quietFor / 4):
		case <-ctx.Done():
			return
		}
	}
}

// retires says whether the retirement goes on; if its time has come, the server ends.
func (s *Server) retires() bool {
	r := &s.retirement
	r.mu.Lock()
	defer r.mu.Unlock()
	s.machine.mu.Lock()
	held := false
	for _, k := range s.machine.table.All() {
		held = held || k.Held()
	}
	s.machine.mu.Unlock()
	switch {
	case held || !r.passes:
		r.begun = false
	case r.open == 0 && time.Since(r.last) >= quietFor:
		r.begun, r.ended = false, true
		s.end(ErrRetired)
	}
	return r.begun
}

// Stay makes this server one that does not retire.
func (s *Server) Stay() {
	s.retirement.mu.Lock()
	defer s.retirement.mu.Unlock()
	s.retirement.passes = false
}

// Passing says whether this server may retire.
func (s *Server) Passing() bool {
	passes, _ := s.retirement.state()
	return passes
}

// state says whether the server may retire, and whether it does.
func (r *retirement) state() (passes, ends bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passes, r.ended
}

// enter counts a request, which leave ends. If the server is about to end, all that it answers is that.
func (r *retirement) enter(path string) (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended && path != "/v1/server" {
		return nil, fault{status: http.StatusServiceUnavailable, error: errRetires}
	}
	r.open++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open--
		r.last = time.Now()
	}, nil
}
