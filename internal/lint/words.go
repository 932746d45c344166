package lint

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A variable is what a script sets a variable to.
type variable struct {
	words  []*syntax.Word
	other  bool // to something that is no word of the script, too: read, an argument, +=
	counts bool // to numbers, too: $((n += 1))
}

// collect takes note of the script's functions and variables.
func (s *script) collect() {
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.FuncDecl:
			s.funcs[x.Name.Value] = x
		case *syntax.Assign:
			s.assigned(x)
		case *syntax.WordIter:
			v := s.variable(x.Name.Value)
			v.words = append(v.words, x.Items...)
			v.other = v.other || len(x.Items) == 0
		case *syntax.ParamExp:
			if x.Param != nil && x.Exp != nil && (x.Exp.Op == syntax.AssignUnset || x.Exp.Op == syntax.AssignUnsetOrNull) {
				s.variable(x.Param.Value).other = true
			}
		case *syntax.UnaryArithm:
			if w, ok := x.X.(*syntax.Word); ok && (x.Op == syntax.Inc || x.Op == syntax.Dec) {
				s.variable(literal(w)).counts = true
			}
		case *syntax.BinaryArithm:
			if w, ok := x.X.(*syntax.Word); ok && strings.HasSuffix(x.Op.String(), "=") {
				s.variable(literal(w)).counts = true
			}
		case *syntax.CallExpr:
			s.setBy(x)
		}
		return true
	})
	syntax.Walk(s.file, func(n syntax.Node) bool {
		if a, ok := n.(*syntax.Assign); ok && a.Name != nil {
			s.outside[a.Name.Value] = true
		}
		_, ok := n.(*syntax.FuncDecl)
		return !ok
	})
}

// setBy takes note of what a command sets that is told the names of variables.
func (s *script) setBy(call *syntax.CallExpr) {
	if len(call.Args) < 2 {
		return
	}
	switch name := literal(call.Args[0]); {
	case name == "eval":
		for _, m := range assigning.FindAllStringSubmatch(s.between(call.Args[1].Pos(), call.End()), -1) {
			s.variable(m[1]).other = true
		}
	case name == "printf" && literal(call.Args[1]) != "-v":
	case slices.Contains([]string{"read", "getopts", "printf", "unset", "mapfile", "readarray"}, name):
		for _, w := range call.Args[1:] {
			s.variable(literal(w)).other = true
		}
	}
}

var assigning = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)=`)

// between is the text of the script from one place to another.
func (s *script) between(from, to syntax.Pos) string {
	end := min(to.Offset(), uint(len(s.source)))
	return string(s.source[min(from.Offset(), end):end])
}

func (s *script) variable(name string) *variable {
	if s.vars[name] == nil {
		s.vars[name] = &variable{}
	}
	return s.vars[name]
}

func (s *script) assigned(a *syntax.Assign) {
	if a.Name == nil || a.Naked {
		return
	}
	v := s.variable(a.Name.Value)
	switch {
	case a.Append || a.Index != nil || a.Array != nil:
		v.other = true
	case a.Value == nil:
		v.words = append(v.words, &syntax.Word{})
	default:
		v.words = append(v.words, a.Value)
	}
}

// constant is the value of a variable that the script sets once, to what needs no shell to know.
func (s *script) constant(name string, depth int) (string, bool) {
	v := s.vars[name]
	if v == nil || v.other || v.counts || len(v.words) != 1 || depth == 0 {
		return "", false
	}
	text, ok := s.valueOf(v.words[0], depth-1)
	return text, ok && text != ""
}

// value is what a word says where all variables in it are constant; else "".
func (s *script) value(w *syntax.Word) string {
	text, _ := s.valueOf(w, mostSteps)
	return text
}

func (s *script) valueOf(w *syntax.Word, depth int) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		quoted, ok := part.(*syntax.DblQuoted)
		if !ok {
			quoted = &syntax.DblQuoted{Parts: []syntax.WordPart{part}}
		}
		for _, part := range quoted.Parts {
			switch p := part.(type) {
			case *syntax.Lit:
				b.WriteString(p.Value)
			case *syntax.SglQuoted:
				b.WriteString(p.Value)
			case *syntax.ParamExp:
				text, ok := "", false
				if isPlain(p) {
					text, ok = s.constant(p.Param.Value, depth)
				}
				if !ok {
					return "", false
				}
				b.WriteString(text)
			default:
				return "", false
			}
		}
	}
	return b.String(), true
}

// isPlain says whether p is just $name or ${name}.
func isPlain(p *syntax.ParamExp) bool {
	return p.Param != nil && !p.Excl && !p.Length && p.Index == nil && p.Slice == nil && p.Repl == nil && p.Exp == nil
}

// param is the expansion that w just is, in quotes or not; else nil.
func param(w *syntax.Word) *syntax.ParamExp {
	if w == nil || len(w.Parts) != 1 {
		return nil
	}
	part := w.Parts[0]
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part = q.Parts[0]
	}
	p, _ := part.(*syntax.ParamExp)
	return p
}

// literal is what a word says, where that needs no shell to know; else "".
func literal(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				lit, ok := q.(*syntax.Lit)
				if !ok {
					return ""
				}
				b.WriteString(lit.Value)
			}
		default:
			return ""
		}
	}
	return b.String()
}

// calls calls f for each command with a name that can be seen.
func (s *script) calls(f func(name string, call *syntax.CallExpr)) {
	if s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			if name := literal(call.Args[0]); name != "" {
				f(name, call)
			}
		}
		return true
	})
}
