package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// readsStatus: what is done first in the list could look at $?, as it was before. A command that may be a function is one that could.
func readsStatus(list []*syntax.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	s := list[0]
	for _, r := range s.Redirs {
		if touchesStatus(r) {
			return true
		}
	}
	switch cmd := s.Cmd.(type) {
	case nil:
		return false
	case *syntax.CallExpr:
		return callReadsStatus(cmd)
	case *syntax.Block:
		return readsStatus(cmd.Stmts)
	case *syntax.IfClause:
		return readsStatus(cmd.Cond)
	case *syntax.CaseClause:
		if touchesStatus(cmd.Word) {
			return true
		}
		for _, it := range cmd.Items {
			for _, p := range it.Patterns {
				if touchesStatus(p) {
					return true
				}
			}
			if readsStatus(it.Stmts) {
				return true
			}
		}
		return false
	case *syntax.BinaryCmd:
		return cmd.Op == syntax.Pipe || readsStatus([]*syntax.Stmt{cmd.X})
	}
	return true
}

// touchesStatus: there is a $?, or a command whose functions could look at it.
func touchesStatus(n syntax.Node) bool {
	found := false
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			found = found || n.Param != nil && n.Param.Value == "?"
		case *syntax.CmdSubst:
			found = true
		}
		return !found
	})
	return found
}

func callReadsStatus(ce *syntax.CallExpr) bool {
	if touchesStatus(ce) {
		return true
	}
	switch commandName(ce) {
	case "[", "test", "echo", ":", "true", "false", "printf", "read", "cd", "set", "unset", "break", "continue", "shift":
		return false
	case "return", "exit":
		return len(ce.Args) == 1
	}
	return len(ce.Args) > 0
}

// ignoresStatus: the statement sets $? before anything can have looked at it.
func (w *rewriter) ignoresStatus(s *syntax.Stmt) bool {
	ce, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(s.Redirs) > 0 || strings.Contains(w.c.source(s), "$") && strings.ContainsAny(w.c.source(s), "?(`") {
		return false
	}
	switch name := commandName(ce); name {
	case "[", "test", "echo", ":", "true", "false", "printf":
		return true
	case "return", "exit":
		return len(ce.Args) == 2
	default:
		return len(ce.Args) == 0
	}
}
