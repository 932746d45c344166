package lockserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// speaks returns the raft term in which this server speaks for the others: the one that it
// leads in and has opened a table of leases for (rule 7). Both terms are the same, unless the
// rule is off.
func (s *Server) speaks() (leaseTerm, raftTerm uint64, err error) {
	s.machine.mu.Lock()
	leaseTerm = s.machine.leases.RaftTerm()
	s.machine.mu.Unlock()
	raftTerm = s.node().CurrentTerm()
	if leaseTerm == 0 || leaseTerm != raftTerm && !s.Off.Open {
		return 0, 0, errNoLeader
	}
	if why := s.loneliness(); why != "" {
		return 0, 0, errors.New(why)
	}
	return leaseTerm, raftTerm, nil
}

// acquire grants a lock that is free, or whose holder was silent for long enough.
func (s *Server) acquire(ctx context.Context, received lease.Time, q api.AcquireRequest) (api.AcquireAnswer, error) {
	if err := checkAcquire(q); err != nil {
		return api.AcquireAnswer{}, badRequest{err}
	}
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return api.AcquireAnswer{}, err
	}
	if q.Cluster != "" && q.Cluster != s.self.Cluster {
		return api.AcquireAnswer{Stranger: true}, nil
	}
	if s.hearNode(q.Owner.Node, q.Host, received) {
		return api.AcquireAnswer{Refused: twoHosts(q.Owner.Node), Code: api.CodeTwoHosts}, nil
	}
	k, left, err := s.judge(leaseTerm, q)
	if err != nil {
		return api.AcquireAnswer{}, err
	}
	if left > 0 {
		return api.AcquireAnswer{State: s.shown(q.Name, k, left)}, nil
	}
	e := lock.Entry{
		Kind: lock.Acquire, Name: q.Name, Term: k.Term, Session: k.Session, Seq: k.Seq, RaftTerm: raftTerm, Floor: q.Floor, Owner: q.Owner, Times: q.Times,
		Silent: s.isSilent(k, q.Owner),
	}
	if q.From != "" && !s.Off.Adopt {
		e.Kind, e.Silent = lock.Adopt, false
	}
	now, err := s.applyWithWord(ctx, raftTerm, e)
	if err != nil {
		return api.AcquireAnswer{}, err
	}
	return api.AcquireAnswer{Granted: now.changed, State: api.State{Lock: now.lock}}, nil
}

// applyWithWord applies e, which rests on a judgement of this server as the leader of raftTerm. Meanwhile
// it asks a majority, which must say that this server is still that leader.
func (s *Server) applyWithWord(ctx context.Context, raftTerm uint64, e lock.Entry) (outcome, error) {
	majority := make(chan error, 1)
	go func() { majority <- s.asker.ask(ctx, s.node(), raftTerm) }() // ends with ctx
	now, err := s.apply(ctx, e)
	if err != nil {
		return outcome{}, err
	}
	if err := <-majority; err != nil {
		return outcome{}, unknownError{err}
	}
	return now, nil
}

// shown is k, the lock called name, for an asker that may have it after left.
func (s *Server) shown(name string, k lock.Lock, left time.Duration) api.State {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	state := stateOf(k, left, m.leases.Silent(name, k, s.Clock.Now()))
	state.Heard = m.leases.Heard(name, k)
	return state
}

// stateOf is k for those who ask. A blocked lock has no end to show.
func stateOf(k lock.Lock, left, silent time.Duration) api.State {
	if left >= lock.Never {
		left = 0
	}
	return api.State{Lock: k, Left: left.Milliseconds(), Silent: silent.Milliseconds()}
}

// judge returns the lock, and how long it is until the asker may have it. Nought means now: the lock is
// free, or its holder is judged gone or was powered off, or it is the asker's own already and in the term
// that the asker was told (rule 18: such an acquire raises the term too).
func (s *Server) judge(leaseTerm uint64, q api.AcquireRequest) (k lock.Lock, left time.Duration, err error) {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k = m.table.Get(q.Name)
	if m.leases.RaftTerm() != leaseTerm {
		return k, 0, errNoLeader
	}
	wait := func() (lock.Lock, time.Duration, error) {
		return k, m.leases.Left(q.Name, s.lessRules(k), s.Clock.Now()), nil
	}
	own := k.Session == q.Owner.Session
	switch {
	case q.From != "" && s.mayAdopt(k, q):
		return k, 0, nil
	case q.From != "", own && k.Term != q.Own, !own && (q.Own != 0 || q.Known != nil && *q.Known != k.Term):
		return k, time.Millisecond, nil // it may ask again at once: it did not know how the lock is now
	case own && k.BeingFenced():
		return wait()
	case own:
		return k, 0, nil
	case q.OnlyFenced && k.Held() && !k.Fenced && !isHolderAgain(k, q) && !s.Off.Fencing:
		_, left, _ := wait()
		return k, max(left, time.Millisecond), nil
	}
	left, err = m.leases.Judge(q.Name, s.lessRules(k), s.Clock.Now())
	if s.Off.Grant {
		left -= k.Times.Silence() - k.Times.Timeout
	}
	if s.Off.Own && k.Held() {
		left -= k.Times.Silence() - q.Times.Silence()
	}
	if left > 0 {
		left += time.Millisecond // it is given in whole ones
	}
	return k, left, err
}

