package lint

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A step is a statement that is run when the script is called with an action, and what $1, $2 and so on are there: ""
// is one that is not known.
type step struct {
	stmt *syntax.Stmt
	args []string
}

// A walker goes through what is run when a script is called with an action: in functions that are called, too. Of a
// choice by an argument only what is for its value is looked at, where that is known.
type walker struct {
	s    *script
	f    func(syntax.Node) bool
	top  []string        // what the script is called with
	seen map[string]bool // functions, with their arguments

	stop   bool       // nothing more is looked for
	choice syntax.Pos // the first choice by the action
	chosen bool       // something there is for the action
}

func (s *script) walker(action string, f func(syntax.Node) bool) *walker {
	return &walker{s: s, f: f, top: []string{action}, seen: map[string]bool{}}
}

// choice says whether the script does something for action alone, and where it first chooses by what it is called with.
func (s *script) choice(action string) (at syntax.Pos, is bool) {
	if s.file == nil {
		return syntax.Pos{}, false
	}
	w := s.walker(action, func(syntax.Node) bool { return true })
	w.list(s.file.Stmts, w.top)
	return w.choice, w.chosen
}

// walk calls f for all nodes that are run when the script is called with action, if it does something for that.
func (s *script) walk(action string, f func(syntax.Node) bool) {
	if _, is := s.choice(action); is {
		w := s.walker(action, f)
		w.list(s.file.Stmts, w.top)
	}
}

// steps is what is run when the script is called with action, one after the other: choices by the action are made, and
// functions that are called stand for what they do.
func (s *script) steps(action string) []step {
	if _, is := s.choice(action); !is {
		return nil
	}
	w := s.walker(action, func(syntax.Node) bool { return true })
	steps, _ := w.steps(s.file.Stmts, w.top)
	return steps
}

// list walks through statements where $1, $2 and so on are args.
func (w *walker) list(stmts []*syntax.Stmt, args []string) {
	for _, stmt := range stmts {
		if w.stop {
			return
		}
		syntax.Walk(stmt, func(n syntax.Node) bool { return w.node(n, args) })
		if w.ends(stmt, args) {
			return
		}
		args = w.s.shifted(stmt, args)
	}
}

// shifted is what args are after a statement.
func (s *script) shifted(stmt *syntax.Stmt, args []string) []string {
	if s.command(stmt) == "shift" && len(args) > 0 {
		return args[1:]
	}
	return args
}

// steps is list, as steps; ended says that the script ends with the last.
func (w *walker) steps(stmts []*syntax.Stmt, args []string) (steps []step, ended bool) {
	for _, stmt := range stmts {
		inner, innerArgs, ok := w.into(stmt, args)
		if !ok {
			steps = append(steps, step{stmt, args})
			if name := w.s.command(stmt); name == "exit" || name == "return" {
				return steps, name == "exit"
			}
		} else {
			more, ended := w.steps(inner, innerArgs)
			if steps = append(steps, more...); ended {
				return steps, true
			}
		}
		if w.ends(stmt, args) {
			break
		}
		args = w.s.shifted(stmt, args)
	}
	return steps, false
}

// into is the statements that are run for one that only chooses them, or calls a function.
func (w *walker) into(stmt *syntax.Stmt, args []string) (stmts []*syntax.Stmt, inner []string, ok bool) {
	if stmt.Background || stmt.Negated || len(stmt.Redirs) > 0 {
		return nil, nil, false
	}
	switch x := stmt.Cmd.(type) {
	case *syntax.FuncDecl:
		return nil, nil, true
	case *syntax.Block:
		return x.Stmts, args, true
	case *syntax.CaseClause:
		if value := w.valueIn(x.Word, args); value != "" {
			return w.choose(x, value), args, true
		}
	case *syntax.IfClause:
		for ; x != nil; x = x.Else {
			is, sure := w.compares(x, args)
			if is || len(x.Cond) == 0 {
				return x.Then, args, true
			} else if !sure {
				return nil, nil, false
			}
		}
		return nil, nil, true
	case *syntax.BinaryCmd:
		if is, sure := w.isWord(x.X, args); sure && x.Op == syntax.AndStmt {
			if is {
				stmts = append(stmts, x.Y)
			}
			return stmts, args, true
		}
	case *syntax.CallExpr:
		if fn, given := w.called(x, args); fn != nil && !w.s.runs(fn.Name.Value) && w.first(fn, given) {
			return []*syntax.Stmt{fn.Body}, given, true
		}
	}
	return nil, nil, false
}

