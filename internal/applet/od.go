package applet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"backtowork/internal/command"
)

var odUsage = `Usage: od [-abcdilosxv] [-A RADIX] [-t TYPE...] [-j BYTES] [-N BYTES] [-w[BYTES]] [FILE...]

Prints the bytes of the files, or of standard input, as numbers or characters.
  -A RADIX    offsets as d(ecimal), o(ctal), (he)x, or n(one)
  -t TYPE...  a: named characters; c: characters; d, o, u, x and a size of
              1, 2, 4 or 8: numbers of so many bytes
  -a -b -c -d -i -l -o -s -x   the same as -t a o1 c u2 d4 d8 o2 d2 x2
  -j BYTES    skip that many bytes first
  -N BYTES    print at most that many
  -w[BYTES]   that many on a line (16, and 32 if only -w is given)
  -v          print lines that are alike as well

Example: od -A n -N 4 -t u4 /dev/urandom
`

// A dump is how od prints, and what it has printed.
type dump struct {
	out     *bufio.Writer
	formats []odFormat
	radix   byte
	all     bool // repeated lines too
	width   int  // bytes on a line
	skip    int64
	limit   int64 // bytes to read; -1 for all

	offset  int64
	last    []byte // the line printed last
	starred bool   // and a "*" after it
}

// od prints bytes.
func od(_ context.Context, env *command.Env) error {
	d := &dump{out: bufio.NewWriter(env.Stdout), radix: 'o', limit: -1}
	files, err := d.parse(env.Args)
	if err != nil {
		return err
	}
	in := &inputs{env: env, names: files}
	if len(files) == 0 {
		in.names = []string{"-"}
	}
	defer in.close()
	if !in.more() {
		return command.Status(1) // each file has been complained of
	}
	if skipped, err := io.CopyN(io.Discard, in, d.skip); err != nil {
		return fmt.Errorf("cannot skip %d bytes: the input has only %d", d.skip, skipped)
	}
	d.offset = d.skip
	var from io.Reader = in
	if d.limit >= 0 { // read no byte more than the limit: the rest of a pipe is for the next reader
		from = io.LimitReader(in, d.limit)
	}
	err = d.print(bufio.NewReaderSize(from, 64<<10))
	if err == nil && in.failed {
		err = command.Status(1)
	}
	return err
}

// parse reads the options and returns the names of the files.
func (d *dump) parse(args []string) ([]string, error) {
	opts, files, err := command.Options(args, "abcdilosxvA:t:j:N:w::", map[string]byte{
		"address-radix": 'A', "format": 't', "skip-bytes": 'j', "read-bytes": 'N', "width": 'w', "output-duplicates": 'v',
	})
	if err != nil {
		return nil, err
	}
	shortcuts := map[byte]string{'a': "a", 'b': "o1", 'c': "c", 'd': "u2", 'i': "d4", 'l': "d8", 'o': "o2", 's': "d2", 'x': "x2"}
	width := int64(0)
	for _, o := range opts {
		switch o.Letter {
		case 'A':
			if len(o.Value) != 1 || !strings.Contains("doxn", o.Value) {
				return nil, command.Usagef("not a radix: %q", o.Value)
			}
			d.radix = o.Value[0]
		case 'j':
			d.skip, err = byteCount(o.Value)
		case 'N':
			d.limit, err = byteCount(o.Value)
		case 'v':
			d.all = true
		case 'w':
			if width = 32; o.Value != "" {
				width, err = byteCount(o.Value)
			}
			if err == nil && (width < 1 || width > 1<<20) {
				err = command.Usagef("not a width: %q", o.Value)
			}
		case 't':
			err = d.addFormats(o.Value)
		default:
			err = d.addFormats(shortcuts[o.Letter])
		}
		if err != nil {
			return nil, err
		}
	}
	if len(d.formats) == 0 {
		d.formats = []odFormat{newODFormat('o', 2)}
	}
	return files, d.setWidth(int(width))
}

// setWidth takes the bytes on a line, 0 for the usual.
func (d *dump) setWidth(width int) error {
	unit := d.unit()
	if width == 0 {
		width = 16
	}
	if width%unit != 0 {
		return command.Usagef("a width of %d bytes is not whole numbers of %d bytes", width, unit)
	}
	d.width = width
	return nil
}

// unit is the size of the largest number: the sizes are powers of 2, so the others fit it.
func (d *dump) unit() int {
	unit := 1
	for _, f := range d.formats {
		unit = max(unit, f.size)
	}
	return unit
}

