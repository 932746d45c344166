package lock

import (
	"errors"
	"time"

	"backtowork/internal/lease"
)

// What a holder's request can meet.
var (
	// ErrNotHolder means that the lock is not, or no longer, held by this session in this term.
	ErrNotHolder = errors.New("not the holder")
	// ErrOther means that another holds the lock: what this session runs must be killed first.
	ErrOther = errors.New("another holds the lock")
	// ErrEnded means that the leader has judged the lease over: another may be about to get the lock.
	ErrEnded = errors.New("the lease has ended")
	// ErrNotOpen means that the server may not speak for the others now.
	ErrNotOpen = errors.New("not an open leader")
)

// Leases is when one leader last heard from each holder, during one raft term (rules 5 and 7).
// The zero Leases is of no term and acknowledges nothing.
type Leases struct {
	raftTerm uint64
	opened   lease.Time
	heard    map[string]heard
}

// Never is how long it is until the holder of a blocked lock may be taken for gone.
const Never time.Duration = 1 << 62

// heard is what the leader knows about the holder of one lock.
type heard struct {
	term    uint64        // of the lock: what is known of an earlier holder does not count
	last    lease.Time    // when the last acknowledged request was received
	timeout time.Duration // how long after that the holder may act
	silence time.Duration // how long after that the lease must be taken to run
	fencing lease.Time    // when it was learnt that somebody fences it
	judged  bool          // to be fenced: never acknowledged again
	ended   bool          // judged over: never acknowledged again
}

// since is what is known of the holder of k if it was last heard at the time last.
func since(k Lock, last lease.Time) heard {
	return heard{term: k.Term, last: last, timeout: k.Times.Timeout, silence: k.Times.Silence(), fencing: last}
}

// Open begins a fresh table for raftTerm: nobody was heard before now, so each holder has
// its full time from now. A second Open in the same term changes nothing: it must not undo a
// judgement on which another's acquire is already on its way.
func (l *Leases) Open(raftTerm uint64, now lease.Time) {
	if l.raftTerm == raftTerm {
		return
	}
	*l = Leases{raftTerm, now, map[string]heard{}}
}

// Void forgets everything: until the next Open nothing is acknowledged.
func (l *Leases) Void() { *l = Leases{} }

// RaftTerm is the term that the leases were opened for, 0 for none.
func (l *Leases) RaftTerm() uint64 { return l.raftTerm }

// of is what is known of the holder of k.
func (l *Leases) of(name string, k Lock) heard {
	if h, ok := l.heard[name]; ok && h.term == k.Term {
		return h
	}
	return since(k, l.opened)
}

// Granted notes that the lock called name, now k, was acquired by a request not later than now.
func (l *Leases) Granted(name string, k Lock, now lease.Time) {
	if l.raftTerm != 0 {
		l.heard[name] = since(k, now)
	}
}

// Changed notes that the times of the holder of k changed. A lease that was given is never
// made shorter.
func (l *Leases) Changed(name string, k Lock) {
	if l.raftTerm == 0 {
		return
	}
	h := l.of(name, k)
	h.timeout, h.silence = max(h.timeout, k.Times.Timeout), max(h.silence, k.Times.Silence())
	l.heard[name] = h
}

// Renew acknowledges a holder's request that was received at received, or says why not. Before it calls
// Renew, but after received, the caller must have asked the other servers, and a majority must have said
// that raftTerm still stands (rule 6).
func (l *Leases) Renew(raftTerm uint64, name string, k Lock, term uint64, session string, received lease.Time) error {
	switch {
	case l.raftTerm == 0 || l.raftTerm != raftTerm:
		return ErrNotOpen
	case k.Held() && k.Session != session:
		return ErrOther
	case !k.Held() || k.Term != term:
		return ErrNotHolder
	}
	h := l.of(name, k)
	if h.ended || h.judged || k.BeingFenced() || k.Fenced {
		return ErrEnded
	}
	l.heard[name] = since(k, lease.Later(h.last, received))
	return nil
}

