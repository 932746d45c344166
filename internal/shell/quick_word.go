package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// value is a word that is not split.
func (q *quick) value(w *syntax.Word) string {
	if w == nil {
		return ""
	}
	if len(w.Parts) == 1 {
		return q.part(w.Parts[0])
	}
	start := len(q.text)
	for _, p := range w.Parts {
		q.text = append(q.text, q.part(p)...)
	}
	return q.cut(start)
}

// cut takes off what was put into q.text.
func (q *quick) cut(start int) string {
	text := string(q.text[start:])
	q.text = q.text[:start]
	return text
}

// part is a part of a word, whole.
func (q *quick) part(p syntax.WordPart) string {
	switch p := p.(type) {
	case *syntax.Lit:
		return q.plainText(p.Value, "")
	case *syntax.SglQuoted:
		if p.Dollar || !ascii(p.Value) {
			q.leave("quotes")
		}
		return p.Value
	case *syntax.DblQuoted:
		if p.Dollar {
			q.leave("quotes")
		}
		return q.quoted(p.Parts, "$`\"\\")
	case *syntax.ParamExp:
		return q.param(p)
	case *syntax.CmdSubst:
		return q.substitution(p)
	case *syntax.ArithmExp:
		return q.arithmetic(p)
	}
	q.leave("a word")
	return ""
}

// quoted is what is within quotes, or a here-document; a backslash counts before the letters given.
func (q *quick) quoted(parts []syntax.WordPart, escapes string) string {
	one := func(p syntax.WordPart) string {
		if l, ok := p.(*syntax.Lit); ok {
			return q.plainText(l.Value, escapes)
		}
		if pe, ok := p.(*syntax.ParamExp); ok && pe.Param != nil && pe.Param.Value == "*" && bare(pe) {
			return strings.Join(q.params, " ") // IFS is not set
		}
		return q.part(p)
	}
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return one(parts[0])
	}
	start := len(q.text)
	for _, p := range parts {
		q.text = append(q.text, one(p)...)
	}
	return q.cut(start)
}

