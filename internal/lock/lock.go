// Package lock is the rules of a lock: who has it, who may get it next, and when
// (SAFETY.md rules 5, 7 and 8). It does no I/O and has no clock of its own.
//
// Two things are kept apart. A [Table] is what the servers agree on by their log: the
// holder of each lock, its term, and the times it asked for. [Leases] is what one leader
// has seen with its own eyes during one raft term: when it last heard from each holder.
// The table says who holds a lock; the leases say whether that holder may be taken for
// gone.
//
//	         acquire                     acquire, once the holder was silent
//	free  ------------->  held by A, term n  ------------------> held by B, term n+1
//	  ^                        |
//	  +------------------------+
//	    release by A of term n   (the term stays n until the next acquire)
//
//	held by A, term n  -- adopt by A's next session --> held by A', term n+1
//	                   -- block by A ---------> blocked: nobody gets it, however silent A is
//	blocked            -- unblock by a person -> free
//	held by A, silent  -- fence by B ---------> fencing: nobody gets it, and A is not renewed
//	fencing            -- fenced, by B -------> done: anybody gets it at once; failed: as before
//	held by B          -- settled by B -------> nobody who was silent need be fenced any more
package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Invalid stands for a holder where there is none.
const Invalid = "-invalid-"

// Version is the newest version of log entries and snapshots that this program knows. Each is written
// with the lowest version that can say what is in it. A server that meets a newer version than it knows
// stops, because it must not skip anything (rule 14). Version 2 added the nodes that lost a lock by
// silence and were not powered off.
const Version = 2

// ErrVersion is returned for an entry or snapshot of a version that this program does not know.
var ErrVersion = errors.New("written by a newer version")

// An Owner is who holds a lock: a node, and one manager process of it.
type Owner struct {
	Node    string `json:"node,omitempty"`
	Session string `json:"session,omitempty"` // random per manager
}

// A Lock is the agreed state of one lock. The zero Lock was never held.
type Lock struct {
	Owner           // zero when the lock is free
	Term     uint64 `json:"term"`               // grows with each acquire, never goes back: the fencing token
	Seq      uint64 `json:"seq"`                // counts the log entries of this term, from 1
	Last     string `json:"last,omitempty"`     // the node that holds it, or held it last
	Previous string `json:"previous,omitempty"` // the node that held it in the term before
	Times    Times  `json:"times"`              // that the holder lives by

	Blocked string  `json:"blocked,omitempty"` // why it must stay with its holder until a person unblocks it; "" is not blocked
	Fencing Fencing `json:"fencing,omitzero"`  // who powers the holder off now
	Fenced  bool    `json:"fenced,omitempty"`  // the holder was powered off in this term: anybody may have the lock

	Unfenced Nodes `json:"unfenced,omitempty"` // nodes that lost the lock because they were silent, and may still run what it is for
}

// A Fencing is the permission to power off a holder that has been silent for its T (rule 19). The zero
// Fencing means that nobody has it.
type Fencing struct {
	By    Owner `json:"by"`
	Limit int64 `json:"limit_ms"` // milliseconds that it may take; after that it counts as failed
}

// LongestFencing is how long a fencing may take, and MaxReason how many bytes the reason of a
// blocked lock may have.
const (
	LongestFencing = 10 * time.Minute
	MaxReason      = 300
)

// Times are how long a holder may act unheard, and how long it then needs to stop.
type Times struct {
	Timeout time.Duration // T: length of the lease
	Stop    time.Duration // S: from the lease's end to the kill end
}

// milliseconds is Times in JSON.
type milliseconds struct {
	Timeout int64 `json:"timeout_ms"`
	Stop    int64 `json:"stop_ms"`
}

