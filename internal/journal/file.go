package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Most is how long a log becomes, in bytes: then what it has is moved to a second file beside it, called NAME.1,
// whose earlier content is dropped.
const Most = 20 << 20

// followEvery is how often Follow looks.
const followEvery = time.Minute

// A File is a log at a path, which others may rotate at any time: moved away (and made anew by whoever comes first),
// removed, or copied and truncated. It is opened again by [File.Look]; since it keeps its number, what is started
// later, and a panic, write to the new one too. What was started with it and goes on writing to it, such as a daemon
// that a script has left, keeps the file of before.
//
// To look may take as long as the disk does. So nobody who decides anything may wait for it: see [Async].
type File struct {
	path string
	most int64
	open []*os.File

	mu    sync.Mutex
	spare time.Time // no earlier than this is it shortened: the last try has failed
}

// At is the log at path; all of open were opened there.
func At(path string, open ...*os.File) *File { return &File{path: path, most: Most, open: open} }

// Write looks whether the log was rotated, and writes a line to it.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.open[0].Write(line)
}

// Look opens the log again where its path leads to another file, and shortens it where it is too long.
func (f *File) Look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
}

// Follow looks once a minute, until done is closed: a log that is gone would else take room on the disk for as long
// as nothing is written.
func (f *File) Follow(done <-chan struct{}) {
	every := time.NewTicker(followEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			f.Look()
		case <-done:
			return
		}
	}
}

// look is Look, for who holds f.mu. Where something fails all stays as it is.
func (f *File) look() {
	there, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if mine, e := f.open[0].Stat(); e != nil || err == nil && os.SameFile(there, mine) {
		if e == nil && there.Mode().IsRegular() && there.Size() > f.most {
			f.shorten()
		}
		return
	}
	fresh, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return
	}
	defer fresh.Close()
	for _, file := range f.open {
		_ = become(file, fresh)
	}
}

// shorten moves what the log has to NAME.1. It is copied and truncated, since other processes have it open, daemons
// too, which could not be told to open another. A line that one of them writes in the moment between is lost. Only a
// log that is far longer, from before there was a limit, is moved away as a whole.
func (f *File) shorten() {
	if time.Now().Before(f.spare) {
		return
	}
	f.spare = time.Now().Add(followEvery)
	log, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer log.Close()
	conn, err := log.SyscallConn()
	if err != nil {
		return
	}
	var locked error // for others who shorten it: each has opened it for itself, so the lock is between all of them
	if err := conn.Control(func(fd uintptr) { locked = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil || locked != nil {
		return
	}
	info, err := log.Stat()
	if there, e := os.Stat(f.path); err != nil || e != nil || !os.SameFile(info, there) || info.Size() <= f.most {
		return // another was faster
	}
	second := f.path + ".1"
	if info.Size() > 2*f.most {
		_ = os.Rename(f.path, second)
	} else if err := copyTo(second, log, info.Mode().Perm()); err != nil || log.Truncate(0) != nil {
		return
	}
	f.spare = time.Time{}
	if info.Size() > 2*f.most {
		f.look()
	}
}

// copyTo makes path a copy of from. Where that fails there is none.
func copyTo(path string, from io.Reader, mode fs.FileMode) error {
	_ = os.Remove(path) // first: its room may be needed
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
