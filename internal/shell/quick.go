package shell

import (
	"context"
	"io"
	"os"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Most runs are done without mvdan.cc/sh, by a small evaluator of the tree as it was parsed, before rewriting. It knows what
// a status script mostly is: assignments, tests, cases, loops, functions, sourced files, and commands that only look
// (observers). It writes nothing until the script has ended, so at anything else it leaves, as if nothing had happened, and
// mvdan.cc/sh does the run: what it knows it does as dash does it, and twin tests hold both against that.

// left is why the quick evaluator cannot go on.
type left string

// A variable of a script.
type variable struct {
	value    string
	exported bool
	mayset   bool // it was set by the script, so it may be
}

// quick is a run by the evaluator.
type quick struct {
	r       *run
	ctx     context.Context
	vars    map[string]variable        // changed by store alone
	funcs   map[string]quickFunc       // and by define
	outer   struct{ vars, funcs bool } // they are those of the shell around this subshell, as long as it changes none
	params  []string
	dir     string
	status  int // $?
	subst   int // status of the last $( ), -1 where there was none
	flow    flow
	levels  int // of loops that break or continue has yet to leave
	depth   int // of calls
	steps   int
	in      *input
	out     io.Writer
	err     io.Writer
	written *written
	tree    *quickTree // of the text that is run
	memory  *quickMemory
	text    []byte // what words are put together of
}

// A quickFunc is a function of the script.
type quickFunc struct {
	body *syntax.Stmt
	tree *quickTree
}

// flow is what a statement has done besides its status.
type flow int

const (
	goesOn flow = iota
	breaks
	continues
	returns
	exits
)

const (
	quickSteps  = 200_000 // statements: more are for who can be cancelled
	quickDepth  = 100     // of calls within calls
	quickOutput = 1 << 20
)

// observers are commands that change nothing, and wait for nothing: they may be run again.
var observers = map[string]bool{}

func init() {
	for _, name := range strings.Fields("ip uname hostname basename dirname date grep egrep fgrep sed cut head tail tr wc cat sort stat df ls " +
		"mountpoint id ps pgrep pidof getent readlink realpath seq expr awk") {
		observers[name] = true
	}
}

// Quick is [Run] without mvdan.cc/sh, and without files: of o it needs no Stdout and Stderr, and Stdin only where it is not
// /dev/null. Where done is false it could not do that, and nothing was done: then the run is for Run.
func Quick(ctx context.Context, s *Script, o Options) (status int, stdout, stderr []byte, done bool) {
	if s.c.options != 0 || len(s.decl) > 0 || len(o.Args) == 0 {
		return 0, nil, nil, false
	}
	q, done := (&run{Options: o, script: s}).quick(ctx)
	if !done {
		return 0, nil, nil, false
	}
	stdout, stderr = q.written.apart()
	return q.status & 0xff, stdout, stderr, true
}

// quick runs the script by the evaluator, if that can do it. What is not done is not begun.
func (r *run) quick(ctx context.Context) (*quick, bool) {
	if r.Own || !r.script.quick.due() {
		return nil, false
	}
	q := &quick{r: r, ctx: ctx, written: &written{}, subst: -1, memory: quickMemories.Get().(*quickMemory)}
	q.vars, q.funcs, q.text = q.memory.vars, q.memory.funcs, q.memory.text
	q.out, q.err = stream{q.written, 1}, stream{q.written, 2}
	done := q.begin() && q.whole()
	q.memory.text = q.text[:0]
	q.memory.forget()
	if !done {
		r.script.quick.failed()
		return nil, false
	}
	r.script.quick.worked()
	return q, true
}

// begin sets variables, parameters and directory.
func (q *quick) begin() bool {
	for _, kv := range q.r.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || !syntax.ValidName(name) {
			continue
		}
		if q.r.oddName(name) || !ascii(value) {
			return false
		}
		q.vars[name] = variable{value: value, exported: true}
	}
	for _, a := range q.r.Args {
		if !ascii(a) {
			return false
		}
	}
	if _, ok := q.vars["PATH"]; !ok {
		return false
	}
	q.params, q.dir = q.r.Args[1:], q.r.directory()
	if q.r.Stdin == nil || q.r.Stdin.Name() == os.DevNull {
		q.in = &input{}
	}
	q.vars["PWD"] = variable{value: q.dir, exported: true}
	return q.dir != ""
}

// whole runs all of it.
func (q *quick) whole() (ok bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case left:
			ok = false
		default:
			panic(p)
		}
	}()
	q.tree = q.r.script.quickTree()
	q.stmts(q.tree.stmts)
	return true
}

func (q *quick) leave(why string) { panic(left(why)) }

// subshell runs f such that nothing of it stays but what it writes, and its status.
func (q *quick) subshell(f func()) {
	was := *q
	q.outer.vars, q.outer.funcs = true, true
	f()
	status, steps := q.status, q.steps
	*q = was
	q.status, q.steps = status, steps
}

func (q *quick) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		q.stmt(s)
		if q.flow != goesOn {
			return
		}
	}
}

