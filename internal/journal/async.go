package journal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// asyncLines is how many lines may wait to be written.
const asyncLines = 1000

// flushLimit is how long Close waits for what is not written yet.
const flushLimit = time.Second

// An Async writes lines in a goroutine of its own and never makes its caller wait: a terminal that
// was stopped with Ctrl-S, a full pipe or a hung disk must not hold up a manager, which would lose
// its lock over it. Lines for which there is no room are counted and left out.
type Async struct {
	lines chan []byte
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int
}

// NewAsync is an Async that writes to w.
func NewAsync(w io.Writer) *Async {
	a := &Async{lines: make(chan []byte, asyncLines), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for line := range a.lines {
			if n := a.takeDropped(); n > 0 {
				To(w).Plain(Warning, fmt.Sprintf("(%d lines could not be written)", n))
			}
			_, _ = w.Write(line) // a failure is dropped: there is nobody to tell it to
		}
	}()
	return a
}

// SameFile says whether both writers write to one file, or one terminal. If so, the order of their
// lines matters.
func SameFile(a, b io.Writer) bool {
	one, ok1 := a.(*os.File)
	other, ok2 := b.(*os.File)
	if !ok1 || !ok2 {
		return false
	}
	info1, err1 := one.Stat()
	info2, err2 := other.Stat()
	return err1 == nil && err2 == nil && os.SameFile(info1, info2)
}

func (a *Async) takeDropped() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.dropped
	a.dropped = 0
	return n
}

// Write takes one line.
func (a *Async) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, io.ErrClosedPipe
	}
	select {
	case a.lines <- append([]byte(nil), b...):
	default:
		a.dropped++
	}
	return len(b), nil
}

// Close waits, for a moment, until all is written.
func (a *Async) Close() {
	a.mu.Lock()
	a.closed = true
	close(a.lines)
	a.mu.Unlock()
	select {
	case <-a.done:
	case <-time.After(flushLimit):
	}
}
