package lint

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// What is wrong with a script as a shell script.

func notParsed(s *script, at finder) {
	if shell, _ := s.isShell(); !shell || s.fault == nil {
		return
	}
	var p syntax.ParseError
	if errors.As(s.fault, &p) {
		at(p.Pos, "%s", p.Text)
		return
	}
	at(syntax.Pos{}, "%v", s.fault)
}

func carriageReturns(s *script, at finder) {
	for i, line := range bytes.Split(s.text, []byte("\n")) {
		if bytes.HasSuffix(line, []byte("\r")) {
			at(syntax.NewPos(0, uint(i+1), uint(len(line))), "the line ends as in DOS, with \\r\\n")
			return // one says it for all
		}
	}
}

func byteOrderMark(s *script, at finder) {
	if bytes.HasPrefix(s.text, bom) {
		at(syntax.NewPos(0, 1, 1), "the file begins with a byte order mark")
	}
}

func noInterpreter(s *script, at finder) {
	name := strings.TrimSuffix(s.interpreter(), "\r")
	switch {
	case name == "" || s.kind == Module:
	case filepath.IsAbs(name) && !s.host.Exists(name), !strings.Contains(name, "/") && !s.host.HasCommand(name):
		at(syntax.NewPos(0, 1, 1), "%s is not on this host", name)
	}
}

func bashisms(s *script, at finder) {
	if _, posix := s.isShell(); !posix && s.kind != Module || s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.TestClause:
			at(x.Pos(), "[[ is not known to sh")
		case *syntax.ArithmCmd:
			at(x.Pos(), "(( is not known to sh")
		case *syntax.LetClause:
			at(x.Pos(), "let is not known to sh")
		case *syntax.DeclClause:
			if v := x.Variant.Value; v == "declare" || v == "typeset" || v == "nameref" {
				at(x.Pos(), "%s is not known to sh", v)
			}
		case *syntax.FuncDecl:
			if x.RsrvWord {
				at(x.Pos(), "the word function is not known to sh: say NAME()")
			}
		case *syntax.ArrayExpr:
			at(x.Pos(), "sh has no arrays")
		case *syntax.ProcSubst:
			at(x.Pos(), "<( ) is not known to sh")
		case *syntax.ExtGlob:
			at(x.Pos(), "patterns like @(a|b) are not known to sh")
		case *syntax.SglQuoted:
			if x.Dollar {
				at(x.Pos(), "$'...' is not known to sh")
			}
		case *syntax.Redirect:
			if x.Op == syntax.RdrAll || x.Op == syntax.AppAll || x.Op == syntax.WordHdoc {
				at(x.Pos(), "%s is not known to sh", x.Op)
			}
		case *syntax.ParamExp:
			bashExpansion(x, at)
		case *syntax.CallExpr:
			bashCommand(s, x, at)
		}
		return true
	})
}

func bashExpansion(x *syntax.ParamExp, at finder) {
	switch {
	case x.Index != nil:
		at(x.Pos(), "sh has no arrays")
	case x.Slice != nil:
		at(x.Pos(), "${%s:...} is not known to sh", x.Param.Value)
	case x.Repl != nil:
		at(x.Pos(), "${%s/...} is not known to sh", x.Param.Value)
	case x.Excl:
		at(x.Pos(), "${!...} is not known to sh")
	case x.Exp != nil && (x.Exp.Op == syntax.UpperFirst || x.Exp.Op == syntax.UpperAll || x.Exp.Op == syntax.LowerFirst || x.Exp.Op == syntax.LowerAll):
		at(x.Pos(), "${%s%s} is not known to sh", x.Param.Value, x.Exp.Op)
	}
}

func bashCommand(s *script, x *syntax.CallExpr, at finder) {
	if len(x.Args) == 0 {
		return
	}
	switch name := literal(x.Args[0]); name {
	case "source", "pushd", "popd", "shopt", "mapfile", "readarray", "select":
		if s.funcs[name] == nil {
			at(x.Pos(), "%s is not known to sh", name)
		}
	case "[", "test":
		for _, arg := range x.Args[1:] {
			if op := literal(arg); op == "==" || op == "=~" {
				at(arg.Pos(), "%s is not known to sh's test: say =", op)
			}
		}
	}
}

var numeric = []string{"-eq", "-ne", "-lt", "-le", "-gt", "-ge"}