func (q *quick) stmt(s *syntax.Stmt) {
	q.steps++
	switch {
	case s.Background || s.Coprocess || s.Disown || s.Cmd == nil:
		q.leave("background")
	case len(q.tree.findings[s]) > 0:
		q.leave("a finding")
	case q.steps > quickSteps || q.steps%256 == 0 && q.ctx.Err() != nil:
		q.leave("too long")
	}
	ce, isCall := s.Cmd.(*syntax.CallExpr)
	var args []string
	if isCall { // its words are expanded before it is redirected, and its assignments after that
		args = q.fields(ce.Args)
	}
	if len(s.Redirs) > 0 {
		in, out, err := q.in, q.out, q.err
		defer func() { q.in, q.out, q.err = in, out, err }()
		q.redirect(s.Redirs)
	}
	if isCall {
		q.call(ce, args)
	} else {
		q.shareInput()
		q.command(s.Cmd)
	}
	switch {
	case !s.Negated || q.flow == exits:
	case q.flow != goesOn:
		q.leave("! return")
	default:
		q.status = number01(q.status == 0)
	}
}

// shareInput: several commands may read it now.
func (q *quick) shareInput() {
	if q.in != nil {
		q.in.fresh = false
	}
}

func number01(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (q *quick) command(cmd syntax.Command) {
	switch cmd := cmd.(type) {
	case *syntax.Block:
		q.stmts(cmd.Stmts)
	case *syntax.Subshell:
		q.subshell(func() { q.stmts(cmd.Stmts) })
	case *syntax.IfClause:
		q.ifClause(cmd)
	case *syntax.CaseClause:
		q.caseClause(cmd)
	case *syntax.WhileClause:
		q.while(cmd)
	case *syntax.ForClause:
		q.forClause(cmd)
	case *syntax.BinaryCmd:
		q.binary(cmd)
	case *syntax.DeclClause:
		q.declare(cmd)
	case *syntax.FuncDecl:
		q.define(cmd.Name.Value, quickFunc{cmd.Body, q.tree})
		q.status = 0
	default:
		q.leave("a command")
	}
}

func (q *quick) binary(b *syntax.BinaryCmd) {
	switch b.Op {
	case syntax.AndStmt, syntax.OrStmt:
		q.stmt(b.X)
		if q.flow == goesOn && (q.status == 0) == (b.Op == syntax.AndStmt) {
			q.stmt(b.Y)
		}
	case syntax.Pipe:
		// One after the other: both only look, and what they print has an end.
		var pipe caughtOutput
		before := q.status
		q.subshell(func() {
			q.out = &pipe
			q.stmt(b.X)
		})
		q.status = before
		q.subshell(func() {
			q.in = &input{text: pipe.String(), fresh: true}
			q.stmt(b.Y)
		})
	default:
		q.leave("an operator")
	}
}

func (q *quick) ifClause(ic *syntax.IfClause) {
	for ; ic != nil; ic = ic.Else {
		if len(ic.Cond) > 0 {
			q.stmts(ic.Cond)
			if q.flow != goesOn {
				return
			}
		}
		if len(ic.Cond) == 0 || q.status == 0 {
			q.stmts(ic.Then)
			return
		}
	}
	q.status = 0
}

func (q *quick) caseClause(cc *syntax.CaseClause) {
	text := q.value(cc.Word)
	for _, it := range cc.Items {
		for _, p := range it.Patterns {
			if !match(q.pattern(p), text) {
				continue
			}
			if len(it.Stmts) == 0 {
				q.status = 0
			}
			q.stmts(it.Stmts)
			return
		}
	}
	q.status = 0
}

func (q *quick) while(w *syntax.WhileClause) {
	status := 0
	for {
		q.stmts(w.Cond)
		if q.flow != goesOn {
			if q.leavesLoop() {
				break
			}
			continue
		}
		if (q.status == 0) == w.Until {
			break
		}
		q.stmts(w.Do)
		status = q.status
		if q.flow != goesOn && q.leavesLoop() {
			break
		}
	}
	if q.flow == goesOn {
		q.status = status
	}
}

// leavesLoop reports whether a loop ends by what its body has done.
func (q *quick) leavesLoop() bool {
	if q.flow != breaks && q.flow != continues {
		return true
	}
	if q.levels--; q.levels > 0 {
		return true
	}
	ends := q.flow == breaks
	q.flow = goesOn
	return ends
}

func (q *quick) forClause(f *syntax.ForClause) {
	it, ok := f.Loop.(*syntax.WordIter)
	if !ok || !it.InPos.IsValid() || !mayset(it.Name.Value) {
		q.leave("for")
	}
	words := q.fields(it.Items)
	status := 0
	for _, w := range words {
		q.set(it.Name.Value, w)
		q.stmts(f.Do)
		status = q.status
		if q.flow != goesOn && q.leavesLoop() {
			break
		}
	}
	if q.flow == goesOn {
		q.status = status
	}
}

func (q *quick) set(name, value string) {
	was := q.vars[name]
	if !was.mayset && !mayset(name) {
		q.leave("the variable " + name)
	}
	q.store(name, variable{value, was.exported, true})
}

// declare is export; local is not known.
func (q *quick) declare(d *syntax.DeclClause) {
	if d.Variant.Value != "export" || listing(d) {
		q.leave(d.Variant.Value)
	}
	for _, a := range d.Args {
		if a.Name == nil || !mayset(a.Name.Value) || a.Value != nil && !unsplit(a.Value) {
			q.leave("export")
		}
		v, has := q.vars[a.Name.Value]
		if a.Value != nil {
			v.value, has = q.value(a.Value), true
		}
		if !has {
			q.leave("export of what is not set")
		}
		q.store(a.Name.Value, variable{v.value, true, true})
	}
	q.status = 0
}
