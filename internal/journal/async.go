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

// A queued is a line to be written, or, with reached set, no line: reached is closed when all before it are written.
type queued struct {
	line    []byte
	reached chan struct{}
}

// An Async writes lines in a goroutine of its own and never makes its caller wait: a terminal that
// was stopped with Ctrl-S, a full pipe or a hung disk must not hold up a manager, which would lose
// its lock over it. Lines for which there is no room are counted and left out.
type Async struct {
	lines chan queued
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int
}

// NewAsync is an Async that writes to w.
func NewAsync(w io.Writer) *Async {
	a := &Async{lines: make(chan queued, asyncLines), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for q := range a.lines {
			if q.reached != nil {
				close(q.reached)
				continue
			}
			if n := a.takeDropped(); n > 0 {
				To(w).Plain(Warning, fmt.Sprintf("(%d lines could not be written)", n))
			}
			_, _ = w.Write(q.line) // a failure is dropped: there is nobody to tell it to
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
	case a.lines <- queued{line: append([]byte(nil), b...)}:
	default:
		a.dropped++
	}
	return len(b), nil
}

// Flush waits until all that was told so far is written, for limit at the most.
func (a *Async) Flush(limit time.Duration) {
	q := queued{reached: make(chan struct{})}
	a.mu.Lock()
	if a.closed {
		q.reached = a.done
	} else {
		select {
		case a.lines <- q:
		default: // the writer is far behind
			a.mu.Unlock()
			return
		}
	}
	a.mu.Unlock()
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case <-q.reached:
	case <-over.C:
	}
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
