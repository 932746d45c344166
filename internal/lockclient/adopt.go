package lockclient

import (
	"context"
	"errors"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A PriorLease is a lease that an earlier session of this node had, under which something may still run.
type PriorLease struct {
	Session string
	Term    uint64
	Sent    lease.Time // when the last request was sent that was acknowledged
	Times   lock.Times
}

// Adopt takes over the lock w.Name, with what runs under it, from the earlier session of this node that had
// the lease f (rule 18). It asks until it has the lock, f ends, the servers say that the lock is not that
// session's any more, or ctx ends. A request that is on its way when ctx ends is waited for all the same.
//
// The Held that it returns lives by f.Times, or is lost already. One that is lost has the Ends of f, which may
// have passed; but its kill end is now if another may have the lock, or if f is the zero PriorLease.
func (s *Session) Adopt(ctx context.Context, w Wish, f PriorLease) *Held {
	w.Times = f.Times
	end := f.Sent.Add(f.Times.Timeout)
	now := s.client.Clock.Now()
	switch {
	case f.Session == "":
		return s.notAdopted(w, f, now)
	case end.Left(now) <= 0:
		return s.notAdopted(w, f, lease.Time{})
	}
	over := make(chan struct{})
	defer lease.At(s.client.Clock, end, func() { close(over) })()
	for {
		asked := make(chan adoption, 1)
		go func() { asked <- s.adopt(ctx, w, f) }() // ends by its own limits: the answer may be a yes
		select {
		case <-over:
			return s.notAdopted(w, f, lease.Time{})
		case a := <-asked:
			switch {
			case a.granted && end.Left(s.client.Clock.Now()) > 0:
				return s.hold(w, a.lock, a.sent)
			case a.gone:
				return s.notAdopted(w, f, a.killNow)
			case ctx.Err() != nil:
				return s.notAdopted(w, f, lease.Time{})
			}
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return s.notAdopted(w, f, lease.Time{})
		case <-over:
			return s.notAdopted(w, f, lease.Time{})
		}
	}
}

// An adoption is what came of one try to adopt.
type adoption struct {
	granted bool
	lock    lock.Lock
	sent    lease.Time
	gone    bool       // the lock is neither the earlier session's nor this one's
	killNow lease.Time // when it was seen that another may have it
}

// adopt asks once for the lock that f was a lease of. If an earlier try was granted and its answer got
// lost, the lock is this session's already; then it asks for that.
func (s *Session) adopt(ctx context.Context, w Wish, f PriorLease) adoption {
	a, at, err := s.client.acquire(context.WithoutCancel(ctx), api.AcquireRequest{
		Name: w.Name, Owner: s.Owner, Times: w.Times, Cluster: s.files.Cluster(), Floor: s.files.Term(w.Name), From: f.Session, Own: f.Term,
	})
	switch {
	case errors.As(err, new(refusal)):
		return adoption{gone: true}
	case err != nil || a.Stranger: // another cluster has no say in this lease
		return adoption{}
	case a.Granted:
		return adoption{granted: true, lock: a.Lock, sent: at.sent}
	case a.Lock.Session == s.Owner.Session, a.Lock.Session == f.Session && a.Lock.Term == f.Term:
		return adoption{} // again: it changed in between, or is being fenced
	case a.Lock.Session == f.Session:
		return adoption{gone: true} // what is known of its lease is old
	}
	return adoption{gone: true, killNow: s.client.Clock.Now()}
}

// notAdopted makes a Held that is lost already. It ends as the lease f does; but if killNow is not zero,
// its kill end is killNow.
func (s *Session) notAdopted(w Wish, f PriorLease, killNow lease.Time) *Held {
	h := &Held{
		Name: w.Name, Term: f.Term, session: s, wish: w, log: s.client.Log, lost: make(chan struct{}),
		times: f.Times, sent: f.Sent, killNow: killNow, given: true, over: true, stopLook: func() {},
	}
	close(h.lost)
	return h
}
