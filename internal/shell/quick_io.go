package shell

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/syntax"
)

// written is what a run has printed.
type written struct {
	chunks []chunk
	size   int
}

type chunk struct {
	fd   int
	text []byte
}

type stream struct {
	w  *written
	fd int
}

func (s stream) Write(p []byte) (int, error) {
	if s.w.size += len(p); s.w.size > quickOutput {
		return 0, io.ErrShortWrite
	}
	if n := len(s.w.chunks); n > 0 && s.w.chunks[n-1].fd == s.fd {
		s.w.chunks[n-1].text = append(s.w.chunks[n-1].text, p...)
		return len(p), nil
	}
	s.w.chunks = append(s.w.chunks, chunk{s.fd, bytes.Clone(p)})
	return len(p), nil
}

func (w *written) to(out, err io.Writer) error {
	for _, c := range w.chunks {
		to := out
		if c.fd == 2 {
			to = err
		}
		if _, err := to.Write(c.text); err != nil && c.fd != 2 {
			return err
		}
	}
	return nil
}

// apart is what went to stdout, and to stderr.
func (w *written) apart() (out, err []byte) {
	for _, c := range w.chunks {
		if c.fd == 2 {
			err = append(err, c.text...)
		} else {
			out = append(out, c.text...)
		}
	}
	return out, err
}

// caughtOutput is what $( ) or a pipeline has caught.
type caughtOutput struct{ bytes.Buffer }

func (c *caughtOutput) Write(p []byte) (int, error) {
	if c.Len()+len(p) > quickOutput {
		return 0, io.ErrShortWrite
	}
	return c.Buffer.Write(p)
}

// print writes text of a builtin.
func (q *quick) print(text string) {
	if _, err := io.WriteString(q.out, text); err != nil {
		q.leave("too much output")
	}
}

// An input is what is read instead of a file or pipe: all of it is there.
type input struct {
	text  string
	fresh bool // nothing was read, and nothing but one command will
}

// guarded lets a program read only what is there for nobody else.
type guarded struct {
	in      *input
	refused bool
}

func (g *guarded) Read(p []byte) (int, error) {
	switch {
	case g.in != nil && len(g.in.text) == 0:
		return 0, io.EOF
	case g.in == nil || !g.in.fresh:
		g.refused = true
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, g.in.text)
	g.in.text = g.in.text[n:]
	return n, nil
}

func (q *quick) read(assigns []*syntax.Assign, args []string) {
	ifs, raw := " \t\n", false
	for len(args) > 0 && args[0] == "-r" {
		raw, args = true, args[1:]
	}
	for _, a := range assigns {
		if a.Name == nil || a.Name.Value != "IFS" || len(assigns) > 1 {
			q.leave("an assignment before read")
		}
		ifs = q.value(a.Value)
	}
	if len(args) == 0 || q.in == nil || !ascii(ifs) || slices.ContainsFunc(args, func(a string) bool { return !mayset(a) }) {
		q.leave("read")
	}
	q.in.fresh = false
	values, whole := q.fieldsOfLine(raw, ifs, len(args))
	for i, value := range values {
		q.set(args[i], value)
	}
	q.status = number01(!whole)
}

// fieldsOfLine takes a line of the input, and divides it.
func (q *quick) fieldsOfLine(raw bool, ifs string, n int) (values []string, whole bool) {
	line, rest, whole := strings.Cut(q.in.text, "\n")
	if ifs == " \t\n" && (raw || strings.IndexByte(line, '\\') < 0) && usual(line) {
		q.in.text = rest
		values = q.memory.list(n)[:n]
		plainSplit(values, line)
		return values, whole
	}
	letters, quoted, whole := q.line(raw)
	return split(letters, quoted, ifs, n), whole
}

// usual: there is nothing in the line that is left to others.
func usual(line string) bool {
	for i := range len(line) {
		if c := line[i]; c >= 0x80 || c == 0 || c == '\r' {
			return false
		}
	}
	return true
}

// line takes a line of the input; whole is false at its end.
func (q *quick) line(raw bool) (line []byte, quoted []bool, whole bool) {
	text := q.in.text
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= 0x80 || c == 0 || c == '\r':
			q.leave("odd letters")
		case c == '\n':
			q.in.text = text[i+1:]
			return line, quoted, true
		case c == '\\' && !raw:
			if i++; i == len(text) {
				continue
			}
			if text[i] >= 0x80 || text[i] == 0 || text[i] == '\r' {
				q.leave("odd letters")
			}
			if text[i] != '\n' {
				line, quoted = append(line, text[i]), append(quoted, true)
			}
			continue
		}
		line, quoted = append(line, c), append(quoted, false)
	}
	q.in.text = ""
	return line, quoted, false
}

func (q *quick) redirect(list []*syntax.Redirect) {
	for _, r := range list {
		n := ""
		if r.N != nil {
			n = r.N.Value
		}
		switch r.Op {
		case syntax.Hdoc:
			q.hereDocument(r, n)
		case syntax.RdrIn:
			q.from(n, q.value(r.Word))
		case syntax.RdrOut, syntax.AppOut:
			if q.value(r.Word) != os.DevNull {
				q.leave("a file to write")
			}
			q.to(n, io.Discard)
		case syntax.DplOut:
			switch q.value(r.Word) {
			case "1":
				q.to(n, q.out)
			case "2":
				q.to(n, q.err)
			default:
				q.leave("a redirection")
			}
		default:
			q.leave("a redirection")
		}
	}
}

func (q *quick) to(n string, w io.Writer) {
	switch n {
	case "", "1":
		q.out = w
	case "2":
		q.err = w
	default:
		q.leave("a redirection")
	}
}

// from has stdin come from a file.
func (q *quick) from(n, path string) {
	if n != "" && n != "0" || path == "" || hostFile(absolute(q.dir, path)) {
		q.leave("a redirection")
	}
	path = absolute(q.dir, path)
	if path == os.DevNull {
		q.in = &input{fresh: true}
		return
	}
	text, ok := readAll(path)
	if !ok {
		q.leave("no file to read")
	}
	q.in = &input{text: string(text), fresh: true}
}

var readBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// readAll reads a plain file, by system calls alone: package os has five more for each. It is not opened before it is known to be
// one: a pipe, or a device, may do something then.
func readAll(path string) (text []byte, ok bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > quickOutput {
		return nil, false
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	buf := readBuffers.Get().(*[64 << 10]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err != nil || len(text)+max(n, 0) > quickOutput:
			return nil, false
		case n <= 0:
			return text, true
		default:
			text = append(text, buf[:n]...)
		}
	}
}

func (q *quick) hereDocument(r *syntax.Redirect, n string) {
	if n != "" && n != "0" {
		q.leave("a redirection")
	}
	q.in = &input{fresh: true}
	if r.Hdoc == nil {
		return
	}
	if r.Word.Lit() == "" { // its end is quoted
		for _, p := range r.Hdoc.Parts {
			l, ok := p.(*syntax.Lit)
			if !ok || !ascii(l.Value) {
				q.leave("a here-document")
			}
			q.in.text += l.Value
		}
		return
	}
	q.in.text = q.quoted(r.Hdoc.Parts, "$`\\")
}
