package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"backtowork/internal/sim/virtual"
)

// A naive store: what the real one must look like from outside.
type naive struct {
	logs   []*raft.Log
	values map[string]uint64
}

// TestStoreAgainstNaive does random things to both, and reopens the real one now and then.
func TestStoreAgainstNaive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			path := filepath.Join(t.TempDir(), "raft.db")
			s, d := mortalStore(t, path)
			n := &naive{values: map[string]uint64{}}
			for step := range 120 {
				if r.IntN(20) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if err := checkFile(path); err != nil {
						t.Fatalf("step %d: %v", step, err)
					}
					s, d = mortalStore(t, path)
				}
				if err := n.step(r, s); err != nil || len(d.reasons()) > 0 {
					t.Fatalf("step %d: %v, %v", step, err, d.reasons())
				}
				n.compare(t, s, step)
			}
		})
	}
}

func (n *naive) step(r *rand.Rand, s *Store) error {
	first, last, term := uint64(1), uint64(0), uint64(1)
	if len(n.logs) > 0 {
		first, last, term = n.logs[0].Index, n.logs[len(n.logs)-1].Index, n.logs[len(n.logs)-1].Term
	}
	switch r.IntN(10) {
	case 0: // compaction
		to := first + r.Uint64N(last-first+2)
		n.logs = slices.DeleteFunc(n.logs, func(l *raft.Log) bool { return l.Index <= to })
		return s.DeleteRange(first, to)
	case 1: // a suffix that the leader does not have
		from := first + r.Uint64N(last-first+2)
		n.logs = slices.DeleteFunc(n.logs, func(l *raft.Log) bool { return l.Index >= from })
		return s.DeleteRange(from, last)
	case 2, 3:
		key := []string{"CurrentTerm", "LastVoteTerm", "x"}[r.IntN(3)]
		n.values[key] += r.Uint64N(300)
		return s.SetUint64([]byte(key), n.values[key])
	case 4: // after a snapshot
		if r.IntN(4) == 0 {
			last += 2 + r.Uint64N(9)
			n.logs, term = nil, 1
		}
	}
	var logs []*raft.Log
	for i := range 1 + r.Uint64N(40) {
		term += r.Uint64N(3)
		data := make([]byte, r.IntN(300))
		for j := range data {
			data[j] = byte(r.Uint32())
		}
		l := &raft.Log{Index: last + 1 + i, Term: term, Type: raft.LogType(r.IntN(6)), Data: data}
		if r.IntN(2) == 0 {
			l.AppendedAt = time.Unix(r.Int64(), r.Int64N(1e9)).UTC()
			l.Extensions = data[len(data)/2:]
		}
		logs = append(logs, l)
	}
	n.logs = append(n.logs, logs...)
	return s.StoreLogs(logs)
}

func (n *naive) compare(t *testing.T, s *Store, step int) {
	t.Helper()
	first, last := uint64(0), uint64(0)
	if len(n.logs) > 0 {
		first, last = n.logs[0].Index, n.logs[len(n.logs)-1].Index
	}
	gotFirst, _ := s.FirstIndex()
	gotLast, _ := s.LastIndex()
	if gotFirst != first || gotLast != last {
		t.Fatalf("step %d: %d to %d, want %d to %d", step, gotFirst, gotLast, first, last)
	}
	for _, want := range n.logs {
		var got raft.Log
		if err := s.GetLog(want.Index, &got); err != nil {
			t.Fatalf("step %d: GetLog(%d): %v", step, want.Index, err)
		}
		w := *want
		w.Data, w.Extensions = append([]byte(nil), w.Data...), append([]byte(nil), w.Extensions...)
		if !reflect.DeepEqual(got, w) {
			t.Fatalf("step %d: GetLog(%d) = %+v, want %+v", step, want.Index, got, w)
		}
	}
	for key, want := range n.values {
		if got, err := s.GetUint64([]byte(key)); err != nil || got != want {
			t.Fatalf("step %d: %s = %d, %v, want %d", step, key, got, err, want)
		}
	}
}

// TestRaftOnStore: a node of the real library starts three times on one file.
func TestRaftOnStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "raft.db")
	virtual.Test(t, func(t *testing.T) {
		for round := range 3 {
			s, d := mortalStore(t, path)
			restartRaft(t, s, round)
			if err := s.Close(); err != nil || len(d.reasons()) > 0 {
				t.Fatal(err, d.reasons())
			}
		}
	})
	if err := checkFile(path); err != nil {
		t.Error(err)
	}
}

func restartRaft(t *testing.T, s *Store, round int) {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID, c.LogLevel = "n0", "OFF"
	addr, transport := raft.NewInmemTransport("n0")
	snaps := raft.NewInmemSnapshotStore()
	if round == 0 {
		servers := raft.Configuration{Servers: []raft.Server{{ID: "n0", Address: addr}}}
		if err := raft.BootstrapCluster(c, s, s, snaps, transport, servers); err != nil {
			t.Fatal(err)
		}
	}
	fsm := &raft.MockFSM{}
	r, err := raft.NewRaft(c, fsm, s, s, snaps, transport)
	if err != nil {
		t.Fatal(err)
	}
	for r.State() != raft.Leader {
		time.Sleep(10 * time.Millisecond) // of virtual time
	}
	for range 10 {
		if err := r.Apply([]byte("x"), time.Second).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := len(fsm.Logs()), 10*(round+1); got != want {
		t.Errorf("round %d: %d entries applied, want %d", round, got, want)
	}
	if got, want := s.last.Load(), uint64(1+11*(round+1)); got != want { // each start adds one
		t.Errorf("round %d: %d entries stored, want %d", round, got, want)
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStoreLogs stores one entry of 150 bytes at a time, as a lock server does.
func BenchmarkStoreLogs(b *testing.B) {
	s := testStore(b)
	var took []time.Duration
	index, data := uint64(0), make([]byte, 150)
	for b.Loop() {
		index++
		start := time.Now()
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: data}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkGetLog(b *testing.B) {
	s := testStore(b)
	if err := s.StoreLogs(entries(1, 5000, 1)); err != nil {
		b.Fatal(err)
	}
	index := uint64(0)
	for b.Loop() {
		index = index%5000 + 1
		if err := s.GetLog(index, new(raft.Log)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDelete20000(b *testing.B) {
	s := testStore(b)
	for index := uint64(1); b.Loop(); index += 20000 {
		b.StopTimer()
		if err := s.StoreLogs(entries(index, index+20000, 1)[min(index-1, 1):]); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := s.DeleteRange(index, index+19999); err != nil {
			b.Fatal(err)
		}
	}
}
