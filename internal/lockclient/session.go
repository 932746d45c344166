package lockclient

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// ErrLost is why a lock that was held is not held any more.
var ErrLost = errors.New("lock lost")

// ErrBusy is why a lock that is not waited for was not had.
var ErrBusy = errors.New("another holds the lock")

// retryPause is between two tries while the servers do not answer.
const retryPause = 250 * time.Millisecond

// A Session is one manager process and the locks that it holds.
type Session struct {
	Owner  lock.Owner
	client *Client
	files  *Files
	begun  lease.Time

	mu   sync.Mutex
	held map[string]*Held
	due  chan struct{} // something to renew was added
}

// NewSession is a session of node that holds nothing yet. Run renews what it will hold.
func NewSession(c *Client, node string, files *Files) *Session {
	return &Session{
		Owner: lock.Owner{Node: node, Session: NewID()}, client: c, files: files, begun: c.Clock.Now(),
		held: map[string]*Held{}, due: make(chan struct{}, 1),
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
	Pace  time.Duration // how often the holder would like to renew: see [lock.Times.RenewEvery]
	Delay time.Duration // how long to leave a free lock to others first
	Once  bool          // do not wait for a lock that another holds: ErrBusy

	// Fence powers off node, and returns nil if it is off for sure. Nil is no fencing. It is called, in
	// a goroutine of its own, when the holder that is waited for was silent for its whole timeout
	// and the servers say that nobody else may fence it. Its result does not count once ctx has ended.
	Fence         func(ctx context.Context, node string) error
	FenceLimit    time.Duration // how long Fence may take; 0 is a minute
	FenceRequired bool          // a holder that is only silent does not lose the lock to this session
	StandBy       bool          // nothing of what the lock is for is alive on this node: it need not be powered off
}

// Acquire waits until the lock is this session's, or ctx ends. It waits on the servers, which
// answer at once when the lock is released; a request that waits never starts a lease. With w.Fence
// it powers off a holder that is silent, if it may, and has the lock then.
func (s *Session) Acquire(ctx context.Context, w Wish) (*Held, error) {
	asked, cluster := s.client.Clock.Now(), ""
	var f fencer
	for {
		state, h, err := s.ask(ctx, w, &cluster)
		if h != nil {
			s.sayAnswered()
			s.client.Log.Debug("lock acquired", "lock", w.Name, "term", h.Term)
			return h, nil
		}
		if err == nil {
			s.sayAnswered()
			s.note(w.Name, state)
			if w.Once {
				return nil, ErrBusy
			}
			if !s.fence(ctx, w, state, &f) {
				err = s.await(ctx, w, state.Lock.Term, &f)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var refused refusal
		if errors.As(err, &refused) {
			return nil, err
		}
		switch {
		case err == nil, errors.Is(err, errAgain):
		case errors.As(err, new(refusedForNow)):
			s.sayRarely("the lock servers refuse the lock to this node for now: it asks again every second", w.Name, err)
			pause(ctx, time.Second)
		default:
			// An election takes a second or two and is nobody's fault.
			if s.client.Clock.Now().Longest(asked) > 3*time.Second {
				s.client.repeats.Tell(s.client.Log, slog.LevelWarn, silent, "the lock servers do not answer: asking them again and again; see that most of them run, and are reached (dex-servers)",
					"lock", w.Name, "reason", err)
			}
			pause(ctx, retryPause)
		}
	}
}

// note writes the files of a lock that another holds, and says if it is blocked.
func (s *Session) note(name string, state api.State) {
	if k := state.Lock; k.Blocked != "" {
		s.client.repeats.Tell(s.client.Log, slog.LevelWarn, "blocked "+name,
			"the lock is blocked: no node gets it before somebody has stopped the package on its holder, and typed service unblock there",
			"lock", name, "holder", k.Node, "reason", k.Blocked)
	} else {
		s.client.repeats.TellOver(s.client.Log, "blocked "+name, "the lock is not blocked any more", "lock", name)
	}
	s.files.NoteOther(name, state.Lock, leftOf(state))
}

// isCopy says whether this node's disk is a copy of that of another node: the session that had the lock here has it
// there, and was heard since this one began, by the answer to what was asked at sent. (On a host that was renamed and
// booted it is no more.) If the copy went on saying that it had the lock, it would keep everybody from fencing that node.
// It must have been heard much later than this one began: the server's clock may go at another rate.
func (s *Session) isCopy(name string, state api.State, sent lease.Time) bool {
	k, silent := state.Lock, time.Duration(state.Silent+1)*time.Millisecond // it is given in whole ones
	return state.Heard && k.Held() && k.Node != s.Owner.Node && k.Session == s.files.Was(name) && 2*silent < sent.Shortest(s.begun)
}

// leftOf is how long another's lease still runs. For a blocked lock it is always the whole time, since
// that does not run out.
func leftOf(state api.State) time.Duration {
	if k := state.Lock; k.Blocked != "" {
		return k.Times.Timeout + k.Times.Stop
	}
	return time.Duration(state.Left) * time.Millisecond
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// await waits until it makes sense to ask again for a lock that another holds.
func (s *Session) await(ctx context.Context, w Wish, term uint64, f *fencer) error {
	q := api.WaitRequest{
		Name: w.Name, Term: term, Node: s.Owner.Node, Host: s.client.Host, Fence: f.wants(w), OnlyFenced: w.FenceRequired,
	}
	if w.StandBy {
		q.StandBy, q.Was = s.Owner.Session, s.files.Was(w.Name)
	}
	var state api.State
	at, err := s.client.call(ctx, api.WaitLimit+attemptLimit, "/v1/wait", q, &state)
	if err != nil {
		return err
	}
	s.note(w.Name, state)
	if s.isCopy(w.Name, state, at.sent) {
		s.files.Had(w.Name, s.files.Term(w.Name), "")
	}
	s.client.noteTerm(w.Name, state.Lock.Term)
	if !state.Lock.Held() {
		pause(ctx, w.Delay)
	}
	return nil
}

// ask asks for the lock once. The end of ctx does not cut the request short, since the servers may have
// granted it; a lock that is had after ctx has ended is given back. cluster is the only cluster that may
// grant the lock. It changes when another was met and waited for.
func (s *Session) ask(ctx context.Context, w Wish, cluster *string) (api.State, *Held, error) {
	unbroken := context.WithoutCancel(ctx)
	if *cluster == "" && !s.client.Off.Cluster {
		*cluster = s.files.Cluster()
	}
	a, at, err := s.client.acquire(unbroken, api.AcquireRequest{
		Name: w.Name, Owner: s.Owner, Times: w.Times, Cluster: *cluster, Floor: s.files.Term(w.Name), Was: s.files.Was(w.Name),
		OnlyFenced: w.FenceRequired,
	})
	if err != nil {
		return api.State{}, nil, err
	}
	if a.Stranger {
		if err := s.client.meet(ctx, s.files, at.cluster, w.Name, w.Times); err != nil {
			return api.State{}, nil, err
		}
		*cluster = at.cluster
		return api.State{}, nil, errAgain
	}
	s.client.join(s.files, at.cluster)
	if !a.Granted {
		return a.State, nil, nil
	}
	begin := at.sent
	if begin.Add(w.Times.Timeout).Left(s.client.Clock.Now()) <= 0 { // a slow answer: only a renewal begins a lease
		if begin, err = s.client.RenewOnce(unbroken, s.Owner.Session, w.Name, a.Lock.Term); err != nil {
			return a.State, nil, err
		}
	}
	h := s.hold(w, a.Lock, begin)
	if ctx.Err() != nil {
		limited, cancel := context.WithTimeout(unbroken, changeLimit)
		defer cancel()
		return a.State, nil, errors.Join(ctx.Err(), h.Release(limited))
	}
	return a.State, h, nil
}

// errAgain means that the lock was not asked for yet: ask again.
var errAgain = errors.New("not asked yet")

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
		limit = min(limit, h.wish.Times.RenewEvery(h.wish.Pace))
		next = min(next, h.dueIn(s.client.Clock.Now()))
	}
	if next > 0 {
		return next
	}
	var turned []*Held
	q := api.RenewRequest{Session: s.Owner.Session, Host: s.client.Host}
	for _, h := range all {
		if h.takeTurn() {
			turned = append(turned, h)
			q.Locks = append(q.Locks, api.Renewal{Name: h.Name, Term: h.Term})
		}
	}
	if len(turned) == 0 {
		return retryPause // the loops hang: nothing may be renewed for them
	}
	var a api.RenewAnswer
	at, err := s.client.call(ctx, limit, "/v1/renew", q, &a)
	if err != nil || len(a.Refused) != len(turned) {
		for _, h := range turned {
			h.Turn() // it did turn; only the servers did not answer
		}
		s.sayNotRenewed(turned, err)
		return min(retryPause, limit)
	}
	s.sayAnswered()
	for i, h := range turned {
		h.renewed(at.sent, a.Refusal(i))
	}
	return 0
}
