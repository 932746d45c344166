package lockserver

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// A restored snapshot is of a table that the leases were not given for: they are void, and who waits
// for a lock looks again (rule 7).
func TestRestoreVoids(t *testing.T) {
	t.Parallel()
	newOne := func() *machine { return newMachine(lease.Scaled(1), func(err error) { t.Error(err) }) }
	apply := func(m *machine, index uint64, e lock.Entry) {
		e.Version = lock.Version
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(&raft.Log{Index: index, Term: 3, Data: b})
	}
	other := newOne()
	apply(other, 1, lock.Entry{Kind: lock.Acquire, Name: "p", RaftTerm: 3, Owner: lock.Owner{Node: "x", Session: "session x"}, Times: testTimes})
	snapshot, err := other.table.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	m := newOne()
	apply(m, 1, lock.Entry{Kind: lock.Open})
	if got := m.leases.RaftTerm(); got != 3 {
		t.Fatalf("the leases are of term %d", got)
	}
	m.mu.Lock()
	changed := m.watch("p")
	m.mu.Unlock()
	if err := m.Restore(io.NopCloser(bytes.NewReader(snapshot))); err != nil {
		t.Fatal(err)
	}
	if got := m.leases.RaftTerm(); got != 0 {
		t.Errorf("after a restored snapshot there are leases of term %d", got)
	}
	if !m.table.Get("p").Held() {
		t.Error("the table is not that of the snapshot")
	}
	select {
	case <-changed:
	default:
		t.Error("who waits for the lock is not told")
	}
}

// tableOf is a table with one lock, p.
func tableOf(t *testing.T, k lock.Lock) *lock.Table {
	t.Helper()
	b, err := json.Marshal(map[string]any{"v": lock.Version, "locks": map[string]lock.Lock{"p": k}})
	if err != nil {
		t.Fatal(err)
	}
	table, err := lock.Restore(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}
