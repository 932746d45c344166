//go:build linux

package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// The test binary is its own store-check, and the child of TestDiskFull.
func init() {
	switch {
	case os.Args[0] == "store-check" && len(os.Args) == 2:
		misbehave(os.Args[1])
		if err := Check(os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "store-check: %v\n", err)
			if errors.Is(err, ErrDamaged) {
				syscall.Exit(DamagedStatus)
			}
			syscall.Exit(1) // at once: under the race detector os.Exit takes a second
		}
		syscall.Exit(0)
	case os.Args[0] == "fill-disk" && len(os.Args) == 2:
		fillDisk(os.Args[1])
	}
}

// misbehave is what a child does that is asked to look at a path of such a name.
func misbehave(path string) {
	switch filepath.Base(path) {
	case "hang":
		if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			panic(err)
		}
		for {
			unix.Pause()
		}
	case "raise":
		unix.Kill(os.Getpid(), unix.SIGBUS)
		unix.Pause()
	case "panic":
		panic("page 7")
	}
}

func check(t *testing.T, path string) error {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return CheckInChild(t.Context(), exe, path)
}

// sample is a closed store with a bit of everything in it, and its contents.
func sample(t *testing.T) (path, want string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "raft.db")
	s, d := mortalStore(t, path)
	for term := uint64(1); term <= 12; term++ {
		err := errors.Join(
			s.SetUint64([]byte(TermKey), term),
			s.SetUint64([]byte("LastVoteTerm"), term),
			s.Set([]byte("LastVoteCand"), []byte("n1")),
			s.StoreLogs(entries(term*10-9, term*10, term)))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteRange(1, 25); err != nil || len(d.reasons()) > 0 {
		t.Fatal(err, d.reasons())
	}
	want = contents(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, want
}

// wantFoundOrHarmless checks that damage is found by the check, and if not, that all that was
// stored is still there.
func wantFoundOrHarmless(t *testing.T, file []byte, want string) (found bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raft.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(t, path); err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("it cannot be known that it is damaged: %v", err)
		}
		if text := err.Error(); !strings.HasPrefix(text, "cannot use "+path+": it is damaged (") || strings.Contains(text, "\n") {
			t.Errorf("error = %q, want one line that says damaged", text)
		}
		return true
	}
	s, d := mortalStore(t, path)
	if got := contents(t, s); got != want {
		t.Errorf("not found, and now it says\n%s\nwant\n%s", got, want)
	}
	if err := s.StoreLog(entry(s.last.Load()+1, 99)); err != nil || len(d.reasons()) > 0 {
		t.Errorf("not found, and cannot be written: %v", err)
	}
	return false
}

func TestCheckTruncated(t *testing.T) {
	t.Parallel()
	path, want := sample(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < len(file); size += 512 {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			if found := wantFoundOrHarmless(t, file[:size], want); size < len(file)/4 && !found {
				t.Error("not found")
			}
		})
	}
}

// TestCheckFlipped flips bits: some anywhere, and most where they hurt, in the first bytes of pages.
func TestCheckFlipped(t *testing.T) {
	t.Parallel()
	path, want := sample(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 2))
	var bits []int
	for range 100 {
		bits = append(bits, r.IntN(8*len(file)))
	}
	page := os.Getpagesize()
	for range 200 {
		bits = append(bits, 8*page*r.IntN(len(file)/page)+r.IntN(8*96))
	}
	for bit := 8 * headerStart; bit < 8*headerSize; bit += 7 {
		bits = append(bits, bit, 8*page+bit)
	}
	var found atomic.Int32
	t.Cleanup(func() { t.Logf("%d of %d found, the others harmless", found.Load(), len(bits)) })
	for _, bit := range bits {
		t.Run(fmt.Sprint(bit), func(t *testing.T) {
			t.Parallel()
			flipped := append([]byte(nil), file...)
			flipped[bit/8] ^= 1 << (bit % 8)
			if wantFoundOrHarmless(t, flipped, want) {
				found.Add(1)
			} else if in := bit / 8 % page; bit/8/page < 2 && in >= headerStart && in < headerSize {
				t.Error("a header's bit, not found")
			}
		})
	}
}

