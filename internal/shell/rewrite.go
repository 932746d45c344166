package shell

import (
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// rewriter makes, in place, of a checked tree one that mvdan.cc/sh runs as dash would run the original:
//
//	a statement with a finding    a call of __sh_decline, which ends the run
//	a | b                         a | ( b ): else b would run in the script's own shell
//	return, in a subshell         exit
//	! a                           if a; then false; else true; fi: else "exit 0" in a would end with 1
//	while, where $? counts        keeps the status of its last round in a variable
//	case                          a chain of if (case.go)
//	break, continue               where something follows in the same round, that is skipped (guard.go)
//	x=a\ b                        x=a' 'b: it keeps the backslash
//	$((a)) ${#a} ${10}            $(__sh_arith "a") $(__sh_len "$a") ${@:10:1}
//	$command                      __sh_run $command: no builtin or function may come of it
//	local a=$b                    __sh_whole "$b"; local a="$b"
//	a, under set -e or -u         { __sh_set "$#" x; a; } || __sh_failed (options.go)
//	a <f                          { a <f:__sh_try1 || __sh_tried 1; } (tries.go)
//	shift n; . f; export -p       __sh_shift "$#" n; . f "$@"; __sh_list export
type rewriter struct {
	c    *checker
	mode switches
}

// surroundings are of a statement.
type surroundings struct {
	fn, sub bool
	loops   []string // for each loop around, the variable of its status, or ""
	tested  bool     // set -e ignores what fails: it is a condition, or part of one
	stage   bool     // it is a whole stage of a pipeline
}

func rewrite(list []*syntax.Stmt, c *checker, m switches) {
	(&rewriter{c, m}).stmts(list, surroundings{})
}

func word(parts ...syntax.WordPart) *syntax.Word { return &syntax.Word{Parts: parts} }
func lit(s string) *syntax.Word                  { return word(&syntax.Lit{Value: s}) }
func quoted(parts ...syntax.WordPart) *syntax.DblQuoted {
	return &syntax.DblQuoted{Parts: parts}
}

func param(name string) *syntax.ParamExp {
	return &syntax.ParamExp{Short: len(name) == 1, Param: &syntax.Lit{Value: name}}
}

func calling(args ...*syntax.Word) *syntax.Stmt {
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Args: args}}
}

func assigning(name string, value *syntax.Word) *syntax.Stmt {
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Assigns: []*syntax.Assign{{Name: &syntax.Lit{Value: name}, Value: value}}}}
}

func (w *rewriter) stmts(list []*syntax.Stmt, p surroundings) {
	for i, s := range list {
		if loop, ok := s.Cmd.(*syntax.WhileClause); ok && len(w.c.byStmt[s]) == 0 && !s.Negated &&
			i+1 < len(list) && w.ignoresStatus(list[i+1]) && (w.mode == 0 || len(s.Redirs) == 0) {
			tries := w.tries(s)
			w.redirects(s, p)
			w.loop(loop, "", p)
			if tries {
				try(s)
			}
			continue
		}
		w.stmt(s, p)
	}
}

func (w *rewriter) stmt(s *syntax.Stmt, p surroundings) {
	if f := w.c.byStmt[s]; len(f) > 0 {
		*s = syntax.Stmt{Position: s.Position, Cmd: calling(lit(hidden+"decline"), word(plain(f[0].String()))).Cmd}
		return
	}
	needs, fails := w.mustBeSet(s), w.failureCounts(s, p)
	p.stage = false
	w.statement(s, p)
	w.checkSet(s, needs)
	if fails {
		w.checkFailure(s)
	}
}

func (w *rewriter) statement(s *syntax.Stmt, p surroundings) {
	if s.Background {
		s.Redirs = append([]*syntax.Redirect{fromNull()}, s.Redirs...)
		if w.c.begun[s] {
			w.begin(s, p)
			return
		}
		p.sub, p.loops, p.tested = true, nil, false
		defer w.untestAll(s)
	}
	p.tested = p.tested || s.Negated
	tries := w.tries(s)
	w.redirects(s, p)
	if s.Cmd != nil {
		w.command(s, p)
	}
	if tries && !s.Background {
		try(s)
	}
	if s.Negated && !w.harmless(s.Cmd) {
		inner := *s
		inner.Negated, inner.Redirs = false, nil
		s.Negated = false
		s.Cmd = &syntax.IfClause{
			Cond: []*syntax.Stmt{&inner},
			Then: []*syntax.Stmt{calling(lit("false"))},
			Else: &syntax.IfClause{Then: []*syntax.Stmt{calling(lit("true"))}},
		}
	}
}

// harmless: a command that cannot end the shell or the function.
func (w *rewriter) harmless(cmd syntax.Command) bool {
	ce, ok := cmd.(*syntax.CallExpr)
	if !ok {
		return false
	}
	switch commandName(ce) {
	case "[", "test", "read", "true", "false", ":", "cd", "command":
		return true
	}
	return false
}

func (w *rewriter) redirects(s *syntax.Stmt, p surroundings) {
	for _, r := range s.Redirs {
		if r.Op == syntax.RdrClob {
			r.Op = syntax.RdrOut
		}
		if r.Hdoc == nil {
			w.value(r.Word)
		}
		w.word(r.Hdoc)
	}
}

