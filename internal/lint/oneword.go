package lint

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A Place is where in a file something is.
type Place struct{ Line, Col uint }

// OneWords is where a script expands what is one word there, whatever comes: it needs no quotes.
func OneWords(path string, kind Kind, text []byte) map[Place]bool {
	places := map[Place]bool{}
	s := read(path, kind, text, Host{})
	if s.file == nil {
		return places
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch p := n.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst:
			if s.oneWordPart(p.(syntax.WordPart), mostSteps) {
				places[Place{p.Pos().Line(), p.Pos().Col()}] = true
			}
		}
		return true
	})
	return places
}

// mostSteps is how many variables are looked at that are set to each other.
const mostSteps = 5

// isNumber says whether p can only be a number, or the script's name: $?, $# and the like, the length of something.
func isNumber(p *syntax.ParamExp) bool {
	return p.Param == nil || p.Length || p.Param.Value != "" && strings.Contains("?#$!0", p.Param.Value)
}

// isOneWord says whether the script sets a variable, and only ever to what is one word without blanks.
func (s *script) isOneWord(name string, depth int) bool {
	v := s.vars[name]
	if v == nil || v.other || depth == 0 {
		return false
	}
	return (len(v.words) > 0 || v.counts) && !slices.ContainsFunc(v.words, func(w *syntax.Word) bool { return !s.oneWord(w, depth-1) })
}

// oneWord says whether w is one word without blanks, whatever comes: never an empty one.
func (s *script) oneWord(w *syntax.Word, depth int) bool {
	var parts []syntax.WordPart
	for _, part := range w.Parts {
		if q, ok := part.(*syntax.DblQuoted); ok {
			parts = append(parts, q.Parts...)
		} else {
			parts = append(parts, part)
		}
	}
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(p syntax.WordPart) bool { return !s.oneWordPart(p, depth) })
}

func (s *script) oneWordPart(part syntax.WordPart, depth int) bool {
	const breaking = " \t\n*?["
	switch x := part.(type) {
	case *syntax.Lit:
		return x.Value != "" && !strings.ContainsAny(x.Value, breaking)
	case *syntax.SglQuoted:
		return x.Value != "" && !strings.ContainsAny(x.Value, breaking)
	case *syntax.ArithmExp:
		return true
	case *syntax.ParamExp:
		return isNumber(x) || isPlain(x) && s.isOneWord(x.Param.Value, depth) ||
			x.Exp != nil && x.Exp.Op == syntax.DefaultUnsetOrNull && x.Exp.Word != nil && s.isOneWord(x.Param.Value, depth) && s.oneWord(x.Exp.Word, depth)
	case *syntax.CmdSubst:
		return s.saysOneWord(x.Stmts, depth)
	}
	return false
}

// saysOneWord says whether what is run in $( ) says a number or a name, whatever comes.
func (s *script) saysOneWord(stmts []*syntax.Stmt, depth int) bool {
	if len(stmts) != 1 {
		return false
	}
	cmd, piped := stmts[0].Cmd, false
	for {
		pipe, ok := cmd.(*syntax.BinaryCmd)
		if !ok || pipe.Op != syntax.Pipe && pipe.Op != syntax.PipeAll {
			break
		}
		cmd, piped = pipe.Y.Cmd, true
	}
	call, ok := cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	if fn := s.funcs[literal(call.Args[0])]; fn != nil && depth > 0 {
		body, ok := fn.Body.Cmd.(*syntax.Block)
		return ok && s.saysOneWord(body.Stmts, depth-1)
	}
	first := ""
	if len(call.Args) > 1 {
		first = literal(call.Args[1])
	}
	switch literal(call.Args[0]) {
	case "expr", "mktemp":
		return true
	case "hostname", "uname", "whoami", "nproc":
		return len(call.Args) == 1 || len(call.Args) == 2 && len(first) == 2
	case "id":
		return strings.HasPrefix(first, "-")
	case "date":
		return strings.HasPrefix(first, "+") && !strings.ContainsAny(first, " \t")
	case "wc":
		return piped && len(call.Args) == 2
	case "grep", "egrep", "fgrep":
		return strings.HasPrefix(first, "-") && strings.Contains(first, "c") && piped
	}
	return false
}
