package shell

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// A Script is a parsed file. It does not change after Parse: any number of runs may use it at a time.
type Script struct {
	// Path is what Parse was given.
	Path string

	text   []byte
	own    bool
	mode   switches // of its runs: what it, or a file that it sources, may turn on
	c      *checker
	file   *syntax.File // as it was parsed
	forms  [allModes + 1]form
	funcs  []string // names that it declares
	facts  facts
	decl   []Finding // of the file as a whole: nothing of it is run
	evals  evalCache
	links  sync.Map // the *Script of files that it has sourced, to be there at once in the next run
	params bool     // its top level changes $1, $2, ...
	quick  quickState
}

// link makes a file that this one sources known to its next run. Few are: versions that are gone are forgotten with all others.
func (s *Script) link(file *Script) {
	n := 0
	s.links.Range(func(any, any) bool { n++; return true })
	if n > 100 {
		s.links.Clear()
	}
	s.links.Store(file, true)
}

// A form is the tree that mvdan.cc/sh runs, with traps.
type form struct {
	once  sync.Once
	stmts []*syntax.Stmt
}

// form is that for a run in a mode. Most scripts never need one: quick evaluates them.
func (s *Script) form(m switches) []*syntax.Stmt {
	f := &s.forms[m]
	f.once.Do(func() {
		c, file, err := analyse(s.Path, s.text, kindFile, s.own)
		if err != nil { // it was parsed before
			panic(err)
		}
		rewrite(file.Stmts, c, m)
		f.stmts = file.Stmts
	})
	return f.stmts
}

// facts are what a run must know of all text that it executes.
type facts struct {
	bytewise bool     // a pattern counts characters, which dash takes for bytes
	globs    bool     // a word is a pattern for file names
	splits   bool     // an expansion is not quoted, and could become one
	plain    []string // variables that mvdan.cc/sh sets without keeping them exported
	exports  []string // variables that are exported
	mode     switches // options of the shell that may be turned on
}

func (f *facts) add(g facts) {
	f.bytewise = f.bytewise || g.bytewise
	f.globs = f.globs || g.globs
	f.splits = f.splits || g.splits
	f.plain = append(f.plain, g.plain...)
	f.exports = append(f.exports, g.exports...)
	f.mode |= g.mode
}

// Parse reads a script, and makes what Run executes of it. The path is for findings only. Text
// that cannot be parsed is an error: dash would run it up to there.
func Parse(path string, text []byte) (*Script, error) { return parse(path, text, false) }

// ParseOwn is Parse of a script that is run in a process of its own: it may leave programs running.
func ParseOwn(path string, text []byte) (*Script, error) { return parse(path, text, true) }

func parse(path string, text []byte, own bool) (*Script, error) {
	c, f, err := analyse(path, text, kindFile, own)
	if err != nil {
		return nil, err
	}
	// What LangPOSIX does not take, dash does not take, but for local.
	if len(c.whole) == 0 {
		if _, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(bytes.NewReader(text), path); err != nil {
			c.fileFinding("syntax", "not POSIX: "+strings.TrimPrefix(err.Error(), path+":"))
		}
	}
	s := &Script{Path: path, text: text, own: own, mode: c.facts.mode, c: c, file: f, decl: c.whole, facts: c.facts, params: c.setsParams(f.Stmts)}
	for name := range c.funcs {
		s.funcs = append(s.funcs, name)
	}
	if !own {
		s.quick.tree = quickTreeOf(c, f, kindFile)
	}
	return s, nil
}

// kind says what a text is: return, local and break depend on it.
type kind int

const (
	kindFile kind = iota
	kindEval
	kindTrap
)

// parser is LangBash: mvdan.cc/sh does not run trees of its LangPOSIX. The checker declines what dash does not have.
func parser() *syntax.Parser { return syntax.NewParser(syntax.Variant(syntax.LangBash)) }

// analyse parses a text and finds what is to be declined in it.
func analyse(path string, text []byte, k kind, own bool) (*checker, *syntax.File, error) {
	if tooDeep(text) {
		return nil, nil, errors.New("cannot parse: perhaps it is nested too deeply")
	}
	f, err := parser().Parse(bytes.NewReader(text), path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot parse: %w", err)
	}
	c := newChecker(path, text, k, own)
	c.file(f)
	return c, f, nil
}

// hidden is how all names begin that the layer uses itself; a script may not.
const hidden = "__sh_"

var loops atomic.Uint64

// loopVar is a variable that no other loop uses.
func loopVar() string { return fmt.Sprintf("%sloop%d", hidden, loops.Add(1)) }

// An evalCache holds what was made of the texts that eval was given: they are few, and come again at each run.
type evalCache struct {
	mu   sync.Mutex
	text map[evalKey]evaluated
}

type evalKey struct {
	text string
	kind kind
}

type evaluated struct {
	text    string   // rewritten
	names   []string // of what it calls
	facts   facts
	decline string // why not
}

const evalCacheSize = 500

func (e *evalCache) of(text string, k kind, m switches) evaluated {
	key := evalKey{text, k}
	e.mu.Lock()
	got, ok := e.text[key]
	e.mu.Unlock()
	if ok {
		return got
	}
	got = evaluate(text, k, m)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.text == nil || len(e.text) >= evalCacheSize {
		e.text = map[evalKey]evaluated{}
	}
	e.text[key] = got
	return got
}

func evaluate(text string, k kind, m switches) evaluated {
	if strings.ContainsAny(text, "\x00\r") || !utf8.ValidString(text) {
		return evaluated{decline: "a NUL, a CR, or no UTF-8"}
	}
	c, f, err := analyse("eval", []byte(text), k, false)
	switch {
	case err != nil:
		return evaluated{decline: err.Error()}
	case len(c.all()) > 0:
		return evaluated{decline: c.all()[0].String()}
	case len(c.funcs) > 0 || c.setsParams(f.Stmts):
		// Else what CheckAll says of reachable code would not hold.
		return evaluated{decline: "functions or positional parameters are set"}
	case c.facts.mode != 0:
		return evaluated{decline: "options of the shell are turned on"}
	case len(f.Stmts) == 0:
		return evaluated{text: "true"}
	}
	names := called(f)
	rewrite(f.Stmts, c, m)
	printed, err := printTree(f.Stmts)
	if err != nil {
		return evaluated{decline: err.Error()}
	}
	return evaluated{text: printed, names: names, facts: c.facts}
}

// called are the names of all commands of a text.
func called(f *syntax.File) []string {
	var names []string
	syntax.Walk(f, func(n syntax.Node) bool {
		if ce, ok := n.(*syntax.CallExpr); ok {
			names = append(names, commandName(ce))
		}
		return true
	})
	return names
}
