package lockserver

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// A machine is raft's state machine: the agreed table, and beside it the leases that this
// server gives while it leads. Leases are judged, and renewals acknowledged, only under mu.
type machine struct {
	clock lease.Clock
	fatal func(error)

	saw   func(*raft.Log, lock.Entry, outcome) // of a [Trial]
	loose bool                                 // rule 8 is off
	knows int                                  // the newest version of entries and snapshots that it goes by

	mu      sync.Mutex
	table   *lock.Table
	leases  lock.Leases
	applied uint64
	members uint64                   // index of the last log entry that changed the servers of the cluster
	changed map[string]chan struct{} // closed when the lock of that name changes
}

var _ raft.FSM = (*machine)(nil)

func newMachine(clock lease.Clock, fatal func(error)) *machine {
	return &machine{clock: clock, fatal: fatal, knows: lock.Version, table: lock.NewTable(), changed: map[string]chan struct{}{}}
}

// An outcome is what became of a log entry.
type outcome struct {
	lock    lock.Lock
	changed bool
}

// Apply makes the change of a committed log entry.
func (m *machine) Apply(l *raft.Log) any {
	var e lock.Entry
	if err := json.Unmarshal(l.Data, &e); err != nil {
		m.fatal(fmt.Errorf("cannot read log entry %d: %w", l.Index, err))
		return outcome{}
	}
	if e.Version > m.knows {
		m.fatal(fmt.Errorf("cannot go on from log entry %d: version %d: %w", l.Index, e.Version, lock.ErrVersion)) // rule 14
		return outcome{}
	}
	now := m.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loose {
		now := m.table.Get(e.Name)
		e.Term, e.Session, e.Seq, e.RaftTerm = now.Term, now.Session, now.Seq, l.Term
		if e.Kind == lock.Fenced && e.OK { // whoever has it now
			e.Kind = lock.Release
		}
	}
	k, changed, err := m.table.Apply(e, l.Term)
	if err != nil {
		m.fatal(fmt.Errorf("cannot go on from log entry %d: %w", l.Index, err)) // rule 14
		return outcome{}
	}
	m.applied = l.Index
	switch {
	case e.Kind == lock.Open:
		m.leases.Open(l.Term, now)
		m.wakeAll()
	case changed && (e.Kind == lock.Acquire || e.Kind == lock.Adopt):
		m.leases.Granted(e.Name, k, now)
	case changed && e.Kind == lock.Fence:
		m.leases.Fencing(e.Name, k, now)
	case changed && e.Kind == lock.Change:
		m.leases.Changed(e.Name, k)
	}
	if changed {
		m.wake(e.Name)
	}
	if m.saw != nil {
		m.saw(l, e, outcome{k, changed})
	}
	return outcome{k, changed}
}

// watch returns a channel that is closed at the next change of the lock called name. The caller holds m.mu.
func (m *machine) watch(name string) <-chan struct{} {
	if m.changed[name] == nil {
		m.changed[name] = make(chan struct{})
	}
	return m.changed[name]
}

func (m *machine) wake(name string) {
	if c := m.changed[name]; c != nil {
		close(c)
		delete(m.changed, name)
	}
}

func (m *machine) wakeAll() {
	for name := range m.changed {
		m.wake(name)
	}
}

// Snapshot is the table as it is now.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.table.Snapshot()
	return saved(b), err
}

// Restore goes on from a snapshot. Leases were given for what was before: they are void.
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("cannot read snapshot: %w", err)
	}
	table, err := lock.Restore(b)
	if err == nil && table.Needs() > m.knows {
		err = fmt.Errorf("snapshot of version %d: %w", table.Needs(), lock.ErrVersion)
	}
	if err != nil {
		m.fatal(err) // raft would go on with an older one, or none
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table = table
	m.leases.Void()
	m.wakeAll()
	return nil
}

// saved is a snapshot on its way to the disk.
type saved []byte

// Persist writes the snapshot.
func (s saved) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		_ = sink.Cancel() // the write's error says more
		return fmt.Errorf("cannot write snapshot: %w", err)
	}
	return sink.Close()
}

// StoreConfiguration notes where in the log the servers of the cluster were last agreed on.
func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = index
}

// Release has nothing to do: the snapshot is a copy.
func (s saved) Release() {}
