package lockclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A Result is what came of one try for a lock, in the original's words.
type Result string

// The results of [Single.Try].
const (
	Got        Result = "good. got lock"
	Busy       Result = "wait. lock busy"
	TimingOut  Result = "wait. lock timing out..." // still ours, but no majority answers
	TimedOut   Result = "fail. lock timed out"
	OtherHas   Result = "fail. another holder got lock"
	NoMajority Result = "fail. can't reach the majority of lock servers"
	Refused    Result = "fail. the lock is refused to this node"
	NotKept    Result = "fail. the lock's state cannot be kept on this node"
)

// Held says whether the lock is held with this result.
func (r Result) Held() bool { return r == Got || r == TimingOut }

// A Single is a lock that a script takes and renews by one short-lived process after the
// other. What must outlast a process is in dex-lock/temp/L_lease: the session, and until when
// the lease runs, as a time of this boot of the host (SAFETY.md rule 21).
type Single struct {
	client *Client
	files  *Files
	owner  lock.Owner
	name   string
	times  lock.Times
	boot   string
	kept   kept
}

// kept is what stands in L_lease.
type kept struct {
	session string
	term    uint64     // 0 while the lock is not held
	seq     uint64     // renewals of the term
	end     lease.Time // of the lease
	prev    string
	times   lock.Times // that the servers know
	asked   bool       // an acquire was sent, and what came of it is not known
}

// OpenSingle is the lock called name as this node left it.
func OpenSingle(c *Client, node string, files *Files, name string, times lock.Times) (*Single, error) {
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	s := &Single{client: c, files: files, owner: lock.Owner{Node: node}, name: name, times: times, boot: boot}
	s.kept = kept{session: NewID()}
	if text, err := files.notes.Read(s.file()); err == nil {
		s.recall(text)
	}
	s.owner.Session = s.kept.session
	return s, nil
}

// recall reads what an earlier process kept. What an earlier boot held is not ours to go on with.
func (s *Single) recall(text string) {
	var k kept
	var boot string
	var end int64
	_, err := fmt.Sscan(text, &k.session, &boot, &k.term, &k.seq, &end, &k.prev, &k.times.Timeout, &k.times.Stop, &k.asked)
	if err == nil && boot == s.boot {
		k.end = lease.FromBoot(time.Duration(end), s.client.Clock.Now())
		s.kept = k
	}
}

func (s *Single) file() string { return s.name + "_lease" }

func (s *Single) keep() error {
	k := s.kept
	if k.prev == "" {
		k.prev = lock.Invalid
	}
	return s.files.notes.Write(s.file(), fmt.Sprintln(k.session, s.boot, k.term, k.seq, int64(k.end.Boot()), k.prev,
		int64(k.times.Timeout), int64(k.times.Stop), k.asked))
}

// forget begins a new session that holds nothing.
func (s *Single) forget() error {
	s.kept = kept{session: NewID()}
	s.owner.Session = s.kept.session
	s.files.Free(s.name, s.times)
	return errors.Join(s.keep(), s.files.Sync())
}

// Try takes the lock, or renews it, once. The error is why the result is not Got, where there
// is more to say.
func (s *Single) Try(ctx context.Context) (Result, error) {
	switch {
	case s.kept.term == 0:
		return s.acquire(ctx)
	case s.left() <= 0:
		return TimedOut, s.forget()
	case s.times != s.kept.times, s.kept.asked:
		// Other times are had by a new term of our own lock, and so is certainty after an
		// acquire that was not answered. Till then the shorter times count.
		s.kept.end = lease.Earlier(s.kept.end, s.client.Clock.Now().Add(s.times.Timeout))
		return s.acquire(ctx)
	}
	return s.renew(ctx)
}

func (s *Single) left() time.Duration { return s.kept.end.Left(s.client.Clock.Now()) }

