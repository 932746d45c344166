package lint

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// What is wrong with a script for a failover, though a shell runs it.

func noBranch(s *script, at finder) {
	if shell, _ := s.isShell(); !shell || s.kind != Package || s.file == nil {
		return
	}
	for _, action := range []string{"start", "stop", "status"} {
		if _, ok := s.branch(action); !ok && !s.mentions(action) {
			at(syntax.Pos{}, "it has no case for %s", action)
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
		path, ok := s.modulePath(call.Args[1])
		if name, is := strings.CutPrefix(path, "modules/"); ok && is && !s.host.IsModule(name) {
			at(call.Args[1].Pos(), "there is no %s", path)
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
	if !ok || len(call.Args) == 0 || filepath.Base(literal(call.Args[0])) != "uname" {
		return false
	}
	return len(call.Args) == 1 || len(call.Args) == 2 && literal(call.Args[1]) == "-s"
}

// isSystem says whether the variable is only ever set to what uname says.
func (s *script) isSystem(name string) (is bool) {
	syntax.Walk(s.file, func(n syntax.Node) bool {
		a, ok := n.(*syntax.Assign)
		if !ok || a.Name == nil || a.Name.Value != name {
			return true
		}
		is = a.Value != nil && len(a.Value.Parts) == 1
		if is {
			part := a.Value.Parts[0]
			if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
				part = q.Parts[0]
			}
			c, ok := part.(*syntax.CmdSubst)
			is = ok && isUname(c)
		}
		return true
	})
	return is
}

// builtins are commands that no program does.
var builtins = strings.Fields(`. : [ alias bg break cd command continue echo eval exec exit export false fc fg getopts hash
	jobs kill local printf pwd read readonly return set shift source test times trap true type ulimit umask unalias
	unset wait let declare typeset`)

func missingCommands(s *script, at finder) {
	if s.file == nil {
		return
	}
	guarded, sources := s.guarded(), false
	_, posix := s.isShell()
	s.calls(func(name string, _ *syntax.CallExpr) { sources = sources || name == "." || name == "source" })
	if sources && s.kind == Other { // what it sources may have it
		return
	}
	s.calls(func(name string, call *syntax.CallExpr) {
		known := slices.Contains(builtins, name) || !posix && slices.Contains([]string{"print", "whence"}, name) || s.funcs[name] != nil || slices.Contains(guarded, name)
		switch {
		case known, strings.Contains(name, "/") && !filepath.IsAbs(name):
		case filepath.IsAbs(name) && !s.host.Exists(name):
			at(call.Pos(), "%s is not on this host", name)
		case !filepath.IsAbs(name) && !s.host.HasCommand(name):
			at(call.Pos(), "the command %s is not on this host", name)
		}
	})
}

// guarded is the commands that the script looks for before it calls them.
func (s *script) guarded() (names []string) {
	s.calls(func(name string, call *syntax.CallExpr) {
		switch name {
		case "command", "type", "which", "hash", "[", "test":
			for _, arg := range call.Args[1:] {
				names = append(names, literal(arg))
			}
		}
	})
	return names
}

func endlessLoops(s *script, at finder) {
	if s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		loop, ok := n.(*syntax.WhileClause)
		if !ok || s.mayEnd(loop) {
			return true
		}
		at(loop.Pos(), "the loop has neither a limit nor a sleep")
		return true
	})
}

// ending are commands that end a loop, wait in it, or take something from what it goes through.
var ending = []string{"sleep", "break", "exit", "return", "read", "wait", "shift", "getopts", "usleep", "inotifywait", "dex-wait", "exec"}

// mayEnd says whether a loop counts, waits, reads or can be left.
func (s *script) mayEnd(loop *syntax.WhileClause) (may bool) {
	s.walk("", append(slices.Clone(loop.Cond), loop.Do...), func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CallExpr:
			if len(x.Args) == 0 && len(x.Assigns) > 0 { // it counts, or goes on to the next
				may = true
			} else if len(x.Args) > 0 && slices.Contains(ending, filepath.Base(literal(x.Args[0]))) {
				may = true
			}
		case *syntax.ArithmCmd, *syntax.LetClause, *syntax.ArithmExp:
			may = true
		}
		return true
	})
	return may
}