// addFormats reads the types of one -t, such as x1c.
func (d *dump) addFormats(types string) error {
	for rest := types; rest != ""; {
		kind, size := rest[0], 1
		rest = rest[1:]
		switch {
		case kind == 'a' || kind == 'c':
		case strings.IndexByte("doux", kind) >= 0:
			digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789CSIL"))]
			n, ok := map[string]int{"": 4, "1": 1, "2": 2, "4": 4, "8": 8, "C": 1, "S": 2, "I": 4, "L": 8}[digits]
			if !ok {
				return command.Usagef("not a type: %q", types)
			}
			size, rest = n, rest[len(digits):]
		default:
			return command.Usagef("not a type: %q", types)
		}
		d.formats = append(d.formats, newODFormat(kind, size))
	}
	if types == "" {
		return command.UsageError("the type is empty")
	}
	return nil
}

// byteCount reads a count of bytes: decimal, octal after 0, hexadecimal after 0x; times
// 512 with b, 1024 with K or k or KiB, 1000 with KB, and so on.
func byteCount(s string) (int64, error) {
	number := s
	times := int64(1)
	for _, unit := range []struct {
		name string
		size int64
	}{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"KB", 1e3},
		{"kB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"K", 1 << 10},
		{"k", 1 << 10},
		{"M", 1 << 20},
		{"m", 1 << 20},
		{"G", 1 << 30},
		{"b", 512},
	} {
		hex := strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X")
		if rest, ok := strings.CutSuffix(s, unit.name); ok && (unit.name != "b" || !hex) {
			number, times = rest, unit.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 0, 64)
	if err != nil || n < 0 || n > math.MaxInt64/times || strings.ContainsAny(number, "_+oO") {
		return 0, command.Usagef("not a count of bytes: %q", s)
	}
	return n * times, nil
}

// print prints all that r gives.
func (d *dump) print(r io.Reader) error {
	line := make([]byte, d.width)
	for {
		n, err := io.ReadFull(r, line)
		if n > 0 {
			d.line(line, n)
		}
		if err != nil {
			d.address("\n")
			return d.flush(err)
		}
	}
}

func (d *dump) flush(err error) error {
	if flush := d.out.Flush(); flush != nil {
		return fmt.Errorf("cannot write: %w", flush)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("cannot read: %w", err)
}

// line prints the first n bytes of a line.
func (d *dump) line(line []byte, n int) {
	defer func() { d.offset += int64(n) }()
	if !d.all && n == d.width && bytes.Equal(line, d.last) {
		if !d.starred {
			d.out.WriteString("*\n")
		}
		d.starred = true
		return
	}
	d.last, d.starred = append(d.last[:0], line...), false
	clear(line[n:])
	widest := 0
	for _, f := range d.formats {
		widest = max(widest, f.lineWidth(d.width))
	}
	for i, f := range d.formats {
		if i == 0 {
			d.address("")
		} else {
			fmt.Fprintf(d.out, "%*s", map[byte]int{'x': 6, 'n': 0, 'd': 7, 'o': 7}[d.radix], "")
		}
		f.print(d.out, line, n, widest)
		d.out.WriteByte('\n')
	}
}

// address prints the offset, and end after it; nothing at all with -A n.
func (d *dump) address(end string) {
	if format, ok := map[byte]string{'d': "%07d", 'o': "%07o", 'x': "%06x"}[d.radix]; ok {
		fmt.Fprintf(d.out, format+end, d.offset)
	}
}

// inputs reads the files one after the other. If one cannot be read, it says so and goes on with
// the next.
type inputs struct {
	env    *command.Env
	names  []string
	now    io.Reader
	failed bool
}

// more reports whether there is a file to read from, and opens it.
func (in *inputs) more() bool {
	for in.now == nil && len(in.names) > 0 {
		in.open(in.names[0])
		in.names = in.names[1:]
	}
	return in.now != nil
}

func (in *inputs) Read(p []byte) (int, error) {
	for {
		if !in.more() {
			return 0, io.EOF
		}
		n, err := in.now.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				in.complain("cannot read: %w", command.Reason(err))
			}
			in.close()
		}
	}
}

func (in *inputs) open(name string) {
	if name == "-" {
		in.now = in.env.Stdin
		return
	}
	f, err := os.Open(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		in.complain("cannot open %q: %w", name, err)
		return
	}
	in.now = f
}

func (in *inputs) complain(format string, args ...any) {
	command.Report(in.env, "", fmt.Errorf(format, args...))
	in.failed = true
}

func (in *inputs) close() {
	if f, ok := in.now.(*os.File); ok && in.now != in.env.Stdin {
		f.Close()
	}
	in.now = nil
}
