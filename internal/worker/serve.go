package worker

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"backtowork/internal/shell"
)

// Files are what a run reads and writes.
type Files struct{ Stdin, Stdout, Stderr *os.File }

// Serve runs what it is asked for over conn, each request in a goroutine, until conn ends.
func Serve(conn io.ReadWriter, in Interpreter) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	s := server{in: in, null: null, out: gob.NewEncoder(conn), cancels: map[uint64]context.CancelFunc{}}
	requests := gob.NewDecoder(conn)
	for {
		var r Request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if r.Cancel {
			s.cancel(r.ID)
			continue
		}
		ctx := s.begin(r)
		go func() {
			a := s.run(ctx, r)
			s.cancel(r.ID)
			s.answer(a)
		}()
	}
}

// A server is what all requests have in common.
type server struct {
	in   Interpreter
	null *os.File

	mu      sync.Mutex // of all below
	out     *gob.Encoder
	cancels map[uint64]context.CancelFunc // of the runs that go on
}

func (s *server) begin(r Request) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), r.Limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[r.ID] = cancel
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
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(a) // where the manager is gone, Serve ends
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
	stdout, err := newBuffer()
	if err != nil {
		a.Failed = err.Error()
		return a
	}
	defer stdout.Close()
	stderr, err := newBuffer()
	if err != nil {
		a.Failed = err.Error()
		return a
	}
	defer stderr.Close()
	a.Status, a.Forks, err = program.Run(ctx, r, Files{Stdin: s.null, Stdout: stdout, Stderr: stderr})
	a.Stuck = errors.Is(err, shell.ErrDeclined)
	if err == nil {
		err = ctx.Err() // what ended too late has perhaps not ended by itself
	}
	var err1, err2 error
	a.Stdout, err1 = contents(stdout)
	a.Stderr, err2 = contents(stderr)
	a.Failed = inWords(errors.Join(err, err1, err2))
	return a
}

func inWords(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// contents is what is in f, from its begin.
func contents(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, longestOutput+1))
	if err == nil && len(text) > longestOutput {
		err = fmt.Errorf("it prints more than %d bytes", longestOutput)
	}
	return text, err
}
