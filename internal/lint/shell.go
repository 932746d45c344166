package lint

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
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
			at(syntax.NewPos(0, uint(i+1), uint(len(line))), "the line ends as in DOS, with \\r\\n: sed -i 's/\\r$//' takes that away")
			return // one says it for all
		}
	}
}

func byteOrderMark(s *script, at finder) {
	if bytes.HasPrefix(s.text, bom) {
		at(syntax.NewPos(0, 1, 1), "the file begins with a byte order mark: save it as UTF-8 without one")
	}
}

func noInterpreter(s *script, at finder) {
	name := s.interpreter()
	switch {
	case name == "" || s.kind == Module:
	case filepath.IsAbs(name) && !s.host.Exists(name), !strings.Contains(name, "/") && !s.host.HasCommand(name):
		col := 1 + max(0, strings.Index(string(s.text[:min(len(s.text), 256)]), name))
		at(syntax.NewPos(0, 1, uint(col)), "%s is not on this host: install it, or name another", name)
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
				text := s.value(side)
				if _, err := strconv.Atoi(strings.TrimSpace(text)); text != "" && err != nil {
					notANumber(side, literal(arg), text, at)
				}
			}
		}
	})
	if s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		t, ok := n.(*syntax.BinaryTest)
		if !ok || !slices.Contains(numeric, t.Op.String()) {
			return true
		}
		for _, side := range []syntax.TestExpr{t.X, t.Y} { // [[ takes a word for the name of a variable, and that for 0
			w, ok := side.(*syntax.Word)
			if text := ""; ok {
				if text = literal(w); identifier.FindString(text) == text && text != "" && s.vars[text] == nil {
					notANumber(w, t.Op.String(), text, at)
				}
			}
		}
		return true
	})
}

func notANumber(w *syntax.Word, op, text string, at finder) {
	instead := map[string]string{"-eq": ": say =", "-ne": ": say !="}[op]
	at(w.Pos(), "%s compares numbers, and %q is none%s", op, text, instead)
}

func unquotedTests(s *script, at finder) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if name != "[" && name != "test" {
			return
		}
		for _, arg := range call.Args[1:] {
			if len(arg.Parts) != 1 { // it is never empty, as x$1
				continue
			}
			if p, ok := arg.Parts[0].(*syntax.ParamExp); ok && !s.oneWordPart(p, mostSteps) {
				at(p.Pos(), "%[1]s is not in quotes: say \"%[1]s\"", s.between(p.Pos(), p.End()))
			}
		}
	})
}

func uncheckedCD(s *script, at finder) {
	if s.file == nil {
		return
	}
	line, _, _ := strings.Cut(string(s.source), "\n")
	careful := errExit.MatchString(line)
	s.calls(func(name string, call *syntax.CallExpr) {
		for i, w := range call.Args {
			arg := literal(w)
			careful = careful || name == "set" && (isSwitch(arg, "e") || arg == "errexit" && literal(call.Args[i-1]) == "-o")
		}
	})
	if careful {
		return
	}
	plain(s.file, func(stmt, next *syntax.Stmt) {
		call, ok := stmt.Cmd.(*syntax.CallExpr)
		if !ok || stmt.Negated || len(call.Args) < 2 || literal(call.Args[0]) != "cd" || literal(call.Args[1]) == "/" {
			return
		}
		if next != nil && !strings.Contains(s.between(next.Pos(), next.End()), "$?") {
			at(stmt.Pos(), "nothing looks whether cd worked: say cd DIR || exit 1")
		}
	})
}

// errExit is a first line that has the shell end where a command fails.
var errExit = regexp.MustCompile(`^#!\S+(\s+\S+)*\s+-[a-zA-Z]*e`)

// plain calls f for the statements that stand in a list by themselves, neither a condition nor a part of && and ||, with
// the next one; that is nil for the last of its list, whose status is the list's.
func plain(n syntax.Node, f func(stmt, next *syntax.Stmt)) {
	list := func(stmts []*syntax.Stmt) {
		for i, stmt := range stmts {
			if i+1 < len(stmts) {
				f(stmt, stmts[i+1])
			} else {
				f(stmt, nil)
			}
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
