package lockclient

import (
	"context"
	"errors"
	"time"

	"backtowork/internal/api"
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
	Released   Result = "fail. lock was released meanwhile"
)

// Held says whether the lock is held with this result.
func (r Result) Held() bool { return r == Got || r == TimingOut }

// A Single is a lock that a script takes and renews by one short-lived process after the
// other. What must outlast a process is in dex-lock/temp/L_lease: the session, and until when
// the lease runs, as a time of this boot of the host (SAFETY.md rule 21).
//
// Such processes may overlap: a renewal that hangs, and the release at the end of the script. None
// waits for another that waits for the servers; but what came of asking is written only if it still
// goes with what is kept, by one process at a time. So a release makes void what was asked before it.
type Single struct {
	client *Client
	files  *Files
	owner  lock.Owner
	name   string
	times  lock.Times
	boot   string
	kept   kept
}

// OpenSingle is the lock called name as this node left it.
func OpenSingle(c *Client, node string, files *Files, name string, times lock.Times) (*Single, error) {
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	s := &Single{client: c, files: files, owner: lock.Owner{Node: node}, name: name, times: times, boot: boot}
	s.load()
	return s, nil
}

// alone runs f with what is kept now, while no other process of this node can change that. f must not wait for
// servers: other processes wait for it.
func (s *Single) alone(f func() (Result, error)) (Result, error) {
	unlock, err := s.files.notes.Lock(s.file())
	if err != nil {
		return NotKept, err
	}
	defer unlock()
	if !s.client.Off.Overlap {
		s.load()
	}
	result, err := f()
	return result, errors.Join(err, s.files.Sync())
}

// forget begins a new session that holds nothing.
func (s *Single) forget() error {
	before := s.kept.before
	if s.kept.freed {
		before = s.kept.session
	}
	s.kept = kept{session: NewID(), before: before}
	s.owner.Session = s.kept.session
	s.files.Free(s.name, s.times)
	return s.keep()
}

// Try takes the lock, or renews it, once. The error is why the result is not Got, where there
// is more to say.
func (s *Single) Try(ctx context.Context) (Result, error) {
	var ask func(context.Context) (Result, error)
	result, err := s.alone(func() (Result, error) {
		switch k := &s.kept; {
		case k.freed && k.term == 0: // the release was not answered, and what it was about is not known
			if err := s.forget(); err != nil {
				return NotKept, err
			}
		case k.term == 0:
		case s.left() <= 0:
			return TimedOut, s.forget()
		case s.times == k.times && !k.asked:
			ask = s.renew
			return "", nil
		default:
			// Only a new term of our own lock brings other times, or certainty after an acquire
			// that was not answered. Till then the shorter times count.
			k.end = lease.Earlier(k.end, s.client.Clock.Now().Add(s.times.Timeout))
		}
		// Kept first: a process that dies with the answer leaves a session that can go on.
		s.kept.asked = true
		if err := s.keep(); err != nil {
			return NotKept, err
		}
		ask = s.acquire
		return "", nil
	})
	if ask == nil || err != nil {
		return result, err
	}
	if result, err = ask(ctx); result.Held() && s.left() <= 0 { // the disk was slow
		return TimedOut, err
	}
	return result, err
}

func (s *Single) left() time.Duration { return s.kept.end.Left(s.client.Clock.Now()) }

func (s *Single) renew(ctx context.Context) (Result, error) {
	was := s.kept
	sent, err := s.client.RenewOnce(ctx, was.session, s.name, was.term)
	return s.alone(func() (Result, error) {
		switch {
		case s.kept.session != was.session || s.kept.term != was.term || s.kept.freed:
			return s.overtaken(was)
		case s.left() <= 0: // whatever the answer: it came too late
			return TimedOut, errors.Join(err, s.forget())
		case errors.Is(err, ErrLost):
			return OtherHas, s.forget()
		case err != nil:
			s.note(s.left())
			return TimingOut, err
		}
		return s.got(sent)
	})
}

// overtaken is the result for a process that finds that another has changed what is kept since it asked:
// what it was told of the lock may not be so any more.
func (s *Single) overtaken(was kept) (Result, error) {
	switch {
	case s.kept.session != was.session, s.kept.freed:
		return Released, nil
	case s.left() <= 0:
		return TimedOut, nil
	}
	return Got, nil
}

// got keeps a lease that counts from begin. If another process is asking for a shorter lease meanwhile, the earlier
// end that it has set stays.
func (s *Single) got(begin lease.Time) (Result, error) {
	if end := begin.Add(s.kept.times.Timeout); !s.kept.asked {
		s.kept.end = lease.Later(s.kept.end, end)
	}
	if s.kept.seq++; s.kept.seq == 1 {
		s.files.Had(s.name, s.kept.term, s.owner.Session)
	}
	s.note(s.left())
	if err := errors.Join(s.keep(), s.files.Sync()); err != nil {
		return NotKept, err
	}
	return Got, nil
}

