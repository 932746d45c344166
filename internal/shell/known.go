package shell

import "mvdan.cc/sh/v3/syntax"

// value is what a word expands to, if that is known.
func value(x *syntax.Word, p params) (string, bool) {
	if v, ok := literal(x); ok {
		return v, true
	}
	if len(x.Parts) != 1 {
		return "", false
	}
	part := x.Parts[0]
	if d, ok := part.(*syntax.DblQuoted); ok && len(d.Parts) == 1 {
		part = d.Parts[0]
	}
	pe, ok := part.(*syntax.ParamExp)
	if !ok || pe.Param == nil || !bare(pe) || len(pe.Param.Value) != 1 {
		return "", false
	}
	i := int(pe.Param.Value[0]) - '1'
	if i < 0 || i >= len(p) {
		return "", false
	}
	for _, v := range p[:i+1] { // after one that may be several words, nothing is known
		if v == unknown {
			return "", false
		}
	}
	return p[i], true
}

// outcomeOf is how a condition ends, if that is known.
func outcomeOf(s *syntax.Stmt, p params) (is, known bool) {
	if s.Negated {
		inner := *s
		inner.Negated = false
		is, known = outcomeOf(&inner, p)
		return !is, known
	}
	if b, ok := s.Cmd.(*syntax.BinaryCmd); ok {
		x, xKnown := outcomeOf(b.X, p)
		y, yKnown := outcomeOf(b.Y, p)
		switch b.Op {
		case syntax.AndStmt:
			return x && y, xKnown && yKnown || xKnown && !x || yKnown && !y
		case syntax.OrStmt:
			return x || y, xKnown && yKnown || xKnown && x || yKnown && y
		}
		return false, false
	}
	ce, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(s.Redirs) > 0 {
		return false, false
	}
	args := ce.Args
	switch commandName(ce) {
	case "true", ":":
		return true, true
	case "false":
		return false, true
	case "[":
		args = args[:len(args)-1]
	case "test":
	default:
		return false, false
	}
	if len(args) != 4 {
		return false, false
	}
	a, aKnown := value(args[1], p)
	op, _ := literal(args[2])
	b, bKnown := value(args[3], p)
	return (a == b) == (op == "="), aKnown && bKnown && (op == "=" || op == "!=")
}

// ownDirectory: ${0%/*}.
func ownDirectory(p *syntax.ParamExp) bool {
	if p.Param.Value != "0" || p.Exp == nil || p.Exp.Op != syntax.RemSmallSuffix || p.Exp.Word == nil {
		return false
	}
	return p.Exp.Word.Lit() == "/*"
}
