package lockserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// How a lock is kept from everybody, and how it is opened early: rules 16 and 19.

// block keeps a lock with its holder, however silent that is, until a person unblocks it.
func (s *Server) block(ctx context.Context, _ lease.Time, q api.BlockRequest) (api.ChangedAnswer, error) {
	return s.changed(s.apply(ctx, lock.Entry{Kind: lock.Block, Name: q.Name, Term: q.Term, Session: q.Session, Reason: q.Reason}))
}

// unblock frees a blocked lock that still is as the person who asks has seen it. A person who asks on another node
// than the holder's says by that that the holder's node is off. As long as that node is heard, unblock refuses.
func (s *Server) unblock(ctx context.Context, _ lease.Time, q api.UnblockRequest) (api.ChangedAnswer, error) {
	k, why, err := s.isUp(q.Name, func(k lock.Lock) string { return k.Node })
	if err != nil {
		return api.ChangedAnswer{}, err
	}
	if why != "" && k.Node != q.Node && k.Term == q.Term && k.Session == q.Session {
		return api.ChangedAnswer{Refused: why, Lock: k}, nil
	}
	a, err := s.changed(s.apply(ctx, lock.Entry{Kind: lock.Unblock, Name: q.Name, Term: q.Term, Session: q.Session}))
	if a.Changed {
		s.Log.Warn("a blocked lock was freed by hand", "lock", q.Name, "term", q.Term, "by", q.Node)
	}
	return a, err
}

// isUp says why a node cannot be off: it was heard, by whatever session and for whatever lock, and not so long ago
// that another may have the lock called name. which picks the node from that lock. why is "" if the node may be off.
func (s *Server) isUp(name string, which func(lock.Lock) string) (k lock.Lock, why string, err error) {
	leaseTerm, _, err := s.speaks()
	if err != nil {
		return lock.Lock{}, "", err
	}
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases.RaftTerm() != leaseTerm {
		return lock.Lock{}, "", errNoLeader
	}
	k = m.table.Get(name)
	node, now := which(k), s.Clock.Now()
	if unheard := s.unheard(node, now); unheard < k.Times.Silence() && node != "" && !s.Off.Down {
		why = fmt.Sprintf("%s is not off: it was heard %.1f s ago, and its silence would have to last %g s", node, unheard.Seconds(), k.Times.Silence().Seconds())
	}
	return k, why, nil
}

// unheard is for how long, at the least, none of a node's sessions was heard. The time before this server led does not
// count. The caller holds machine.mu.
func (s *Server) unheard(node string, now lease.Time) time.Duration {
	m := s.machine
	return min(m.leases.Unheard(node, m.table.All(), now), s.names.unheard(node, now))
}

// settled makes the lock forget the nodes that lost it by silence, since what it is for has started well; or only the
// one node that a person says is off.
func (s *Server) settled(ctx context.Context, _ lease.Time, q api.SettledRequest) (api.ChangedAnswer, error) {
	k, why, err := s.isUp(q.Name, func(lock.Lock) string { return q.Node })
	if err != nil {
		return api.ChangedAnswer{}, err
	}
	e := lock.Entry{Kind: lock.Settled, Name: q.Name, Term: q.Term, Session: q.Session, Owner: lock.Owner{Node: q.Node}}
	if why != "" || k.Term == q.Term && k.Unfenced == "" || s.known() < e.Needs() {
		return api.ChangedAnswer{Refused: why, Lock: k}, nil // or there is nothing to do
	}
	return s.changed(s.apply(ctx, e))
}

func (s *Server) changed(now outcome, err error) (api.ChangedAnswer, error) {
	return api.ChangedAnswer{Changed: now.changed, Lock: now.lock}, err
}

