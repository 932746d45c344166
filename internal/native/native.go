// Package native has the commands that a package's status script calls, done in this process, without a
// fork. Each is exact, in stdout and exit status, for the options that it takes, and does not take anything
// else: the caller then runs the real program.
//
// What is said is what the usual programs of a Linux host say: GNU coreutils, grep and sed, iproute2,
// procps, psmisc, util-linux, glibc. A host may have others by these names, in its PATH or in their places,
// so a Set looks first at what a call would have run (program.go).
//
// A command that reads stdin, or files, has them whole in memory before it writes. Where what it has read is
// not what it can do exactly (bytes that are not ASCII, too much), the real program is run, and is given what
// was read, and then the rest.
package native

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// An entry is a command of the table.
type entry struct {
	run Command
	is  kind     // of the program that it stands for
	env []string // variables that change what the program says: with one of them set it is not taken
	// The locale changes nothing but messages on stderr.
	anyLocale bool
}

// A Set is all commands, and counts what it was asked. Many goroutines may use it.
type Set struct {
	finder finder
	mu     sync.Mutex
	counts map[string]Count
}

// Count says how often a command was called, and taken or left to the real program. Of the calls that were
// taken, Handed over were those that the real program did after all, since stdin was not what we can do.
type Count struct{ Taken, Left, Handed int }

// A turn is one call on its way, in its context.
type turn struct {
	file   stamp // of the program that the call means
	handed bool  // it was run after all
}

type turnKey struct{}

// turnOf is never nil.
func turnOf(ctx context.Context) *turn {
	if t, ok := ctx.Value(turnKey{}).(*turn); ok {
		return t
	}
	return &turn{}
}

// New makes a Set.
func New() *Set { return &Set{counts: map[string]Count{}} }

// Knows reports whether there is a command by that name at all.
func Knows(name string) bool { return table[name].run != nil }

// Counts is how often each command was called, by name.
func (s *Set) Counts() map[string]Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]Count{}
	for name, n := range s.counts {
		all[name] = n
	}
	return all
}

// Run is a Command: it does c if it can.
func (s *Set) Run(ctx context.Context, c *Call) (status int, ok bool) {
	if len(c.Args) == 0 || c.Stdout == nil || c.Stderr == nil || c.looksAtItself() {
		return 0, false
	}
	name := filepath.Base(c.Args[0])
	e, known := table[name]
	if !known {
		return 0, false
	}
	this := &turn{}
	if this.file, ok = s.fits(ctx, c, name, e); ok {
		status, ok = e.run(context.WithValue(ctx, turnKey{}, this), c)
	}
	s.mu.Lock()
	n := s.counts[name]
	if ok {
		n.Taken++
		if this.handed {
			n.Handed++
		}
	} else {
		n.Left++
	}
	s.counts[name] = n
	s.mu.Unlock()
	return status, ok
}

// fits reports whether the call would run the usual program, which is that file, in an environment in which it
// says what we say.
func (s *Set) fits(ctx context.Context, c *Call, name string, e entry) (file stamp, ok bool) {
	for _, odd := range [][]string{oddVariables, e.env} {
		for _, v := range odd {
			if _, set := c.Env(v); set {
				return file, false
			}
		}
	}
	if !e.anyLocale && !plainLocale(c) {
		return file, false
	}
	file, ok = s.finder.program(c, name)
	return file, ok && s.finder.isKind(ctx, file, e.is)
}

// oddVariables change what any program does.
var oddVariables = []string{"POSIXLY_CORRECT", "_POSIX2_VERSION", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "LOCPATH"}

// plainLocale reports whether the locale is C, or C with UTF-8, in everything. In all others (and in one that
// is set but not installed) classes, order and words may be others.
func plainLocale(c *Call) bool {
	plain := func(name string) (is, set bool) {
		v, _ := c.Env(name)
		switch v {
		case "":
			return true, false
		case "C", "POSIX", "C.UTF-8", "C.utf8":
			return true, true
		}
		return false, true
	}
	if is, set := plain("LC_ALL"); set {
		return is
	}
	for _, name := range []string{"LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_TIME", "LC_NUMERIC", "LANG"} {
		if is, _ := plain(name); !is {
			return false
		}
	}
	return true
}

// looksAtItself reports whether the call is about the process that does it, which is not this one. What all
// processes of a namespace see alike is not that. A name counts wherever it stands in an argument, and however it is written.
func (c *Call) looksAtItself() bool {
	if strings.HasPrefix(c.Dir+"/", "/proc/") || strings.HasPrefix(c.Dir+"/", "/dev/") {
		return true
	}
	return slices.ContainsFunc(c.Args[1:], func(arg string) bool {
		if !strings.Contains(arg, "/") {
			return false
		}
		return namesOwn(arg) || namesOwn(filepath.Clean(arg)) || namesOwn(filepath.Join(c.Dir, arg))
	})
}

func namesOwn(text string) bool {
	for _, own := range []string{"/proc/self", "/proc/thread-self", "/dev/fd", "/dev/std", "/dev/tty", "proc/self/fd"} {
		if _, rest, found := strings.Cut(text, own); found && !slices.Contains([]string{"/mounts", "/mountinfo", "/mountstats"}, rest) {
			return true
		}
	}
	return false
}

// path is name from the call's directory.
func (c *Call) path(name string) string {
	if filepath.IsAbs(name) || name == "" {
		return name
	}
	return c.Dir + "/" + name // not Join, which takes .. and a slash at the end away
}

// name is what the program calls itself in messages.
func (c *Call) name() string { return c.Args[0] }
