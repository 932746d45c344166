package lockclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// ErrLost is why a lock that was held is not held any more.
var ErrLost = errors.New("lock lost")

// retryPause is between two tries while the servers do not answer.
const retryPause = 250 * time.Millisecond

// A Session is one manager process and the locks that it holds.
type Session struct {
	Owner  lock.Owner
	client *Client
	files  *Files

	mu   sync.Mutex
	held map[string]*Held
	gone map[string]uint64 // the last term of each lock that a release was sent for
	due  chan struct{}     // something to renew was added
	said map[string]time.Time
}

// NewSession is a session of node that holds nothing yet. Run renews what it will hold.
func NewSession(c *Client, node string, files *Files) *Session {
	return &Session{
		Owner: lock.Owner{Node: node, Session: NewID()}, client: c, files: files,
		held: map[string]*Held{}, gone: map[string]uint64{}, due: make(chan struct{}, 1), said: map[string]time.Time{},
	}
}

// Client is what the session asks the servers with.
func (s *Session) Client() *Client { return s.client }

// NewID is a random name for a session.
func NewID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

// A Wish is a lock that is wanted, and how its holder will live.
type Wish struct {
	Name  string
	Times lock.Times
	Pace  time.Duration // the holder renews every pace, or every third of the timeout if that is shorter
	Delay time.Duration // how long to leave a free lock to others first
}

func (w Wish) interval() time.Duration { return min(w.Pace, w.Times.Timeout/3) }

