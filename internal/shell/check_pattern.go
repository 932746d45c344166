package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// pattern checks a pattern of case or of ${x%pattern}.
func (c *checker) pattern(parts []syntax.WordPart, n syntax.Node) {
	for i, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			c.patternText(p.Value, i == 0, n)
		case *syntax.SglQuoted:
			if p.Dollar {
				c.add(n, "bash", "$'...'")
			}
		case *syntax.DblQuoted:
			if p.Dollar {
				c.add(n, "bash", `$"..."`)
			}
			c.parts(p.Parts, inQuotes)
		default: // an expansion, or an extended pattern
			c.add(n, "pattern", "not plain text in a pattern: "+firstWord(c.source(n)))
		}
	}
}

// patternText: brackets must be closed in the same text, and be such that all shells read alike.
func (c *checker) patternText(s string, first bool, n syntax.Node) {
	if first && strings.HasPrefix(s, "~") {
		c.add(n, "tilde", "a tilde in a pattern")
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i >= len(s) {
				c.add(n, "pattern", "a backslash before something quoted")
			}
		case '?':
			c.facts.bytewise = true
		case '[':
			end := bracket(s[i:])
			if end < 0 {
				c.add(n, "pattern", "a bracket in a pattern: "+firstWord(c.source(n)))
				return
			}
			c.facts.bytewise = true
			i += end
		}
	}
}

// bracket returns where the bracket expression at the beginning of s ends, or -1 if it is not one of the plain
// ones: letters, digits, ranges of them, classes, and what a backslash quotes.
func bracket(s string) int {
	i := 1
	if i < len(s) && s[i] == '!' {
		i++
	}
	from := i
	for ; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == ']':
			if i == from {
				return -1
			}
			return i
		case ch == '[':
			if !strings.HasPrefix(s[i:], "[:") {
				return -1
			}
			end := strings.Index(s[i:], ":]")
			if end < 0 || !classes[s[i+2:i+end]] {
				return -1
			}
			i += end + 1
		case ch == '\\':
			i++
			if i >= len(s) || isWordByte(s[i]) {
				return -1
			}
		case ch == '-': // a range, or itself at either end
			if i > from && i+1 < len(s) && s[i+1] != ']' && (!isWordByte(s[i-1]) || !isWordByte(s[i+1]) || s[i-1] > s[i+1]) {
				return -1
			}
		case ch == '^' || ch == '!' || ch == '/' || ch == '&' || ch == '~' || ch >= 0x80:
			return -1
		}
	}
	return -1
}

var classes = map[string]bool{
	"alpha": true, "digit": true, "alnum": true, "upper": true, "lower": true, "space": true, "blank": true, "xdigit": true, "punct": true,
}

func isWordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_'
}
