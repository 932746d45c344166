package journal

import (
	"errors"
	"io"
	"io/fs"
	"math"
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

// AtMost has the log shortened at so many bytes, and not at [Most].
func (f *File) AtMost(bytes int64) *File { f.most = bytes; return f }

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
	} else if err := f.copyTo(second, log, info); err != nil || log.Truncate(0) != nil {
		return
	}
	f.spare = time.Time{}
	if info.Size() > 2*f.most {
		f.look()
	}
}

// copyTo makes path a copy of log. Where that fails the file that was there before stays: it may be another's, as
// logrotate's. Where the disk has no room for both, what [File.shorten] has made before is written over.
func (f *File) copyTo(path string, log *os.File, info fs.FileInfo) error {
	fresh := path + ".new"
	_ = os.Remove(fresh) // of a process that was killed
	to, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err == nil {
		_, err = io.Copy(to, io.NewSectionReader(log, 0, math.MaxInt64))
		if err = errors.Join(err, to.Close()); err == nil {
			err = os.Rename(fresh, path)
		}
		if err != nil {
			_ = os.Remove(fresh)
		}
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return f.copyOver(path, log, info.Size())
	}
	return err
}

// copyOver writes the end of log, of so many bytes, over the file at path, with the room that this has. It must be of
// our making: then it is longer than a log becomes that others rotate.
func (f *File) copyOver(path string, log io.ReaderAt, size int64) error {
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() <= f.most {
		return unix.ENOSPC
	}
	n := min(size, info.Size())
	if _, err := io.Copy(old, io.NewSectionReader(log, size-n, n)); err != nil {
		return err
	}
	return old.Truncate(n)
}
