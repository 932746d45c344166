package lint

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// bashisms looks for what bash or ksh knows, and dash does not, or does otherwise.
func bashisms(s *script, at finder) {
	if _, posix := s.isShell(); !posix && s.kind != Module || s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CallExpr:
			bashCommand(s, x, at)
		case *syntax.ParamExp:
			bashExpansion(s, x, at)
		case *syntax.Assign:
			if x.Append {
				at(x.Pos(), "%s+= is not known to sh: say %s=$%s...", x.Name.Value, x.Name.Value, x.Name.Value)
			} else if x.Index != nil {
				at(x.Pos(), "sh has no arrays")
			}
		case *syntax.Word:
			if braces := literalBraces(x); braces != "" {
				at(x.Pos(), "sh does not expand %s", braces)
			}
		case *syntax.CaseItem:
			if x.Op != syntax.Break {
				at(x.OpPos, "%s is not known to sh", x.Op)
			}
		case *syntax.UnaryArithm, *syntax.BinaryArithm:
			bashArithmetic(x.(syntax.ArithmExpr), at)
		default:
			if n == nil {
				return true
			}
			if what, instead := bashNode(n); strings.HasPrefix(what, "sh ") {
				at(n.Pos(), "%s", what)
			} else if what != "" {
				at(n.Pos(), "%s is not known to sh%s", what, instead)
			}
		}
		return true
	})
}

// bashNode names what sh does not have at all, and says what to write instead.
func bashNode(n syntax.Node) (what, instead string) {
	switch x := n.(type) {
	case *syntax.TestClause:
		return "[[", ": say ["
	case *syntax.ArithmCmd:
		return "((", ": say [ ... -gt ... ], or x=$((x + 1))"
	case *syntax.LetClause:
		return "let", ": say x=$((x + 1))"
	case *syntax.CoprocClause:
		return "coproc", ""
	case *syntax.DeclClause:
		if v := x.Variant.Value; v == "declare" || v == "typeset" || v == "nameref" {
			return v, ""
		}
	case *syntax.FuncDecl:
		if x.RsrvWord {
			return "the word function", ": say NAME()"
		}
	case *syntax.ForClause:
		if x.Select {
			return "select", ""
		}
	case *syntax.CStyleLoop:
		return "for ((", ": say while [ ... ]"
	case *syntax.ArrayExpr:
		return "sh has no arrays", ""
	case *syntax.ProcSubst:
		return "<( )", ""
	case *syntax.ExtGlob:
		return "a pattern like @(a|b)", ""
	case *syntax.SglQuoted:
		if x.Dollar {
			return "$'...'", ": say \"$(printf ...)\""
		}
	case *syntax.DblQuoted:
		if x.Dollar {
			return `$"..."`, ""
		}
	case *syntax.ArithmExp:
		if x.Bracket {
			return "$[ ]", ": say $(( ))"
		}
	case *syntax.BinaryCmd:
		if x.Op == syntax.PipeAll {
			return "|&", ": say 2>&1 |"
		}
	case *syntax.Redirect:
		switch x.Op {
		case syntax.RdrAll:
			return "&>", ": say >FILE 2>&1"
		case syntax.AppAll:
			return "&>>", ": say >>FILE 2>&1"
		case syntax.WordHdoc:
			return "<<<", ": say <<END"
		}
	}
	return "", ""
}

// literalBraces is {a,b} or {1..3} in a word, where bash would make several of it.
func literalBraces(w *syntax.Word) string {
	split := syntax.Word{Parts: slices.Clone(w.Parts)} // it is changed
	syntax.SplitBraces(&split)
	for _, part := range split.Parts {
		if b, ok := part.(*syntax.BraceExp); ok {
			if b.Sequence {
				return "{a..b}"
			}
			return "{a,b}"
		}
	}
	return ""
}

func bashArithmetic(x syntax.ArithmExpr, at finder) {
	switch x := x.(type) {
	case *syntax.UnaryArithm:
		if x.Op == syntax.Inc || x.Op == syntax.Dec {
			at(x.OpPos, "%s is not known to sh: say x=$((x + 1))", x.Op)
		}
	case *syntax.BinaryArithm:
		if x.Op == syntax.Pow || x.Op == syntax.Comma {
			at(x.OpPos, "%s is not known to sh", x.Op)
		}
	}
}

