package lockclient

import (
	"cmp"
	"context"
	"errors"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// fencePause is the time between two tries to fence. reportTime is how long, after a Wish's FenceLimit,
// the servers still wait to be told the result.
const (
	fencePause = time.Minute
	reportTime = patience * changeLimit
)

// errNotOff is why a node that was to be powered off must be taken for running.
var errNotOff = errors.New("it took too long")

// A fencer is a stand-by that may power off a silent holder.
type fencer struct{ next time.Time } // when it may try again

// wants says whether it would fence now.
func (f *fencer) wants(w Wish) bool { return w.Fence != nil && !time.Now().Before(f.next) }

// limit is how long a wish's Fence may take.
func (w Wish) limit() time.Duration {
	return min(cmp.Or(w.FenceLimit, time.Minute), lock.LongestFencing-reportTime)
}

// fence powers off the holder of a lock, if that was silent for its timeout and the servers permit it,
// and tells them the result. It returns true if the lock can be had now.
func (s *Session) fence(ctx context.Context, w Wish, state api.State, f *fencer) bool {
	k := state.Lock
	silent := time.Duration(state.Silent) * time.Millisecond
	if !f.wants(w) || !k.Held() || k.Node == s.Owner.Node || k.Blocked != "" || k.Fenced || silent < k.Times.Timeout {
		return false
	}
	of := api.ReleaseRequest{Name: w.Name, Term: k.Term, Session: k.Session}
	q := api.FenceRequest{
		ReleaseRequest: of, By: s.Owner, Limit: (w.limit() + reportTime).Milliseconds(), Host: s.client.Host, Was: s.files.Was(w.Name),
		Required: w.FenceRequired,
	}
	var a api.FenceAnswer
	at, err := s.client.call(ctx, changeLimit, "/v1/fence", q, &a)
	if err != nil || !a.Granted {
		f.next = time.Now().Add(time.Second) // another does it, the holder was heard, or no majority answers
		return false
	}
	f.next = time.Now().Add(fencePause)
	s.client.Log.Warn("powering off the holder of the lock, which is silent", "lock", w.Name, "holder", k.Node, "term", k.Term)
	err = errNotOff
	if end := at.sent.Add(w.limit()); end.Left(s.client.Clock.Now()) > 0 { // else another may have the permission by now
		err = w.powerOff(ctx, k.Node)
	}
	if err != nil {
		s.sayRarely("the holder of the lock, which is silent, could not be powered off: it is tried again, and without that the lock is had when its lease is over (fence_required=yes: not at all)", w.Name, err)
	} else {
		s.client.Log.Warn("the holder of the lock is powered off", "lock", w.Name, "holder", k.Node, "term", k.Term)
	}
	return s.report(ctx, api.FencedRequest{ReleaseRequest: of, By: s.Owner.Session, OK: err == nil})
}

// ErrNotSilent is why the servers do not believe that a node is off: they have heard it, for whatever lock, and not so
// long ago that another may have the lock; or the lock is not as it was seen.
var ErrNotSilent = errors.New("its node is not silent")

// ErrBeingFenced is why the servers do not believe yet that a node is off: another node tries to power it off.
var ErrBeingFenced = errors.New("another node tries to power it off")

// DeclareOff gives the servers a person's word that the node of the silent holder of k is off, in place of a
// fence (SAFETY.md rule 19). Then the lock can be had at once. The state is the lock as the servers found it.
func (s *Session) DeclareOff(ctx context.Context, name string, k lock.Lock) (api.State, error) {
	of := api.ReleaseRequest{Name: name, Term: k.Term, Session: k.Session}
	q := api.FenceRequest{ReleaseRequest: of, By: s.Owner, Limit: reportTime.Milliseconds(), Host: s.client.Host, Declared: true}
	var a api.FenceAnswer
	if _, err := s.client.call(ctx, changeLimit, "/v1/fence", q, &a); err != nil {
		return a.State, err
	}
	same := a.Lock.Term == k.Term && a.Lock.Session == k.Session
	switch {
	case !a.Granted && same && a.Lock.Fenced:
		return a.State, nil // another has powered it off, or this was said before
	case !a.Granted && same && time.Duration(a.Silent)*time.Millisecond < k.Times.Silence():
		return a.State, ErrNotSilent
	case !a.Granted && same && a.Lock.BeingFenced():
		return a.State, ErrBeingFenced
	case !a.Granted:
		return a.State, ErrNotSilent
	}
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	if !s.report(ctx, api.FencedRequest{ReleaseRequest: of, By: s.Owner.Session, OK: true}) {
		return a.State, errors.New("the lock servers have not taken note of it in time: say it again")
	}
	return a.State, nil
}

// powerOff calls Fence, and waits for it no longer than it may take.
func (w Wish) powerOff(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, w.limit())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Fence(ctx, node) }() // what does not end with ctx nobody waits for
	select {
	case err := <-done:
		if err == nil && ctx.Err() != nil {
			return errNotOff
		}
		return err
	case <-ctx.Done():
		return errNotOff
	}
}

// report tells the servers the result of a fencing, and returns true if they take the holder for gone now. The end of
// ctx does not cut a request short, since the servers should learn what was done. That the node is off is told again
// and again until ctx ends: if the only lock server was on that node, it can be told once the node was booted again,
// and the time for the fencing counts anew from then. (Otherwise that node would be powered off again.)
func (s *Session) report(ctx context.Context, q api.FencedRequest) (off bool) {
	unbroken := context.WithoutCancel(ctx)
	for end := time.Now().Add(reportTime); ; pause(ctx, retryPause) {
		var a api.ChangedAnswer
		_, err := s.client.call(unbroken, changeLimit, "/v1/fenced", q, &a)
		if err == nil || errors.As(err, new(refusal)) || ctx.Err() != nil || !q.OK && time.Now().After(end) {
			return err == nil && a.Lock.Fenced && a.Lock.Term == q.Term
		}
	}
}
