package shell

import "sync"

// A Library reads files for many scripts, which source the same modules: those are parsed once, and kept until they change.
type Library struct {
	open    func(path string) ([]byte, error)
	version func(path string) string
	own     bool

	mu    sync.Mutex
	units map[string]kept // by path
}

type kept struct {
	version string
	u       *unit
}

const librarySize = 1_000 // files

// NewLibrary returns one that reads by open; version is something else whenever the file is.
func NewLibrary(open func(path string) ([]byte, error), version func(path string) string) *Library {
	return &Library{open: open, version: version, units: map[string]kept{}}
}

// Own has the library read scripts that are run in a process of their own; see [ParseOwn].
func (l *Library) Own() *Library {
	l.own = true
	return l
}

// CheckAll is [CheckAll]. The script itself is not kept.
func (l *Library) CheckAll(path string, glob func(string) []string, actions ...string) ([]*Script, []Finding) {
	return checkAll(path, glob, func(file string) (*unit, error) {
		if file == path {
			return readUnit(l.open, file, l.own)
		}
		return l.read(file)
	}, actions)
}

func (l *Library) read(path string) (*unit, error) {
	version := l.version(path) // before it is read: what changes meanwhile is another version, and read again
	l.mu.Lock()
	has, ok := l.units[path]
	l.mu.Unlock()
	if ok && has.version == version {
		return has.u, nil
	}
	u, err := readUnit(l.open, path, l.own)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.units) >= librarySize {
		clear(l.units)
	}
	l.units[path] = kept{version, u}
	return u, nil
}
