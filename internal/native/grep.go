package native

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"backtowork/internal/command"
)

// A grepping is what grep was asked for.
type grepping struct {
	quiet, count, inverse, list, only, number, silent bool
	anyCase, word, line, fixed, extended              bool
	named, unnamed                                    bool // -H and -h
	most                                              int  // -m; -1 is all
	patterns                                          []string
	files                                             []string

	literal []byte // what is looked for, if that is all
	re      *regexp.Regexp
}

var grepLong = map[string]byte{
	"quiet": 'q', "silent": 'q', "count": 'c', "invert-match": 'v', "ignore-case": 'i', "word-regexp": 'w', "line-regexp": 'x',
	"no-messages": 's', "fixed-strings": 'F', "extended-regexp": 'E', "basic-regexp": 'G', "regexp": 'e', "line-number": 'n',
	"only-matching": 'o', "files-with-matches": 'l', "max-count": 'm', "no-filename": 'h', "with-filename": 'H',
}

func grep(ctx context.Context, c *Call) (int, bool) {
	g, ok := parseGrep(c.Args[1:])
	if !ok || !g.prepare() {
		return 0, false
	}
	f := filter{names: g.files, failed: 2, do: func(ins []input, r *result) bool { return g.run(c, ins, r) }}
	if g.stops() && (len(g.files) == 0 || slices.Contains(g.files, "-")) {
		if len(g.files) > 1 || !g.quiet && isPlain(c.Stdin) { // who reads on where it stops?
			return 0, false
		}
		f.enough = g.enough()
	}
	return c.filter(ctx, f)
}

// stops reports whether it does not read all.
func (g *grepping) stops() bool { return g.quiet || g.list || g.most >= 0 }

func parseGrep(args []string) (*grepping, bool) {
	opts, operands, err := command.Options(args, "qcviwxsFEGe:nolm:hHy", grepLong)
	if err != nil {
		return nil, false
	}
	g := &grepping{most: -1}
	given := false
	for _, o := range opts {
		if o.Letter == 'e' {
			g.patterns, given = append(g.patterns, strings.Split(o.Value, "\n")...), true
		} else if !g.set(o) {
			return nil, false
		}
	}
	if !given {
		if len(operands) == 0 {
			return nil, false
		}
		g.patterns, operands = strings.Split(operands[0], "\n"), operands[1:]
	}
	g.files = operands
	return g, true
}

func (g *grepping) set(o command.Option) bool {
	switch o.Letter {
	case 'q':
		g.quiet = true
	case 'c':
		g.count = true
	case 'v':
		g.inverse = true
	case 'i':
		g.anyCase = true
	case 'w':
		g.word = true
	case 'x':
		g.line = true
	case 's':
		g.silent = true
	case 'F':
		if g.extended {
			return false
		}
		g.fixed = true
	case 'E':
		if g.fixed {
			return false
		}
		g.extended = true
	case 'n':
		g.number = true
	case 'o':
		g.only = true
	case 'l':
		g.list = true
	case 'h':
		g.named, g.unnamed = false, true
	case 'H':
		g.named, g.unnamed = true, false
	case 'm':
		n, err := strconv.Atoi(o.Value)
		g.most = n
		return err == nil && digits(o.Value) && n > 0 && n < 1<<30
	default: // -G undoes others, -y is old
		return false
	}
	return true
}

// prepare compiles the patterns; false declines.
func (g *grepping) prepare() bool {
	if g.inverse && slices.Contains(g.patterns, "") { // grep knows at once that there is none, and prints no count
		return false
	}
	if len(g.patterns) == 1 && !g.anyCase && !g.word && !g.line && (g.fixed || regexp.QuoteMeta(g.patterns[0]) == g.patterns[0]) {
		g.literal = []byte(g.patterns[0])
		return ascii(g.literal)
	}
	var all []string
	for _, p := range g.patterns {
		if !ascii([]byte(p)) {
			return false
		}
		if g.fixed {
			all = append(all, regexp.QuoteMeta(p))
			continue
		}
		t := &translator{in: p, extended: g.extended}
		text, ok := t.translate()
		if !ok || g.word && t.anchors {
			return false
		}
		all = append(all, text)
	}
	text := "(?:" + strings.Join(all, ")|(?:") + ")"
	re := cached(fmt.Sprint("grep", g.anyCase, g.line, g.word, g.only, text), func() *compiled { return g.compile(text) })
	if re == nil {
		return false
	}
	g.re = re.Regexp
	return true
}

