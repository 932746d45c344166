package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"backtowork/internal/sim/virtual"
)

// A death is a fatal that records.
type death struct {
	mu  sync.Mutex
	why []error
}

func (d *death) fatal(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.why = append(d.why, err)
}

// reasons is what the store died of: one, if it did.
func (d *death) reasons() []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.why)
}

// testStore opens a store in a new directory; it must not die.
func testStore(t testing.TB) *Store {
	t.Helper()
	s, d := mortalStore(t, filepath.Join(t.TempDir(), "raft.db"))
	t.Cleanup(func() {
		if why := d.reasons(); len(why) > 0 {
			t.Errorf("the store died of: %v", why)
		}
	})
	return s
}

func mortalStore(t testing.TB, path string) (*Store, *death) {
	t.Helper()
	d := &death{}
	s, err := Open(path, d.fatal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, d
}

func entry(index, term uint64) *raft.Log {
	return &raft.Log{
		Index: index, Term: term, Type: raft.LogCommand, Data: fmt.Appendf(nil, "entry %d of %d", index, term),
		AppendedAt: time.Unix(int64(index), 5).UTC(),
	}
}

func entries(first, last, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i, term))
	}
	return logs
}

// contents is all that raft can read in the store.
func contents(t testing.TB, s *Store) string {
	t.Helper()
	var b strings.Builder
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	fmt.Fprintf(&b, "%d to %d\n", first, last)
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			t.Fatalf("GetLog(%d): %v", i, err)
		}
		fmt.Fprintf(&b, "%+v\n", l)
	}
	for _, key := range []string{TermKey, "LastVoteTerm", "LastVoteCand"} {
		v, err := s.Get([]byte(key))
		fmt.Fprintf(&b, "%s %x %v\n", key, v, err)
	}
	return b.String()
}

