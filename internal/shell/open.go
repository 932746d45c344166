package shell

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
	path, id, tried := strings.Cut(path, tryMark)
	if path == "" || hostFile(path) {
		return nil, r.decline("a redirection to " + path)
	}
	name := path
	if !filepath.IsAbs(path) {
		path = filepath.Join(hc.Dir, path)
	}
	f, err := r.openFile(path, flag, 0o666, r.umask(hc))
	if err != nil && tried {
		return nil, r.couldNotOpen(id, name, flag, err)
	}
	if err != nil {
		return nil, r.decline("cannot open " + path + ": " + err.Error())
	}
	return f, r.opened(f)
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

// openFile makes a new file with the script's umask, which is not the process's.
func (r *run) openFile(path string, flag int, perm os.FileMode, umask int) (*os.File, error) {
	if flag&os.O_CREATE != 0 {
		f, err := os.OpenFile(path, flag|os.O_EXCL, perm&^os.FileMode(umask))
		if err == nil {
			return f, f.Chmod(perm &^ os.FileMode(umask))
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return os.OpenFile(path, flag, perm)
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
