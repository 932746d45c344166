package lockserver

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	if leaseTerm == 0 || leaseTerm != raftTerm && !s.off.open {
		return 0, 0, errNoLeader
	}
	if why := s.loneliness(); why != "" {
		return 0, 0, errors.New(why)
	}
	return leaseTerm, raftTerm, nil
}

// acquire grants a lock that is free, or whose holder was silent for long enough.
func (s *Server) acquire(ctx context.Context, received lease.Time, q lock.AcquireRequest) (lock.AcquireAnswer, error) {
	if err := checkAcquire(q); err != nil {
		return lock.AcquireAnswer{}, badRequest{err}
	}
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if q.Cluster != "" && q.Cluster != s.self.Cluster {
		return lock.AcquireAnswer{Stranger: true}, nil
	}
	if s.hearNode(q.Owner.Node, q.Host, received) {
		return lock.AcquireAnswer{Refused: twoHosts(q.Owner.Node)}, nil
	}
	k, left, err := s.judge(leaseTerm, q)
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if left > 0 {
		return lock.AcquireAnswer{State: lock.State{Lock: k, Left: left.Milliseconds()}}, nil
	}
	majority := make(chan error, 1)
	go func() { majority <- s.asker.ask(ctx, s.node(), raftTerm) }() // ends with ctx
	now, err := s.apply(ctx, lock.Entry{
		Kind: lock.Acquire, Name: q.Name, Term: k.Term, Session: k.Session, RaftTerm: raftTerm, Floor: q.Floor, Owner: q.Owner, Times: q.Times,
	})
	if err != nil {
		return lock.AcquireAnswer{}, err
	}
	if err := <-majority; err != nil {
		return lock.AcquireAnswer{}, unknownError{err}
	}
	return lock.AcquireAnswer{Granted: now.changed, State: lock.State{Lock: now.lock}}, nil
}

// judge says how long it is until the lock may be had by who asks, and how the lock is. Nought
// means now: it is free, its holder is judged gone, or it is the asker's own already and in
// the term that it was told (rule 18: such an acquire raises the term too).
func (s *Server) judge(leaseTerm uint64, q lock.AcquireRequest) (k lock.Lock, left time.Duration, err error) {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k = m.table.Get(q.Name)
	switch {
	case m.leases.RaftTerm() != leaseTerm:
		return k, 0, errNoLeader
	case k.Session == q.Owner.Session && k.Term == q.Own:
		return k, 0, nil
	case k.Session == q.Owner.Session, q.Own != 0, q.Known != nil && *q.Known != k.Term:
		return k, time.Millisecond, nil // it may ask again at once: it knew the lock otherwise
	}
	left, err = m.leases.Judge(q.Name, k, s.Clock.Now())
	if s.off.grant {
		left -= k.Times.Silence() - k.Times.Timeout
	}
	if left > 0 {
		left += time.Millisecond // it is given in whole ones
	}
	return k, left, err
}

func checkAcquire(q lock.AcquireRequest) error {
	if err := lock.CheckName(q.Name); err != nil {
		return err
	}
	if len(q.Owner.Session) < 8 || len(q.Owner.Session) > 100 {
		return fmt.Errorf("cannot use %q as a session", q.Owner.Session)
	}
	if err := lock.CheckName(q.Owner.Node); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	return q.Times.Check()
}

// renew acknowledges those of a session's locks that it still holds. It touches no disk.
func (s *Server) renew(ctx context.Context, received lease.Time, q lock.RenewRequest) (lock.RenewAnswer, error) {
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return lock.RenewAnswer{}, err
	}
	if err := s.asker.ask(ctx, s.node(), raftTerm); err != nil {
		return lock.RenewAnswer{}, err
	}
	answer, node, err := s.acknowledge(leaseTerm, received, q)
	s.hearNode(node, q.Host, received) // whatever it says: a renewal is not refused for a name
	return answer, err
}

// acknowledge makes a renewal count that a majority stands behind, and says which node holds
// what was renewed.
func (s *Server) acknowledge(leaseTerm uint64, received lease.Time, q lock.RenewRequest) (answer lock.RenewAnswer, node string, err error) {
	answer.Refused = make([]string, len(q.Locks))
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, l := range q.Locks {
		k := m.table.Get(l.Name)
		err := m.leases.Renew(leaseTerm, l.Name, k, l.Term, q.Session, received)
		switch {
		case errors.Is(err, lock.ErrNotOpen):
			return lock.RenewAnswer{}, "", errNoLeader
		case err != nil:
			answer.Refused[i] = err.Error()
		default:
			node = k.Node
		}
	}
	return answer, node, nil
}

// release frees a lock that the session holds in that term.
func (s *Server) release(ctx context.Context, _ lease.Time, q lock.ReleaseRequest) (lock.ChangedAnswer, error) {
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Release, Name: q.Name, Term: q.Term, Session: q.Session})
	return lock.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// change gives a holder other times to live by.
func (s *Server) change(ctx context.Context, _ lease.Time, q lock.ChangeRequest) (lock.ChangedAnswer, error) {
	if err := q.Times.Check(); err != nil {
		return lock.ChangedAnswer{}, badRequest{err}
	}
	now, err := s.apply(ctx, lock.Entry{Kind: lock.Change, Name: q.Name, Term: q.Term, Session: q.Session, Seq: q.Seq, Times: q.Times})
	return lock.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// await answers when it makes sense to ask for a lock: it is free, has another holder than
// was waited for, or its holder may be taken for gone; or after a while, to be asked again.
func (s *Server) await(ctx context.Context, received lease.Time, q lock.WaitRequest) (lock.State, error) {
	if err := lock.CheckName(q.Name); err != nil {
		return lock.State{}, badRequest{err}
	}
	s.hearNode(q.Node, q.Host, received)
	m := s.machine
	over := time.After(waitLimit)
	for {
		m.mu.Lock()
		k, opened := m.table.Get(q.Name), m.leases.RaftTerm() != 0
		left := m.leases.Left(q.Name, k, s.Clock.Now())
		waits := opened && k.Held() && k.Term == q.Term && left > 0
		var changed <-chan struct{}
		if waits { // a note of each name that was ever asked for would stay
			changed = m.watch(q.Name)
		}
		m.mu.Unlock()
		if s.node().State() != raft.Leader || !opened {
			return lock.State{}, errNoLeader
		}
		state := lock.State{Lock: k, Left: left.Milliseconds()}
		if !waits {
			return state, nil
		}
		select {
		case <-changed:
		case <-time.After(min(left, raftTimeout)): // a renewal may have made it longer; the leader may be one no more
		case <-over:
			return state, nil
		case <-ctx.Done():
			return lock.State{}, ctx.Err()
		}
	}
}
