package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A walker goes through what a script can come to when it is called with an action: of case $1 in and of if [ "$1" = stop ], only what
// fits is followed, also in functions, whose $1 is known where they are called with a known one.
//
// It may be wrong without harm. What it leaves out is not trusted to be out of reach: a statement with a finding is a trap in the
// tree that is run, wherever it is, and code that is made at run time may neither call functions nor set parameters.
// So the worst that comes of a slip here is a run that is declined at the trap.
type walker struct {
	glob   func(string) []string
	open   func(string) (*unit, error)
	units  map[string]*unit
	funcs  map[string][]function
	seen   map[string]bool
	out    []Finding
	loaded bool // a file was read in this round: it may have functions that were called before
}

// A unit is a file in its original form.
type unit struct {
	script *Script
	c      *checker
	file   *syntax.File
}

type function struct {
	u    *unit
	body *syntax.Stmt
}

// params are the positional parameters that are known; unknown stands for others.
type params []string

const unknown = "\x00"

func newWalker(glob func(string) []string, open func(string) (*unit, error)) *walker {
	return &walker{glob: glob, open: open, units: map[string]*unit{}}
}

func (w *walker) read(path string) (*unit, error) {
	if u := w.units[path]; u != nil {
		return u, nil
	}
	u, err := w.open(path)
	if err != nil {
		return nil, err
	}
	w.units[path] = u
	w.loaded = true
	return u, nil
}

func (w *walker) findings(u *unit, actions []string) []Finding {
	w.units[u.script.Path] = u
	if len(actions) == 0 {
		return w.everything(u)
	}
	for w.loaded = true; w.loaded; {
		w.loaded, w.seen, w.out = false, map[string]bool{}, nil
		w.funcs = map[string][]function{}
		for _, v := range w.units {
			w.declared(v)
		}
		for _, a := range actions {
			w.source(u, params{a})
		}
	}
	return sorted(w.out)
}

// everything are the findings of all that is read, also of what is never called.
func (w *walker) everything(u *unit) []Finding {
	out := w.findings(u, []string{unknown})
	for _, v := range w.units {
		out = append(out, v.c.all()...)
	}
	return sorted(out)
}

func (w *walker) declared(u *unit) {
	syntax.Walk(u.file, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.FuncDecl); ok && d.Name != nil {
			w.funcs[d.Name.Value] = append(w.funcs[d.Name.Value], function{u, d.Body})
		}
		return true
	})
}

// source follows a whole file.
func (w *walker) source(u *unit, p params) {
	key := "file " + u.script.Path + "\x01" + strings.Join(p, "\x01")
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	w.out = append(w.out, u.c.whole...)
	if u.c.setsParams(u.file.Stmts) {
		p = nil
	}
	w.stmts(u, u.file.Stmts, p)
}

func (w *walker) calls(name string, p params) {
	key := "func " + name + "\x01" + strings.Join(p, "\x01")
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	for _, f := range w.funcs[name] {
		q := p
		if f.u.c.setsParams([]*syntax.Stmt{f.body}) {
			q = nil
		}
		w.stmt(f.u, f.body, q)
	}
}

func (w *walker) stmts(u *unit, list []*syntax.Stmt, p params) {
	for _, s := range list {
		w.stmt(u, s, p)
	}
}

func (w *walker) stmt(u *unit, s *syntax.Stmt, p params) {
	w.out = append(w.out, u.c.byStmt[s]...)
	for _, r := range s.Redirs {
		w.words(u, p, r.Word, r.Hdoc)
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		w.call(u, cmd, p)
	case *syntax.DeclClause:
		for _, a := range cmd.Args {
			w.words(u, p, a.Value)
		}
	case *syntax.BinaryCmd:
		w.stmt(u, cmd.X, p)
		is, known := outcomeOf(cmd.X, p)
		if cmd.Op == syntax.AndStmt && known && !is || cmd.Op == syntax.OrStmt && known && is {
			return
		}
		w.stmt(u, cmd.Y, p)
	case *syntax.Subshell:
		w.stmts(u, cmd.Stmts, p)
	case *syntax.Block:
		w.stmts(u, cmd.Stmts, p)
	case *syntax.IfClause:
		w.ifClause(u, cmd, p)
	case *syntax.WhileClause:
		w.stmts(u, cmd.Cond, p)
		w.stmts(u, cmd.Do, p)
	case *syntax.ForClause:
		if it, ok := cmd.Loop.(*syntax.WordIter); ok {
			w.words(u, p, it.Items...)
		}
		w.stmts(u, cmd.Do, p)
	case *syntax.CaseClause:
		w.caseClause(u, cmd, p)
	}
}

