package native

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"backtowork/internal/command"
)

// A sedCommand is one of s p d q = y {, where its addresses select the line.
type sedCommand struct {
	from, to *sedAddress
	not      bool
	name     byte

	// of s
	re           *compiled
	with         []piece
	global, show bool
	which        int // the match that is replaced first

	table  [256]byte    // of y
	block  []sedCommand // of {
	active bool         // a range that has begun
}

// A sedAddress is a line number, $, or an expression.
type sedAddress struct {
	line int // 0: not a number
	last bool
	re   *compiled
}

// A piece of a replacement is text, or a group of the match (0: all of it).
type piece struct {
	text  string
	group int // -1: text
}

// sed knows -n, -e, -E; s p d q = y and blocks of them; addresses.
func sed(ctx context.Context, c *Call) (int, bool) {
	opts, operands, err := command.Options(c.Args[1:], "nEre:", map[string]byte{
		"quiet": 'n', "silent": 'n', "regexp-extended": 'E', "expression": 'e',
	})
	if err != nil {
		return 0, false
	}
	quiet, extended, given := false, false, false
	var scripts []string
	for _, o := range opts {
		switch o.Letter {
		case 'n':
			quiet = true
		case 'e':
			scripts, given = append(scripts, o.Value), true
		default:
			extended = true
		}
	}
	if !given {
		if len(operands) == 0 {
			return 0, false
		}
		scripts, operands = operands[:1], operands[1:]
	}
	script := strings.Join(scripts, "\n")
	p := &sedParser{in: script, extended: extended}
	commands, ok := p.parse(0)
	if p.quits && (len(operands) != 1 || operands[0] == "-") { // stdin is read no further than that
		return 0, false
	}
	if !ok || p.at < len(p.in) || !ascii([]byte(script)) || strings.HasPrefix(script, "#") {
		return 0, false
	}
	return c.filter(ctx, filter{names: operands, failed: 4, do: func(ins []input, r *result) bool {
		return sedRun(c, commands, quiet, ins, r)
	}})
}

// A sedLine is the line that is worked on.
type sedLine struct {
	text   []byte
	number int
	last   bool
	quiet  bool
	out    *bytes.Buffer
	quit   bool // it is the last one
	ended  bool // it has a new line at its end
	// what is printed after one without a new line at its end begins with one
	missing *bool
}

// sedRun is false where the inputs are not text for all locales.
func sedRun(c *Call, commands []sedCommand, quiet bool, ins []input, r *result) bool {
	var all []input
	for _, in := range ins {
		switch {
		case in.err != nil && in.stdin:
			return false
		case in.err != nil:
			r.say(c, "can't read %s: %s", in.name, reason(in.err))
			r.status = 2
		case !ascii(in.data):
			return false
		case len(in.data) > 0:
			all = append(all, in)
		}
	}
	missing := false
	l := &sedLine{quiet: quiet, out: &r.out, missing: &missing}
	for i, in := range all {
		for data := in.data; len(data) > 0 && !l.quit; {
			var line []byte
			line, data, l.ended = bytes.Cut(data, []byte("\n"))
			l.text, l.number, l.last = line, l.number+1, i == len(all)-1 && len(data) == 0
			if l.run(commands) && !quiet {
				l.print()
			}
			if l.quit {
				l.newLine()
			}
		}
	}
	return true
}

func (l *sedLine) newLine() {
	if *l.missing {
		l.out.WriteByte('\n')
		*l.missing = false
	}
}

func (l *sedLine) print() {
	l.newLine()
	l.out.Write(l.text)
	if l.ended {
		l.out.WriteByte('\n')
	} else {
		*l.missing = true
	}
}

// run is false when the line was deleted.
func (l *sedLine) run(commands []sedCommand) bool {
	for i := range commands {
		sc := &commands[i]
		if sc.selects(l) == sc.not {
			continue
		}
		switch sc.name {
		case 'd':
			return false
		case 'p':
			l.print()
		case '=':
			l.newLine()
			fmt.Fprintln(l.out, l.number)
		case 's':
			l.substitute(sc)
		case 'y':
			l.text = bytes.Clone(l.text)
			for i, b := range l.text {
				l.text[i] = sc.table[b]
			}
		case 'q':
			l.quit = true
			return true
		case '{':
			if !l.run(sc.block) {
				return false
			}
			if l.quit {
				return true
			}
		}
	}
	return true
}

func (a *sedAddress) is(l *sedLine) bool {
	switch {
	case a.re != nil:
		return a.re.Match(l.text)
	case a.last:
		return l.last
	}
	return a.line == l.number
}

func (sc *sedCommand) selects(l *sedLine) bool {
	switch {
	case sc.from == nil:
		return true
	case sc.to == nil:
		return sc.from.is(l)
	case sc.active:
		sc.active = !sc.to.is(l)
		return true
	case !sc.from.is(l):
		return false
	}
	sc.active = true
	switch {
	case sc.to.re != nil: // it is looked for from the next line on
	case sc.to.last:
		sc.active = !l.last
	default:
		sc.active = sc.to.line > l.number
	}
	return true
}

// substitute is the command s.
func (l *sedLine) substitute(sc *sedCommand) {
	n := sc.which
	if sc.global {
		n = -1
	}
	matches := sc.re.FindAllSubmatchIndex(l.text, n)
	if len(matches) < sc.which {
		return
	}
	var to []byte
	at := 0
	for _, m := range matches[sc.which-1:] {
		to = append(to, l.text[at:m[0]]...)
		for _, p := range sc.with {
			if p.group < 0 {
				to = append(to, p.text...)
			} else if m[2*p.group] >= 0 {
				to = append(to, l.text[m[2*p.group]:m[2*p.group+1]]...)
			}
		}
		at = m[1]
	}
	l.text = append(to, l.text[at:]...)
	if sc.show {
		l.print()
	}
}
