package native

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// A translator turns a POSIX regular expression, with the extensions of GNU that scripts use, into one of
// package regexp that means exactly the same to text of ASCII without NUL. Whatever does not, or is an error,
// or is another thing to one program than to the next, it declines.
type translator struct {
	in       string
	extended bool // ERE, else BRE
	sed      bool // \n and \t mean the characters
	out      strings.Builder
	depth    int
	groups   int
	// ofGroups: which part of a match a group has may be another thing to glibc: there is a choice, or a
	// group is repeated.
	ofGroups bool
	anchors  bool
	// What the last atom was, for what may follow: nothing yet (the start of a branch), an anchor, an atom, a
	// group, an atom that is repeated.
	last byte
	// wordEnd: it was one character of a word.
	wordEnd bool
}

const (
	atStart  = 's'
	atAnchor = '^'
	atAtom   = 'a'
	atGroup  = 'g'
	atRepeat = '*'
)

// translate is t.in for package regexp; ok is false where it is declined.
func (t *translator) translate() (string, bool) {
	t.last = atStart
	for i := 0; i < len(t.in); i++ {
		n := t.next(i)
		if n == 0 {
			return "", false
		}
		i += n - 1
	}
	if t.depth != 0 || t.last == atStart && t.in != "" {
		return "", false
	}
	return t.out.String(), true
}

// next translates what is at i, and returns its length; 0 declines.
func (t *translator) next(i int) int {
	ch := t.in[i]
	switch {
	case ch >= 0x80 || ch == 0 || ch == '\n':
		return 0
	case ch == '[':
		return t.bracket(i)
	case ch == '.':
		return t.atom(`(?s:.)`, 1)
	case ch == '^':
		return t.caret(i)
	case ch == '$':
		return t.dollar(i)
	case ch == '*':
		if !t.extended && (t.last == atStart || t.last == atAnchor) {
			if t.last == atAnchor && t.in[i-1] != '^' {
				return 0
			}
			return t.atom(`\*`, 1)
		}
		return t.repeat("*", 1)
	case ch == '\\':
		return t.escaped(i)
	case t.extended && strings.IndexByte("+?(){}|", ch) >= 0:
		return t.operator(i, ch, 1)
	}
	length := t.atom(regexp.QuoteMeta(string(ch)), 1)
	t.wordEnd = ofWord(ch)
	return length
}

func ofWord(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch == '_'
}

func (t *translator) atom(text string, length int) int {
	t.out.WriteString(text)
	t.last, t.wordEnd = atAtom, false
	return length
}

// wordEdge is \< before a character of a word, or \> after one: there it is what \b is.
func (t *translator) wordEdge(i int, ch byte) int {
	rest := t.in[i+2:]
	fits := ch == '>' && t.wordEnd && t.last == atAtom
	if ch == '<' && rest != "" && ofWord(rest[0]) {
		after := rest[1:]
		fits = after == "" || strings.IndexByte(`*?{\`, after[0]) < 0
	}
	if !fits || t.sed {
		return 0
	}
	t.out.WriteString(`\b`)
	t.last, t.anchors = atAnchor, true
	return 2
}

// caret is an anchor at the start of a branch; elsewhere in a BRE it is itself.
func (t *translator) caret(i int) int {
	if t.last != atStart {
		if t.extended || t.last == atAnchor {
			return 0
		}
		return t.atom(`\^`, 1)
	}
	t.out.WriteString("^")
	t.last, t.anchors = atAnchor, true
	return 1
}

// dollar is an anchor at the end of a branch; elsewhere in a BRE it is itself.
func (t *translator) dollar(i int) int {
	rest := t.in[i+1:]
	end := rest == ""
	if t.extended {
		end = end || rest[0] == ')' && t.depth > 0 || rest[0] == '|'
	} else {
		end = end || strings.HasPrefix(rest, `\)`) && t.depth > 0 || strings.HasPrefix(rest, `\|`)
	}
	switch {
	case end:
		t.out.WriteString("$")
		t.last, t.anchors = atAnchor, true
		return 1
	case t.extended || strings.IndexByte(`\*$)|`, rest[0]) >= 0: // to grep $) is what $\) is
		return 0
	}
	return t.atom(`\$`, 1)
}

// escaped is what begins with a backslash.
func (t *translator) escaped(i int) int {
	if i+1 == len(t.in) {
		return 0
	}
	ch := t.in[i+1]
	switch {
	case !t.extended && strings.IndexByte("+?(){}|", ch) >= 0:
		return t.operator(i, ch, 2)
	case strings.IndexByte(`.*[]^$\`, ch) >= 0, t.extended && strings.IndexByte("+?(){}|", ch) >= 0:
		return t.atom(regexp.QuoteMeta(string(ch)), 2)
	case t.sed && ch == 'n':
		return t.atom(`\n`, 2)
	case t.sed && ch == 't':
		return t.atom(`\t`, 2)
	}
	switch ch {
	case '<', '>':
		return t.wordEdge(i, ch)
	case 'w':
		return t.atom(`[0-9A-Za-z_]`, 2)
	case 'W':
		return t.atom(`[^0-9A-Za-z_]`, 2)
	case 's':
		return t.atom(`[\t-\r ]`, 2)
	case 'S':
		return t.atom(`[^\t-\r ]`, 2)
	case 'b':
		if t.sed { // there a match goes on from the middle of the line
			return 0
		}
		t.out.WriteString(`\b`)
		t.last, t.anchors = atAnchor, true
		return 2
	}
	return 0
}

// operator is one of + ? ( ) { } |, of the given length in the text.
func (t *translator) operator(i int, ch byte, length int) int {
	switch ch {
	case '+', '?':
		return t.repeat(string(ch), length)
	case '(':
		t.out.WriteString("(")
		t.depth, t.groups, t.last = t.depth+1, t.groups+1, atStart
		return length
	case ')':
		if t.depth == 0 || t.last == atStart {
			return 0
		}
		t.out.WriteString(")")
		t.depth, t.last = t.depth-1, atGroup
		return length
	case '|':
		if t.last == atStart {
			return 0
		}
		t.out.WriteString("|")
		t.last, t.ofGroups = atStart, true
		return length
	case '{':
		return t.interval(i, length)
	}
	return 0
}

// repeat is * + ? or an interval. After a repetition it is declined, and at the start or after an anchor,
// where it is another thing in each dialect.
func (t *translator) repeat(text string, length int) int {
	switch t.last {
	case atGroup:
		t.ofGroups = true
	case atAtom:
	default:
		return 0
	}
	t.out.WriteString(text)
	t.last = atRepeat
	return length
}

// interval is {2}, {2,} or {2,3}.
func (t *translator) interval(i, length int) int {
	text := t.in[i+length:]
	mark := "}"
	if length == 2 {
		mark = `\}`
	}
	text, _, closed := strings.Cut(text, mark)
	var low, high int
	if !closed || len(text) > 7 {
		return 0
	}
	from, to, both := strings.Cut(text, ",")
	if n, err := fmt.Sscanf(from+" 0", "%d %d", &low, &high); n != 2 || err != nil || !digits(from) || low > 255 {
		return 0
	}
	if both && to != "" {
		if n, err := fmt.Sscanf(to, "%d", &high); n != 1 || err != nil || !digits(to) || high > 255 || high < low {
			return 0
		}
	}
	return t.repeat("{"+text+"}", 2*length+len(text))
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// classes are the classes of the locale C.
var classes = map[string]string{
	"alpha": "A-Za-z", "digit": "0-9", "alnum": "0-9A-Za-z", "upper": "A-Z", "lower": "a-z", "space": `\t-\r `,
	"blank": `\t `, "punct": `!-/:-@\[-` + "`" + `{-~`, "print": " -~", "graph": "!-~", "cntrl": `\x01-\x1f\x7f`,
	"xdigit": "0-9A-Fa-f",
}

