package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// caseChain makes of a case what matches patterns byte by byte, as dash does: mvdan.cc/sh compiles a regular expression for each
// pattern, each time, and takes a quoted "(" after * for an extended pattern.
//
//	case w in a*) x;; "$b"|c) y;; esac
//	if __sh_case "w" 'k1 a*' d2 "q$b" 'k2 c'; then x; elif __sh_is 2; then y; fi
//
// A pattern is one argument, with its number before it, or where it has expansions several, quoted and unquoted. In x, $? is what it was
// before the case: where x could look at it, it is kept in a variable.
func (w *rewriter) caseChain(s *syntax.Stmt, cc *syntax.CaseClause, keeps bool) {
	if len(cc.Items) == 0 || len(cc.Items) > 200 {
		return
	}
	saved := ""
	if keeps {
		saved = loopVar()
	}
	match := []*syntax.Word{lit(hidden + "case"), unsplitWord(cc.Word)}
	var chain, last *syntax.IfClause
	for i, it := range cc.Items {
		for _, p := range it.Patterns {
			match = append(match, patternArgs(p, strconv.Itoa(i+1))...)
		}
		body := it.Stmts
		if saved != "" {
			body = append([]*syntax.Stmt{calling(lit(hidden+"status"), word(quoted(param(saved))))}, body...)
		}
		if len(it.Stmts) == 0 {
			body = []*syntax.Stmt{calling(lit("true"))}
		}
		ic := &syntax.IfClause{ThenPos: syntax.NewPos(0, 1, 1), Then: body, Cond: []*syntax.Stmt{calling(lit(hidden+"is"), lit(strconv.Itoa(i+1)))}}
		if last == nil {
			chain = ic
		} else {
			last.Else = ic
		}
		last = ic
	}
	chain.Cond = []*syntax.Stmt{calling(match...)}
	s.Cmd = chain
	if saved != "" {
		s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{assigning(saved, word(param("?"))), {Cmd: chain}}}
	}
}

// unsplitWord is the word as one argument.
func unsplitWord(x *syntax.Word) *syntax.Word {
	out := word(&syntax.SglQuoted{})
	for _, p := range x.Parts {
		switch q := p.(type) {
		case *syntax.Lit:
			p = plain(q.Value)
		case *syntax.ParamExp, *syntax.CmdSubst:
			p = quoted(p, param(hidden+"empty"))
		}
		out.Parts = append(out.Parts, p)
	}
	return out
}

func patternArgs(x *syntax.Word, number string) []*syntax.Word {
	if text, ok := constantPattern(x); ok {
		return []*syntax.Word{word(plain("k" + number + " " + text))}
	}
	args := []*syntax.Word{lit("d" + number)}
	for _, p := range x.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			args = append(args, word(plain("u"+p.Value)))
		case *syntax.SglQuoted:
			args = append(args, word(plain("q"+p.Value)))
		case *syntax.DblQuoted:
			args = append(args, word(quoted(append([]syntax.WordPart{&syntax.Lit{Value: "q"}}, p.Parts...)...)))
		}
	}
	return args
}

// constantPattern is a pattern without expansions, what is quoted in it behind backslashes.
func constantPattern(x *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, p := range x.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(escape(p.Value))
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				l, ok := q.(*syntax.Lit)
				if !ok || strings.Contains(l.Value, `\`) {
					return "", false
				}
				b.WriteString(escape(l.Value))
			}
		default:
			return "", false
		}
	}
	return b.String(), true
}

func escape(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/ :,=.") == "" {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if !isWordByte(s[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// caseNumber is the number of the first pattern that fits, as a status: 0 for the first, 255 for none.
func caseNumber(text string, args []string) int {
	for i := 0; i < len(args); {
		number, pattern, _ := strings.Cut(args[i][1:], " ")
		dynamic := args[i][0] == 'd'
		for i++; dynamic && i < len(args) && (args[i][0] == 'u' || args[i][0] == 'q'); i++ {
			if part := args[i][1:]; args[i][0] == 'q' {
				pattern += escape(part)
			} else {
				pattern += part
			}
		}
		if match(pattern, text) {
			n, _ := strconv.Atoi(number)
			if n == 1 {
				return 0
			}
			return n
		}
	}
	return 255
}

// match is dash's: a byte is a letter. Of several *, only the last one that was come to can have to take more.
func match(p, s string) bool {
	star, from := "", -1 // what follows that *, and what of s it was tried with
	rest := s
	for {
		if p == "" && rest == "" {
			return true
		}
		if p != "" && p[0] == '*' {
			star, from = p[1:], len(s)-len(rest)
			p = star
			continue
		}
		if n := matchOne(p, rest); n > 0 {
			p, rest = p[n:], rest[1:]
			continue
		}
		if from < 0 || from >= len(s) {
			return false
		}
		from++
		p, rest = star, s[from:]
	}
}

// matchOne is how long the beginning of p is that fits the first letter of s, or 0.
func matchOne(p, s string) int {
	if p == "" || s == "" {
		return 0
	}
	n, is := 1, p[0] == s[0]
	switch {
	case p[0] == '?':
		is = true
	case p[0] == '[':
		n = bracket(p) + 1
		is = inBracket(p[1:n-1], s[0])
	case p[0] == '\\' && len(p) > 1:
		n, is = 2, p[1] == s[0]
	}
	if !is {
		return 0
	}
	return n
}

// inBracket: the checker let only those pass that bracket knows.
func inBracket(set string, c byte) bool {
	not := strings.HasPrefix(set, "!")
	if not {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); i++ {
		switch {
		case strings.HasPrefix(set[i:], "[:"):
			end := strings.Index(set[i:], ":]")
			found = found || inClass(set[i+2:i+end], c)
			i += end + 1
			continue
		case set[i] == '\\':
			i++
		case i+2 < len(set) && set[i+1] == '-':
			found = found || set[i] <= c && c <= set[i+2]
			i += 2
			continue
		}
		found = found || set[i] == c
	}
	return found != not
}

func inClass(class string, c byte) bool {
	lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
	switch class {
	case "alpha":
		return lower || upper
	case "digit":
		return digit
	case "alnum":
		return lower || upper || digit
	case "upper":
		return upper
	case "lower":
		return lower
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r'
	case "blank":
		return c == ' ' || c == '\t'
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	}
	return c > ' ' && c < 0x7f && !lower && !upper && !digit // punct
}
