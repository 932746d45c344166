package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// startNotReady looks for what start leaves running in the background, where nothing comes after it that may wait for it.
func startNotReady(s *script, at finder) {
	r := readiness{s: s, seen: map[*syntax.FuncDecl]bool{}}
	for _, step := range s.steps("start") {
		r.stmt(step.stmt)
	}
	if r.pending.IsValid() {
		at(r.pending, "nothing waits until this is ready: the first status may find it down")
	}
}

// A readiness goes through a start.
type readiness struct {
	s       *script
	pending syntax.Pos                // what was begun last and not waited for
	seen    map[*syntax.FuncDecl]bool // functions that we are in
	calls   int
}

func (r *readiness) list(stmts []*syntax.Stmt) {
	for _, stmt := range stmts {
		r.stmt(stmt)
	}
}

func (r *readiness) stmt(stmt *syntax.Stmt) {
	if stmt.Background {
		if !r.brief(stmt.Cmd) {
			r.pending = stmt.Pos()
		}
		return
	}
	switch x := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		r.call(x)
	case *syntax.BinaryCmd:
		r.stmt(x.X)
		r.stmt(x.Y)
	case *syntax.Block:
		r.list(x.Stmts)
	case *syntax.IfClause:
		r.choose(x)
	case *syntax.CaseClause:
		before, after := r.pending, syntax.Pos{}
		for _, item := range x.Items {
			r.pending = before
			if r.list(item.Stmts); r.pending.IsValid() {
				after = r.pending
			}
		}
		r.pending = after
	case *syntax.ForClause:
		r.pending = syntax.Pos{}
		r.list(x.Do)
	case *syntax.FuncDecl, *syntax.TestClause, *syntax.ArithmCmd, *syntax.DeclClause, nil:
	default: // a loop, a subshell: it may wait
		r.pending = syntax.Pos{}
	}
}

// choose goes through the parts of an if: one that leaves something pending is enough.
func (r *readiness) choose(x *syntax.IfClause) {
	r.list(x.Cond)
	before, after := r.pending, syntax.Pos{}
	last := x
	for ; x != nil; x, last = x.Else, x {
		r.pending = before
		if r.list(x.Then); r.pending.IsValid() {
			after = r.pending
		}
	}
	if r.pending = after; len(last.Cond) > 0 && before.IsValid() && !after.IsValid() { // no else
		r.pending = before
	}
}

// brief says whether what is put into the background ends by itself, and is not what the package is for.
func (r *readiness) brief(cmd syntax.Command) bool {
	call, ok := cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	words := unwrap(call.Args)
	return len(words) > 0 && slices.Contains([]string{"arping", "logger", "mail", "mailx", "sendmail", "echo", "wall"}, path.Base(literal(words[0])))
}

// quick are commands that wait for nothing.
var quick = strings.Fields(`echo printf print exit true : return logger touch chmod chown set export local [ test cd rm mkdir trap umask`)

func (r *readiness) call(call *syntax.CallExpr) {
	words := unwrap(call.Args)
	if len(words) == 0 {
		return
	}
	name := literal(words[0])
	for i, text := range r.s.quoted(words) {
		f := strings.Fields(text)
		if leaves(text) || len(f) > 0 && detaches(path.Base(f[0]), f[1:]) {
			r.pending = i
			return
		}
	}
	if fn := r.s.funcs[name]; fn != nil {
		if r.calls++; r.calls < mostCalls && !r.seen[fn] {
			r.seen[fn] = true
			r.stmt(fn.Body)
			r.seen[fn] = false
		}
		return
	}
	var args []string
	for _, w := range words[1:] {
		args = append(args, r.s.value(w))
	}
	switch {
	case detaches(path.Base(name), args):
		r.pending = words[0].Pos()
	case !slices.Contains(quick, name):
		r.pending = syntax.Pos{}
	}
}

// detaches says whether a program puts what it starts into the background, and does not wait until that is ready.
func detaches(name string, args []string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(words, a) })
	}
	switch name {
	case "start-stop-daemon":
		return has("-b", "--background") && has("-S", "--start") && !has("--notify-await")
	case "systemctl":
		return has("--no-block")
	case "setsid":
		return has("-f", "--fork")
	case "pg_ctl":
		return has("-W", "--no-wait") && has("start", "restart")
	case "daemon", "daemonize", "batch":
		return true
	}
	return false
}

// leaves says whether a command ends with something in the background.
func leaves(text string) bool {
	text = strings.TrimRight(text, " \t\n;")
	return strings.HasSuffix(text, "&") && !strings.HasSuffix(text, "&&")
}

// quoted is what su, sh or a function that calls them is told to run, as it is written, by where it begins.
func (s *script) quoted(words []*syntax.Word) map[syntax.Pos]string {
	texts := map[syntax.Pos]string{}
	runs := s.runs(literal(words[0]))
	for i, w := range words[1:] {
		if before := literal(words[i]); runs || before == "-c" || before == "--command" {
			texts[w.Pos()] = strings.Trim(s.between(w.Pos(), w.End()), `"'`)
		}
	}
	return texts
}

// runs says whether a function of the script runs what it is told, as another user perhaps.
func (s *script) runs(name string) (does bool) {
	fn := s.funcs[name]
	if fn == nil {
		return false
	}
	if does, known := s.runners[name]; known {
		return does
	}
	defer func() { s.runners[name] = does }()
	syntax.Walk(fn.Body, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if ok && len(call.Args) > 1 && slices.Contains([]string{"su", "runuser", "sudo", "sh", "bash", "ksh", "ssh", "eval"}, path.Base(literal(call.Args[0]))) {
			does = does || slices.ContainsFunc(call.Args, func(w *syntax.Word) bool {
				p := param(w)
				return argument(w) == 1 || p != nil && p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*")
			})
		}
		return true
	})
	return does
}
