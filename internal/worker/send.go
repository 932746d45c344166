package worker

import (
	"io"
	"sync"
	"syscall"
)

// A sender writes frames one after the other, and keeps nobody waiting: what the other end does not take at once is written
// by a goroutine.
type sender struct {
	conn io.Writer
	raw  syscall.RawConn // nil where nothing can be written without waiting

	mu     sync.Mutex
	queue  []byte // left to the goroutine
	busy   bool   // there is one
	closed bool
	late   sync.WaitGroup // the goroutine
}

func newSender(conn io.Writer) *sender {
	s := &sender{conn: conn}
	if c, ok := conn.(syscall.Conn); ok {
		s.raw, _ = c.SyscallConn()
	}
	return s
}

func (s *sender) send(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if !s.busy {
		if frame = frame[s.try(frame):]; len(frame) == 0 {
			return
		}
		s.busy = true
		s.late.Go(s.drain)
	}
	s.queue = append(s.queue, frame...)
}

// try writes what can be written now, and says how much that is.
func (s *sender) try(frame []byte) (n int) {
	if s.raw == nil {
		return 0
	}
	_ = s.raw.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), frame) // what is wrong drain will see
		return true
	})
	return max(n, 0)
}

// drain writes the queue. Where the other end is gone nobody hears it, and who reads the connection notices.
func (s *sender) drain() {
	for {
		s.mu.Lock()
		next := s.queue
		s.queue = nil
		s.busy = len(next) > 0
		s.mu.Unlock()
		if len(next) == 0 {
			return
		}
		_, _ = s.conn.Write(next)
	}
}

// close ends it after the connection was closed.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.late.Wait()
}
