package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// use is what becomes of a word.
type use int

const (
	inArgs     use = iota // split into fields, and a pattern for file names
	inValue               // of an assignment, case or redirection: one field
	inQuotes              // within "..."
	inDocument            // within a here-document
	inArith               // within $(( ))
)

// literal is the text of a word that has no expansion, no pattern and no backslash in it.
func literal(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "\\*?[~{") {
				return "", false
			}
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				l, ok := q.(*syntax.Lit)
				if !ok || strings.Contains(l.Value, `\`) {
					return "", false
				}
				b.WriteString(l.Value)
			}
		default:
			return "", false
		}
	}
	return b.String(), true
}

func (c *checker) word(w *syntax.Word, u use) {
	if w == nil {
		return
	}
	if u == inArgs {
		copied := *w
		syntax.SplitBraces(&copied)
		if slices.ContainsFunc(copied.Parts, func(p syntax.WordPart) bool { _, is := p.(*syntax.BraceExp); return is }) {
			c.add(w, "brace", "braces: "+firstWord(c.source(w)))
		}
	}
	for i, p := range w.Parts {
		l, ok := p.(*syntax.Lit)
		if !ok {
			continue
		}
		if i == 0 && strings.HasPrefix(l.Value, "~") || u == inValue && strings.Contains(l.Value, ":~") {
			c.add(w, "tilde", "a tilde: "+firstWord(c.source(w)))
		}
		if u == inArgs {
			c.glob(l)
		}
	}
	if u == inArgs && globsDots(w) {
		c.add(w, "pattern", "a pattern for file names that begin with a dot: "+firstWord(c.source(w)))
	}
	if u == inArgs && isAll(w) {
		return
	}
	c.parts(w.Parts, u)
}

// glob: only * is sure to mean the same, of file names.
func (c *checker) glob(l *syntax.Lit) {
	v := unescaped(l.Value)
	if strings.ContainsAny(v, "?[") {
		if v == "[" {
			return // the command
		}
		c.add(l, "pattern", "a pattern for file names with ? or [")
	}
	if strings.Contains(v, "*") {
		c.facts.globs = true
	}
}

// globsDots: to dash, "." and ".." are such names, too.
func globsDots(w *syntax.Word) bool {
	var b strings.Builder
	globs := false
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			globs = globs || strings.Contains(unescaped(p.Value), "*")
			b.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			if l, ok := literal(word(p)); ok {
				b.WriteString(l)
				continue
			}
			b.WriteString("$")
		default:
			b.WriteString("$")
		}
	}
	return globs && slices.ContainsFunc(strings.Split(b.String(), "/"), func(s string) bool {
		return strings.HasPrefix(s, ".") && strings.Contains(s, "*")
	})
}

// unescaped leaves out what a backslash quotes.
func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isAll: the word is "$@", $@, $* or "$*", and nothing else.
func isAll(w *syntax.Word) bool {
	if len(w.Parts) != 1 {
		return false
	}
	p := w.Parts[0]
	if d, ok := p.(*syntax.DblQuoted); ok && len(d.Parts) == 1 {
		p = d.Parts[0]
	}
	pe, ok := p.(*syntax.ParamExp)
	return ok && pe.Param != nil && (pe.Param.Value == "@" || pe.Param.Value == "*") && bare(pe)
}

func (c *checker) parts(ps []syntax.WordPart, u use) {
	for _, p := range ps {
		switch p := p.(type) {
		case *syntax.Lit:
			if (u == inQuotes || u == inDocument) && strings.HasSuffix(p.Value, `\`) {
				c.add(p, "here-document", "a backslash before an expansion")
			}
		case *syntax.SglQuoted:
			if p.Dollar {
				c.add(p, "bash", "$'...'")
			}
		case *syntax.DblQuoted:
			if p.Dollar {
				c.add(p, "bash", `$"..."`)
			}
			c.parts(p.Parts, inQuotes)
		case *syntax.CmdSubst:
			c.substitution(p, u)
		case *syntax.ArithmExp:
			c.arithmetic(p, u)
		case *syntax.ParamExp:
			c.param(p, u)
		default:
			c.add(p, "bash", "not in dash: "+firstWord(c.source(p)))
		}
	}
}

func (c *checker) substitution(s *syntax.CmdSubst, u use) {
	switch {
	case s.TempFile || s.ReplyVar || len(s.Stmts) == 0:
		c.add(s, "bash", "not in dash: "+firstWord(c.source(s)))
	case s.Backquotes && strings.Contains(c.source(s), `\`):
		c.add(s, "backquotes", "a backslash within backquotes")
	case len(s.Stmts) == 1 && s.Stmts[0].Cmd == nil:
		c.add(s, "bash", "$(<file)")
	}
	if u == inArgs {
		c.facts.splits = true
	}
	c.stmts(s.Stmts, place{sub: true})
}

// bare: nothing is done to the parameter.
func bare(p *syntax.ParamExp) bool {
	return simple(p) && !p.Length && p.Exp == nil
}

// simple: nothing is done to it that POSIX does not know.
func simple(p *syntax.ParamExp) bool {
	return p.Flags == nil && !p.Excl && !p.Width && !p.IsSet && p.Split == 0 && p.GlobSubst == 0 && p.RcExpand == 0 &&
		p.NestedParam == nil && p.Index == nil && len(p.Modifiers) == 0 && p.Slice == nil && p.Repl == nil && p.Names == 0
}

// foreign are variables that mvdan.cc/sh or dash, but not both, treat as something special.
var foreign = map[string]bool{
	"RANDOM": true, "SRANDOM": true, "DIRSTACK": true, "UID": true, "EUID": true, "GID": true, "LINENO": true, "OPTIND": true,
	"OPTARG": true, "PS1": true, "PS2": true, "PS3": true, "PS4": true, "_": true, "SECONDS": true, "CDPATH": true, "ENV": true, "IFS": true,
}

func (c *checker) param(p *syntax.ParamExp, u use) {
	if p.Param == nil || !simple(p) {
		c.add(p, "bash", "not in dash: "+firstWord(c.source(p)))
		return
	}
	name := p.Param.Value
	if u == inArgs {
		c.facts.splits = true
	}
	switch {
	case (name == "!" || name == "$") && c.own && bare(p):
	case name == "$" || name == "!" || name == "PPID" || name == "-":
		c.add(p, "pid", "$"+name+" is another process's here")
	case foreign[name] || strings.HasPrefix(name, hidden):
		c.add(p, "name", "$"+name+" means something else here")
	case name == "@" && u != inDocument, name == "*" && (u == inArgs || u == inValue):
		c.add(p, "param", "$"+name+" as a part of a word")
	case (name == "@" || name == "*" || name == "#" || name == "?") && !bare(p):
		c.add(p, "param", firstWord(c.source(p)))
	case len(name) > 1 && name[0] >= '0' && name[0] <= '9' && !bare(p):
		c.add(p, "param", firstWord(c.source(p)))
	}
	if p.Exp == nil {
		return
	}
	switch p.Exp.Op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		switch {
		case p.Exp.Word == nil:
		case quotedPattern(p) != nil:
			c.parts(quotedPattern(p).Parts, inQuotes)
		default:
			c.pattern(p.Exp.Word.Parts, p)
			c.plainPattern(p)
		}
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		c.assigns(p.Param)
		c.facts.plain = append(c.facts.plain, name)
		if !syntax.ValidName(name) || u == inArith {
			c.add(p, "param", firstWord(c.source(p)))
		}
		c.defaultWord(p, u)
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull, syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		c.defaultWord(p, u)
	default:
		c.add(p, "param", firstWord(c.source(p)))
	}
}

// defaultWord: of ${x-word}, only words without quotes are surely treated alike.
func (c *checker) defaultWord(p *syntax.ParamExp, u use) {
	if p.Exp.Word == nil {
		return
	}
	for i, q := range p.Exp.Word.Parts {
		switch q := q.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(q.Value, "\\\"'`*?[~") || i == 0 && u == inArgs && strings.TrimLeft(q.Value, " \t\n") != q.Value {
				c.add(p, "default-quoted", "more than plain text in "+firstWord(c.source(p)))
			}
		case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp:
		default:
			c.add(p, "default-quoted", "quotes in "+firstWord(c.source(p)))
		}
	}
	c.parts(p.Exp.Word.Parts, u)
}

