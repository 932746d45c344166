//go:build linux

package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// The test binary is the child of TestStoreKilled too.
func init() {
	if os.Args[0] == "write-store" && len(os.Args) == 2 {
		writeStore(os.Args[1])
	}
}

// A written is what a store has.
type written struct{ first, last, term, vote uint64 }

func (s *Store) written() (w written) {
	w.first, w.last = s.first.Load(), s.last.Load()
	w.term, _ = s.GetUint64([]byte(TermKey)) // not found is 0
	w.vote, _ = s.GetUint64([]byte("LastVoteTerm"))
	return w
}

// writeStore writes to the store at path, in all ways that raft does, until it is killed. It
// prints what the store will have before each write, and after it what it has.
func writeStore(path string) {
	die := func(err error) {
		fmt.Println(err)
		os.Exit(1)
	}
	s, err := Open(path, die)
	if err != nil {
		die(err)
	}
	fmt.Println("has", s.written())
	for r := rand.New(rand.NewPCG(s.written().term, s.last.Load())); ; {
		next, write := nextWrite(s, r)
		fmt.Println("next", next)
		if err := write(); err != nil {
			die(err)
		}
		fmt.Println("has", next)
	}
}

func nextWrite(s *Store, r *rand.Rand) (next written, write func() error) {
	next = s.written()
	old := next
	switch n := r.IntN(10); {
	case n == 0:
		next.term++
		write = func() error { return s.SetUint64([]byte(TermKey), next.term) }
	case n == 1:
		next.vote = next.term
		write = func() error { return s.SetUint64([]byte("LastVoteTerm"), next.term) }
	case n == 2 && old.last > old.first+300: // behind a snapshot
		next.first += 201
		write = func() error { return s.DeleteRange(old.first, old.first+200) }
	case n == 3 && old.last > old.first+10: // what another leader has not
		next.last -= 1 + r.Uint64N(5)
		write = func() error { return s.DeleteRange(next.last+1, old.last) }
	default:
		next.last += 1 + r.Uint64N(8)
		next.first = max(old.first, 1)
		write = func() error { return s.StoreLogs(writings(old.last+1, next.last, next.term)) }
	}
	return next, write
}

// writings is entries of very different sizes.
func writings(first, last, term uint64) []*raft.Log {
	logs := entries(first, last, term)
	for _, l := range logs {
		l.Data = append(l.Data, strings.Repeat("x", int(l.Index%97)*int(l.Index%53))...)
	}
	return logs
}

// A killed process loses nothing of what its store had acknowledged, and leaves a file that the
// check likes and the next process goes on with.
func TestStoreKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "raft.db")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writes, torn := 0, 0
	for round := range 40 {
		has, next, n := killWriter(t, exe, path, 2+rand.IntN(100))
		writes += n
		if err := check(t, path); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, d := mortalStore(t, path)
		got := fmt.Sprint(s.written())
		if got != has && got != next {
			t.Fatalf("round %d: after the kill the store has %s; it had acknowledged %s, and %s was to come", round, got, has, next)
		}
		if got != has {
			torn++
		}
		wantWritings(t, s)
		if err := errors.Join(append(d.reasons(), s.Close())...); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d writes, %d made but not acknowledged any more", writes/2, torn)
}

// killWriter starts a writer, kills it in the middle of what follows the first n lines that it
// says, and returns the last of each kind.
func killWriter(t *testing.T, exe, path string, n int) (has, next string, lines int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe, path)
	cmd.Args[0] = "write-store"
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); said.Scan(); {
		kind, what, _ := strings.Cut(said.Text(), " ")
		switch kind {
		case "has":
			has = what
		case "next":
			next = what
		default:
			t.Fatal(said.Text())
		}
		if lines++; lines == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return has, next, lines
}

// wantWritings wants every entry of the store to be what was written.
func wantWritings(t *testing.T, s *Store) {
	t.Helper()
	w := s.written()
	for i := w.first; i <= w.last && w.last > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if want := writings(i, i, l.Term)[0]; string(l.Data) != string(want.Data) {
			t.Fatalf("entry %d is %.40q, want %.40q", i, l.Data, want.Data)
		}
	}
}