// changing are commands that do more than look, whatever their arguments are.
var changing = strings.Fields(`rm mv cp ln mkdir rmdir touch mount umount chmod chown truncate dd kill pkill killall fuser-k
	reboot shutdown systemctl service useradd userdel rsync tee mkfs fsck`)

// looking are first arguments with which some of them only look.
var looking = strings.Fields(`-0 is-active is-enabled is-failed show status list-units cat`)

func statusChanges(s *script, at finder) {
	stmts, _ := s.branch("status")
	s.walk("status", stmts, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || !slices.Contains(changing, filepath.Base(literal(call.Args[0]))) {
			return true
		}
		for _, arg := range call.Args[1:] {
			if slices.Contains(looking, literal(arg)) {
				return true
			}
		}
		if name := literal(call.Args[0]); name != "mount" || len(call.Args) > 1 {
			at(call.Pos(), "status calls %s, which changes something", name)
		}
		return true
	})
}

func statusPrints(s *script, at finder) {
	stmts, _ := s.branch("status")
	for _, stmt := range stmts {
		call, ok := stmt.Cmd.(*syntax.CallExpr)
		if ok && len(stmt.Redirs) == 0 && len(call.Args) > 0 && slices.Contains([]string{"echo", "printf"}, literal(call.Args[0])) {
			at(stmt.Pos(), "status prints a line each time")
		}
	}
}

func statusBackground(s *script, at finder) {
	stmts, _ := s.branch("status")
	waits := false
	s.walk("status", stmts, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		waits = waits || ok && len(call.Args) > 0 && literal(call.Args[0]) == "wait"
		return true
	})
	if waits {
		return
	}
	s.walk("status", stmts, func(n syntax.Node) bool {
		if stmt, ok := n.(*syntax.Stmt); ok && stmt.Background {
			at(stmt.Pos(), "status leaves a process in the background")
		}
		return true
	})
}

func startNotReady(s *script, at finder) {
	stmts, _ := s.branch("start")
	for i, stmt := range stmts {
		if stmt.Background && !slices.ContainsFunc(stmts[i+1:], waits) {
			at(stmt.Pos(), "nothing waits until this is ready")
		}
	}
}

// waits says whether a statement may be one that waits for something: any but an assignment, a message or an exit.
func waits(stmt *syntax.Stmt) bool {
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok {
		return true
	}
	return len(call.Args) > 0 && !slices.Contains([]string{"echo", "printf", "exit", "true", ":"}, literal(call.Args[0]))
}

func moduleExit(s *script, at finder) {
	if s.kind != Module {
		return
	}
	stmts, _ := s.branch("stop")
	s.walk("stop", stmts, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst:
			return false // it ends only that
		case *syntax.BinaryCmd:
			if x.Op == syntax.Pipe || x.Op == syntax.PipeAll {
				return false
			}
		case *syntax.CallExpr:
			if len(x.Args) > 0 && literal(x.Args[0]) == "exit" {
				at(x.Pos(), "exit ends the stop of the whole package")
			}
		}
		return true
	})
}

var numbered = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*_)([0-9]+)$`)

func parameterGaps(s *script, at finder) {
	if s.kind != Package || s.file == nil {
		return
	}
	set := map[string]syntax.Pos{}
	for _, a := range s.parameters() {
		set[a.Name.Value] = a.Pos()
	}
	for name, pos := range set {
		m := numbered.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil || n == 0 {
			continue
		}
		before := m[1] + strconv.Itoa(n-1)
		_, first := set[m[1]+"0"]
		if _, ok := set[before]; !ok && first {
			at(pos, "%s is not set: what is numbered %d is not reached", before, n)
		}
	}
}

// parameters is what is set where every action of the script comes by.
func (s *script) parameters() (all []*syntax.Assign) {
	for _, stmt := range s.file.Stmts {
		if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) == 0 {
			all = append(all, call.Assigns...)
		}
	}
	return slices.DeleteFunc(all, func(a *syntax.Assign) bool { return a.Name == nil || a.Append })
}