func (w *walker) ifClause(u *unit, ic *syntax.IfClause, p params) {
	for ; ic != nil; ic = ic.Else {
		w.stmts(u, ic.Cond, p)
		is, known := false, false
		if len(ic.Cond) == 1 {
			is, known = outcomeOf(ic.Cond[0], p)
		} else if len(ic.Cond) == 0 {
			is, known = true, true
		}
		if !known || is {
			w.stmts(u, ic.Then, p)
		}
		if known && is {
			return
		}
	}
}

func (w *walker) caseClause(u *unit, cc *syntax.CaseClause, p params) {
	w.words(u, p, cc.Word)
	v, known := value(cc.Word, p)
	for _, it := range cc.Items {
		fits, sure := !known, false
		for _, pat := range it.Patterns {
			switch text, plain := literal(pat); {
			case known && plain:
				sure = sure || text == v
			default: // a pattern, which may or may not fit
				fits = true
				sure = sure || pat.Lit() == "*"
			}
		}
		if fits || sure {
			w.words(u, p, it.Patterns...)
			w.stmts(u, it.Stmts, p)
		}
		if sure {
			return
		}
	}
}

func (w *walker) call(u *unit, ce *syntax.CallExpr, p params) {
	w.words(u, p, ce.Args...)
	for _, a := range ce.Args { // a function that is named may be called by who gets its name
		if name, ok := literal(a); ok && len(w.funcs[name]) > 0 && a != ce.Args[0] {
			w.calls(name, nil)
		}
	}
	for _, a := range ce.Assigns {
		w.words(u, p, a.Value)
	}
	name := commandName(ce)
	if name == "command" && len(ce.Args) > 1 {
		name, _ = literal(ce.Args[1])
	}
	switch name {
	case "":
	case ".":
		w.dot(u, ce, p)
	case "trap", "eval":
		w.code(u, ce, name)
	default:
		args := params{}
		for _, a := range ce.Args[1:] {
			v, ok := value(a, p)
			if isAll(a) {
				args = append(args, p...)
				break
			}
			if !ok {
				v = unknown
				if !unsplit(a) { // it may be any number of words
					args = append(args, v)
					break
				}
			}
			args = append(args, v)
		}
		w.calls(name, args)
	}
}

func (w *walker) dot(u *unit, ce *syntax.CallExpr, p params) {
	if len(ce.Args) < 2 || w.open == nil {
		return
	}
	pattern, ok := dotPattern(ce.Args[1])
	if !ok {
		return
	}
	for _, path := range w.glob(pattern) {
		v, err := w.read(path)
		if err != nil {
			at := ce.Pos()
			w.out = append(w.out, Finding{u.script.Path, at.Line(), at.Col(), LevelShell, "dot-unread", path + ": " + err.Error()})
			continue
		}
		w.source(v, p)
	}
}

// code follows the functions that a literal trap calls; what eval is given may call none.
func (w *walker) code(u *unit, ce *syntax.CallExpr, name string) {
	var text []string
	for _, a := range ce.Args[1:] {
		t, ok := literal(a)
		if first := firstOf(a); !ok && name == "eval" && len(text) == 0 && len(w.funcs[first]) > 0 {
			w.evalCalls(u, ce, first)
		}
		if !ok {
			return
		}
		text = append(text, t)
	}
	if name == "trap" && len(text) > 0 {
		text = text[:1]
	}
	_, f, err := analyse(u.script.Path, []byte(strings.Join(text, " ")), kindEval, false)
	if err != nil {
		return
	}
	for _, n := range called(f) {
		if name == "eval" && len(w.funcs[n]) > 0 {
			w.evalCalls(u, ce, n)
		}
		w.calls(n, nil)
	}
}

func (w *walker) evalCalls(u *unit, ce *syntax.CallExpr, function string) {
	at := ce.Pos()
	w.out = append(w.out, Finding{u.script.Path, at.Line(), at.Col(), LevelShell, "builtin", "eval calls the function " + function})
}

// firstOf is the word that a text begins with of which the rest is not known, as the command of eval "f $x".
func firstOf(x *syntax.Word) string {
	parts := x.Parts
	if d, ok := parts[0].(*syntax.DblQuoted); ok {
		parts = d.Parts
	}
	if len(parts) == 0 {
		return ""
	}
	l, ok := parts[0].(*syntax.Lit)
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimLeft(l.Value, " "), " ")
	return first
}

// words follows what is substituted in words.
func (w *walker) words(u *unit, p params, words ...*syntax.Word) {
	for _, x := range words {
		if x == nil {
			continue
		}
		syntax.Walk(x, func(n syntax.Node) bool {
			if cs, ok := n.(*syntax.CmdSubst); ok {
				w.stmts(u, cs.Stmts, p)
				return false
			}
			return true
		})
	}
}
