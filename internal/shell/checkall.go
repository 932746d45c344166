package shell

import (
	"path/filepath"
	"slices"
)

// Check returns what would need the real shell in this file by itself: with actions, only in what can be reached when $1 is one of
// them. CheckAll looks at the files that it sources, too.
func (s *Script) Check(actions ...string) []Finding {
	if len(actions) == 0 {
		return s.c.all()
	}
	return newWalker(func(string) []string { return nil }, nil).findings(newUnit(s), actions)
}

// CheckAll reads a script and all that it can source, and returns them, the script first, with what would need the real shell
// when it is called with one of the actions. Sourced files are looked for where "cd ${0%/*}" leads: in the script's own
// directory. An expansion in their names may be anything that glob finds.
func CheckAll(path string, open func(string) ([]byte, error), glob func(string) []string, actions ...string) ([]*Script, []Finding) {
	return checkAll(path, glob, func(file string) (*unit, error) { return readUnit(open, file, false) }, actions)
}

// Again is CheckAll for other actions, of a script that was read: as it was then.
func (l *Library) Again(s *Script, glob func(string) []string, actions ...string) ([]*Script, []Finding) {
	return checkAll(s.Path, glob, func(file string) (*unit, error) {
		if file == s.Path {
			return newUnit(s), nil
		}
		return l.read(file)
	}, actions)
}

// Glob finds files for [CheckAll]. A pattern that is none matches nothing.
func Glob(pattern string) []string {
	paths, _ := filepath.Glob(pattern)
	return paths
}

func checkAll(path string, glob func(string) []string, open func(string) (*unit, error), actions []string) ([]*Script, []Finding) {
	dir := filepath.Dir(path)
	w := newWalker(func(pattern string) []string {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		return glob(pattern)
	}, open)
	u, err := w.read(path)
	if err != nil {
		return nil, []Finding{{path, 1, 1, LevelShell, "dot-unread", err.Error()}}
	}
	found := w.findings(u, actions)
	scripts := w.scripts(u)
	for _, s := range scripts[1:] {
		u.script.link(s)
		u.script.mode |= s.facts.mode // it has not been run yet
	}
	return scripts, found
}

func readUnit(open func(string) ([]byte, error), file string, own bool) (*unit, error) {
	text, err := open(file)
	if err != nil {
		return nil, err
	}
	s, err := parse(file, text, own)
	if err != nil {
		return nil, err
	}
	return newUnit(s), nil
}

func newUnit(s *Script) *unit { return &unit{script: s, c: s.c, file: s.file} }

// scripts are those that were read, the given one first.
func (w *walker) scripts(first *unit) []*Script {
	list := []*Script{first.script}
	for _, u := range w.units {
		if u != first {
			list = append(list, u.script)
		}
	}
	slices.SortFunc(list[1:], func(a, b *Script) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return list
}