// TestCheckContents is damage that keeps bbolt's pages in order.
func TestCheckContents(t *testing.T) {
	t.Parallel()
	put := func(index uint64, l *raft.Log) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			return tx.Bucket(logBucket).Put(indexKey(index), appendEntry(nil, l))
		}
	}
	setState := func(v []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket(stateBucket).Put(stateKey, v) }
	}
	good := state{first: 26, last: 120, lastTerm: 12}
	newer := appendState(nil, good)
	newer[0]++
	newer = appendCRC(newer[:len(newer)-crcSize], 0)
	for name, c := range map[string]struct {
		change func(*bbolt.Tx) error
		want   string
	}{
		"none":            {func(*bbolt.Tx) error { return nil }, ""},
		"a gap":           {func(tx *bbolt.Tx) error { return tx.Bucket(logBucket).Delete(indexKey(30)) }, "damaged (entry 31 is at"},
		"no first":        {func(tx *bbolt.Tx) error { return tx.Bucket(logBucket).Delete(indexKey(26)) }, "damaged (entry 27 is at"},
		"no last":         {func(tx *bbolt.Tx) error { return tx.Bucket(logBucket).Delete(indexKey(120)) }, "damaged (the last entry is 119"},
		"one more":        {put(121, entry(121, 12)), "damaged (the last entry is 121"},
		"one before":      {put(25, entry(25, 1)), "damaged (entry 25 is at"},
		"another's place": {put(50, entry(51, 5)), "damaged (entry 51 is at"},
		"lower term":      {put(60, entry(60, 2)), "damaged (entry 60 is of term 2, the one before of 6)"},
		"empty":           {emptyLog, "damaged (the last entry is 0"},
		"no log":          {func(tx *bbolt.Tx) error { return tx.DeleteBucket(logBucket) }, "damaged (it is not the store"},
		"no state":        {setState(nil), "damaged (state: damaged)"},
		"other state":     {setState(appendState(nil, state{first: 26, last: 120, lastTerm: 13})), "damaged (the last entry is 120 of term 12, not 120 of term 13"},
		"newer":           {setState(newer), ": its state is of version 2, which only a later program knows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := sample(t)
			db, err := bbolt.Open(path, 0o600, boltOptions())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(c.change), db.Close()); err != nil {
				t.Fatal(err)
			}
			err = checkFile(path)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("checkFile = %v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckInChild(t *testing.T) {
	t.Parallel()
	path, _ := sample(t)
	if err := check(t, path); err != nil {
		t.Errorf("a good store: %v", err)
	}
	for path, want := range map[string]string{
		path + "x": "cannot check " + path + "x: no such file or directory",
		"/panic":   "cannot use /panic: it is damaged (panic: page 7)",
		"/raise":   "cannot use /raise: it is damaged (",
	} {
		if err := check(t, path); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", path, err, want)
		} else if damaged := strings.Contains(want, "damaged"); errors.Is(err, ErrDamaged) != damaged {
			t.Errorf("%s: damaged is %v: %v", path, !damaged, err)
		}
	}
	s, _ := mortalStore(t, path)
	if err := check(t, path); err == nil || err.Error() != "cannot use "+path+": another process uses it" || errors.Is(err, ErrDamaged) {
		t.Errorf("a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := CheckInChild(t.Context(), path+"/none", path); err == nil || !strings.HasPrefix(err.Error(), "cannot check "+path) {
		t.Errorf("no such binary: %v", err)
	}
}

// TestCheckHangs: a check that does not end is given up, and ended.
func TestCheckHangs(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	path := filepath.Join(t.TempDir(), "hang")
	if err := CheckInChild(ctx, exe, path); err == nil || err.Error() != "cannot use "+path+": its check has not ended in 10s" {
		t.Errorf("at its limit: %v", err)
	}
	path = filepath.Join(t.TempDir(), "hang")
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	var pid int
	poll := func(done func() bool) {
		for end := time.Now().Add(10 * time.Second); !done() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	go func() {
		defer cancel()
		poll(func() bool {
			text, _ := os.ReadFile(path)
			pid, _ = strconv.Atoi(string(text))
			return pid > 0
		})
	}()
	if err := CheckInChild(ctx, exe, path); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is no longer wanted: %v", err)
	}
	<-ctx.Done()
	gone := func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
	if poll(gone); pid == 0 || !gone() {
		t.Errorf("the child %d is still there", pid)
	}
}

// TestCheckBounded is damage that would have bbolt count pages until the memory ends.
func TestCheckBounded(t *testing.T) {
	t.Parallel()
	path, want := sample(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, found := os.Getpagesize(), 0
	for n := 2; n < len(file)/page; n++ {
		huge := append([]byte(nil), file...)
		binary.NativeEndian.PutUint32(huge[n*page+12:], 1<<32-1) // how many pages follow it
		if wantFoundOrHarmless(t, huge, want) {
			found++
		}
	}
	if found == 0 {
		t.Error("none found")
	}
}

func TestCheckSize(t *testing.T) {
	t.Parallel()
	for pages, want := range map[int]string{0: "(it is empty)", 1: "damaged (", 3: "(it ends after"} {
		path, _ := sample(t)
		if err := os.Truncate(path, int64(pages*os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
		if err := checkFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d pages: %v, want %s", pages, err, want)
		}
	}
}
