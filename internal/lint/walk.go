package lint

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// walk calls f for all nodes that are run with stmts when the script is called with action: in functions that they
// call, too. Of a choice by an argument only what is for its value is looked at, where that is known.
func (s *script) walk(action string, stmts []*syntax.Stmt, f func(syntax.Node) bool) {
	w := walker{s: s, f: f, seen: map[string]bool{}}
	w.list(stmts, []string{action})
}

// A walker is one walk.
type walker struct {
	s    *script
	f    func(syntax.Node) bool
	seen map[string]bool // functions, with their arguments
}

// list walks through statements where $1, $2 and so on are args: "" is one that is not known.
func (w *walker) list(stmts []*syntax.Stmt, args []string) {
	for _, stmt := range stmts {
		syntax.Walk(stmt, func(n syntax.Node) bool { return w.node(n, args) })
		if ends(stmt, args) {
			return
		}
	}
}

// ends says whether stmt is [ "$1" = WORD ] || return, and that is the end here.
func ends(stmt *syntax.Stmt, args []string) bool {
	or, ok := stmt.Cmd.(*syntax.BinaryCmd)
	if !ok || or.Op != syntax.OrStmt {
		return false
	}
	if is, sure := isWord(or.X, args); is || !sure {
		return false
	}
	call, ok := or.Y.Cmd.(*syntax.CallExpr)
	return ok && len(call.Args) > 0 && slices.Contains([]string{"return", "exit"}, literal(call.Args[0]))
}

func (w *walker) node(n syntax.Node, args []string) bool {
	switch x := n.(type) {
	case nil:
		return true
	case *syntax.FuncDecl:
		return false
	case *syntax.Block:
		w.list(x.Stmts, args)
		return false
	case *syntax.CaseClause:
		if value := valueIn(x.Word, args); value != "" {
			w.list(chosen(x, value), args)
			return false
		}
	case *syntax.IfClause:
		if is, sure := compares(x, args); sure {
			w.branch(x, is, args)
			return false
		}
	case *syntax.CallExpr:
		w.call(x, args)
	}
	return w.f(n)
}

// branch walks through the part of an if that is run.
func (w *walker) branch(x *syntax.IfClause, is bool, args []string) {
	switch {
	case is:
		w.list(x.Then, args)
	case x.Else != nil && len(x.Else.Cond) == 0:
		w.list(x.Else.Then, args)
	case x.Else != nil:
		w.node(x.Else, args)
		if _, sure := compares(x.Else, args); !sure {
			syntax.Walk(x.Else, func(n syntax.Node) bool { return n == x.Else || w.node(n, args) })
		}
	}
}

// call walks through a function that is called.
func (w *walker) call(x *syntax.CallExpr, args []string) {
	if len(x.Args) == 0 {
		return
	}
	name := literal(x.Args[0])
	fn := w.s.funcs[name]
	if fn == nil {
		return
	}
	var given []string
	for _, arg := range x.Args[1:] {
		value := valueIn(arg, args)
		if value == "" {
			value = literal(arg)
		}
		given = append(given, value)
	}
	if key := strings.Join(append([]string{name}, given...), "\x00"); !w.seen[key] {
		w.seen[key] = true
		w.list([]*syntax.Stmt{fn.Body}, given)
	}
}

// valueIn is what w is where it is just one of $1, $2 and so on; "" where that is not known.
func valueIn(w *syntax.Word, args []string) string {
	if n := argument(w); n > 0 && n <= len(args) {
		return args[n-1]
	}
	return ""
}

// argument is N where w is just $N, or that in quotes; else 0.
func argument(w *syntax.Word) int {
	if w == nil || len(w.Parts) != 1 {
		return 0
	}
	part := w.Parts[0]
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part = q.Parts[0]
	}
	p, ok := part.(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Length || p.Exp != nil && p.Exp.Op != syntax.DefaultUnset && p.Exp.Op != syntax.DefaultUnsetOrNull {
		return 0
	}
	n, err := strconv.Atoi(p.Param.Value)
	if err != nil {
		return 0
	}
	return n
}

// chosen is the statements of a case that are for value.
func chosen(c *syntax.CaseClause, value string) []*syntax.Stmt {
	for _, pattern := range []string{value, "*"} {
		for _, item := range c.Items {
			if slices.ContainsFunc(item.Patterns, func(w *syntax.Word) bool { return literal(w) == pattern }) {
				return item.Stmts
			}
		}
	}
	return nil
}

// compares says whether the condition of x, that one of args is a word, is true; sure is false where it is another
// condition, or the argument is not known.
func compares(x *syntax.IfClause, args []string) (is, sure bool) {
	if len(x.Cond) != 1 {
		return false, false
	}
	return isWord(x.Cond[0], args)
}

// isWord is compares, of a statement.
func isWord(stmt *syntax.Stmt, args []string) (is, sure bool) {
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok || stmt.Negated || len(call.Args) != 5 || literal(call.Args[0]) != "[" || literal(call.Args[2]) != "=" {
		return false, false
	}
	value, word := valueIn(call.Args[1], args), literal(call.Args[3])
	return value == word, value != "" && word != ""
}