// ends says whether what is run comes no further than stmt, because of what $1 and so on are: [ "$1" = WORD ] || return.
func (w *walker) ends(stmt *syntax.Stmt, args []string) bool {
	var last []*syntax.Stmt
	switch x := stmt.Cmd.(type) {
	case *syntax.BinaryCmd:
		if is, sure := w.isWord(x.X, args); sure && (is && x.Op == syntax.AndStmt || !is && x.Op == syntax.OrStmt) {
			last = []*syntax.Stmt{x.Y}
		}
	case *syntax.CaseClause, *syntax.IfClause:
		last, _, _ = w.into(stmt, args)
	}
	if len(last) == 0 {
		return false
	}
	name := w.s.command(last[len(last)-1])
	return name == "return" || name == "exit"
}

func (w *walker) node(n syntax.Node, args []string) bool {
	if w.stop {
		return false
	}
	switch x := n.(type) {
	case nil:
		return true
	case *syntax.FuncDecl:
		return false
	case *syntax.Block:
		w.list(x.Stmts, args)
		return false
	case *syntax.CaseClause:
		if value := w.valueIn(x.Word, args); value != "" {
			w.list(w.choose(x, value), args)
			return false
		}
	case *syntax.IfClause:
		if is, sure := w.compares(x, args); sure {
			w.branch(x, is, args)
			return false
		}
	case *syntax.BinaryCmd:
		if is, sure := w.isWord(x.X, args); sure && !is && x.Op == syntax.AndStmt {
			return false
		}
	case *syntax.CallExpr:
		if fn, given := w.called(x, args); fn != nil && w.first(fn, given) {
			w.list([]*syntax.Stmt{fn.Body}, given)
		}
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
		syntax.Walk(x.Else, func(n syntax.Node) bool { return w.node(n, args) })
	}
}

// called is the function that is called, and its arguments; "$1" may be its name.
func (w *walker) called(x *syntax.CallExpr, args []string) (fn *syntax.FuncDecl, given []string) {
	if len(x.Args) == 0 {
		return nil, nil
	}
	name := literal(x.Args[0])
	if name == "" {
		name = w.valueIn(x.Args[0], args)
		w.chosen = w.chosen || name != "" && w.s.funcs[name] != nil
	}
	if fn = w.s.funcs[name]; fn == nil {
		return nil, nil
	}
	for _, arg := range x.Args[1:] {
		if p := param(arg); p != nil && p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*") {
			given = append(given, args...)
			continue
		}
		value := w.valueIn(arg, args)
		if value == "" {
			value = literal(arg)
		}
		given = append(given, value)
	}
	return fn, given[:min(len(given), mostArgs)]
}

// mostCalls is how many calls of functions with different arguments are looked at, and mostArgs how many of these: a
// function may call itself with ever more of them.
const (
	mostCalls = 500
	mostArgs  = 9
)

// first says whether a function is gone into with these arguments for the first time.
func (w *walker) first(fn *syntax.FuncDecl, given []string) bool {
	if len(w.seen) >= mostCalls {
		return false
	}
	key := strings.Join(append([]string{fn.Name.Value}, given...), "\x00")
	if w.seen[key] {
		return false
	}
	w.seen[key] = true
	return true
}