// quotedPattern is the word of ${x%"word"}: text, not a pattern. The layer takes it off.
func quotedPattern(p *syntax.ParamExp) *syntax.DblQuoted {
	if len(p.Exp.Word.Parts) != 1 {
		return nil
	}
	d, ok := p.Exp.Word.Parts[0].(*syntax.DblQuoted)
	if !ok || d.Dollar {
		return nil
	}
	return d
}

// plainPattern: in ${x%pattern}, quotes are not always seen.
func (c *checker) plainPattern(p *syntax.ParamExp) {
	for _, q := range p.Exp.Word.Parts {
		if _, ok := q.(*syntax.Lit); !ok {
			c.add(p, "pattern", "quotes or expansions in the pattern of "+firstWord(c.source(p)))
			return
		}
	}
}

// assigns: a variable that is set.
func (c *checker) assigns(name *syntax.Lit) {
	switch v := name.Value; {
	case foreign[v] || v == "PPID" || v == "PWD" || v == "OLDPWD" || strings.HasPrefix(v, hidden):
		c.add(name, "name", v+" means something else here")
	}
}

// arithmetic is done by the layer (arith.go): here is only what it would not find at run time.
func (c *checker) arithmetic(a *syntax.ArithmExp, u use) {
	src := c.source(a)
	switch {
	case a.Bracket || a.Unsigned || !strings.HasPrefix(src, "$((") || !strings.HasSuffix(src, "))"):
		c.add(a, "bash", "not in dash: "+firstWord(src))
		return
	case strings.ContainsAny(src, "\"'`\\,{}") && strings.ContainsAny(withoutExpansions(a, c), "\"'`\\,{}"):
		c.add(a, "arith", "quotes or commas in arithmetic: "+firstWord(src))
	case strings.Contains(src, "++") || strings.Contains(src, "--"):
		c.add(a, "arith", "++ or -- in arithmetic: "+firstWord(src))
	}
	syntax.Walk(a, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Lit:
			if foreign[n.Value] || n.Value == "PPID" {
				c.add(a, "name", n.Value+" means something else here")
			}
		case *syntax.BinaryArithm:
			if op := n.Op.String(); op == "**" || strings.HasSuffix(op, "=") && op != "==" && op != "!=" && op != "<=" && op != ">=" {
				c.add(a, "arith", "not done here, in arithmetic: "+op)
			}
		case *syntax.ParamExp:
			c.param(n, inArith)
			return false
		case *syntax.CmdSubst:
			c.substitution(n, inArith)
			return false
		case *syntax.ArithmExp:
			if n != a {
				c.arithmetic(n, inArith)
				return false
			}
		case *syntax.SglQuoted, *syntax.DblQuoted, *syntax.ExtGlob, *syntax.ProcSubst:
			c.add(a, "arith", "quotes in arithmetic: "+firstWord(src))
			return false
		}
		return true
	})
}

// withoutExpansions is the source of an arithmetic expression, what is expanded in it left out.
func withoutExpansions(a *syntax.ArithmExp, c *checker) string {
	src := c.source(a)
	syntax.Walk(a, func(n syntax.Node) bool {
		switch n.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst:
			src = strings.ReplaceAll(src, c.source(n), "x")
			return false
		}
		return true
	})
	return src
}