// Judge says how long it is at the least until the holder of k may be taken for gone. Nought
// means that it is judged so now, and that none of its requests will be acknowledged again.
func (l *Leases) Judge(name string, k Lock, now lease.Time) (left time.Duration, err error) {
	if l.raftTerm == 0 {
		return 0, ErrNotOpen
	}
	if !k.Held() {
		return 0, nil
	}
	h := l.of(name, k)
	if left := h.left(k, now); left > 0 {
		return left, nil
	}
	h.ended = true
	l.heard[name] = h
	return 0, nil
}

// left is how long it is until another may have k.
func (h heard) left(k Lock, now lease.Time) time.Duration {
	switch {
	case k.Blocked != "":
		return Never
	case k.Fenced:
		return 0
	}
	left := h.fencingLeft(k, now)
	if !h.ended {
		left = max(left, h.silence-now.Shortest(h.last))
	}
	return max(left, 0)
}

// fencingLeft is how long the fencing of k may take yet.
func (h heard) fencingLeft(k Lock, now lease.Time) time.Duration {
	if !k.BeingFenced() {
		return 0
	}
	return time.Duration(k.Fencing.Limit)*time.Millisecond - now.Shortest(h.fencing)
}

// Left is Judge without judging: for showing, and for waiting.
func (l *Leases) Left(name string, k Lock, now lease.Time) time.Duration {
	if l.raftTerm == 0 || !k.Held() {
		return 0
	}
	return l.of(name, k).left(k, now)
}

// Silent is for how long, at the least, the holder of k was not heard. The time before this table was
// opened does not count.
func (l *Leases) Silent(name string, k Lock, now lease.Time) time.Duration {
	if l.raftTerm == 0 || !k.Held() {
		return 0
	}
	return max(0, now.Shortest(l.of(name, k).last))
}

// Heard says whether the holder of k was heard since this table was opened.
func (l *Leases) Heard(name string, k Lock) bool {
	return l.raftTerm != 0 && k.Held() && l.of(name, k).last != l.opened
}

// Unheard is for how long, at the least, nothing was heard of node: of any of its sessions that hold one of locks. The
// time before this table was opened does not count.
func (l *Leases) Unheard(node string, locks map[string]Lock, now lease.Time) time.Duration {
	silent := max(0, now.Shortest(l.opened))
	for name, k := range locks {
		if k.Held() && k.Node == node {
			silent = min(silent, l.Silent(name, k, now))
		}
	}
	return silent
}

// UntilFence is how long it is at the least until somebody may power off the holder of k, if that
// goes on being silent (rule 19). It is [Never] if the lock is free or blocked, or its holder is off already.
func (l *Leases) UntilFence(name string, k Lock, now lease.Time) time.Duration {
	if l.raftTerm == 0 || !k.Held() || k.Blocked != "" || k.Fenced {
		return Never
	}
	h := l.of(name, k)
	return max(0, h.timeout-now.Shortest(h.last), h.fencingLeft(k, now))
}

// JudgeFence says that the holder of k may be powered off now, or how long it is until then at the
// least. Once it may, none of its requests will be acknowledged again.
func (l *Leases) JudgeFence(name string, k Lock, now lease.Time) (left time.Duration, err error) {
	if l.raftTerm == 0 {
		return 0, ErrNotOpen
	}
	if left := l.UntilFence(name, k, now); left > 0 {
		return left, nil
	}
	h := l.of(name, k)
	h.judged = true
	l.heard[name] = h
	return 0, nil
}

// Fencing notes that somebody was given the permission to power off the holder of k.
func (l *Leases) Fencing(name string, k Lock, now lease.Time) {
	if l.raftTerm == 0 {
		return
	}
	h := l.of(name, k)
	h.fencing = now
	l.heard[name] = h
}

// FencingOver says whether the time for the fencing of k has passed and its result is still not known.
func (l *Leases) FencingOver(name string, k Lock, now lease.Time) bool {
	return l.raftTerm != 0 && k.BeingFenced() && l.of(name, k).fencingLeft(k, now) <= 0
}