// bracket is [...].
func (t *translator) bracket(start int) int {
	i := start + 1
	var set strings.Builder
	set.WriteByte('[')
	if i < len(t.in) && t.in[i] == '^' {
		set.WriteByte('^')
		i++
	}
	for first := true; ; first = false {
		if i >= len(t.in) {
			return 0
		}
		ch := t.in[i]
		switch {
		case ch == ']' && !first:
			set.WriteByte(']')
			return t.atom(set.String(), i+1-start)
		case ch == '[' && i+1 < len(t.in) && strings.IndexByte(":.=", t.in[i+1]) >= 0:
			name, _, closed := strings.Cut(t.in[i+2:], ":]")
			class, known := classes[name]
			if t.in[i+1] != ':' || !closed || !known {
				return 0
			}
			set.WriteString(class)
			i += len(name) + 4
			if strings.HasPrefix(t.in[i:], "-") && !strings.HasPrefix(t.in[i:], "-]") {
				return 0
			}
		case ch >= 0x80 || ch < ' ' && ch != '\t' || t.sed && ch == '\\':
			return 0
		default:
			n := member(t.in[i:], &set)
			if n == 0 {
				return 0
			}
			i += n
		}
	}
}

// member is one character of a bracket expression, or a range.
func member(in string, set *strings.Builder) int {
	fmt.Fprintf(set, `\x%02x`, in[0])
	if len(in) < 3 || in[1] != '-' || in[2] == ']' {
		return 1
	}
	if in[2] < in[0] || in[2] >= 0x80 || in[2] == '[' || in[2] == '\\' || in[2] == '-' || in[0] == '-' {
		return 0
	}
	fmt.Fprintf(set, `-\x%02x`, in[2])
	return 3
}

// A compiled regular expression finds the longest of the leftmost matches.
type compiled struct {
	*regexp.Regexp
	groups   int
	ofGroups bool
}

// compilations keeps what was compiled: scripts say the same again and again.
var compilations = struct {
	sync.Mutex
	all map[string]*compiled
}{all: map[string]*compiled{}}

// cached is what was compiled by that key before, or what compiling gives now; nil, too, is kept.
func cached(key string, compile func() *compiled) *compiled {
	compilations.Lock()
	re, known := compilations.all[key]
	compilations.Unlock()
	if known {
		return re
	}
	re = compile()
	compilations.Lock()
	defer compilations.Unlock()
	if len(compilations.all) >= 1000 {
		clear(compilations.all)
	}
	compilations.all[key] = re
	return re
}

// compile translates and compiles; nil declines.
func compile(pattern string, extended, sed, anyCase bool) *compiled {
	return cached(fmt.Sprint(extended, sed, anyCase, pattern), func() *compiled {
		t := &translator{in: pattern, extended: extended, sed: sed}
		text, ok := t.translate()
		if !ok {
			return nil
		}
		re := compileGo(text, anyCase)
		if re != nil {
			re.groups, re.ofGroups = t.groups, t.ofGroups
		}
		return re
	})
}

// compileGo compiles an expression of package regexp; nil where that refuses it.
func compileGo(text string, anyCase bool) *compiled {
	if anyCase {
		text = "(?i:" + text + ")"
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil
	}
	re.Longest()
	return &compiled{Regexp: re}
}

// ascii reports whether data is ASCII, and has no NUL: then the locales C and C.UTF-8 are one, and no program
// takes it for binary.
func ascii(data []byte) bool {
	for _, b := range data {
		if b == 0 || b >= 0x80 {
			return false
		}
	}
	return true
}