func (w *rewriter) command(s *syntax.Stmt, p surroundings) {
	sub := p
	sub.sub, sub.loops = true, nil
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		w.call(s, cmd, p)
	case *syntax.DeclClause:
		if listing(cmd) {
			s.Cmd = calling(lit(hidden+"list"), lit(cmd.Variant.Value)).Cmd
			return
		}
		w.declare(s, cmd)
	case *syntax.BinaryCmd:
		if cmd.Op == syntax.AndStmt || cmd.Op == syntax.OrStmt {
			w.stmt(cmd.X, p.condition())
			w.stmt(cmd.Y, p)
			return
		}
		sub.stage = true
		w.stmt(cmd.X, sub)
		w.stmt(cmd.Y, sub)
		last := *cmd.Y
		cmd.Y = &syntax.Stmt{Cmd: &syntax.Subshell{Stmts: []*syntax.Stmt{&last}}}
	case *syntax.Subshell:
		w.stmts(cmd.Stmts, sub)
	case *syntax.Block:
		w.stmts(cmd.Stmts, p)
	case *syntax.IfClause:
		for ic := cmd; ic != nil; ic = ic.Else {
			w.stmts(ic.Cond, p.condition())
			w.stmts(ic.Then, p)
		}
	case *syntax.WhileClause:
		w.whileStatus(s, cmd, p)
	case *syntax.ForClause:
		for _, x := range cmd.Loop.(*syntax.WordIter).Items {
			w.word(x)
		}
		p.loops = append(p.loops[:len(p.loops):len(p.loops)], "")
		cmd.Do = w.guard(cmd, cmd.Do)
		w.stmts(cmd.Do, p)
	case *syntax.CaseClause:
		w.caseClause(s, cmd, p)
	case *syntax.FuncDecl:
		w.stmt(cmd.Body, surroundings{fn: true})
	}
}

// declare quotes what local and export are given. __sh_whole, before them, declines what would be split.
func (w *rewriter) declare(s *syntax.Stmt, d *syntax.DeclClause) {
	whole := []*syntax.Word{lit(hidden + "whole")}
	for _, a := range d.Args {
		if a.Value == nil {
			continue
		}
		w.value(a.Value)
		for i, p := range a.Value.Parts {
			switch p.(type) {
			case *syntax.ParamExp, *syntax.CmdSubst: // the latter made of the former
				a.Value.Parts[i] = quoted(p, param(hidden+"empty"))
				whole = append(whole, word(a.Value.Parts[i]))
			}
		}
	}
	if len(whole) > 1 {
		s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{calling(whole...), {Cmd: d}}}
	}
}

func (w *rewriter) caseClause(s *syntax.Stmt, cc *syntax.CaseClause, p surroundings) {
	ours := !cc.Case.IsValid() // made by guard
	keeps, inWords := false, touchesStatus(cc.Word)
	for _, it := range cc.Items {
		keeps = keeps || readsStatus(it.Stmts)
		for _, x := range it.Patterns {
			inWords = inWords || touchesStatus(x)
		}
	}
	w.value(cc.Word)
	for _, it := range cc.Items {
		for _, x := range it.Patterns {
			w.word(x)
		}
		w.stmts(it.Stmts, p)
	}
	if !ours && !(keeps && inWords) {
		w.caseChain(s, cc, keeps)
		return
	}
	for _, it := range cc.Items {
		for _, x := range it.Patterns {
			x.Parts = apart(x.Parts)
		}
	}
}

// loop rewrites a while loop whose status is kept in the variable, if one is named.
func (w *rewriter) loop(l *syntax.WhileClause, status string, p surroundings) {
	p.loops = append(p.loops[:len(p.loops):len(p.loops)], status)
	w.stmts(l.Cond, p.condition())
	l.Do = w.guard(l, l.Do)
	w.stmts(l.Do, p)
}

// whileStatus: mvdan.cc/sh takes 0 for the status of each loop; in dash it is that of the last round.
//
//	{ v=0$(__sh_keep); while cond; do ...; v=$?; done; __sh_status "$v"; }
//
// __sh_keep leaves $? as it was, for cond; break and continue set v to 0, which is their status.
func (w *rewriter) whileStatus(s *syntax.Stmt, l *syntax.WhileClause, p surroundings) {
	v := loopVar()
	w.loop(l, v, p)
	l.Do = append(l.Do, assigning(v, word(param("?"))))
	s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{
		assigning(v, word(&syntax.Lit{Value: "0"}, keep())),
		{Cmd: l},
		calling(lit(hidden+"status"), word(quoted(param(v)))),
	}}
}

func (w *rewriter) call(s *syntax.Stmt, ce *syntax.CallExpr, p surroundings) {
	for _, a := range ce.Assigns {
		w.value(a.Value)
	}
	for _, a := range ce.Args {
		w.word(a)
	}
	if len(ce.Args) == 0 {
		return
	}
	w.passTested(ce, p)
	switch commandName(ce) {
	case "":
		ce.Args = append([]*syntax.Word{lit(hidden + "run")}, ce.Args...)
	case "return":
		if p.sub {
			ce.Args[0] = lit("exit")
		} else if w.mode&errexit != 0 && !p.tested {
			ce.Args[0] = lit(hidden + "return")
		}
	case "shift":
		ce.Args = append([]*syntax.Word{lit(hidden + "shift"), word(quoted(param("#")))}, ce.Args[1:]...)
	case ".":
		ce.Args = append(ce.Args, word(quoted(param("@"))))
	case "wait":
		if !p.sub {
			ce.Args[0] = lit(hidden + "wait")
		}
	case "break", "continue":
		w.loopEnd(s, ce, p)
	}
}

func (w *rewriter) loopEnd(s *syntax.Stmt, ce *syntax.CallExpr, p surroundings) {
	n := 1
	if len(ce.Args) > 1 {
		v, _ := literal(ce.Args[1])
		n, _ = strconv.Atoi(v)
	}
	var list []*syntax.Stmt
	for _, v := range p.loops[len(p.loops)-n:] {
		if v != "" {
			list = append(list, assigning(v, lit("0")))
		}
	}
	if len(list) > 0 {
		s.Cmd = &syntax.Block{Stmts: append(list, &syntax.Stmt{Cmd: ce})}
	}
}
