package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// echo is dash's: -n, alone, is its only option, and backslashes are always read.
func echo(args []string) string {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		end, args = "", args[1:]
	}
	text, stop := unescape(strings.Join(args, " "), true)
	if stop {
		return text
	}
	return text + end
}

var escapes = map[byte]byte{'\\': '\\', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// unescape reads backslashes as echo and %b do, with \0 before octal digits and \c for the end, or
// as a format does.
func unescape(s string, echo bool) (text string, stop bool) {
	if !strings.Contains(s, `\`) {
		return s, false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		switch {
		case echo && c == 'c':
			return b.String(), true
		case c >= '0' && c <= '7':
			if echo && c == '0' {
				i++
			}
			n, from := 0, i
			for i < len(s) && i < from+3 && s[i] >= '0' && s[i] <= '7' {
				n = n*8 + int(s[i]-'0')
				i++
			}
			b.WriteByte(byte(n))
			i--
		case escapes[c] != 0:
			b.WriteByte(escapes[c])
		default:
			b.WriteByte('\\')
			i--
		}
	}
	return b.String(), false
}

// printf does the formats that status scripts use; with others, and with arguments that are no numbers, the run is declined.
func (r *run) printf(ctx context.Context, hc interp.HandlerContext, args []string) error {
	text, err := printf(args)
	if err != nil {
		return r.decline("printf: " + err.Error())
	}
	return r.print(ctx, hc, text)
}

// printf is what it prints, or why that is not done here.
func printf(args []string) (string, error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	} else if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return "", errors.New(args[0])
	}
	if len(args) == 0 {
		return "", errors.New("without a format")
	}
	if strings.Contains(strings.Join(args, " "), `\e`) {
		return "", errors.New("with \\e")
	}
	f := &format{args: args[1:]}
	for {
		before := len(f.args)
		if err := f.once(args[0]); err != nil {
			return "", err
		}
		if f.stop || len(f.args) == 0 || len(f.args) == before {
			break
		}
	}
	return f.out.String(), nil
}

type format struct {
	args []string
	out  strings.Builder
	stop bool
}

func (f *format) next() string {
	if len(f.args) == 0 {
		return ""
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

// once goes through the format one time.
func (f *format) once(s string) error {
	for i := 0; i < len(s) && !f.stop; i++ {
		switch s[i] {
		case '\\':
			j := i + 2
			for j < len(s) && j < i+4 && s[j-1] >= '0' && s[j-1] <= '7' && s[j] >= '0' && s[j] <= '7' {
				j++
			}
			if j > len(s) || s[i+1] == 'c' || s[i+1] == '"' || s[i+1] == 'e' || s[i+1] == 'x' {
				return fmt.Errorf("a backslash in %q", s)
			}
			text, _ := unescape(s[i:j], false)
			f.out.WriteString(text)
			i = j - 1
		case '%':
			n, err := f.directive(s[i+1:])
			if err != nil {
				return err
			}
			i += n
		default:
			f.out.WriteByte(s[i])
		}
	}
	return nil
}

// directive does what follows a %, and returns how long that is.
func (f *format) directive(s string) (int, error) {
	if strings.HasPrefix(s, "%") {
		f.out.WriteByte('%')
		return 1, nil
	}
	i := 0
	for i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0 {
		i++
	}
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || s[i] == '*') {
		i++
	}
	if i == len(s) {
		return 0, fmt.Errorf("%%%s without a letter", s)
	}
	spec, err := f.stars(s[:i])
	if err != nil {
		return 0, err
	}
	return i + 1, f.convert("%"+spec, s[i])
}

// stars puts arguments in the place of *.
func (f *format) stars(spec string) (string, error) {
	for strings.Contains(spec, "*") {
		n := f.next()
		if !number(n) {
			return "", fmt.Errorf("the width %q", n)
		}
		spec = strings.Replace(spec, "*", n, 1)
	}
	return spec, nil
}

func (f *format) convert(spec string, c byte) error {
	switch c {
	case 's', 'b':
		text := f.next()
		if c == 'b' {
			text, f.stop = unescape(text, true)
		}
		if !ascii(text) && spec != "%" || strings.ContainsAny(spec, "+ #0") && strings.TrimRight(spec, "123456789.") != "%" && strings.ContainsAny(strings.TrimLeft(spec, "%-"), "+ #") {
			return fmt.Errorf("%s%c", spec, c)
		}
		if strings.HasPrefix(strings.TrimLeft(spec, "%-"), "0") {
			return fmt.Errorf("%s%c", spec, c)
		}
		fmt.Fprintf(&f.out, spec+"s", text)
	case 'c':
		text := f.next()
		if spec != "%" || text == "" || !ascii(text) {
			return fmt.Errorf("%s%c", spec, c)
		}
		f.out.WriteByte(text[0])
	case 'd', 'i', 'u', 'o', 'x', 'X':
		return f.integer(spec, c)
	case 'f', 'e':
		x := f.next()
		v, err := strconv.ParseFloat(x, 64)
		if err != nil || strings.Trim(x, "-.0123456789") != "" {
			return fmt.Errorf("no number: %q", x)
		}
		fmt.Fprintf(&f.out, spec+string(c), v)
	default:
		return fmt.Errorf("%s%c", spec, c)
	}
	return nil
}

func (f *format) integer(spec string, c byte) error {
	x := f.next()
	var n int64
	if x != "" {
		v, ok := integer(x)
		if !ok || strings.TrimSpace(x) != x {
			return fmt.Errorf("no number: %q", x)
		}
		n = v
	}
	if strings.ContainsAny(spec, "#+ ") || strings.Contains(spec, ".") && strings.ContainsAny(spec[:2], "0-") || n < 0 && strings.HasPrefix(spec, "%-0") {
		return fmt.Errorf("%s%c", spec, c)
	}
	switch c {
	case 'd', 'i':
		fmt.Fprintf(&f.out, spec+"d", n)
	case 'u':
		fmt.Fprintf(&f.out, spec+"d", uint64(n))
	default:
		fmt.Fprintf(&f.out, spec+string(c), uint64(n))
	}
	return nil
}
