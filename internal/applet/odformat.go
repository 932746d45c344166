package applet

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// An odFormat is one way to print a line of bytes.
type odFormat struct {
	kind  byte // a c d o u x
	size  int  // of a number, in bytes
	width int  // the most characters that one takes
}

func newODFormat(kind byte, size int) odFormat {
	widths := map[byte][4]int{'d': {4, 6, 11, 20}, 'o': {3, 6, 11, 22}, 'u': {3, 5, 10, 20}, 'x': {2, 4, 8, 16}}
	f := odFormat{kind, size, 3}
	if w, ok := widths[kind]; ok {
		f.width = w[bits.Len(uint(size))-1]
	}
	return f
}

// lineWidth is how many characters a full line of so many bytes takes.
func (f odFormat) lineWidth(bytes int) int { return bytes / f.size * (f.width + 1) }

// print prints the numbers that contain the first n bytes of line. A line in each format is equally
// wide, so that columns stand under each other: a format that needs less spreads the missing blanks
// over its fields.
func (f odFormat) print(w *bufio.Writer, line []byte, n, widest int) {
	fields := len(line) / f.size
	pad := widest - f.lineWidth(len(line))
	left := pad
	for i := 0; i*f.size < n; i++ {
		after := pad * (fields - i - 1) / fields
		fmt.Fprintf(w, "%*s", f.width+1+left-after, f.number(line[i*f.size:(i+1)*f.size]))
		left = after
	}
}

// number prints one number or character.
func (f odFormat) number(b []byte) string {
	switch f.kind {
	case 'a':
		return charName(b[0] & 0x7f)
	case 'c':
		return char(b[0])
	}
	v := nativeNumber(b)
	switch f.kind {
	case 'd':
		unused := 64 - 8*f.size
		return fmt.Sprint(int64(v<<unused) >> unused)
	case 'o':
		return fmt.Sprintf("%0*o", f.width, v)
	case 'x':
		return fmt.Sprintf("%0*x", f.width, v)
	}
	return fmt.Sprint(v)
}

func nativeNumber(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

// charNames is ASCII's control characters and the space.
var charNames = strings.Fields(`nul soh stx etx eot enq ack bel bs ht nl vt ff cr so si
	dle dc1 dc2 dc3 dc4 nak syn etb can em sub esc fs gs rs us sp`)

func charName(b byte) string {
	switch {
	case int(b) < len(charNames):
		return charNames[b]
	case b == 0x7f:
		return "del"
	}
	return string(b)
}

func char(b byte) string {
	if i := strings.IndexByte("\x00\a\b\t\n\v\f\r", b); i >= 0 {
		return `\` + "0abtnvfr"[i:i+1]
	}
	if b < ' ' || b >= 0x7f {
		return fmt.Sprintf("%03o", b)
	}
	return string(b)
}