// choose is the statements of a case that are for value.
func (w *walker) choose(c *syntax.CaseClause, value string) []*syntax.Stmt {
	if !w.choice.IsValid() {
		w.choice = c.Pos()
	}
	for _, item := range c.Items {
		for _, pattern := range item.Patterns {
			text := literal(pattern)
			if is, err := path.Match(text, value); !is || err != nil {
				continue
			}
			w.chosen = w.chosen || text != "*" || slices.ContainsFunc(item.Stmts, w.s.hands)
			return item.Stmts
		}
	}
	return nil
}

// hands says whether a statement gives what the script is called with to another command.
func (s *script) hands(stmt *syntax.Stmt) (found bool) {
	syntax.Walk(stmt, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if ok && len(call.Args) > 0 && !slices.Contains([]string{"echo", "printf", "logger"}, literal(call.Args[0])) {
			found = found || slices.ContainsFunc(call.Args, func(w *syntax.Word) bool {
				p := param(w)
				return argument(w) == 1 || s.alias(w) == 1 || p != nil && p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*")
			})
		}
		return true
	})
	return found
}

// command is the name of the command that a statement just calls; else "".
func (s *script) command(stmt *syntax.Stmt) string {
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 {
		return literal(call.Args[0])
	}
	return ""
}

// valueIn is what a word is where it is just one of $1, $2 and so on; "" where that is not known.
func (w *walker) valueIn(word *syntax.Word, args []string) string {
	n := argument(word)
	if n == 0 {
		n, args = w.s.alias(word), w.top
	}
	if n > 0 && n <= len(args) {
		return args[n-1]
	}
	return ""
}

// argument is N where w is just $N, or that in quotes; else 0.
func argument(w *syntax.Word) int {
	p := param(w)
	if p == nil || p.Param == nil || p.Length || p.Excl || p.Slice != nil || p.Repl != nil {
		return 0
	}
	if p.Exp != nil && p.Exp.Op != syntax.DefaultUnset && p.Exp.Op != syntax.DefaultUnsetOrNull {
		return 0
	}
	n, err := strconv.Atoi(p.Param.Value)
	if err != nil {
		return 0
	}
	return n
}

// alias is N where w is just a variable that is only ever set to the $N that the script was called with; else 0.
func (s *script) alias(w *syntax.Word) int {
	p := param(w)
	if p == nil || !isPlain(p) || !s.outside[p.Param.Value] {
		return 0
	}
	if v := s.vars[p.Param.Value]; v != nil && !v.other && !v.counts && len(v.words) == 1 {
		return argument(v.words[0])
	}
	return 0
}

// compares says whether the condition of x, that one of args is a word, is true; sure is false where it is another
// condition, or the argument is not known.
func (w *walker) compares(x *syntax.IfClause, args []string) (is, sure bool) {
	if len(x.Cond) != 1 {
		return false, false
	}
	return w.isWord(x.Cond[0], args)
}

// isWord is compares, of a statement.
func (w *walker) isWord(stmt *syntax.Stmt, args []string) (is, sure bool) {
	left, right := compared(stmt)
	if left == nil || stmt.Negated {
		return false, false
	}
	value, word := w.valueIn(left, args), literal(right)
	if value == "" || word == "" {
		return false, false
	}
	if !w.choice.IsValid() {
		w.choice = stmt.Pos()
	}
	w.chosen = w.chosen || value == word
	return value == word, true
}

// compared is the words that a test compares, if that is all that it does.
func compared(stmt *syntax.Stmt) (left, right *syntax.Word) {
	switch x := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		args := x.Args
		if len(args) == 5 && literal(args[0]) == "[" {
			args = args[:4]
		} else if len(args) != 4 || literal(args[0]) != "test" {
			return nil, nil
		}
		if op := literal(args[2]); op == "=" || op == "==" {
			return args[1], args[3]
		}
	case *syntax.TestClause:
		if t, ok := x.X.(*syntax.BinaryTest); ok && (t.Op == syntax.TsMatch || t.Op == syntax.TsMatchShort) {
			left, _ = t.X.(*syntax.Word)
			right, _ = t.Y.(*syntax.Word)
			if right != nil {
				return left, right
			}
		}
	}
	return nil, nil
}
