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
	more chan struct{} // there is a line, or no more will come
	done chan struct{}

	mu      sync.Mutex
	lines   []queued // room for all from the beginning would be most of what a package takes of memory
	closed  bool
	dropped int
}

// NewAsync is an Async that writes to w.
func NewAsync(w io.Writer) *Async {
	a := &Async{more: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for {
			q, n, ok := a.next()
			switch {
			case !ok:
				return
			case q.reached != nil:
				close(q.reached)
				continue
			case n > 0:
				To(w).Plain(Warning, fmt.Sprintf("(%d lines could not be written)", n))
			}
			_, _ = w.Write(q.line) // a failure is dropped: there is nobody to tell it to
		}
	}()
	return a
}

// next waits for the next of the lines, and takes it; with a line it takes how many were left out before it, too.
// ok is false when there will be none.
func (a *Async) next() (q queued, dropped int, ok bool) {
	for {
		a.mu.Lock()
		if len(a.lines) > 0 {
			q, a.lines[0] = a.lines[0], queued{}
			if a.lines = a.lines[1:]; len(a.lines) == 0 {
				a.lines = nil
			}
			if q.reached == nil {
				dropped, a.dropped = a.dropped, 0
			}
			a.mu.Unlock()
			return q, dropped, true
		}
		closed := a.closed
		a.mu.Unlock()
		if closed {
			return queued{}, 0, false
		}
		<-a.more
	}
}

// put adds q to the lines, if there is room. The caller holds a.mu.
func (a *Async) put(q queued) bool {
	if len(a.lines) >= asyncLines {
		return false
	}
	a.lines = append(a.lines, q)
	a.wake()
	return true
}

func (a *Async) wake() {
	select {
	case a.more <- struct{}{}:
	default:
	}
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

// Write takes one line.
func (a *Async) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, io.ErrClosedPipe
	}
	if !a.put(queued{line: append([]byte(nil), b...)}) {
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
	} else if !a.put(q) { // the writer is far behind
		a.mu.Unlock()
		return
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
	a.wake()
	a.mu.Unlock()
	select {
	case <-a.done:
	case <-time.After(flushLimit):
	}
}