func TestStoreIsRaftsStore(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	if _, err := s.GetUint64([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("GetUint64 of nothing = %v, want not found", err)
	}
	if _, err := s.Get([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("Get of nothing = %v, want not found", err)
	}
	for _, index := range []uint64{0, 1} {
		if err := s.GetLog(index, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("GetLog(%d) = %v, want raft.ErrLogNotFound", index, err)
		}
	}
	if had, err := raft.HasExistingState(s, s, raft.NewInmemSnapshotStore()); had || err != nil {
		t.Errorf("HasExistingState = %v, %v, want false", had, err)
	}
	if _, ok := any(s).(raft.MonotonicLogStore); ok {
		t.Error("a store that IsMonotonic makes raft delete entries that it has confirmed")
	}
	if err := s.SetUint64([]byte("n"), 1<<63); err != nil {
		t.Fatal(err)
	}
	if n, err := s.GetUint64([]byte("n")); n != 1<<63 || err != nil {
		t.Errorf("GetUint64 = %d, %v", n, err)
	}
	if err := s.StoreLogs(nil); err != nil {
		t.Errorf("StoreLogs of nothing = %v", err)
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("file %v, %v, want mode 0600", info, err)
	}
	if files, err := os.ReadDir(filepath.Dir(s.path)); err != nil || len(files) != 1 {
		t.Errorf("left in the directory: %v, %v", files, err)
	}
}

// TestGap: what a snapshot left behind is dropped with the first entry after it.
func TestGap(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	for _, logs := range [][]*raft.Log{entries(1, 30, 7), entries(50, 52, 5)} { // a lower term, too
		if err := s.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
	if first, _ := s.FirstIndex(); first != 50 {
		t.Errorf("FirstIndex = %d, want 50", first)
	}
	if err := s.GetLog(30, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("GetLog before the gap = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checkFile(s.path); err != nil {
		t.Error(err)
	}
}

// TestDies is each reason to end the process.
func TestDies(t *testing.T) {
	t.Parallel()
	term := []byte(TermKey)
	for _, c := range []struct {
		name string
		do   func(*Store) error
		want string // "" if it must go on
	}{
		{"term again", func(s *Store) error { return s.SetUint64(term, 300) }, ""},
		{"higher term", func(s *Store) error { return s.SetUint64(term, 70000) }, ""},
		{"lower term", func(s *Store) error { return s.SetUint64(term, 299) }, "raft's term would go back from 000000000000012c to 000000000000012b"},
		{"term of another form", func(s *Store) error { return s.Set(term, []byte("7")) }, "raft's term would go back"},
		{"term 0", func(s *Store) error { return s.SetUint64(term, 0) }, "raft's term would go back"},
		{"a lower vote", func(s *Store) error { return s.SetUint64([]byte("LastVoteTerm"), 1) }, ""},
		{"next", func(s *Store) error { return s.StoreLog(entry(11, 3)) }, ""},
		{"twice", func(s *Store) error { return s.StoreLog(entry(10, 3)) }, "entry 10 of term 3 after entry 10 of term 3"},
		{"index 0", func(s *Store) error { return s.StoreLog(entry(0, 3)) }, "entry 0 of term 3 after"},
		{"term goes back", func(s *Store) error { return s.StoreLog(entry(11, 2)) }, "entry 11 of term 2 after entry 10 of term 3"},
		{"hole", func(s *Store) error { return s.StoreLogs([]*raft.Log{entry(11, 3), entry(13, 3)}) }, "entry 13 of term 3 after entry 11"},
		{"inside", func(s *Store) error { return s.DeleteRange(4, 5) }, "deleting 4 to 5 of 3 to 10"},
		{"from outside", func(s *Store) error { return s.DeleteRange(0, 5) }, ""},
		{"to outside", func(s *Store) error { return s.DeleteRange(5, 99) }, ""},
		{"outside", func(s *Store) error { return s.DeleteRange(11, 99) }, ""},
		{"none", func(s *Store) error { return s.DeleteRange(5, 4) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, d := mortalStore(t, filepath.Join(t.TempDir(), "raft.db"))
			err := errors.Join(s.SetUint64(term, 300), s.SetUint64([]byte("LastVoteTerm"), 2), s.StoreLogs(entries(3, 10, 3)))
			if err != nil {
				t.Fatal(err)
			}
			before := contents(t, s)
			err = c.do(s)
			if c.want == "" {
				if err != nil || len(d.reasons()) != 0 {
					t.Fatalf("error %v, died of %v, want neither", err, d.reasons())
				}
				return
			}
			why := d.reasons()
			if len(why) != 1 || err != why[0] || !strings.Contains(err.Error(), "cannot write "+s.path+": ") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, died of %v, want %q", err, why, c.want)
			}
			if err := s.StoreLog(entry(11, 3)); err != why[0] {
				t.Errorf("after its death: %v, want %v", err, why[0])
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again, _ := mortalStore(t, s.path)
			if after := contents(t, again); after != before {
				t.Errorf("it changed something:\n%s\nwas:\n%s", after, before)
			}
		})
	}
}

// TestHangs: the process ends while the call still hangs, not when it comes back.
func TestHangs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*Store) error
	}{
		{"StoreLogs", func(s *Store) error { return s.StoreLog(entry(2, 1)) }},
		{"GetLog", func(s *Store) error { return s.GetLog(1, new(raft.Log)) }},
		{"Set", func(s *Store) error { return s.Set([]byte("x"), nil) }},
		{"DeleteRange", func(s *Store) error { return s.DeleteRange(1, 1) }},
	} {
		for _, long := range []time.Duration{Limit - 1, Limit + 1} {
			t.Run(fmt.Sprint(c.name, long), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "raft.db")
				virtual.Test(t, func(t *testing.T) {
					s, d := mortalStore(t, path)
					if err := s.StoreLog(entry(1, 1)); err != nil {
						t.Fatal(err)
					}
					s.Stall = func() {
						time.Sleep(long)
						synctest.Wait()
						if got, want := len(d.reasons()), int(long/Limit); got != want {
							t.Errorf("after %v: %d deaths, want %d", long, got, want)
						}
					}
					err := c.do(s)
					if got := err != nil; got != (long > Limit) || len(d.reasons()) > 1 {
						t.Errorf("after %v: %v, died of %v", long, err, d.reasons())
					}
					if err != nil && !strings.Contains(err.Error(), path+": the disk has not answered for 2s") {
						t.Errorf("died of %v", err)
					}
				})
			})
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := testStore(t) // which must not die of it
	if err := s.StoreLog(entry(1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.StoreLog(entry(2, 1)), s.GetLog(1, new(raft.Log)), s.SetUint64([]byte("x"), 1)} {
		if err == nil || !strings.Contains(err.Error(), "it is closed") {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	never := func(err error) { t.Errorf("fatal: %v", err) }
	s := testStore(t)
	empty, foreign := filepath.Join(dir, "empty"), filepath.Join(dir, "foreign")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(foreign, bytes.Repeat([]byte("x"), 1<<16), 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		s.path:                       "cannot open %s: another process uses it",
		empty:                        "cannot use %s: it is empty",
		foreign:                      "cannot open %s: invalid database",
		filepath.Join(dir, "no/dir"): "cannot create %s: no such file or directory",
	} {
		got, err := Open(path, never)
		if err == nil || err.Error() != fmt.Sprintf(want, path) {
			t.Errorf("Open = %v, %v, want %s", got, err, fmt.Sprintf(want, path))
		}
	}
}
