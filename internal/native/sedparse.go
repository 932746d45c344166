package native

import (
	"strconv"
	"strings"
)

// A sedParser reads a script.
type sedParser struct {
	in       string
	at       int
	extended bool
	quits    bool // there is a q
	deletes  bool // there was a d: what comes after it does not see all lines
}

// parse reads commands up to the end, or in a block up to its }. It is false for all that is not known.
func (p *sedParser) parse(depth int) (all []sedCommand, ok bool) {
	for {
		for p.at < len(p.in) && strings.IndexByte(" \t\n;", p.in[p.at]) >= 0 {
			p.at++
		}
		switch {
		case p.at == len(p.in):
			return all, depth == 0
		case p.in[p.at] == '}':
			return all, depth > 0
		case depth > 20:
			return nil, false
		}
		sc, ok := p.command(depth)
		if !ok {
			return nil, false
		}
		all = append(all, sc)
	}
}

func (p *sedParser) peek() byte {
	if p.at < len(p.in) {
		return p.in[p.at]
	}
	return 0
}

func (p *sedParser) blanks() {
	for p.peek() == ' ' || p.peek() == '\t' {
		p.at++
	}
}

func (p *sedParser) command(depth int) (sc sedCommand, ok bool) {
	if sc.from, ok = p.address(); !ok {
		return sc, false
	}
	if sc.from != nil && p.peek() == ',' {
		p.at++
		// Where a range begins or ends on a line that its command does not see is a matter of its own.
		if sc.to, ok = p.address(); !ok || sc.to == nil || depth > 0 || p.deletes {
			return sc, false
		}
	}
	p.blanks()
	if p.peek() == '!' {
		sc.not = true
		p.at++
		p.blanks()
	}
	sc.name = p.peek()
	p.at++
	switch sc.name {
	case 'p', '=':
	case 'd':
		p.deletes = true
	case 'q':
		p.quits = true
		if sc.to != nil {
			return sc, false
		}
	case 's':
		if !p.substitution(&sc) {
			return sc, false
		}
	case 'y':
		if !p.transliteration(&sc) {
			return sc, false
		}
	case '{':
		if sc.block, ok = p.parse(depth + 1); !ok {
			return sc, false
		}
		p.at++
	default:
		return sc, false
	}
	p.blanks()
	return sc, p.at >= len(p.in) || strings.IndexByte(";\n}", p.in[p.at]) >= 0
}

// address is nil where there is none.
func (p *sedParser) address() (*sedAddress, bool) {
	start := p.at
	for p.peek() >= '0' && p.peek() <= '9' {
		p.at++
	}
	if p.at > start {
		n, err := strconv.Atoi(p.in[start:p.at])
		return &sedAddress{line: n}, err == nil && n > 0 && p.plain()
	}
	delimiter := byte('/')
	switch p.peek() {
	case '$':
		p.at++
		return &sedAddress{last: true}, p.plain()
	case '\\':
		p.at++
		delimiter = p.peek()
	case '/':
	default:
		return nil, true
	}
	p.at++
	text, ok := p.until(delimiter, true)
	if !ok {
		return nil, false
	}
	anyCase := false
	if p.peek() == 'I' {
		anyCase = true
		p.at++
	}
	re := p.compile(text, anyCase)
	return &sedAddress{re: re}, re != nil && p.plain()
}

// plain reports whether the address ends here: there are steps and other forms.
func (p *sedParser) plain() bool {
	p.blanks()
	return strings.IndexByte("~+M", p.peek()) < 0
}

func (p *sedParser) compile(text string, anyCase bool) *compiled {
	if text == "" { // the last one again
		return nil
	}
	return compile(text, p.extended, true, anyCase)
}