// plainText is text without the backslashes that quote: all, or those before the letters given.
func (q *quick) plainText(s, before string) string {
	if asIs(s) {
		return s
	}
	if !ascii(s) {
		q.leave("letters beyond ASCII")
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if s[i+1] == '\n' {
				q.leave("a line that goes on")
			}
			if before == "" || strings.IndexByte(before, s[i+1]) >= 0 {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// odd are bytes that a word may not just be taken over with.
var odd = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= 0x80 || strings.ContainsRune("*?[\\", rune(c))
	}
	return is
}()

// asIs: a word of it is that text, and no pattern.
func asIs(s string) bool {
	for i := range len(s) {
		if odd[s[i]] {
			return false
		}
	}
	return true
}

// fields are the words of a command.
func (q *quick) fields(words []*syntax.Word) []string {
	out := q.memory.list(len(words) + 1)
	for _, w := range words {
		out = q.field(out, w)
	}
	return out
}

func (q *quick) field(out []string, w *syntax.Word) []string {
	if isAll(w) {
		d, ok := w.Parts[0].(*syntax.DblQuoted)
		switch {
		case !ok:
			q.leave("$* or $@ without quotes")
		case d.Parts[0].(*syntax.ParamExp).Param.Value == "*":
			return append(out, q.quoted(d.Parts, ""))
		}
		return append(out, q.params...)
	}
	if len(w.Parts) == 1 {
		switch p := w.Parts[0].(type) {
		case *syntax.DblQuoted, *syntax.SglQuoted:
			return append(out, q.part(p))
		case *syntax.Lit:
			return append(out, q.name(p))
		}
	}
	start, has := len(q.text), false
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			q.text = append(q.text, q.name(p)...)
			has = true
			continue
		case *syntax.SglQuoted, *syntax.DblQuoted:
			q.text = append(q.text, q.part(p)...)
			has = true
			continue
		}
		value := q.part(p)
		if !asIs(value) && strings.ContainsAny(value, `*?[\`) {
			q.leave("a pattern of file names")
		}
		for i := range len(value) {
			if value[i] != ' ' && value[i] != '\t' && value[i] != '\n' {
				q.text = append(q.text, value[i])
				has = true
				continue
			}
			if has {
				out = append(out, q.cut(start))
				has = false
			}
		}
	}
	if has {
		out = append(out, q.cut(start))
	}
	return out
}

// name is text that could be a pattern of file names.
func (q *quick) name(l *syntax.Lit) string {
	if asIs(l.Value) || l.Value == "[" {
		return l.Value
	}
	if strings.ContainsAny(l.Value, "*?[") {
		q.leave("a pattern of file names")
	}
	return q.plainText(l.Value, "")
}

// get is the value of a parameter.
func (q *quick) get(name string) (value string, set bool) {
	switch name {
	case "?":
		return strconv.Itoa(q.status), true
	case "#":
		return strconv.Itoa(len(q.params)), true
	case "0":
		return q.r.Args[0], true
	}
	if name[0] <= '9' && number(name) {
		n, _ := strconv.Atoi(name)
		if n < 1 || n > len(q.params) {
			return "", false
		}
		return q.params[n-1], true
	}
	v, set := q.vars[name]
	if !v.mayset && (!syntax.ValidName(name) || foreign[name] || name == "PPID" || name == "PWD" || name == "OLDPWD") {
		q.leave("the parameter " + name)
	}
	return v.value, set
}

func (q *quick) param(p *syntax.ParamExp) string {
	if p.Param == nil || !simple(p) {
		q.leave("an expansion")
	}
	value, set := q.get(p.Param.Value)
	switch {
	case p.Length:
		if p.Exp != nil {
			q.leave("an expansion")
		}
		return strconv.Itoa(len(value))
	case p.Exp == nil:
		return value
	}
	switch e := p.Exp; e.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		if set && (value != "" || e.Op == syntax.DefaultUnset) {
			return value
		}
		return q.value(e.Word)
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if set && (value != "" || e.Op == syntax.AlternateUnset) {
			return q.value(e.Word)
		}
		return ""
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		if e.Word == nil {
			return value
		}
		return strip(e.Op, value, q.pattern(e.Word))
	}
	q.leave("an expansion")
	return ""
}

// strip takes off what fits the pattern: the shortest or longest, from the beginning or the end.
func strip(op syntax.ParExpOperator, value, pattern string) string {
	for i := 0; i <= len(value); i++ {
		n := len(value) - i
		switch {
		case op == syntax.RemSmallPrefix && match(pattern, value[:i]):
			return value[i:]
		case op == syntax.RemLargePrefix && match(pattern, value[:n]):
			return value[n:]
		case op == syntax.RemSmallSuffix && match(pattern, value[n:]):
			return value[:n]
		case op == syntax.RemLargeSuffix && match(pattern, value[i:]):
			return value[:i]
		}
	}
	return value
}

// pattern is the word as match takes it, what is quoted behind backslashes.
func (q *quick) pattern(w *syntax.Word) string {
	if text, ok := q.tree.patterns[w]; ok {
		return text
	}
	var b strings.Builder
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if !ascii(p.Value) {
				q.leave("letters beyond ASCII")
			}
			b.WriteString(p.Value)
		case *syntax.SglQuoted, *syntax.DblQuoted:
			b.WriteString(escape(q.part(p)))
		default:
			q.leave("an expansion in a pattern")
		}
	}
	return b.String()
}

func (q *quick) substitution(s *syntax.CmdSubst) string {
	if s.TempFile || s.ReplyVar || len(s.Stmts) == 0 {
		q.leave("a substitution")
	}
	var caught caughtOutput
	before := q.status // which it leaves: only an assignment without a command takes it over
	q.subshell(func() {
		q.out, q.subst = &caught, -1
		q.stmts(s.Stmts)
	})
	q.subst, q.status = q.status, before
	text := caught.String()
	if strings.IndexByte(text, 0) >= 0 || !ascii(text) {
		q.leave("odd letters")
	}
	return strings.TrimRight(text, "\n")
}

func (q *quick) arithmetic(a *syntax.ArithmExp) string {
	text, ok := q.tree.ariths[a]
	if !ok {
		q.leave("arithmetic")
	}
	n, err := arithmetic(q.value(text), func(name string) string {
		v, _ := q.get(name)
		return v
	})
	if err != nil {
		q.leave(err.Error())
	}
	return strconv.FormatInt(n, 10)
}
