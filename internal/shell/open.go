package shell

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"
)

// virtual is where text that is to be sourced is opened.
const virtual = "/" + hidden + "text/"

// open opens the file of a redirection. One that cannot be opened ends the run, unless it is tried.
func (r *run) open(ctx context.Context, path string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	if strings.HasPrefix(path, virtual) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return readOnly{strings.NewReader(r.texts[path])}, nil
	}
	hc := interp.HandlerCtx(ctx)
	name, id, tried := strings.Cut(path, tryMark)
	if name == "" || hostFile(absolute(hc.Dir, name)) {
		return nil, r.decline("a redirection to " + name)
	}
	path = absolute(hc.Dir, name)
	f, err := r.openFile(ctx, path, flag, r.umask(hc))
	if tried && errors.As(err, new(syscall.Errno)) {
		return nil, r.couldNotOpen(hc, id, name, flag, err)
	}
	if err != nil {
		return nil, r.decline("cannot open " + path + ": " + err.Error())
	}
	return f, r.opened(f)
}

// hostFile reports whether a file is another one in each process. (What is mounted is the same for all processes of a host
// that share a view of it, as a script's do.)
func hostFile(path string) bool {
	path = filepath.Clean(path)
	if path == "/proc/self/mountinfo" || path == "/proc/self/mounts" {
		return false
	}
	for _, p := range []string{"/dev/std", "/dev/fd", "/proc/self", "/proc/thread-self", "/dev/tty"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// opened takes note of a file. mvdan.cc/sh closes it, but not those of exec.
func (r *run) opened(f *os.File) error {
	r.mu.Lock()
	r.files[f] = true
	if len(r.files) > maxFiles {
		for g := range r.files {
			if _, err := g.Stat(); errors.Is(err, fs.ErrClosed) {
				delete(r.files, g)
			}
		}
	}
	n := len(r.files)
	r.mu.Unlock()
	if n > maxFiles {
		return r.decline("too many open files")
	}
	return nil
}

// openFile makes a new file with the script's umask, which is not the process's. What may wait for another process, as a pipe with a
// name does, is opened beside the run, which ends when its time is up.
func (r *run) openFile(ctx context.Context, path string, flag, umask int) (*os.File, error) {
	if flag&os.O_CREATE != 0 {
		perm := 0o666 &^ os.FileMode(umask)
		f, err := os.OpenFile(path, flag|os.O_EXCL, perm)
		if err == nil {
			return f, f.Chmod(perm)
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	fi, err := os.Stat(path)
	if err != nil && flag&os.O_CREATE != 0 {
		return nil, errors.New("a link to nowhere") // the umask of what is made would be another
	}
	flag &^= os.O_CREATE
	if err != nil || fi.Mode().IsRegular() {
		return os.OpenFile(path, flag, 0)
	}
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened)
	go func() {
		f, err := os.OpenFile(path, flag, 0)
		select {
		case done <- opened{f, err}:
		case <-ctx.Done():
			f.Close()
		}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *run) closeFiles() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.files {
		f.Close()
	}
}

type readOnly struct{ *strings.Reader }

func (readOnly) Write([]byte) (int, error) { return 0, fs.ErrPermission }
func (readOnly) Close() error              { return nil }

// readDir is asked when a word is a pattern of file names. What an expansion holds may be one
// that dash reads otherwise: then only words without expansions may be patterns.
func (r *run) readDir(ctx context.Context, path string) ([]fs.DirEntry, error) {
	r.mu.Lock()
	f := r.facts
	r.mu.Unlock()
	if f.splits || !f.globs {
		return nil, r.decline("a pattern of file names that comes from an expansion")
	}
	list, err := os.ReadDir(path)
	for _, e := range list {
		if err := r.saw(e.Name()); err != nil {
			return nil, err
		}
	}
	return list, err
}
