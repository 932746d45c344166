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
}

// OpenSingle is the lock called name as this node left it.
func OpenSingle(c *Client, node string, files *Files, name string, times lock.Times) (*Single, error) {
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	s := &Single{client: c, files: files, owner: lock.Owner{Node: node}, name: name, times: times, boot: boot}
	var wasBoot, session, prev string
	var term, seq uint64
	var end int64
	text, err := files.notes.Read(s.file())
	if err == nil {
		_, err = fmt.Sscan(text, &session, &wasBoot, &term, &seq, &end, &prev)
	}
	if err != nil || wasBoot != boot {
		s.kept = kept{session: NewID()} // what an earlier boot held is not ours to go on with
	} else {
		s.kept = kept{session, term, seq, lease.FromBoot(time.Duration(end), c.Clock.Now()), prev}
	}
	s.owner.Session = s.kept.session
	return s, nil
}

func (s *Single) file() string { return s.name + "_lease" }

func (s *Single) keep() error {
	k := s.kept
	prev := k.prev
	if prev == "" {
		prev = lock.Invalid
	}
	return s.files.notes.Write(s.file(), fmt.Sprintf("%s %s %d %d %d %s\n", k.session, s.boot, k.term, k.seq, int64(k.end.Boot()), prev))
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
	if s.kept.term == 0 {
		return s.acquire(ctx)
	}
	if s.kept.end.Left(s.client.Clock.Now()) <= 0 {
		return TimedOut, s.forget()
	}
	return s.renew(ctx)
}

func (s *Single) renew(ctx context.Context) (Result, error) {
	sent, err := s.client.RenewOnce(ctx, s.owner.Session, s.name, s.kept.term)
	left := s.kept.end.Left(s.client.Clock.Now())
	switch {
	case left <= 0: // whatever the answer: it came too late
		return TimedOut, errors.Join(err, s.forget())
	case errors.Is(err, ErrLost):
		return OtherHas, s.forget()
	case err != nil:
		s.note(left)
		return TimingOut, errors.Join(err, s.files.Sync())
	}
	return s.got(sent)
}

// got keeps a lease that counts from begin.
func (s *Single) got(begin lease.Time) (Result, error) {
	s.kept.end = begin.Add(s.times.Timeout)
	s.kept.seq++
	s.note(s.times.Timeout)
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
	if err := s.keep(); err != nil {
		return NotKept, err
	}
	q := lock.AcquireRequest{Name: s.name, Owner: s.owner, Times: s.times}
	var a lock.AcquireAnswer
	at, err := s.client.call(ctx, 4*attemptLimit, "/v1/acquire", q, &a)
	if err != nil {
		return NoMajority, err
	}
	if a.Lock.Session != s.owner.Session {
		s.files.Note(s.name, a.Lock, time.Duration(a.Left)*time.Millisecond)
		return Busy, s.files.Sync()
	}
	s.kept.term, s.kept.prev = a.Lock.Term, a.Lock.Previous
	if a.Granted && at.sent.Add(s.times.Timeout).Left(s.client.Clock.Now()) > 0 {
		return s.got(at.sent)
	}
	// An earlier answer was lost: only a renewal begins the lease.
	s.kept.end = s.client.Clock.Now().Add(s.times.Timeout)
	result, err := s.renew(ctx)
	if result == TimingOut {
		return NoMajority, err
	}
	return result, err
}

// ErrManaged is returned by Release for a lock that a manager on this node holds.
var ErrManaged = errors.New("the lock is held by back-to-work on this node")

// Release gives the lock back if it is held, and forgets it.
func (s *Single) Release(ctx context.Context) error {
	if s.kept.term == 0 {
		if words, err := s.files.HTSP(s.name); err == nil && words[0] == s.owner.Node {
			return ErrManaged
		}
		return s.forget()
	}
	// The release may come late: from now on the lock counts as timed out here.
	s.kept.end = lease.Time{}
	if err := s.keep(); err != nil {
		return err
	}
	q := lock.ReleaseRequest{Name: s.name, Term: s.kept.term, Session: s.owner.Session}
	var a lock.ChangedAnswer
	if _, err := s.client.call(ctx, 4*attemptLimit, "/v1/release", q, &a); err != nil {
		return err
	}
	return s.forget()
}
