package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// What the store writes, byte for byte. Every value ends with a CRC-32C of all before it, since
// bbolt guards only its headers: a damaged vote or entry is found, not believed. Numbers are
// varints, byte strings have their length before them.
//
//	entry: version, type, index, term, seconds and nanoseconds of AppendedAt, Data, Extensions
//	state: version, number of writes, first index, last index, term of the last, number of
//	       values, each as key and value by key order
const (
	entryVersion = 1
	stateVersion = 1
	crcSize      = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is why a value cannot be believed.
var errDamaged = errors.New("damaged")

// A versionError is about a value that is whole, but was written by a later version of this program.
type versionError struct {
	what    string
	version byte
}

func (e versionError) Error() string {
	return fmt.Sprintf("its %s is of version %d, which only a later program knows", e.what, e.version)
}

// appendEntry appends the code of l to b.
func appendEntry(b []byte, l *raft.Log) []byte {
	start := len(b)
	b = append(b, entryVersion, byte(l.Type))
	b = binary.AppendUvarint(b, l.Index)
	b = binary.AppendUvarint(b, l.Term)
	b = binary.AppendVarint(b, l.AppendedAt.Unix())
	b = binary.AppendUvarint(b, uint64(l.AppendedAt.Nanosecond()))
	b = appendBytes(b, l.Data)
	b = appendBytes(b, l.Extensions)
	return appendCRC(b, start)
}

// decodeEntry reads an entry from its code. What it makes shares no memory with v.
func decodeEntry(v []byte, l *raft.Log) error {
	body, err := open(v, "entry", entryVersion)
	if err != nil {
		return err
	}
	return decodeEntryBody(body, l)
}

func decodeEntryBody(body []byte, l *raft.Log) error {
	r := reader{rest: body}
	kind, index, term := r.byte(), r.uvarint(), r.uvarint()
	seconds, nanos := r.varint(), r.uvarint()
	data, extensions := r.bytes(), r.bytes()
	if r.failed || len(r.rest) != 0 || nanos >= uint64(time.Second) {
		return errDamaged
	}
	*l = raft.Log{
		Index: index, Term: term, Type: raft.LogType(kind), Data: data, Extensions: extensions,
		AppendedAt: time.Unix(seconds, int64(nanos)).UTC(),
	}
	return nil
}

// A state is everything in the store but the entries: one small value, written whole with every
// change, so that no part of it can get lost alone.
type state struct {
	writes      uint64            // counts the changes of the store
	first, last uint64            // the indexes of the log, which has no gaps; 0, 0 if it is empty
	lastTerm    uint64            // of the entry at last
	snapshot    uint64            // index of the last entry in the snapshot; 0 if there is none
	values      map[string][]byte // raft's own: its term and its vote
}

// appendState appends the code of s to b.
func appendState(b []byte, s state) []byte {
	start := len(b)
	b = append(b, stateVersion)
	b = binary.AppendUvarint(b, s.writes)
	b = binary.AppendUvarint(b, s.first)
	b = binary.AppendUvarint(b, s.last)
	b = binary.AppendUvarint(b, s.lastTerm)
	b = binary.AppendUvarint(b, s.snapshot)
	b = binary.AppendUvarint(b, uint64(len(s.values)))
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		b = appendBytes(b, []byte(k))
		b = appendBytes(b, s.values[k])
	}
	return appendCRC(b, start)
}

func decodeState(v []byte) (state, error) {
	body, err := open(v, "state", stateVersion)
	if err != nil {
		return state{}, err
	}
	return decodeStateBody(body)
}

func decodeStateBody(body []byte) (state, error) {
	r := reader{rest: body}
	s := state{writes: r.uvarint(), first: r.uvarint(), last: r.uvarint(), lastTerm: r.uvarint(), snapshot: r.uvarint(), values: map[string][]byte{}}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		k := r.bytes()
		s.values[string(k)] = r.bytes()
	}
	if r.failed || len(r.rest) != 0 || (s.first == 0) != (s.last == 0) || s.first > s.last {
		return state{}, errDamaged
	}
	return s, nil
}

// open checks the CRC and the version of v, and is what stands between them.
func open(v []byte, what string, version byte) ([]byte, error) {
	n := len(v) - crcSize
	if n < 1 || crc32.Checksum(v[:n], castagnoli) != binary.LittleEndian.Uint32(v[n:]) {
		return nil, errDamaged
	}
	if v[0] != version {
		return nil, versionError{what, v[0]}
	}
	return v[1:n], nil
}

func appendCRC(b []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A reader takes values off the front of rest, until one does not fit: then it has failed, and
// all that follow are zero.
type reader struct {
	rest   []byte
	failed bool
}

// take is the next n bytes: none, if there are not that many.
func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.rest) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.step(n); r.failed {
		return 0
	}
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if r.step(n); r.failed {
		return 0
	}
	return v
}

// step goes on by the n bytes of a number; it was none if n is not above 0.
func (r *reader) step(n int) {
	if n <= 0 {
		n = -1
	}
	r.take(n)
}

// bytes is a copy of the next byte string, nil if it is empty.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	return append([]byte(nil), r.take(int(n))...)
}