func (s *Single) note(left time.Duration) {
	now := lock.Lock{Owner: s.owner, Term: s.kept.term, Seq: s.kept.seq}
	s.files.Note(s.name, now, s.kept.prev, left)
}

func (s *Single) acquire(ctx context.Context) (Result, error) {
	was := s.kept
	q := api.AcquireRequest{Name: s.name, Owner: s.owner, Times: s.times, Cluster: s.files.Cluster(), Floor: s.files.Term(s.name)}
	a, at, err := s.client.acquire(ctx, q)
	if err == nil && a.Stranger {
		if err = s.client.meet(ctx, s.files, at.cluster, s.name, s.times); err == nil {
			q.Cluster = at.cluster
			a, at, err = s.client.acquire(ctx, q)
		}
	} else if err == nil {
		s.client.join(s.files, at.cluster)
	}
	granted := err == nil && a.Granted
	late := at.sent.Add(s.times.Timeout).Left(s.client.Clock.Now()) <= 0
	useless := false // the lock is ours, but it was given back meanwhile, or came too late to be used: free it
	result, err := s.alone(func() (Result, error) {
		freed := s.kept.before == was.session || s.kept.session == was.session && (s.kept.freed || late && s.kept.term == 0)
		useless = granted && freed
		switch {
		case s.kept.session != was.session, s.kept.freed, granted && a.Lock.Term <= s.kept.term, !granted && s.kept.term != was.term:
			return s.overtaken(was)
		case granted && late:
			return TimedOut, s.forget()
		case granted:
			s.kept = kept{session: s.owner.Session, term: a.Lock.Term, prev: tookFrom(a.Lock), times: s.times, before: s.kept.before}
			return s.got(at.sent)
		}
		return s.notHad(a, err)
	})
	if useless {
		_, e := s.free(context.WithoutCancel(ctx), was.session, a.Lock.Term) // so that nobody waits for a lease that nobody uses
		err = errors.Join(err, e)
	}
	return result, err
}

// notHad keeps what is known after an acquire that did not give the lock.
func (s *Single) notHad(a api.AcquireAnswer, err error) (Result, error) {
	switch {
	case err != nil && s.kept.term != 0 && s.left() > 0:
		s.note(s.left())
		return TimingOut, err
	case errors.As(err, new(refusedForNow)):
		return Refused, err
	case err != nil:
		return NoMajority, err
	case s.kept.term != 0:
		return OtherHas, s.forget()
	}
	s.kept.asked = false
	s.files.NoteOther(s.name, a.Lock, leftOf(a.State))
	return Busy, s.keep()
}

// ErrManaged is returned by Release for a lock that a manager on this node holds.
var ErrManaged = errors.New("the lock is held by back-to-work on this node")

// Release gives the lock back if it is held, and forgets it. A dex-lock that is under way when it begins does
// not have the lock any more, whatever it is answered.
func (s *Single) Release(ctx context.Context) error {
	_, err := s.alone(func() (Result, error) {
		if s.kept.term == 0 && !s.kept.asked {
			if words, err := s.files.HTSP(s.name); err == nil && words[0] == s.owner.Node {
				return "", ErrManaged
			}
			s.kept.freed = true
			return "", s.forget()
		}
		s.kept.freed, s.kept.end = true, lease.Time{} // the release may come late: from now on it counts as timed out here
		return "", s.keep()
	})
	was := s.kept
	if err != nil || !was.freed { // there was nothing to give back
		return err
	}
	term := was.term
	if was.asked { // it may be ours, in a term that we were not told
		var state api.State
		if _, err := s.client.call(ctx, attemptLimit, "/v1/wait", api.WaitRequest{Name: s.name}, &state); err != nil {
			return err
		}
		if state.Lock.Session == was.session {
			term = state.Lock.Term
		}
	}
	if err := s.giveBack(ctx, was.session, term); err != nil {
		return err
	}
	_, err = s.alone(func() (Result, error) {
		if s.kept.session != was.session { // another process has begun anew already
			return "", nil
		}
		return "", s.forget()
	})
	return err
}

// giveBack releases a session's lock of that term, or of the next one that an acquire on its way had meanwhile.
func (s *Single) giveBack(ctx context.Context, session string, term uint64) error {
	for range 3 {
		if term == 0 {
			return nil
		}
		a, err := s.free(ctx, session, term)
		if err != nil {
			return err
		}
		if a.Changed || a.Lock.Session != session {
			return nil
		}
		term = a.Lock.Term
	}
	return errCrossed
}

// free asks once to have a session's lock of that term released.
func (s *Single) free(ctx context.Context, session string, term uint64) (a api.ChangedAnswer, err error) {
	q := api.ReleaseRequest{Name: s.name, Term: term, Session: session}
	_, err = s.client.call(ctx, changeLimit, "/v1/release", q, &a)
	return a, err
}
