package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// What is wrong with a script for a failover, though a shell runs it.

func noBranch(s *script, at finder) {
	if shell, _ := s.isShell(); !shell || s.kind != Package || s.file == nil {
		return
	}
	for _, action := range []string{"start", "stop", "status"} {
		if pos, is := s.choice(action); !is && (pos.IsValid() || !s.mentions(action)) {
			at(pos, "there is no case for %s", action)
		}
	}
}

// mentions says whether action is a word of the script in another place than a comment.
func (s *script) mentions(action string) (found bool) {
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Comment:
			return false
		case *syntax.Word:
			found = found || literal(x) == action
		}
		return true
	})
	return found
}

func missingModules(s *script, at finder) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if name != "." && name != "source" || len(call.Args) < 2 {
			return
		}
		module, ok := s.modulePath(call.Args[1])
		if name, is := strings.CutPrefix(module, "modules/"); ok && is && !s.host.IsModule(name) {
			at(call.Args[1].Pos(), "there is no %s here: copy it from another node, or write it", module)
		}
	})
}

// modulePath is what a word says where all its variables are the name of the system.
func (s *script) modulePath(w *syntax.Word) (string, bool) {
	var b strings.Builder
	ok := true
	syntax.Walk(w, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Lit:
			b.WriteString(x.Value)
		case *syntax.SglQuoted:
			b.WriteString(x.Value)
		case *syntax.CmdSubst:
			ok = ok && isUname(x)
			b.WriteString(s.host.System)
			return false
		case *syntax.ParamExp:
			ok = ok && x.Exp == nil && x.Param != nil && s.isSystem(x.Param.Value)
			b.WriteString(s.host.System)
			return false
		}
		return true
	})
	return b.String(), ok
}

func isUname(c *syntax.CmdSubst) bool {
	if len(c.Stmts) != 1 {
		return false
	}
	call, ok := c.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 || path.Base(literal(call.Args[0])) != "uname" {
		return false
	}
	return len(call.Args) == 1 || len(call.Args) == 2 && literal(call.Args[1]) == "-s"
}

// isSystem says whether the variable is only ever set to what uname says.
func (s *script) isSystem(name string) bool {
	v := s.vars[name]
	return v != nil && !v.other && !v.counts && len(v.words) > 0 && !slices.ContainsFunc(v.words, func(w *syntax.Word) bool {
		if len(w.Parts) != 1 {
			return true
		}
		part := w.Parts[0]
		if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
			part = q.Parts[0]
		}
		c, ok := part.(*syntax.CmdSubst)
		return !ok || !isUname(c)
	})
}

func endlessLoops(s *script, at finder) {
	if s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.WhileClause:
			if !s.mayEnd(slices.Concat(x.Cond, x.Do)) {
				at(x.Pos(), "the loop has neither a limit nor a sleep: count the tries, and sleep between them")
			}
		case *syntax.ForClause:
			if c, ok := x.Loop.(*syntax.CStyleLoop); ok && c.Cond == nil && !s.mayEnd(x.Do) {
				at(x.Pos(), "the loop has neither a limit nor a sleep: count the tries, and sleep between them")
			}
		}
		return true
	})
}

// ending are commands that end a loop, wait in it, or take something from what it goes through.
var ending = []string{"sleep", "break", "exit", "return", "read", "wait", "shift", "getopts", "usleep", "inotifywait", "dex-wait", "exec", "expr", "let"}

// mostInLoops is how many parts of loops, and of what they call, are looked at: loops may be nested, and call the same.
const mostInLoops = 500_000

// mayEnd says whether a loop counts, waits, reads or can be left.
func (s *script) mayEnd(stmts []*syntax.Stmt) (may bool) {
	var w *walker
	w = s.walker("", func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CallExpr:
			if len(x.Args) == 0 && len(x.Assigns) > 0 { // it counts, or goes on to the next
				may = true
			} else if len(x.Args) > 0 && slices.ContainsFunc(unwrap(x.Args), func(w *syntax.Word) bool { return slices.Contains(ending, path.Base(literal(w))) }) {
				may = true
			}
		case *syntax.ArithmCmd, *syntax.LetClause, *syntax.ArithmExp:
			may = true
		}
		if s.inLoops++; s.inLoops > mostInLoops { // nobody knows
			may = true
		}
		w.stop = may
		return !may
	})
	w.list(stmts, nil)
	return may
}

func moduleExit(s *script, at finder) {
	if s.kind != Module {
		return
	}
	s.walk("stop", func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst:
			return false // it ends only that
		case *syntax.BinaryCmd:
			if x.Op == syntax.Pipe || x.Op == syntax.PipeAll {
				return false
			}
		case *syntax.CallExpr:
			if len(x.Args) > 0 && literal(x.Args[0]) == "exit" {
				at(x.Pos(), "exit ends the stop of the whole package: set ret=1 and go on")
			}
		}
		return true
	})
}