func (s *Single) renew(ctx context.Context) (Result, error) {
	sent, err := s.client.RenewOnce(ctx, s.owner.Session, s.name, s.kept.term)
	switch {
	case s.left() <= 0: // whatever the answer: it came too late
		return TimedOut, errors.Join(err, s.forget())
	case errors.Is(err, ErrLost):
		return OtherHas, s.forget()
	case err != nil:
		s.note(s.left())
		return TimingOut, errors.Join(err, s.files.Sync())
	}
	return s.got(sent)
}

// got keeps a lease that counts from begin.
func (s *Single) got(begin lease.Time) (Result, error) {
	s.kept.end = begin.Add(s.kept.times.Timeout)
	if s.kept.seq++; s.kept.seq == 1 {
		s.files.Had(s.name, s.kept.term)
	}
	s.note(s.left())
	if err := errors.Join(s.keep(), s.files.Sync()); err != nil {
		return NotKept, err
	}
	return Got, nil
}

func (s *Single) note(left time.Duration) {
	now := lock.Lock{Owner: s.owner, Term: s.kept.term, Seq: s.kept.seq, Previous: s.kept.prev}
	s.files.Note(s.name, now, left)
}

func (s *Single) acquire(ctx context.Context) (Result, error) {
	// Kept first: a process that dies with the answer leaves a session that can go on.
	s.kept.asked = true
	if err := s.keep(); err != nil {
		return NotKept, err
	}
	q := lock.AcquireRequest{Name: s.name, Owner: s.owner, Times: s.times, Cluster: s.files.Cluster(), Floor: s.files.Term(s.name)}
	a, at, err := s.client.acquire(ctx, q)
	if err == nil && a.Stranger {
		if err = s.client.meet(ctx, s.files, at.cluster, s.times); err == nil {
			q.Cluster = at.cluster
			a, at, err = s.client.acquire(ctx, q)
		}
	} else if err == nil {
		s.client.join(s.files, at.cluster)
	}
	switch {
	case err != nil && s.kept.term != 0 && s.left() > 0:
		s.note(s.left())
		return TimingOut, errors.Join(err, s.keep(), s.files.Sync())
	case errors.As(err, new(refusedForNow)):
		return Refused, err
	case err != nil:
		return NoMajority, err
	case !a.Granted && s.kept.term != 0:
		return OtherHas, s.forget()
	case !a.Granted:
		s.kept.asked = false
		s.files.Note(s.name, a.Lock, leftOf(a.State))
		return Busy, errors.Join(s.keep(), s.files.Sync())
	}
	s.kept = kept{session: s.owner.Session, term: a.Lock.Term, prev: a.Lock.Previous, times: s.times}
	if at.sent.Add(s.times.Timeout).Left(s.client.Clock.Now()) <= 0 {
		return TimedOut, s.Release(ctx) // too slow to be of use
	}
	return s.got(at.sent)
}

// ErrManaged is returned by Release for a lock that a manager on this node holds.
var ErrManaged = errors.New("the lock is held by back-to-work on this node")

// Release gives the lock back if it is held, and forgets it.
func (s *Single) Release(ctx context.Context) error {
	term := s.kept.term
	if s.kept.asked { // it may be ours, in a term that we were not told
		var state lock.State
		if _, err := s.client.call(ctx, attemptLimit, "/v1/wait", lock.WaitRequest{Name: s.name}, &state); err != nil {
			return err
		}
		if state.Lock.Session == s.owner.Session {
			term = state.Lock.Term
		}
	}
	if term == 0 {
		if words, err := s.files.HTSP(s.name); err == nil && words[0] == s.owner.Node {
			return ErrManaged
		}
		return s.forget()
	}
	// The release may come late: from now on the lock counts as timed out here.
	s.kept.term, s.kept.end = term, lease.Time{}
	if err := s.keep(); err != nil {
		return err
	}
	q := lock.ReleaseRequest{Name: s.name, Term: term, Session: s.owner.Session}
	var a lock.ChangedAnswer
	if _, err := s.client.call(ctx, changeLimit, "/v1/release", q, &a); err != nil {
		return err
	}
	return s.forget()
}