// bashVariables are set by bash; to sh they are empty.
var bashVariables = strings.Fields("RANDOM HOSTNAME SECONDS UID EUID FUNCNAME BASH_SOURCE BASH_VERSION BASHPID PIPESTATUS SRANDOM EPOCHSECONDS OSTYPE HOSTTYPE MACHTYPE")

func bashExpansion(s *script, x *syntax.ParamExp, at finder) {
	switch {
	case x.Index != nil:
		at(x.Pos(), "sh has no arrays")
	case x.Slice != nil:
		at(x.Pos(), "${%s:...} is not known to sh", x.Param.Value)
	case x.Repl != nil:
		at(x.Pos(), "${%s/...} is not known to sh", x.Param.Value)
	case x.Excl:
		at(x.Pos(), "${!...} is not known to sh: say eval")
	case x.Exp != nil && slices.Contains([]syntax.ParExpOperator{syntax.UpperFirst, syntax.UpperAll, syntax.LowerFirst, syntax.LowerAll, syntax.OtherParamOps}, x.Exp.Op):
		at(x.Pos(), "${%s%s...} is not known to sh", x.Param.Value, x.Exp.Op)
	case x.Param != nil && slices.Contains(bashVariables, x.Param.Value) && s.vars[x.Param.Value] == nil && isPlain(x):
		at(x.Pos(), "$%s is not set by sh", x.Param.Value)
	}
}

// onlyBash are commands that only bash, or ksh, has.
var onlyBash = strings.Fields("source pushd popd dirs shopt mapfile readarray select let disown builtin caller enable compgen integer whence coproc typeset declare print")

// badOptions are options of builtins that dash does not take: an argument that is one of the words, or has one of the letters.
var badOptions = map[string]struct{ letters, words string }{
	"read": {"adeiknNpstu", ""}, "printf": {"v", ""}, "export": {"fn", ""}, "echo": {"eE", ""}, "type": {"apPtf", ""}, "wait": {"npf", ""},
	"exec": {"acl", ""}, "set": {"EHTA", "pipefail posix errtrace functrace"}, "unset": {"n", ""}, "command": {"", ""},
	"trap": {"", "ERR DEBUG RETURN"}, "local": {"airnux", ""},
}

func bashCommand(s *script, x *syntax.CallExpr, at finder) {
	if len(x.Args) == 0 {
		return
	}
	name := literal(x.Args[0])
	if s.funcs[name] != nil {
		return
	}
	if slices.Contains(onlyBash, name) {
		at(x.Args[0].Pos(), "%s is not known to sh", name)
	}
	if name == "[" || name == "test" {
		for _, arg := range x.Args[1:] {
			if op := literal(arg); op == "==" || op == "=~" {
				at(arg.Pos(), "%s is not known to sh's test: say =", op)
			}
		}
	}
	bad, ok := badOptions[name]
	for i, arg := range x.Args[1:] {
		text := literal(arg)
		switch {
		case text == "--":
			return
		case !ok:
		case strings.HasPrefix(text, "-") && text != "--" && isSwitch(text, bad.letters) && (name != "read" || text != "-r"), text != "" && slices.Contains(strings.Fields(bad.words), text) && i > 0:
			if name == "echo" {
				at(arg.Pos(), "echo %s prints %s in sh: say printf", text, text)
			} else {
				at(arg.Pos(), "%s %s is not known to sh", name, text)
			}
		case strings.HasPrefix(text, "-"):
			continue
		}
		if name != "trap" && name != "set" {
			break // what comes after the first word is no option
		}
	}
	if name == "trap" || name == "kill" {
		for _, arg := range x.Args[1:] {
			if text := literal(arg); strings.HasPrefix(strings.TrimPrefix(text, "-"), "SIG") && strings.ToUpper(text) == text {
				at(arg.Pos(), "%s is not known to sh: signals are named without SIG", text)
			}
		}
	}
}