// Acquire waits until the lock is this session's, or ctx ends. It waits on the servers, which
// answer at once when the lock is released; a request that waits never starts a lease.
func (s *Session) Acquire(ctx context.Context, w Wish) (*Held, error) {
	asked := s.client.Clock.Now()
	for {
		state, h, err := s.ask(ctx, w)
		if h != nil {
			s.client.Log.Debug("lock acquired", "lock", w.Name, "term", h.Term)
			return h, nil
		}
		if err == nil {
			s.files.Note(w.Name, state.Lock, time.Duration(state.Left)*time.Millisecond)
			err = s.await(ctx, w, state.Lock.Term)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var refused refusal
		if errors.As(err, &refused) {
			return nil, err
		}
		if err != nil {
			s.sayRarely("lock servers do not answer", w.Name, err, asked)
			pause(ctx, retryPause)
		}
	}
}

// sayRarely logs an error that comes again and again, once a minute.
func (s *Session) sayRarely(what, name string, err error, since lease.Time) {
	s.mu.Lock()
	rare := time.Since(s.said[what]) >= time.Minute
	if rare {
		s.said[what] = time.Now()
	}
	s.mu.Unlock()
	// An election takes a second or two and is nobody's fault.
	if waited := s.client.Clock.Now().Longest(since); rare && waited > 3*time.Second {
		s.client.Log.Warn(what, "lock", name, "reason", err)
		return
	}
	if rare {
		s.mu.Lock()
		delete(s.said, what)
		s.mu.Unlock()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// await waits until it makes sense to ask again for a lock that another holds.
func (s *Session) await(ctx context.Context, w Wish, term uint64) error {
	q := lock.WaitRequest{Name: w.Name, Term: term}
	var state lock.State
	if _, err := s.client.call(ctx, lock.WaitLimit+attemptLimit, "/v1/wait", q, &state); err != nil {
		return err
	}
	s.files.Note(w.Name, state.Lock, time.Duration(state.Left)*time.Millisecond)
	if !state.Lock.Held() {
		pause(ctx, w.Delay)
	}
	return nil
}

// ask asks for the lock once. An answer that was lost may have been a yes: so the request is
// not broken off by ctx, and what was had after ctx ended is given back.
func (s *Session) ask(ctx context.Context, w Wish) (lock.State, *Held, error) {
	unbroken := context.WithoutCancel(ctx)
	q := lock.AcquireRequest{Name: w.Name, Owner: s.Owner, Times: w.Times}
	var a lock.AcquireAnswer
	at, err := s.client.call(unbroken, 4*attemptLimit, "/v1/acquire", q, &a)
	if err != nil {
		return lock.State{}, nil, err
	}
	if err := s.sameCluster(ctx, at.cluster, w.Times); err != nil {
		return lock.State{}, nil, err
	}
	if a.Lock.Session != s.Owner.Session {
		return a.State, nil, nil
	}
	if s.givenUp(w.Name, a.Lock.Term) {
		// A release is on its way, for all that is known: this term must not be gone on with.
		return a.State, nil, errors.Join(errGivenUp, s.release(unbroken, w.Name, a.Lock.Term))
	}
	begin := at.sent
	if !a.Granted || begin.Add(w.Times.Timeout).Left(s.client.Clock.Now()) <= 0 {
		// Held already, by an acquire whose answer was lost: only a renewal begins a lease.
		if begin, err = s.client.RenewOnce(unbroken, s.Owner.Session, w.Name, a.Lock.Term); err != nil {
			return a.State, nil, err
		}
	}
	h := s.hold(w, a.Lock, begin)
	if ctx.Err() != nil {
		limited, cancel := context.WithTimeout(unbroken, 4*attemptLimit)
		defer cancel()
		return a.State, nil, errors.Join(ctx.Err(), h.Release(limited))
	}
	return a.State, h, nil
}

// errGivenUp is of a lock that is still to be given back, before it can be had anew.
var errGivenUp = errors.New("the lock is being given back")

// giveUp notes that a release of that term is sent: it may come late, and must not meet a
// holder who thinks that it was lost.
func (s *Session) giveUp(name string, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[name] = term
}

func (s *Session) givenUp(name string, term uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[name] == term
}

// release asks once for the lock to be given back. It succeeds too where the lock is not held
// in that term any more.
func (s *Session) release(ctx context.Context, name string, term uint64) error {
	q := lock.ReleaseRequest{Name: name, Term: term, Session: s.Owner.Session}
	var a lock.ChangedAnswer
	_, err := s.client.call(ctx, 4*attemptLimit, "/v1/release", q, &a)
	return err
}

// sameCluster waits, on meeting another cluster than the one that this node knows, until no
// lease of the old one can run any more (rule 11).
func (s *Session) sameCluster(ctx context.Context, id string, times lock.Times) error {
	known := s.files.Cluster()
	if known == id || id == "" {
		return nil
	}
	if known != "" {
		s.client.Log.Warn("the lock servers are another cluster than before: waiting until nothing of the old one can run",
			"was", known, "is", id, "seconds", int(times.Silence().Seconds()))
		// As a server waits, by the slower clock: the deadline is met when both have reached it.
		until := s.client.Clock.Now()
		for left := times.Silence(); left > 0; left = times.Silence() - s.client.Clock.Now().Shortest(until) {
			pause(ctx, left)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return s.files.SetCluster(id)
}

// Run renews the session's locks until ctx ends.
func (s *Session) Run(ctx context.Context) {
	for ctx.Err() == nil {
		next := s.renewDue(ctx)
		select {
		case <-time.After(next):
		case <-s.due:
		case <-ctx.Done():
		}
	}
}

// renewDue renews all locks of the session in one request if one of them is due, and returns
// how long it is until the next is.
func (s *Session) renewDue(ctx context.Context) time.Duration {
	const idle = time.Minute
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.held))
	s.mu.Unlock()
	next, limit := idle, attemptLimit
	for _, h := range all {
		limit = min(limit, h.wish.interval())
		next = min(next, h.dueIn(s.client.Clock.Now()))
	}
	if next > 0 {
		return next
	}
	var turned []*Held
	q := lock.RenewRequest{Session: s.Owner.Session}
	for _, h := range all {
		if h.takeTurn() {
			turned = append(turned, h)
			q.Locks = append(q.Locks, lock.Renewal{Name: h.Name, Term: h.Term})
		}
	}
	if len(turned) == 0 {
		return retryPause // the loops hang: nothing may be renewed for them
	}
	var a lock.RenewAnswer
	at, err := s.client.call(ctx, limit, "/v1/renew", q, &a)
	if err != nil || len(a.Refused) != len(turned) {
		for _, h := range turned {
			h.Turn() // it did turn; only the servers did not answer
			h.log.Debug("not renewed", "lock", h.Name, "reason", err)
		}
		return min(retryPause, limit)
	}
	for i, h := range turned {
		h.renewed(at.sent, a.Refused[i])
	}
	return 0
}
