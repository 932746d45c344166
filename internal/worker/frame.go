package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Requests and answers go over the connection as frames: four bytes with the length of what follows, and that is the fields
// in their order, a number in as few bytes as it needs, and a text behind its length. Both ends are one program.

// longestFrame is more than a script's arguments and environment, or two outputs, can have.
const longestFrame = 16 << 20

var errFrame = errors.New("what comes is no frame")

// A frame is what is written.
type frame []byte

// newFrame has room for so many bytes of text, and some numbers.
func newFrame(text int) frame { return make(frame, 4, text+128) }

func (f *frame) number(n uint64) { *f = binary.AppendUvarint(*f, n) }

func (f *frame) flag(is bool) {
	if is {
		f.number(1)
	} else {
		f.number(0)
	}
}

func (f *frame) text(s string) {
	f.number(uint64(len(s)))
	*f = append(*f, s...)
}

func (f *frame) list(all []string) {
	f.number(uint64(len(all)))
	for _, s := range all {
		f.text(s)
	}
}

// done is the frame with its length.
func (f frame) done() []byte {
	binary.NativeEndian.PutUint32(f, uint32(len(f)-4))
	return f
}

func (r *Request) frame() []byte {
	size := len(r.Path) + len(r.Files) + len(r.Dir) + len(r.Cgroup)
	for _, all := range [][]string{r.Args, r.Env} {
		for _, s := range all {
			size += len(s) + 2
		}
	}
	f := newFrame(size)
	f.number(r.ID)
	f.flag(r.Cancel)
	f.text(r.Path)
	f.text(r.Files)
	f.list(r.Args)
	f.text(r.Dir)
	f.list(r.Env)
	f.text(r.Cgroup)
	f.number(uint64(r.Limit))
	return f.done()
}

func (a *Answer) frame() []byte {
	f := newFrame(len(a.Declined) + len(a.Failed) + len(a.Stdout) + len(a.Stderr))
	f.number(a.ID)
	f.text(a.Declined)
	f.text(a.Failed)
	f.flag(a.Stuck)
	f.number(uint64(a.Status))
	f.text(string(a.Stdout))
	f.text(string(a.Stderr))
	f.number(uint64(a.Forks))
	return f.done()
}

// A reader reads frames. The error at their end is io.EOF.
type reader struct {
	from *bufio.Reader
	buf  []byte
}

func newReader(conn io.Reader) *reader { return &reader{from: bufio.NewReaderSize(conn, 8<<10)} }

func (r *reader) fields() (*fields, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.NativeEndian.Uint32(head[:]))
	if n > longestFrame {
		return nil, fmt.Errorf("%w: it has %d bytes", errFrame, n)
	}
	if n > cap(r.buf) {
		r.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r.from, r.buf[:n]); err != nil {
		return nil, errors.Join(errFrame, err)
	}
	f := &fields{rest: string(r.buf[:n])}
	if cap(r.buf) > 1<<16 { // it was a rare one
		r.buf = nil
	}
	return f, nil
}

func (r *reader) request() (q Request, err error) {
	f, err := r.fields()
	if err != nil {
		return q, err
	}
	q.ID, q.Cancel = f.number(), f.number() != 0
	q.Path, q.Files, q.Args = f.text(), f.text(), f.list()
	q.Dir, q.Env, q.Cgroup = f.text(), f.list(), f.text()
	q.Limit = time.Duration(f.number())
	return q, f.end()
}

func (r *reader) answer() (a Answer, err error) {
	f, err := r.fields()
	if err != nil {
		return a, err
	}
	a.ID, a.Declined, a.Failed, a.Stuck = f.number(), f.text(), f.text(), f.number() != 0
	a.Status, a.Stdout, a.Stderr, a.Forks = int(f.number()), []byte(f.text()), []byte(f.text()), int(f.number())
	return a, f.end()
}

// fields are those of a frame that are not read yet. After one that is not as it should be all are empty.
type fields struct {
	rest string
	bad  bool
}

func (f *fields) number() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		if f.rest == "" {
			break
		}
		b := f.rest[0]
		f.rest = f.rest[1:]
		if n |= uint64(b&0x7f) << shift; b < 0x80 {
			return n
		}
	}
	f.rest, f.bad = "", true
	return 0
}

func (f *fields) text() string {
	n := f.number()
	if n > uint64(len(f.rest)) {
		f.rest, f.bad = "", true
		return ""
	}
	text := f.rest[:n]
	f.rest = f.rest[n:]
	return text
}

func (f *fields) list() []string {
	n := f.number()
	if n > uint64(len(f.rest)) { // each has a byte
		f.rest, f.bad = "", true
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = f.text()
	}
	return all
}

func (f *fields) end() error {
	if f.bad || f.rest != "" {
		return errFrame
	}
	return nil
}