func wordsAsNumbers(s *script, at finder) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if name != "[" && name != "test" {
			return
		}
		args := call.Args
		for i, arg := range args {
			if i == 0 || i+1 == len(args) || !slices.Contains(numeric, literal(arg)) {
				continue
			}
			for _, side := range []*syntax.Word{args[i-1], args[i+1]} {
				text := literal(side)
				if _, err := strconv.Atoi(strings.TrimSpace(text)); text != "" && err != nil {
					at(side.Pos(), "%s compares numbers, and %q is none", literal(arg), text)
				}
			}
		}
	})
}

func unquotedTests(s *script, at finder) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if name != "[" && name != "test" {
			return
		}
		for _, arg := range call.Args[1:] {
			for _, part := range arg.Parts {
				if p, ok := part.(*syntax.ParamExp); ok && !isNumber(p) && !s.isOneWord(p.Param.Value) {
					at(p.Pos(), "$%s is not in quotes", p.Param.Value)
				}
			}
		}
	})
}

// isNumber says whether p can only be a number: $? and $#, the length of something.
func isNumber(p *syntax.ParamExp) bool {
	return p.Param == nil || p.Length || strings.Contains("?#$!", p.Param.Value) && p.Param.Value != ""
}

// isOneWord says whether the script sets a variable, and only ever to what is one word without blanks: a literal, or a number.
func (s *script) isOneWord(name string) bool {
	set, other := false, false
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Assign:
			if x.Name != nil && x.Name.Value == name {
				set = true
				other = other || x.Value == nil || !oneWord(x.Value)
			}
		case *syntax.WordIter:
			if x.Name.Value == name {
				set = true
				other = other || slices.ContainsFunc(x.Items, func(w *syntax.Word) bool { return !oneWord(w) })
			}
		case *syntax.CallExpr:
			other = other || len(x.Args) > 0 && literal(x.Args[0]) == "read" &&
				slices.ContainsFunc(x.Args, func(w *syntax.Word) bool { return literal(w) == name })
		}
		return true
	})
	return set && !other
}

// oneWord says whether w is one word without blanks, whatever comes: never an empty one.
func oneWord(w *syntax.Word) bool {
	if text := literal(w); text != "" {
		return !strings.ContainsAny(text, " \t\n*?[")
	}
	if len(w.Parts) != 1 {
		return false
	}
	part := w.Parts[0]
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part = q.Parts[0]
	}
	switch x := part.(type) {
	case *syntax.ArithmExp:
		return true
	case *syntax.ParamExp:
		return isNumber(x)
	case *syntax.CmdSubst:
		if len(x.Stmts) == 1 {
			call, ok := x.Stmts[0].Cmd.(*syntax.CallExpr)
			return ok && len(call.Args) > 0 && literal(call.Args[0]) == "expr"
		}
	}
	return false
}

func uncheckedCD(s *script, at finder) {
	if s.file == nil {
		return
	}
	careful := false
	s.calls(func(name string, call *syntax.CallExpr) {
		if name == "set" && len(call.Args) > 1 && strings.HasPrefix(literal(call.Args[1]), "-") && strings.Contains(literal(call.Args[1]), "e") {
			careful = true
		}
	})
	if careful {
		return
	}
	plain(s.file, func(stmt *syntax.Stmt, last bool) {
		call, ok := stmt.Cmd.(*syntax.CallExpr)
		if ok && !last && !stmt.Negated && len(call.Args) > 0 && literal(call.Args[0]) == "cd" {
			at(stmt.Pos(), "nothing looks whether cd worked")
		}
	})
}

// plain calls f for the statements that stand in a list by themselves, neither a condition nor a part of && and ||.
// last says that it is the last of its list, so that its status is the list's.
func plain(n syntax.Node, f func(stmt *syntax.Stmt, last bool)) {
	list := func(stmts []*syntax.Stmt) {
		for i, stmt := range stmts {
			f(stmt, i == len(stmts)-1)
		}
	}
	syntax.Walk(n, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.File:
			list(x.Stmts)
		case *syntax.Block:
			list(x.Stmts)
		case *syntax.Subshell:
			list(x.Stmts)
		case *syntax.CmdSubst:
			list(x.Stmts)
		case *syntax.IfClause:
			list(x.Then)
		case *syntax.WhileClause:
			list(x.Do)
		case *syntax.ForClause:
			list(x.Do)
		case *syntax.CaseItem:
			list(x.Stmts)
		}
		return true
	})
}