// isHolderAgain says whether the asker is on the node of k's holder. Then that node need not be powered off: since it
// asks, it was booted again, or its manager was started again. The name of the node is not enough, because two hosts
// may have one name by mistake. Its disk must know the lock's term too, or the holder's session (if the node did not
// hear of that session's last term).
func isHolderAgain(k lock.Lock, q api.AcquireRequest) bool {
	return k.Node == q.Owner.Node && (q.Floor >= k.Term || q.Was == k.Session)
}

// mayAdopt says whether who asks may have k from an earlier session of its node, or from its own.
func (s *Server) mayAdopt(k lock.Lock, q api.AcquireRequest) bool {
	if s.Off.Adopt {
		return k.Held()
	}
	known := (k.Session == q.From || k.Session == q.Owner.Session) && k.Term == q.Own
	return known && k.Node == q.Owner.Node && !k.BeingFenced() && !k.Fenced
}

func checkAcquire(q api.AcquireRequest) error {
	if err := lock.CheckName(q.Name); err != nil {
		return err
	}
	if err := checkOwner(q.Owner); err != nil {
		return err
	}
	return q.Times.Check()
}

func checkOwner(o lock.Owner) error {
	if err := api.CheckSession(o.Session); err != nil {
		return err
	}
	if err := lock.CheckName(o.Node); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	return nil
}

// renew acknowledges those of a session's locks that it still holds. It touches no disk.
func (s *Server) renew(ctx context.Context, received lease.Time, q api.RenewRequest) (api.RenewAnswer, error) {
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return api.RenewAnswer{}, err
	}
	if err := s.asker.ask(ctx, s.node(), raftTerm); err != nil {
		return api.RenewAnswer{}, err
	}
	answer, node, err := s.acknowledge(leaseTerm, received, q)
	s.hearNode(node, q.Host, received) // whatever it says: a renewal is not refused for a name
	return answer, err
}

// acknowledge makes a renewal count that a majority stands behind, and says which node holds
// what was renewed.
func (s *Server) acknowledge(leaseTerm uint64, received lease.Time, q api.RenewRequest) (answer api.RenewAnswer, node string, err error) {
	answer.Refused = make([]string, len(q.Locks))
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, l := range q.Locks {
		k := m.table.Get(l.Name)
		err := m.leases.Renew(leaseTerm, l.Name, k, l.Term, q.Session, received)
		switch {
		case errors.Is(err, lock.ErrNotOpen):
			return api.RenewAnswer{}, "", errNoLeader
		case err != nil:
			answer.Refuse(i, len(q.Locks), err)
		default:
			node = k.Node
		}
	}
	return answer, node, nil
}

// release frees a lock that the session holds in that term.
func (s *Server) release(ctx context.Context, _ lease.Time, q api.ReleaseRequest) (api.ChangedAnswer, error) {
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Release, Name: q.Name, Term: q.Term, Session: q.Session})
	return api.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// change gives a holder other times to live by.
func (s *Server) change(ctx context.Context, _ lease.Time, q api.ChangeRequest) (api.ChangedAnswer, error) {
	if err := q.Times.Check(); err != nil {
		return api.ChangedAnswer{}, badRequest{err}
	}
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Change, Name: q.Name, Term: q.Term, Session: q.Session, Seq: q.Seq, Times: q.Times})
	return api.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// await answers when it makes sense to ask for a lock: it is free, has another holder than
// was waited for, or its holder may be taken for gone; or after a while, to be asked again.
func (s *Server) await(ctx context.Context, received lease.Time, q api.WaitRequest) (api.State, error) {
	if err := lock.CheckName(q.Name); err != nil {
		return api.State{}, badRequest{err}
	}
	if !s.hearNode(q.Node, q.Host, received) && q.StandBy != "" {
		s.names.standsBy(q, received)
	}
	over := time.After(waitLimit)
	for {
		w := s.waitFor(q)
		if s.node().State() != raft.Leader || !w.opened {
			return api.State{}, errNoLeader
		}
		if w.changed == nil {
			return w.state, nil
		}
		select {
		case <-w.changed:
		case <-time.After(min(w.next, raftTimeout)): // look again: a renewal may have made it longer, or this server may have lost leadership
		case <-over:
			return w.state, nil
		case <-ctx.Done():
			return api.State{}, ctx.Err()
		}
	}
}

// A waiting is what a stand-by waits for.
type waiting struct {
	state   api.State
	opened  bool
	next    time.Duration   // when it may make sense to ask for the lock, if its holder stays silent
	changed <-chan struct{} // nil if it makes sense now
}

// waitFor says whether it makes sense to ask for the lock of q.
func (s *Server) waitFor(q api.WaitRequest) (w waiting) {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k, now := m.table.Get(q.Name), s.Clock.Now()
	left := m.leases.Left(q.Name, k, now)
	w.state, w.opened = stateOf(k, left, m.leases.Silent(q.Name, k, now)), m.leases.RaftTerm() != 0
	w.state.Heard, w.next = m.leases.Heard(q.Name, k), left
	if q.OnlyFenced && !k.Fenced {
		w.next = lock.Never
	}
	if q.Fence && q.Node != k.Node {
		w.next = min(w.next, m.leases.UntilFence(q.Name, k, now))
	}
	if w.opened && k.Held() && k.Term == q.Term && w.next > 0 {
		w.changed = m.watch(q.Name) // not before: else the machine would keep a channel for each name that was ever asked for
	}
	return w
}
