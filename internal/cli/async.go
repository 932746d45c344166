package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// asyncLines is how many lines may wait to be written.
const asyncLines = 1000

// flushLimit is how long the end of a command waits for what is not written yet.
const flushLimit = time.Second

// An async writer writes lines in a goroutine of its own and never makes its caller wait: a
// terminal that was stopped with Ctrl-S, a full pipe or a hung disk must not hold up a manager,
// which would lose its lock over it. Lines for which there is no room are counted and left out.
type async struct {
	lines chan []byte
	done  chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int
}

func newAsync(to io.Writer) *async {
	a := &async{lines: make(chan []byte, asyncLines), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for line := range a.lines {
			if n := a.takeDropped(); n > 0 {
				fmt.Fprintf(to, "%s (%d lines could not be written)\n", date(time.Now()), n)
			}
			_, _ = to.Write(line) // there is nobody to tell
		}
	}()
	return a
}

// sameFile says whether what is written to both ends up in one file, or on one terminal: then the
// order of lines matters.
func sameFile(a, b io.Writer) bool {
	one, ok1 := a.(*os.File)
	other, ok2 := b.(*os.File)
	if !ok1 || !ok2 {
		return false
	}
	info1, err1 := one.Stat()
	info2, err2 := other.Stat()
	return err1 == nil && err2 == nil && os.SameFile(info1, info2)
}

func (a *async) takeDropped() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.dropped
	a.dropped = 0
	return n
}

// Write takes one line.
func (a *async) Write(b []byte) (int, error) {
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

// close waits, for a moment, until all is written.
func (a *async) close() {
	a.mu.Lock()
	a.closed = true
	close(a.lines)
	a.mu.Unlock()
	select {
	case <-a.done:
	case <-time.After(flushLimit):
	}
}
