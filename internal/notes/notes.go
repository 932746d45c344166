// Package notes writes small files that say how things are now, for scripts and people to
// read: each is replaced whole. A goroutine of its own writes them, so that a disk that hangs
// does not hold up the program. If several texts wait for one file, only the last is written. One that cannot be
// written, on a full disk, is tried again with the next, or when that is asked for.
package notes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Files is where notes stand: a directory, except in tests.
type Files interface {
	Write(name, text string) error // now; it need not survive a crash of the host
	Keep(name, text string) error  // now, to survive one
	Read(name string) (string, error)
	Lock(name string) (unlock func(), err error)
}

// A Dir is a directory of notes. It is made when the first is written.
type Dir struct {
	Files

	mu      sync.Mutex
	pending map[string]note // by file name
	owed    map[string]note // that could not be written
	failed  error           // why
	writing bool
	idle    *sync.Cond
}

// A note is what is to be written.
type note struct {
	text  string
	lasts bool // it must survive a crash of the host
}

// In is the notes in the directory at path.
func In(path string) *Dir { return On(disk(path)) }

// On is the notes that files keeps.
func On(files Files) *Dir {
	d := &Dir{Files: files, pending: map[string]note{}, owed: map[string]note{}}
	d.idle = sync.NewCond(&d.mu)
	return d
}

// Put has a note written soon.
func (d *Dir) Put(name, text string) { d.put(name, note{text: text}) }

// PutToLast is Put, for a note that survives a crash of the host once it is written.
func (d *Dir) PutToLast(name, text string) { d.put(name, note{text: text, lasts: true}) }

func (d *Dir) put(name string, n note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.owed, name)
	d.pending[name] = n
	d.write()
}

// Again tries once more to write what could not be written.
func (d *Dir) Again() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.owed) > 0 && !d.writing {
		d.write()
	}
}

// write has all that is to be written be so. The caller holds d.mu.
func (d *Dir) write() {
	for name, n := range d.owed {
		if _, newer := d.pending[name]; !newer {
			d.pending[name] = n
		}
	}
	clear(d.owed)
	if !d.writing {
		d.writing = true
		go d.writeAll()
	}
}

func (d *Dir) writeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.pending) > 0 {
		todo := d.pending
		d.pending = map[string]note{}
		d.mu.Unlock()
		var errs []error
		failed := map[string]note{}
		for name, n := range todo {
			write := d.Write
			if n.lasts {
				write = d.Keep
			}
			if err := write(name, n.text); err != nil {
				errs = append(errs, err)
				failed[name] = n
			}
		}
		d.mu.Lock()
		d.failed = errors.Join(errs...)
		for name, n := range failed {
			if _, newer := d.pending[name]; !newer {
				d.owed[name] = n
			}
		}
	}
	d.writing = false
	d.idle.Broadcast()
}

// Sync waits until all notes are written, and returns what went wrong last.
func (d *Dir) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.writing {
		d.idle.Wait()
	}
	return d.failed
}

// A disk is a directory of real files.
type disk string

// Write writes a note now. It need not survive a crash of the host.
func (d disk) Write(name, text string) error { return d.write(name, note{text: text}) }

// Keep writes a note now, to survive a crash of the host.
func (d disk) Keep(name, text string) error { return d.write(name, note{text, true}) }

func (d disk) write(name string, n note) error {
	path := filepath.Join(string(d), name)
	temp := fmt.Sprintf("%s.new%d", path, os.Getpid()) // short-lived commands may write the same note
	err := os.WriteFile(temp, []byte(n.text), 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(string(d), 0o755); err == nil {
			err = os.WriteFile(temp, []byte(n.text), 0o644)
		}
	}
	if err == nil && n.lasts {
		err = toDisk(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil && n.lasts {
		err = toDisk(string(d))
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// toDisk waits until a file, or the names in a directory, are on the disk.
func toDisk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Read is the text of a note, without white space around it.
func (d disk) Read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(string(d), name))
	return strings.TrimSpace(string(b)), err
}

// lockLimit is how long a Lock waits for others, who only read and write a note or two.
const lockLimit = 5 * time.Second

// Lock makes its caller the only one, of all callers of Lock in all processes, that may change a note, until unlock
// is called. A process that ends gives its locks up.
func (d disk) Lock(name string) (unlock func(), err error) {
	path := filepath.Join(string(d), name+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(string(d), 0o755); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	for end := time.Now().Add(lockLimit); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR), time.Now().After(end):
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
		}
		<-time.After(5 * time.Millisecond)
	}
}
