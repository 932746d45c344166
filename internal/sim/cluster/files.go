package cluster

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"backtowork/internal/manager"
	"backtowork/internal/notes"
)

// A disk is where notes stand.
type disk struct {
	mu    sync.Mutex
	files map[string]string
	full  bool
	hangs chan struct{} // closed when it goes on; nil unless it hangs
}

var errDisk = errors.New("no space left on device")

func newDisk() *disk { return &disk{files: map[string]string{}} }

// wait waits while the disk hangs.
func (d *disk) wait() {
	d.mu.Lock()
	hangs := d.hangs
	d.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
}

// set makes the disk hang, be full, or neither.
func (d *disk) set(hangs, full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
	switch {
	case hangs && d.hangs == nil:
		d.hangs = make(chan struct{})
	case !hangs && d.hangs != nil:
		close(d.hangs)
		d.hangs = nil
	}
}

// reboot mends the disk, as a boot of its host does: calls that waited for it are gone.
func (d *disk) reboot() { d.set(false, false) }

// Files are a disk as a process has it.
type files struct {
	*disk
	p *process
}

// Write writes a note.
func (f files) Write(name, text string) error {
	f.wait()
	if !f.p.acts() {
		return errDead
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return errDisk
	}
	f.disk.files[name] = text
	return nil
}

// Keep writes a note that survives a crash of the host, as all do here.
func (f files) Keep(name, text string) error { return f.Write(name, text) }

// Read reads a note.
func (f files) Read(name string) (string, error) {
	f.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.disk.files[name]
	if !ok {
		return "", fs.ErrNotExist
	}
	return strings.TrimSpace(text), nil
}

// Lock has nothing to do: nobody here takes a lock by hand.
func (f files) Lock(string) (func(), error) { return func() {}, nil }

// Dirs are the directories of a node's packages, as a process has them.
type dirs struct {
	*node
	p *process
}

// A dir is one that a process has taken.
type dir struct {
	*job
	p     *process
	notes *notes.Dir
}

// Notes is the notes of a package.
func (d dirs) Notes(name string) *notes.Dir { return notes.On(files{d.jobs[name].disk, d.p}) }

// patiently tries something until it succeeds or limit is over: another process may hold a lock for
// a moment.
func (d dirs) patiently(limit time.Duration, try func() bool) bool {
	for end := time.Now().Add(limit); ; {
		d.s.mu.Lock()
		done := d.p.alive() && try()
		d.s.mu.Unlock()
		if done || time.Now().After(end) {
			return done
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.p.ctx.Done():
			return false
		}
	}
}

// Take makes the process the package's manager.
func (d dirs) Take(name string, goesOn bool) (manager.Dir, error) {
	if !d.p.acts() {
		return nil, errDead
	}
	j := d.jobs[name]
	if j.disk.wait(); j.disk.isFull() && !goesOn {
		return nil, errDisk
	}
	if !d.patiently(200*time.Millisecond, func() bool {
		if j.pid != nil && j.pid.alive() {
			return false
		}
		j.pid = d.p
		return true
	}) {
		return nil, manager.RunsError(name)
	}
	return dir{j, d.p, d.Notes(name)}, nil
}

func (d *disk) isFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.full
}

// LockAsDeadman makes the process the package's deadman.
func (d dirs) LockAsDeadman(name string) (io.Closer, error) {
	j := d.jobs[name]
	if !d.patiently(time.Second, func() bool {
		if j.deadman != nil && j.deadman.alive() {
			return false
		}
		j.deadman, j.since = d.p, time.Now()
		return true
	}) {
		return nil, errors.New("another deadman guards the package")
	}
	return deadmanLock{j, d.p}, nil
}

// HasDeadman says whether a deadman may act on the package.
func (d dirs) HasDeadman(name string) bool {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	j := d.jobs[name]
	return j.deadman != nil && j.deadman.alive()
}

// A deadmanLock is a deadman's lock on its file.
type deadmanLock struct {
	*job
	p *process
}

// Close lets go of it.
func (g deadmanLock) Close() error {
	if g.p.acts() {
		g.s.mu.Lock()
		defer g.s.mu.Unlock()
		if g.deadman == g.p {
			g.deadman = nil
		}
	}
	return nil
}

// Notes is the notes in the directory.
func (d dir) Notes() *notes.Dir { return d.notes }

// Serve makes answer the function that answers requests.
func (d dir) Serve(answer func(manager.Request) manager.Answer) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.pid == d.p {
		d.ask, d.since = answer, time.Now()
	}
}

// Leave gives the directory up; what stands in it stays.
func (d dir) Leave() {
	if !d.p.acts() {
		return
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.pid == d.p {
		d.pid, d.ask = nil, nil
	}
}

// Remove gives the directory up, and removes what stands in it.
func (d dir) Remove() {
	if !d.p.acts() {
		return
	}
	d.disk.mu.Lock()
	clear(d.disk.files)
	d.disk.mu.Unlock()
	d.Leave()
}

// request asks the package's manager on this node for something, as the service command does. ok is false
// where nobody answers.
func (j *job) request(ctx context.Context, what, text string) (a manager.Answer, ok bool) {
	j.s.mu.Lock()
	p, ask := j.pid, j.ask
	j.s.mu.Unlock()
	if p == nil || ask == nil || !p.alive() {
		return a, false
	}
	answered := make(chan manager.Answer, 1)
	j.s.wg.Go(func() {
		if p.acts() {
			answered <- ask(manager.Request{What: what, Text: text})
		}
	})
	select {
	case a = <-answered:
		return a, true
	case <-p.ctx.Done():
	case <-ctx.Done():
	}
	return a, false
}
