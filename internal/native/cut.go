package native

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"strings"

	"backtowork/internal/command"
)

// A span is fields or bytes from..to, both counted from 1.
type span struct{ from, to int }

// cut knows -f with -d and -s, -c and -b.
func cut(ctx context.Context, c *Call) (int, bool) {
	opts, operands, err := command.Options(c.Args[1:], "f:d:sc:b:", map[string]byte{
		"fields": 'f', "delimiter": 'd', "only-delimited": 's', "characters": 'c', "bytes": 'b',
	})
	if err != nil {
		return 0, false
	}
	delimiter, only, mode, text := "\t", false, byte(0), ""
	for _, o := range opts {
		switch o.Letter {
		case 'd':
			delimiter = o.Value
		case 's':
			only = true
		default:
			if mode != 0 {
				return 0, false
			}
			mode, text = o.Letter, o.Value
		}
	}
	spans, ok := parseSpans(text)
	byField := mode == 'f'
	if !ok || len(delimiter) != 1 || delimiter[0] >= 0x80 || delimiter == "\n" || !byField && (only || delimiter != "\t") {
		return 0, false
	}
	return c.filter(ctx, filter{names: operands, failed: 1, do: func(ins []input, r *result) bool {
		for _, in := range ins {
			if in.err != nil {
				r.say(c, "%s: %s", in.name, reason(in.err))
				r.status = 1
				continue
			}
			if mode == 'c' && !ascii(in.data) { // some versions cut characters
				return false
			}
			for data := in.data; len(data) > 0; {
				var line []byte
				line, data, _ = bytes.Cut(data, []byte("\n"))
				if byField {
					cutFields(r, line, delimiter[0], only, spans)
				} else {
					cutBytes(r, line, spans)
				}
			}
		}
		return true
	}})
}

// parseSpans reads 1,3-5,7-.
func parseSpans(text string) ([]span, bool) {
	var spans []span
	for word := range strings.SplitSeq(text, ",") {
		from, to, both := strings.Cut(word, "-")
		s := span{1, math.MaxInt}
		for _, end := range []struct {
			text string
			n    *int
		}{{from, &s.from}, {to, &s.to}} {
			if end.text == "" {
				continue
			}
			n, err := strconv.Atoi(end.text)
			if err != nil || !digits(end.text) || n < 1 {
				return nil, false
			}
			*end.n = n
		}
		if !both {
			s.to = s.from
		}
		if word == "" || word == "-" || s.to < s.from {
			return nil, false
		}
		spans = append(spans, s)
	}
	return spans, true
}

func within(spans []span, n int) bool {
	for _, s := range spans {
		if n >= s.from && n <= s.to {
			return true
		}
	}
	return false
}

func cutFields(r *result, line []byte, delimiter byte, only bool, spans []span) {
	if bytes.IndexByte(line, delimiter) < 0 {
		if !only {
			r.out.Write(line)
			r.out.WriteByte('\n')
		}
		return
	}
	first := true
	for n, more := 1, true; more; n++ {
		end := bytes.IndexByte(line, delimiter)
		field := line
		if more = end >= 0; more {
			field, line = line[:end], line[end+1:]
		}
		if !within(spans, n) {
			continue
		}
		if !first {
			r.out.WriteByte(delimiter)
		}
		r.out.Write(field)
		first = false
	}
	r.out.WriteByte('\n')
}

func cutBytes(r *result, line []byte, spans []span) {
	for i, b := range line {
		if within(spans, i+1) {
			r.out.WriteByte(b)
		}
	}
	r.out.WriteByte('\n')
}