// until reads up to the delimiter, which a backslash makes an ordinary character.
func (p *sedParser) until(delimiter byte, regex bool) (string, bool) {
	if delimiter == 0 || delimiter == '\n' || delimiter == '\\' {
		return "", false
	}
	var text strings.Builder
	bracket := false
	for ; p.at < len(p.in); p.at++ {
		ch := p.in[p.at]
		switch {
		case ch == delimiter && bracket, ch == '\n' && regex: // versions differ
			return "", false
		case ch == delimiter:
			p.at++
			return text.String(), true
		case ch == '\\' && p.at+1 < len(p.in):
			p.at++
			next := p.in[p.at]
			if next == delimiter {
				// One that means something else without its backslash, or with it, is left to sed.
				if strings.IndexByte(`.*[]^$+?(){}|&`, next) >= 0 || digits(string(next)) || next >= 'A' && next <= 'Z' || next >= 'a' && next <= 'z' {
					return "", false
				}
				text.WriteByte(next)
				continue
			}
			text.WriteString(p.in[p.at-1 : p.at+1])
			continue
		case regex && ch == '[' && !bracket:
			bracket = true
			text.WriteByte(ch)
			for _, first := range []string{"^", "]"} {
				if strings.HasPrefix(p.in[p.at+1:], first) {
					text.WriteString(first)
					p.at++
				}
			}
			continue
		case regex && bracket && strings.HasPrefix(p.in[p.at:], "[:"):
			name, _, closed := strings.Cut(p.in[p.at:], ":]")
			if !closed {
				return "", false
			}
			text.WriteString(name + ":]")
			p.at += len(name) + 1
			continue
		case regex && ch == ']':
			bracket = false
		}
		text.WriteByte(ch)
	}
	return "", false
}

// substitution is what follows s.
func (p *sedParser) substitution(sc *sedCommand) bool {
	delimiter := p.peek()
	p.at++
	pattern, ok := p.until(delimiter, true)
	if !ok {
		return false
	}
	with, ok := p.until(delimiter, false)
	if !ok {
		return false
	}
	anyCase := false
	sc.which = 0
	for ; ; p.at++ {
		switch ch := p.peek(); {
		case ch == 'g' && !sc.global:
			sc.global = true
		case ch == 'p' && !sc.show:
			sc.show = true
		case (ch == 'i' || ch == 'I') && !anyCase:
			anyCase = true
		case ch >= '1' && ch <= '9' && sc.which == 0 && !(p.at+1 < len(p.in) && digits(p.in[p.at+1:p.at+2])):
			sc.which = int(ch - '0')
		case ch >= '0' && ch <= '9', ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z':
			return false
		default:
			sc.which = max(sc.which, 1)
			if sc.re = p.compile(pattern, anyCase); sc.re == nil {
				return false
			}
			return sc.replacement(with)
		}
	}
}

// replacement reads the text that replaces.
func (sc *sedCommand) replacement(text string) bool {
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			sc.with = append(sc.with, piece{plain.String(), -1})
			plain.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '&':
			flush()
			sc.with = append(sc.with, piece{group: 0})
		case ch == '\n':
			return false
		case ch != '\\':
			plain.WriteByte(ch)
		case i+1 == len(text):
			return false
		default:
			i++
			switch ch := text[i]; {
			case ch >= '1' && ch <= '9':
				flush()
				if int(ch-'0') > sc.re.groups || sc.re.ofGroups {
					return false
				}
				sc.with = append(sc.with, piece{group: int(ch - '0')})
			case ch == 'n':
				plain.WriteByte('\n')
			case ch == 't':
				plain.WriteByte('\t')
			case strings.IndexByte(`\&/.*[]^$`, ch) >= 0:
				plain.WriteByte(ch)
			default:
				return false
			}
		}
	}
	flush()
	return true
}

// transliteration is what follows y.
func (p *sedParser) transliteration(sc *sedCommand) bool {
	delimiter := p.peek()
	p.at++
	from, ok1 := p.until(delimiter, false)
	to, ok2 := p.until(delimiter, false)
	if !ok1 || !ok2 || len(from) != len(to) || strings.Contains(from+to, `\`) {
		return false
	}
	for i := range sc.table {
		sc.table[i] = byte(i)
	}
	for i := len(from) - 1; i >= 0; i-- {
		sc.table[from[i]] = to[i]
	}
	return true
}
