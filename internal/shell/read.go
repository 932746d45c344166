package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"mvdan.cc/sh/v3/interp"
)

// read reads a line and becomes the assignments that it makes.
func (r *run) read(ctx context.Context, hc interp.HandlerContext, args []string) ([]string, error) {
	raw := false
	for len(args) > 0 && args[0] == "-r" {
		raw, args = true, args[1:]
	}
	for _, a := range args {
		if !mayset(a) {
			return nil, r.decline("read " + a)
		}
	}
	in, ok := hc.Stdin.(*os.File)
	if len(args) == 0 || !ok || in == nil {
		return nil, r.decline("read without a name, or without input")
	}
	line, quoted, err := r.readLine(ctx, in, raw)
	if err != nil && err != io.EOF {
		return nil, r.decline("read: " + err.Error())
	}
	text := string(line)
	if err := r.saw(text); err != nil {
		return nil, err
	}
	if strings.ContainsAny(text, "\x00\r") || !utf8.ValidString(text) {
		return nil, r.decline("read: a NUL, a CR, or no UTF-8")
	}
	ifs := " \t\n"
	if v := hc.Env.Get("IFS"); v.IsSet() {
		ifs = v.String()
	}
	if !ascii(ifs) {
		return nil, r.decline("IFS beyond ASCII")
	}
	var b strings.Builder
	for i, value := range split(line, quoted, ifs, len(args)) {
		b.WriteString(args[i] + "=" + quote(value) + "\n")
	}
	if err == io.EOF {
		b.WriteString(hidden + "status 1\n")
	}
	return []string{"eval", b.String()}, nil
}

const maxLine = 1 << 20

// readLine reads up to the end of a line, and no further: what follows is for the next command. What a backslash stood before is
// quoted.
func (r *run) readLine(ctx context.Context, in *os.File, raw bool) (line []byte, quoted []bool, err error) {
	defer context.AfterFunc(ctx, func() { in.SetReadDeadline(time.Unix(1, 0)) })()
	next, used := r.reader(in)
	defer func() {
		if e := used(); e != nil {
			err = e
		}
	}()
	escaped := false
	for {
		c, err := next()
		if err != nil {
			return line, quoted, err
		}
		switch {
		case len(line) > maxLine:
			return nil, nil, errors.New("a line without end")
		case escaped:
			escaped = false
			if c != '\n' {
				line, quoted = append(line, c), append(quoted, true)
			}
			continue
		case c == '\\' && !raw:
			escaped = true
			continue
		case c == '\n':
			return line, quoted, nil
		}
		line, quoted = append(line, c), append(quoted, false)
	}
}

// reader reads bytes. Of a file it looks ahead, and its offset is moved as bytes are used; of others it must read one by one.
func (r *run) reader(in *os.File) (next func() (byte, error), used func() error) {
	if strings.HasPrefix(in.Name(), "/proc/") {
		if l := r.lookahead(in); l != nil {
			return l.next, func() error { return nil }
		}
	}
	if at, err := in.Seek(0, io.SeekCurrent); err == nil {
		l := &lookahead{in: in, at: at, size: 256}
		return l.next, l.settle
	}
	var b [1]byte
	return func() (byte, error) {
		n, err := in.Read(b[:])
		if n == 0 && err == nil {
			err = io.EOF
		}
		return b[0], err
	}, func() error { return nil }
}

// A lookahead is a file that is read in pieces, and whose offset is not yet where it should be.
type lookahead struct {
	in   *os.File
	at   int64 // the offset of buf
	buf  []byte
	size int
}

func (l *lookahead) next() (byte, error) {
	if len(l.buf) == 0 {
		buf := make([]byte, l.size)
		n, err := l.in.ReadAt(buf, l.at)
		if n == 0 {
			return 0, err
		}
		l.buf = buf[:n]
	}
	c := l.buf[0]
	l.buf = l.buf[1:]
	l.at++
	return c, nil
}

func (l *lookahead) settle() error {
	_, err := l.in.Seek(l.at, io.SeekStart)
	return err
}

// lookahead is kept from line to line for a file in /proc: the kernel makes its text anew, from the beginning, for each read
// and seek, and no script changes it. Before a program is given the file, its offset is set.
func (r *run) lookahead(in *os.File) *lookahead {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.ahead[in]; l != nil {
		return l
	}
	at, err := in.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil
	}
	l := &lookahead{in: in, at: at, size: 4096}
	r.ahead[in] = l
	return l
}

func (r *run) settle(in io.Reader) error {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.ahead[f]; l != nil {
		delete(r.ahead, f)
		return l.settle()
	}
	return nil
}

// split divides a line into so many values: the last one is the rest.
func split(line []byte, quoted []bool, ifs string, n int) []string {
	isIFS := func(i int) bool { return !quoted[i] && strings.IndexByte(ifs, line[i]) >= 0 }
	isSpace := func(i int) bool { return isIFS(i) && strings.IndexByte(" \t\n", line[i]) >= 0 }
	values := make([]string, n)
	i := 0
	for i < len(line) && isSpace(i) {
		i++
	}
	// field goes from i to the end of a field, and past what ends it.
	field := func(i int) (end, next int) {
		for end = i; end < len(line) && !isIFS(end); end++ {
		}
		next = end
		for next < len(line) && isSpace(next) {
			next++
		}
		if next < len(line) && isIFS(next) {
			next++
			for next < len(line) && isSpace(next) {
				next++
			}
		}
		return end, next
	}
	for k := 0; k < n-1 && i < len(line); k++ {
		end, next := field(i)
		values[k] = string(line[i:end])
		i = next
	}
	if i >= len(line) {
		return values
	}
	end, next := field(i)
	if next < len(line) {
		for end = len(line); end > i && isSpace(end-1); end-- {
		}
	}
	values[n-1] = string(line[i:end])
	return values
}
