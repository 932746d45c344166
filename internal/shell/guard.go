package shell

import "mvdan.cc/sh/v3/syntax"

// guard makes break and continue skip what follows them in the same round. mvdan.cc/sh looks whether they were called only
// after each statement of the loop's outermost list:
//
//	do                          do  g=$(__sh_keep)
//	   if a; then                   if a; then
//	      if b; then break; fi         if b; then { g=1; break; }; fi
//	      more                         case $g in '') more ;; esac
//	   fi                           fi
//	done                        done
func (w *rewriter) guard(loop syntax.Node, list []*syntax.Stmt) []*syntax.Stmt {
	if !w.c.guards[loop] {
		return list
	}
	g := guarder{w, loopVar()}
	for _, s := range list {
		g.stmt(s)
	}
	return append([]*syntax.Stmt{assigning(g.name, word(keep()))}, list...)
}

type guarder struct {
	w    *rewriter
	name string
}

// keep is an expansion to nothing that leaves $? as it was.
func keep() *syntax.CmdSubst {
	return &syntax.CmdSubst{Stmts: []*syntax.Stmt{calling(lit(hidden + "keep"))}}
}

func (g guarder) unless(list ...*syntax.Stmt) *syntax.Stmt {
	return &syntax.Stmt{Cmd: &syntax.CaseClause{
		Word:  word(param(g.name)),
		Items: []*syntax.CaseItem{{Op: syntax.Break, Patterns: []*syntax.Word{word(&syntax.SglQuoted{})}, Stmts: list}},
	}}
}

// stmts guards what follows a break in a list, and reports whether there is one.
func (g guarder) stmts(list []*syntax.Stmt) ([]*syntax.Stmt, bool) {
	for i, s := range list {
		if !g.stmt(s) {
			continue
		}
		if rest := list[i+1:]; len(rest) > 0 {
			rest, _ = g.stmts(rest)
			list = append(list[:i+1:i+1], g.unless(rest...))
		}
		return list, true
	}
	return list, false
}

// stmt guards within a statement, and reports whether it can break the loop.
func (g guarder) stmt(s *syntax.Stmt) bool {
	if len(g.w.c.byStmt[s]) > 0 {
		return false
	}
	found := false
	list := func(l *[]*syntax.Stmt) {
		var is bool
		*l, is = g.stmts(*l)
		found = found || is
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		if name := commandName(cmd); name == "break" || name == "continue" {
			s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{assigning(g.name, lit("1")), {Cmd: cmd, Position: s.Position}}}
			return true
		}
	case *syntax.BinaryCmd:
		if cmd.Op != syntax.AndStmt && cmd.Op != syntax.OrStmt {
			return false
		}
		x, y := g.stmt(cmd.X), g.stmt(cmd.Y)
		if x {
			cmd.Y = g.unless(cmd.Y)
		}
		return x || y
	case *syntax.Block:
		list(&cmd.Stmts)
	case *syntax.IfClause:
		for ic := cmd; ic != nil; ic = ic.Else {
			list(&ic.Then)
		}
	case *syntax.CaseClause:
		for _, it := range cmd.Items {
			list(&it.Stmts)
		}
	}
	return found
}
