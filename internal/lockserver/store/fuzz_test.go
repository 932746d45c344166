//go:build linux

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// mangled is file with the changes made that a fuzzer asks for, five bytes each: where, and what
// to XOR there; the last of them may cut the file short.
func mangled(file, changes []byte) []byte {
	b := append([]byte(nil), file...)
	for ; len(changes) >= 5 && len(b) > 0; changes = changes[5:] {
		at := int(binary.LittleEndian.Uint32(changes) % uint32(len(b)))
		if changes[4] == 0 {
			b = b[:at]
			break
		}
		b[at] ^= changes[4]
	}
	return b
}

// storeFile is a good store, as a file and as what raft can read in it.
func storeFile(f *testing.F) (file []byte, want string) {
	f.Helper()
	path := filepath.Join(f.TempDir(), "raft.db")
	s, d := mortalStore(f, path)
	for term := uint64(1); term <= 4; term++ {
		err := errors.Join(
			s.SetUint64([]byte(TermKey), term),
			s.SetUint64([]byte("LastVoteTerm"), term),
			s.StoreLogs(entries(term*50-49, term*50, term)))
		if err != nil {
			f.Fatal(err)
		}
	}
	want = contents(f, s)
	if err := errors.Join(append(d.reasons(), s.Close())...); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return file, want
}

// FuzzStoreFile damages a good store. The check finds it, or all that was stored is still there.
// The check runs in a child, as it does for dex-server.
func FuzzStoreFile(f *testing.F) {
	file, want := storeFile(f)
	change := func(at int, xor byte) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(at)), xor)
	}
	page := os.Getpagesize()
	f.Add([]byte{})
	f.Add(change(len(file)/2, 0))
	f.Add(change(headerStart, 1))
	f.Add(append(change(page+headerPage, 0xff), change(headerSum, 1)...))
	f.Add(change(3*page+12, 0x80))
	f.Add(append(change(2*page, 2), change(4*page+8, 0x10)...))
	f.Fuzz(func(t *testing.T, changes []byte) {
		found := wantFoundOrHarmless(t, mangled(file, changes), want)
		if len(changes) < 5 && found {
			t.Error("a good store is refused")
		}
	})
}

// FuzzStoreCodes makes values of what a fuzzer gives: they are read as they were written, and any
// one bit of damage is found.
func FuzzStoreCodes(f *testing.F) {
	f.Add(uint64(7), uint64(3), uint64(1), int64(1e9), []byte("data"), []byte("more"), uint(9))
	f.Add(uint64(0), uint64(0), uint64(0), int64(-1), []byte{}, []byte(nil), uint(0))
	f.Add(^uint64(0), ^uint64(0), ^uint64(0), int64(1)<<62, bytes.Repeat([]byte("x"), 300), []byte{0}, ^uint(0))
	f.Fuzz(func(t *testing.T, a, b, c uint64, nanos int64, data, more []byte, bit uint) {
		l := raft.Log{
			Index: a, Term: b, Type: raft.LogType(c), AppendedAt: time.Unix(0, nanos).UTC(),
			Data: bytes.Clone(data), Extensions: bytes.Clone(more),
		}
		code := appendEntry([]byte("before"), &l)[len("before"):]
		var again raft.Log
		if err := decodeEntry(code, &again); err != nil || fmt.Sprint(again) != fmt.Sprint(l) {
			t.Errorf("%+v, written and read again: %+v, %v", l, again, err)
		}
		wantBitFound(t, code, bit, func(code []byte) error { return decodeEntry(code, new(raft.Log)) })

		s := state{first: min(a, b), last: max(a, b), lastTerm: c, values: map[string][]byte{string(data): more, "x": data}}
		if s.first == 0 {
			s.last = 0
		}
		code = appendState(nil, s)
		got, err := decodeState(code)
		same := func(a, b []byte) bool { return bytes.Equal(a, b) }
		if err != nil || !maps.EqualFunc(got.values, s.values, same) {
			t.Errorf("%+v, written and read again: %+v, %v", s, got, err)
		}
		got.values, s.values = nil, nil
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%+v, written and read again: %+v", s, got)
		}
		wantBitFound(t, code, bit, func(code []byte) error { _, err := decodeState(code); return err })
	})
}

// wantBitFound wants the flip of one bit of a code to be found.
func wantBitFound(t *testing.T, code []byte, bit uint, decode func([]byte) error) {
	t.Helper()
	flipped := bytes.Clone(code)
	bit %= uint(8 * len(flipped))
	flipped[bit/8] ^= 1 << (bit % 8)
	if err := decode(flipped); !errors.Is(err, errDamaged) {
		t.Errorf("with bit %d of %x flipped: %v, want it found", bit, code, err)
	}
	if err := decode(code[:bit/8]); !errors.Is(err, errDamaged) {
		t.Errorf("%x cut after %d bytes: %v, want it found", code, bit/8, err)
	}
}

// FuzzStoreValue reads what a fuzzer gives as a whole store file: never a panic here, and one line
// from the check.
func FuzzStoreValue(f *testing.F) {
	file, _ := storeFile(f)
	f.Add([]byte("not a store"))
	f.Add(file[:2*os.Getpagesize()])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := check(t, path); err == nil && !bytes.Equal(b, file) {
			t.Errorf("%d bytes are taken for a store", len(b))
		} else if err != nil && bytes.ContainsRune([]byte(err.Error()), '\n') {
			t.Errorf("error = %q, want one line", err)
		}
	})
}
