package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An openings notes when each file of a directory is opened, as a status does with the flag of its package.
type openings struct {
	f *os.File

	mu    sync.Mutex
	on    bool
	since time.Time
	last  map[string]time.Time     // when each was opened
	gaps  map[string]time.Duration // the longest time from one opening to the next
	count int
}

// watchOpenings watches the directory at path, until close is called.
func watchOpenings(path string) (*openings, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch files: %w", err)
	}
	o := &openings{f: os.NewFile(uintptr(fd), "inotify")}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN); err != nil {
		_ = o.f.Close()
		return nil, fmt.Errorf("cannot watch %s: %w", path, err)
	}
	go o.read()
	return o, nil
}

func (o *openings) close() { _ = o.f.Close() }

func (o *openings) read() {
	b := make([]byte, 64<<10)
	for {
		n, err := o.f.Read(b)
		if err != nil {
			return // closed
		}
		now := time.Now()
		for rest := b[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := unix.SizeofInotifyEvent + int(e.Len)
			name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
			o.saw(name, now)
			rest = rest[end:]
		}
	}
}

func (o *openings) saw(name string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.on || name == "" || strings.HasPrefix(name, ".") {
		return
	}
	gap := now.Sub(o.from(name))
	if gap > time.Second { // else the shell does what the worker has done
		o.count++
		o.gaps[name] = max(o.gaps[name], gap)
	}
	o.last[name] = now
}

// from is since when a file was not opened. The caller holds o.mu.
func (o *openings) from(name string) time.Time {
	if t, ok := o.last[name]; ok {
		return t
	}
	return o.since
}

// begin forgets all that was seen.
func (o *openings) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on, o.since, o.count = true, time.Now(), 0
	o.last, o.gaps = map[string]time.Time{}, map[string]time.Duration{}
}

// end is the longest time without an opening of each file, and how often any was opened.
func (o *openings) end(names []string) (longest []time.Duration, often int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range names {
		longest = append(longest, max(o.gaps[name], time.Since(o.from(name))))
	}
	o.on = false
	return longest, o.count
}