// fence gives the permission to power off the node of a holder that has been silent for its T. A majority
// has confirmed that this server leads, and the log has the permission. So no other leader has heard the
// holder, and none will give the lock to anybody before the result is known or the time for it has passed.
func (s *Server) fence(ctx context.Context, received lease.Time, q api.FenceRequest) (api.FenceAnswer, error) {
	leaseTerm, raftTerm, err := s.speaks()
	if err != nil {
		return api.FenceAnswer{}, err
	}
	if s.hearNode(q.By.Node, q.Host, received) {
		return api.FenceAnswer{}, errors.New(twoHosts(q.By.Node))
	}
	k, state, err := s.judgeFence(leaseTerm, q)
	switch {
	case s.Off.Fence:
		return api.FenceAnswer{Granted: true, State: state}, nil
	case err != nil || k.Session == "":
		return api.FenceAnswer{State: state}, err
	}
	now, err := s.applyWithWord(ctx, raftTerm, lock.Entry{
		Kind: lock.Fence, Name: q.Name, Term: q.Term, Session: q.Session, Seq: k.Seq, RaftTerm: raftTerm, Owner: q.By, Limit: q.Limit,
	})
	if err != nil {
		return api.FenceAnswer{}, err
	}
	if now.changed {
		s.Log.Warn("a silent holder is to be powered off", "lock", q.Name, "holder", k.Node, "term", k.Term, "by", q.By.Node)
	}
	return api.FenceAnswer{Granted: now.changed, State: api.State{Lock: now.lock}}, nil
}

// judgeFence returns the lock of q if its holder may be powered off now, and the zero Lock if it may not.
//
// The asker must be on another node, or it would power off itself. For the same reason its disk must not
// say that it was the holder, under another node name.
//
// A node that stands by for the same lock does not count as silent: it does so when it is back after a
// crash. To power it off would help nobody; and if the only lock server is on that node, the result could
// not be told, and the node would be powered off again and again. But if the lock can be had only by a
// fence, standing by counts only for a node that can have the lock without one (isHolderAgain). Otherwise
// nobody could ever have it. The same holds if a person says that the node is off, which is the last way.
func (s *Server) judgeFence(leaseTerm uint64, q api.FenceRequest) (k lock.Lock, state api.State, err error) {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k = m.table.Get(q.Name)
	now := s.Clock.Now()
	state = stateOf(k, m.leases.Left(q.Name, k, now), m.leases.Silent(q.Name, k, now))
	switch {
	case m.leases.RaftTerm() != leaseTerm:
		return lock.Lock{}, state, errNoLeader
	case k.Session != q.Session || k.Term != q.Term || k.Node == q.By.Node || k.Session == q.Was || s.names.isStandBy(q.Name, k, now, q.Required || q.Declared):
		return lock.Lock{}, state, nil
	}
	if unheard := s.unheard(k.Node, now); q.Declared && unheard < k.Times.Silence() && !s.Off.Down {
		state.Silent = unheard.Milliseconds()
		return lock.Lock{}, state, nil
	}
	left, err := m.leases.JudgeFence(q.Name, k, now)
	if left > 0 || err != nil {
		return lock.Lock{}, state, err
	}
	return k, state, nil
}

// fenced takes the result of a fencing. A success that is told when the time for it has passed does not count.
func (s *Server) fenced(ctx context.Context, _ lease.Time, q api.FencedRequest) (api.ChangedAnswer, error) {
	e := lock.Entry{
		Kind: lock.Fenced, Name: q.Name, Term: q.Term, Session: q.Session, Owner: lock.Owner{Session: q.By},
		OK: q.OK && (!s.fencingOver(q.Name) || s.Off.Fencing),
	}
	a, err := s.changed(s.apply(ctx, e))
	if a.Changed {
		s.Log.Warn("a fencing is over", "lock", q.Name, "holder", a.Lock.Node, "term", q.Term, "off", a.Lock.Fenced)
	}
	return a, err
}

func (s *Server) fencingOver(name string) bool {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leases.FencingOver(name, m.table.Get(name), s.Clock.Now())
}

func checkBlock(q api.BlockRequest) error {
	return errors.Join(lock.CheckName(q.Name), lock.CheckReason(q.Reason))
}

func checkUnblock(q api.UnblockRequest) error {
	return errors.Join(lock.CheckName(q.Name), lock.CheckName(q.Node))
}

func checkFence(q api.FenceRequest) error {
	return errors.Join(lock.CheckName(q.Name), checkOwner(q.By), lock.CheckFencing(q.Limit), checkHost(q.Host))
}

func checkSettled(q api.SettledRequest) error {
	if q.Node == "" {
		return lock.CheckName(q.Name)
	}
	return errors.Join(lock.CheckName(q.Name), lock.CheckName(q.Node))
}

func checkFenced(q api.FencedRequest) error {
	return errors.Join(lock.CheckName(q.Name), api.CheckSession(q.By))
}
