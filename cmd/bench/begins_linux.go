package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A begins notes which programs of a directory are begun: the kernel opens each for that, and nobody else does.
type begins struct {
	f *os.File

	mu      sync.Mutex
	names   map[string]bool
	lost    bool
	changed chan struct{} // has room for one
}

// watchBegins watches the directory at path, for as long as this process lives.
func watchBegins(path string) (*begins, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch files: %w", err)
	}
	b := &begins{f: os.NewFile(uintptr(fd), "inotify"), names: map[string]bool{}, changed: make(chan struct{}, 1)}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN); err != nil {
		_ = b.f.Close()
		return nil, fmt.Errorf("cannot watch %s: %w", path, err)
	}
	go b.read()
	return b, nil
}

func (b *begins) read() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := b.f.Read(buffer)
		if err != nil {
			return
		}
		b.mu.Lock()
		for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := unix.SizeofInotifyEvent + int(e.Len)
			if name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00")); name != "" {
				b.names[name] = true
			}
			b.lost = b.lost || e.Mask&unix.IN_Q_OVERFLOW != 0
			rest = rest[end:]
		}
		b.mu.Unlock()
		select {
		case b.changed <- struct{}{}:
		default:
		}
	}
}

// begin forgets what was seen.
func (b *begins) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.names)
	b.lost = false
}

// wait waits until n were begun.
func (b *begins) wait(ctx context.Context, n int) error {
	limit := time.After(initLimit)
	for {
		b.mu.Lock()
		is, lost := len(b.names), b.lost
		b.mu.Unlock()
		switch {
		case is >= n:
			return nil
		case lost:
			return fmt.Errorf("the kernel tells of too few: set fs.inotify.max_queued_events higher")
		}
		select {
		case <-b.changed:
		case <-limit:
			return fmt.Errorf("only %d of %d were begun in %v", is, n, initLimit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