// compile makes the expression for whole lines or words of what text matches. A word is not part of a longer
// one; where text could match nothing at all, or is to be cut out, words are left to grep.
func (g *grepping) compile(text string) *compiled {
	switch {
	case g.line:
		text = "^(?:" + text + ")$"
	case g.word:
		re := compileGo(text, g.anyCase)
		if re == nil || re.MatchString("") || g.only {
			return nil
		}
		text = `(?:^|[^0-9A-Za-z_])(?:` + text + `)(?:[^0-9A-Za-z_]|$)`
	}
	return compileGo(text, g.anyCase)
}

func (g *grepping) match(line []byte) bool {
	if g.re == nil {
		return bytes.Contains(line, g.literal)
	}
	return g.re.Match(line)
}

// enough says when no more of stdin is needed.
func (g *grepping) enough() func([]byte) bool {
	left := max(g.most, 1)
	var line []byte
	return func(part []byte) bool {
		for {
			end := bytes.IndexByte(part, '\n')
			if end < 0 {
				line = append(line, part...)
				return false
			}
			line = append(line, part[:end]...)
			if !ascii(line) {
				return true
			}
			if g.match(line) != g.inverse {
				if left--; left == 0 {
					return true
				}
			}
			line, part = line[:0], part[end+1:]
		}
	}
}

// run looks through the inputs; it is false where one is not text for all locales.
func (g *grepping) run(c *Call, ins []input, r *result) bool {
	g.named = g.named || len(ins) > 1 && !g.unnamed
	found, failed := false, false
	for _, in := range ins {
		if in.err != nil {
			failed = true
			if !g.silent {
				r.say(c, "%s: %s", in.name, reason(in.err))
			}
			continue
		}
		if !ascii(in.data) {
			return false
		}
		if g.one(in, r) {
			found = true
			if g.quiet {
				return true
			}
		}
	}
	switch {
	case failed:
		r.status = 2
	case !found:
		r.status = 1
	}
	return true
}

// one looks through one input, and reports whether it selected a line.
func (g *grepping) one(in input, r *result) bool {
	name := in.name
	if in.stdin {
		name = "(standard input)"
	}
	selected, at := 0, 0
	for data := in.data; len(data) > 0 && (g.most < 0 || selected < g.most); {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		at++
		if g.match(line) == g.inverse {
			continue
		}
		selected++
		if g.quiet || g.list {
			break
		}
		if !g.count {
			g.print(r, name, at, line)
		}
	}
	switch {
	case g.quiet:
	case g.list && selected > 0:
		r.out.WriteString(name + "\n")
	case g.count && !g.list:
		if g.named {
			r.out.WriteString(name + ":")
		}
		fmt.Fprintln(&r.out, selected)
	}
	return selected > 0
}

func (g *grepping) print(r *result, name string, at int, line []byte) {
	head := func() {
		if g.named {
			r.out.WriteString(name + ":")
		}
		if g.number {
			fmt.Fprintf(&r.out, "%d:", at)
		}
	}
	if !g.only {
		head()
		r.out.Write(line)
		r.out.WriteByte('\n')
		return
	}
	if g.inverse {
		return
	}
	for _, part := range g.parts(line) {
		if len(part) > 0 {
			head()
			r.out.Write(part)
			r.out.WriteByte('\n')
		}
	}
}

// parts is what -o prints of a line.
func (g *grepping) parts(line []byte) [][]byte {
	if g.re != nil {
		return g.re.FindAll(line, -1)
	}
	if len(g.literal) == 0 {
		return nil
	}
	return slices.Repeat([][]byte{g.literal}, bytes.Count(line, g.literal))
}