// MarshalJSON writes whole milliseconds.
func (t Times) MarshalJSON() ([]byte, error) {
	return json.Marshal(milliseconds{t.Timeout.Milliseconds(), t.Stop.Milliseconds()})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (t *Times) UnmarshalJSON(b []byte) error {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	var ms milliseconds
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	if max(ms.Timeout, ms.Stop) > most || min(ms.Timeout, ms.Stop) < -most {
		return fmt.Errorf("cannot use times of %d and %d milliseconds", ms.Timeout, ms.Stop)
	}
	*t = Times{time.Duration(ms.Timeout) * time.Millisecond, time.Duration(ms.Stop) * time.Millisecond}
	return nil
}

// Silence is how long a leader must not have heard from a holder before another may have
// the lock: T + S and a margin of 1 %, at least half a second.
func (t Times) Silence() time.Duration {
	span := t.Timeout + t.Stop
	return span + max(span/100, 500*time.Millisecond)
}

// RenewEvery is the time between two renewals of a holder that would like to renew once every pace. It is T/3 at the
// most, so that two renewals may get lost before the lease ends (SAFETY.md rule 2).
func (t Times) RenewEvery(pace time.Duration) time.Duration { return min(pace, t.Timeout/3) }

// Check says whether a holder could live by these times.
func (t Times) Check() error {
	const century = 100 * 365 * 24 * time.Hour
	if t.Timeout < 100*time.Millisecond || t.Timeout > century || t.Stop < 0 || t.Stop > century {
		return fmt.Errorf("cannot use timeout %v with stop timeout %v", t.Timeout, t.Stop)
	}
	return nil
}

// Held says whether somebody has the lock.
func (l Lock) Held() bool { return l.Session != "" }

// BeingFenced says whether somebody has the permission to power the holder off, and the result is not
// known yet.
func (l Lock) BeingFenced() bool { return l.Fencing.By.Session != "" }

// A Kind is what a log entry does.
type Kind string

// The kinds of log entries.
const (
	Open    Kind = "open"    // a leader begins: see Leases
	Acquire Kind = "acquire" // Owner takes the lock
	Adopt   Kind = "adopt"   // Owner takes it from an earlier session of the same node, or from itself, with what runs under it
	Release Kind = "release" // the holder gives it back
	Change  Kind = "change"  // the holder will live by other Times
	Block   Kind = "block"   // the holder leaves behind what it cannot stop: Reason says why
	Unblock Kind = "unblock" // a person says that nothing is left: the lock is free
	Fence   Kind = "fence"   // Owner may power the holder off, within Limit
	Fenced  Kind = "fenced"  // Owner has done so, or not: OK says which
	Settled Kind = "settled" // the holder has started well, so the nodes in Unfenced matter no more; or a person says that the node of Owner is off
)

// An Entry is one change, as it stands in the servers' log. It changes something only if
// the lock is still at Term and in the hands of Session: so an entry that is late, comes
// twice, or crosses another changes nothing. Some kinds need more. An acquire, an adoption and a
// fence rest on a leader's judgement, which is worth nothing in a later raft term, whose leader may have
// renewed the lease: they count only in the raft term of the judgement. A change leaves term
// and session as they are, and would count twice: it is conditional on Seq too. So is a fence, and
// an acquire that names a Seq: the lock may have been blocked, or its fencing begun, since the judgement.
type Entry struct {
	Version  int    `json:"v"`
	Kind     Kind   `json:"kind"`
	Name     string `json:"name,omitempty"`
	Term     uint64 `json:"term,omitempty"`
	Session  string `json:"if,omitempty"`        // "" for a free lock
	Seq      uint64 `json:"seq,omitempty"`       // of a change or fence; of an acquire or adoption unless 0
	RaftTerm uint64 `json:"raft_term,omitempty"` // of an acquire, adoption or fence
	Floor    uint64 `json:"floor,omitempty"`     // of an acquire: a term that the asker has seen; the new one is higher
	Owner    Owner  `json:"owner,omitzero"`
	Times    Times  `json:"times,omitzero"`
	Reason   string `json:"reason,omitempty"`   // of a block
	Limit    int64  `json:"limit_ms,omitempty"` // of a fence
	OK       bool   `json:"ok,omitempty"`       // of a fenced
	Silent   bool   `json:"silent,omitempty"`   // of an acquire: the holder, on another node, was only silent
}

// Needs is the version of e: the lowest that knows what it does.
func (e Entry) Needs() int {
	if e.Silent || e.Kind == Settled {
		return 2
	}
	return 1
}

// A Table is the agreed state of all locks.
type Table struct {
	locks map[string]Lock
	floor uint64 // a lock that the table does not know yet begins with a higher term than this
}

// NewTable is a table in which no lock was ever held.
func NewTable() *Table { return &Table{locks: map[string]Lock{}} }

// Raise makes all terms higher by n, also those of locks that the table does not know yet. It is for a
// new cluster that is made from what one server knows: the old cluster may have given later terms, and
// no term may be given twice.
func (t *Table) Raise(n uint64) {
	t.floor += n
	for name, l := range t.locks {
		l.Term += n
		t.locks[name] = l
	}
}

// MaxFloor is the highest term that a node may say it has seen: what is above would use up the
// terms.
const MaxFloor = 1 << 48

// Get is the state of the lock called name.
func (t *Table) Get(name string) Lock { return t.locks[name] }

// All is the state of every lock that was ever held.
func (t *Table) All() map[string]Lock { return maps.Clone(t.locks) }

// Apply makes the change that e asks for, if its condition holds, and returns the lock as
// it is then and whether it changed. raftTerm is the one in which e stands in the log. The error is [ErrVersion] or about an entry that
// nobody should have logged.
func (t *Table) Apply(e Entry, raftTerm uint64) (now Lock, changed bool, err error) {
	if e.Version < 1 || e.Version > Version {
		return Lock{}, false, fmt.Errorf("log entry of version %d: %w", e.Version, ErrVersion)
	}
	if e.Kind == Open {
		return t.locks[e.Name], false, nil
	}
	rule, known := rules[e.Kind]
	if !known {
		return t.locks[e.Name], false, fmt.Errorf("log entry of kind %q: %w", e.Kind, ErrVersion)
	}
	l := t.locks[e.Name]
	if l.Term != e.Term || l.Session != e.Session || !rule.allows(l, e, raftTerm) {
		return l, false, nil
	}
	next := rule.next(l, e)
	if next.Term == 0 {
		next.Term = 1 + max(l.Term, t.floor, min(e.Floor, MaxFloor))
	}
	next.Seq++
	t.locks[e.Name] = next
	return next, true, nil
}

type snapshot struct {
	Version int             `json:"v"`
	Locks   map[string]Lock `json:"locks"`
	Floor   uint64          `json:"floor,omitempty"`
}

// Needs is the version of t: the lowest that knows all that is in it.
func (t *Table) Needs() int {
	for _, l := range t.locks {
		if l.Unfenced != "" {
			return 2
		}
	}
	return 1
}

// Snapshot is the whole table, for [Restore].
func (t *Table) Snapshot() ([]byte, error) {
	return json.Marshal(snapshot{t.Needs(), t.locks, t.floor})
}

// Restore is the table that b is a snapshot of.
func Restore(b []byte) (*Table, error) {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("cannot read snapshot: %w", err)
	}
	if s.Version < 1 || s.Version > Version {
		return nil, fmt.Errorf("snapshot of version %d: %w", s.Version, ErrVersion)
	}
	if s.Locks == nil {
		s.Locks = map[string]Lock{}
	}
	return &Table{s.Locks, s.Floor}, nil
}
