package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"backtowork/internal/shell"
)

// mostFree is how many goroutines wait for requests. A run leaves its goroutine a stack that is large enough for the next.
const mostFree = 8

// Serve runs what requests ask for, each in a goroutine, until they end, and writes answers.
func Serve(requests io.Reader, answers io.Writer, in Interpreter) error {
	s := newServer(requests, answers, in)
	s.turn <- struct{}{}
	go s.serve()
	return <-s.ended
}

// A server is what all requests have in common.
type server struct {
	in       Interpreter
	requests *reader       // of who has the turn
	turn     chan struct{} // to read the next request; closed at their end
	ended    chan error    // why they have ended; nil where the manager has closed them

	write   sync.Mutex // so that answers do not mix
	answers io.Writer

	mu      sync.Mutex
	free    int                           // how many goroutines read, or wait for their turn
	cancels map[uint64]context.CancelFunc // of the runs that go on
}

func newServer(requests io.Reader, answers io.Writer, in Interpreter) *server {
	return &server{
		in: in, requests: newReader(requests), answers: answers, turn: make(chan struct{}, 1), ended: make(chan error, 1), free: 1,
		cancels: map[uint64]context.CancelFunc{},
	}
}

// serve reads requests, in turns with others, and runs them: who has read one runs it, so nobody needs to be woken for that.
func (s *server) serve() {
	for {
		if _, open := <-s.turn; !open {
			return
		}
		r, err := s.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			s.ended <- err
			close(s.turn)
			return
		}
		ctx := s.begin(r)
		s.turn <- struct{}{}
		a := s.run(ctx, r)
		s.cancel(r.ID)
		s.answer(a)
		if !s.waits() {
			return
		}
	}
}

// next is the next request to run.
func (s *server) next() (Request, error) {
	for {
		r, err := s.requests.request()
		if err != nil || !r.Cancel {
			return r, err
		}
		s.cancel(r.ID)
	}
}

// waits says whether one more goroutine may wait.
func (s *server) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free >= mostFree {
		return false
	}
	s.free++
	return true
}

// begin has another goroutine read on, and the run end in time.
func (s *server) begin(r Request) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), r.Limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[r.ID] = cancel
	if s.free--; s.free == 0 {
		s.free++
		go s.serve()
	}
	return ctx
}

func (s *server) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.cancels[id]; cancel != nil {
		cancel()
		delete(s.cancels, id)
	}
}

func (s *server) answer(a Answer) {
	frame := a.frame()
	s.write.Lock()
	defer s.write.Unlock()
	_, _ = s.answers.Write(frame) // where the manager is gone, Serve ends
}

// run runs one request.
func (s *server) run(ctx context.Context, r Request) (a Answer) {
	a.ID = r.ID
	defer func() { // in this goroutine; a panic in another ends the process
		if p := recover(); p != nil {
			a = Answer{ID: r.ID, Failed: fmt.Sprintf("panic: %v", p)}
		}
	}()
	program, declined, err := s.in.Load(r)
	if err != nil || declined != "" {
		a.Declined, a.Failed = declined, inWords(err)
		return a
	}
	err = program.Run(ctx, r, &a)
	a.Stuck = errors.Is(err, shell.ErrDeclined)
	if err == nil {
		err = ctx.Err() // what ended too late has perhaps not ended by itself
	}
	a.Failed = inWords(err)
	return a
}

func inWords(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
