package clinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The original's client and daemon talk in frames: eight decimal digits, which are the length of what follows, and
// then Perl's Storable, in network order, of a list of one hash of short strings. (Seen of Cluster::Init 0.215, which
// does not document it.)

const (
	frameDigits  = 8
	longestFrame = 1 << 20
)

// errNotFrame is wrapped by all that readFrame says of bytes that are no such frame.
var errNotFrame = errors.New("not a request or answer of Cluster::Init")

// What Storable writes before a value, as far as it can occur here.
const (
	longString  = 1
	anArray     = 2
	aHash       = 3
	aReference  = 4
	undefined   = 5
	aByte       = 8
	anInteger   = 9
	shortString = 10
	noValue     = 14 // undefined, as perl itself has it: in a hash whose keys are locked
	isTrue      = 15
	isFalse     = 16
	utf8String  = 23
	utf8Long    = 24
	flaggedHash = 25
	boolTrue    = 34
	boolFalse   = 35
)

// Flags of a key in a flagged hash.
const (
	keyUTF8        = 1
	keyWasUTF8     = 2 // a string of characters, all below 256, each kept as a byte
	keyLocked      = 4
	keyPlaceholder = 16 // of a hash whose keys are locked: the key may be there, and is not
)

// version is Storable's: network order and major version 2, minor version 11. Any minor version is read.
var version = [2]byte{2<<1 | 1, 11}

// readFrame reads one frame from r. The error is io.EOF where there is none, io.ErrUnexpectedEOF where it is cut off.
func readFrame(r io.Reader) (map[string]string, error) {
	var digits [frameDigits]byte
	if _, err := io.ReadFull(r, digits[:]); err != nil {
		return nil, err
	}
	if bytes.ContainsFunc(digits[:], func(r rune) bool { return r < '0' || r > '9' }) {
		return nil, fmt.Errorf("%w: it begins with %q, not with its length", errNotFrame, digits)
	}
	length, err := strconv.Atoi(string(digits[:]))
	if err != nil || length > longestFrame {
		return nil, fmt.Errorf("%w: it says that it is %s bytes long, more than 1 MiB", errNotFrame, digits)
	}
	var payload bytes.Buffer // grows with what comes, not with what is announced
	if _, err := io.CopyN(&payload, r, int64(length)); errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	return decode(payload.Bytes())
}

// decode reads the hash out of what Storable wrote.
func decode(payload []byte) (map[string]string, error) {
	s := storable{rest: payload}
	if v := s.take(2); len(v) == 2 && v[0] != version[0] {
		return nil, fmt.Errorf("%w: it begins with %#x, not with Storable's version 2 in network order", errNotFrame, v[0])
	}
	m := s.hash()
	if s.err == nil && len(s.rest) > 0 {
		s.fail("%d bytes follow its end", len(s.rest))
	}
	if s.err != nil {
		return nil, s.err
	}
	return m, nil
}

// A storable is read from its front. The first error stays, and what is read after it means nothing.
type storable struct {
	rest []byte
	err  error
}

func (s *storable) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: "+format, append([]any{errNotFrame}, args...)...)
	}
}

// take is the next n bytes; none if there are not so many.
func (s *storable) take(n uint32) []byte {
	if uint64(n) > uint64(len(s.rest)) {
		s.fail("it ends in the middle")
		return nil
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// octet is the next byte, and 0 (which begins no value of ours) after an error.
func (s *storable) octet() byte {
	if b := s.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (s *storable) number() uint32 {
	if b := s.take(4); len(b) == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// hash is the one hash: it may be in a list, and each may be behind references.
func (s *storable) hash() map[string]string {
	listed := false
	for s.err == nil {
		switch kind := s.octet(); kind {
		case aReference:
		case anArray:
			if n := s.number(); n != 1 || listed {
				s.fail("it is not a list of one hash")
			}
			listed = true
		case aHash:
			return s.pairs(false)
		case flaggedHash:
			s.octet() // whether its keys are locked
			return s.pairs(true)
		default:
			s.fail("it has a value of Storable's kind %d where a hash is expected", kind)
		}
	}
	return nil
}

// pairs is what is in a hash. Of each pair the value comes first.
func (s *storable) pairs(flagged bool) map[string]string {
	m := map[string]string{}
	for n := s.number(); n > 0 && s.err == nil; n-- {
		value, flags := s.value(), byte(0)
		if flagged {
			flags = s.octet()
		}
		if flags&^(keyUTF8|keyWasUTF8|keyLocked|keyPlaceholder) != 0 {
			s.fail("it has a key with the flags %#x", flags)
		}
		key := s.take(s.number())
		switch {
		case flags&keyPlaceholder != 0:
		case flags&keyWasUTF8 != 0:
			m[fromLatin1(key)] = value
		default:
			m[string(key)] = value
		}
	}
	return m
}

func fromLatin1(text []byte) string {
	var b []byte
	for _, c := range text {
		b = utf8.AppendRune(b, rune(c))
	}
	return string(b)
}

// value is a string, or what Perl would print for another value.
func (s *storable) value() string {
	switch kind := s.octet(); kind {
	case shortString, utf8String:
		return string(s.take(uint32(s.octet())))
	case longString, utf8Long:
		return string(s.take(s.number()))
	case undefined, noValue, isFalse, boolFalse:
		return ""
	case isTrue, boolTrue:
		return "1"
	case aByte:
		return strconv.Itoa(int(s.octet()) - 128)
	case anInteger:
		return strconv.Itoa(int(int32(s.number())))
	default:
		s.fail("it has a value of Storable's kind %d where a string is expected", kind)
		return ""
	}
}

// writeFrame writes m as one frame, by one Write: an original that has half of a frame serves nobody else meanwhile.
func writeFrame(w io.Writer, m map[string]string) error {
	payload := append(version[:], anArray, 0, 0, 0, 1, aReference, aHash)
	payload = binary.BigEndian.AppendUint32(payload, uint32(len(m)))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		payload = appendValue(payload, m[key])
		payload = binary.BigEndian.AppendUint32(payload, uint32(len(key)))
		payload = append(payload, key...)
	}
	if len(payload) > longestFrame {
		return fmt.Errorf("cannot send %d bytes: a frame is at most 1 MiB", len(payload))
	}
	frame := fmt.Appendf(nil, "%0*d%s", frameDigits, len(payload), payload)
	_, err := w.Write(frame)
	return err
}

func appendValue(payload []byte, value string) []byte {
	if len(value) <= math.MaxUint8 {
		payload = append(payload, shortString, byte(len(value)))
	} else {
		payload = binary.BigEndian.AppendUint32(append(payload, longString), uint32(len(value)))
	}
	return append(payload, value...)
}
