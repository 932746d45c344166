package shell

import (
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

func (w *rewriter) word(x *syntax.Word) {
	if x != nil {
		w.parts(x.Parts)
		// A field of its own, even when there is no tenth parameter.
		for _, p := range x.Parts {
			if d, ok := p.(*syntax.DblQuoted); ok && len(d.Parts) == 1 {
				if pe, ok := d.Parts[0].(*syntax.ParamExp); ok && pe.Slice != nil {
					d.Parts = append(d.Parts, param(hidden+"empty"))
				}
			}
		}
	}
}

// plain is text without a meaning. No ' may stand between ', and the printer does not look.
func plain(s string) syntax.WordPart {
	if !strings.Contains(s, "'") {
		return &syntax.SglQuoted{Value: s}
	}
	return quoted(&syntax.Lit{Value: strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s)})
}

// value rewrites a word that is not split: there mvdan.cc/sh keeps backslashes.
func (w *rewriter) value(x *syntax.Word) {
	if x == nil {
		return
	}
	w.word(x)
	var out []syntax.WordPart
	for _, p := range x.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok || !strings.Contains(l.Value, `\`) {
			out = append(out, p)
			continue
		}
		text := l.Value
		for i := strings.IndexByte(text, '\\'); i >= 0 && i+1 < len(text); i = strings.IndexByte(text, '\\') {
			_, size := utf8.DecodeRuneInString(text[i+1:])
			out = append(out, &syntax.Lit{Value: text[:i]}, plain(text[i+1:i+1+size]))
			text = text[i+1+size:]
		}
		out = append(out, &syntax.Lit{Value: text})
	}
	x.Parts = out
}

func (w *rewriter) parts(ps []syntax.WordPart) {
	for i, p := range ps {
		switch p := p.(type) {
		case *syntax.DblQuoted:
			w.parts(p.Parts)
			if len(p.Parts) == 0 { // "" would not be a field of its own, in $x""
				ps[i] = &syntax.SglQuoted{}
			}
		case *syntax.CmdSubst:
			untest := w.untest(p.Stmts)
			w.stmts(p.Stmts, surroundings{sub: true})
			p.Stmts = append(untest, p.Stmts...)
		case *syntax.ArithmExp:
			ps[i] = w.arithmetic(p)
		case *syntax.ParamExp:
			ps[i] = w.param(p)
		}
	}
}

func (w *rewriter) param(p *syntax.ParamExp) syntax.WordPart {
	name := p.Param.Value
	switch {
	case name == "!":
		return &syntax.ParamExp{Param: &syntax.Lit{Value: lastPid}}
	case name == "$":
		return &syntax.ParamExp{Param: &syntax.Lit{Value: ownPid}}
	case p.Length: // of bytes, not of characters
		whole := &syntax.ParamExp{Param: p.Param}
		return &syntax.CmdSubst{Stmts: []*syntax.Stmt{calling(lit(hidden+"len"), word(quoted(w.param(whole))))}}
	case len(name) > 1 && name[0] >= '1' && name[0] <= '9':
		return &syntax.ParamExp{Param: &syntax.Lit{Value: "@"}, Slice: &syntax.Slice{Offset: lit(name), Length: lit("1")}}
	case p.Exp != nil && p.Exp.Word != nil:
		w.word(p.Exp.Word)
		if strips(p.Exp.Op) {
			dashesLast(p.Exp.Word)
		}
		if strips(p.Exp.Op) && quotedPattern(p) != nil {
			whole := &syntax.ParamExp{Param: p.Param}
			return &syntax.CmdSubst{Stmts: []*syntax.Stmt{calling(
				lit(hidden+"strip"), word(&syntax.SglQuoted{Value: p.Exp.Op.String()}), word(quoted(whole)), word(quotedPattern(p)),
			)}}
		}
	}
	return p
}

// dashesLast makes [.-] of [-.]: to mvdan.cc/sh the latter is a range, and so plain text.
func dashesLast(pattern *syntax.Word) {
	for _, p := range pattern.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok {
			continue
		}
		for i := 0; i < len(l.Value); i++ {
			switch l.Value[i] {
			case '\\':
				i++
			case '[':
				from, end := i+1, i+bracket(l.Value[i:])
				if end < i { // it is declined
					return
				}
				if l.Value[from] == '!' {
					from++
				}
				if l.Value[from] == '-' {
					rest := strings.TrimSuffix(l.Value[from+1:end], "-") + "-"
					l.Value = l.Value[:from] + rest + l.Value[end:]
					end = from + len(rest)
				}
				i = end
			}
		}
	}
}

func strips(op syntax.ParExpOperator) bool {
	switch op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		return true
	}
	return false
}

// arithmetic gives the text to the layer, as within quotes: so dash expands it, too.
func (w *rewriter) arithmetic(a *syntax.ArithmExp) syntax.WordPart {
	src := w.c.source(a)
	text := hidden + `arith "` + src[len("$(("):len(src)-len("))")] + `"`
	f, err := parser().Parse(strings.NewReader(text), w.c.path)
	if err != nil || len(f.Stmts) != 1 {
		return &syntax.CmdSubst{Stmts: []*syntax.Stmt{calling(lit(hidden+"decline"), lit("arithmetic"))}}
	}
	// What is in it was checked where it stood; again, for the traps.
	c := newChecker(w.c.path, []byte(text), w.c.kind, w.c.own)
	for _, p := range f.Stmts[0].Cmd.(*syntax.CallExpr).Args[1:] {
		c.cur = f.Stmts[0]
		c.word(p, inArgs)
	}
	rewrite(f.Stmts, c, w.mode)
	return &syntax.CmdSubst{Stmts: f.Stmts}
}

// apart keeps a quoted "(" from being taken, with the *, ? or such before it, for an extended pattern.
// Between them comes @(|), which matches nothing.
func apart(parts []syntax.WordPart) []syntax.WordPart {
	var out []syntax.WordPart
	operator := false
	for _, p := range parts {
		switch q := p.(type) {
		case *syntax.Lit:
			operator = operator || strings.ContainsAny(q.Value, "?*+@!")
		case *syntax.SglQuoted:
			if operator && strings.HasPrefix(q.Value, "(") {
				out = append(out, nothing())
			}
		case *syntax.DblQuoted:
			if operator && mayBeginParen(q.Parts) {
				out = append(out, nothing())
			}
		}
		out = append(out, p)
	}
	return out
}

func nothing() syntax.WordPart {
	return &syntax.ExtGlob{Op: syntax.GlobOne, Pattern: &syntax.Lit{Value: "|"}}
}

func mayBeginParen(parts []syntax.WordPart) bool {
	if len(parts) == 0 {
		return false
	}
	l, ok := parts[0].(*syntax.Lit)
	return !ok || strings.HasPrefix(l.Value, "(")
}
