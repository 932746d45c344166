package lockclient

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A Held is a lock that this session acquired. It is lost when Lost is closed.
type Held struct {
	Name     string
	Term     uint64 // the fencing token
	Previous string // the node that held it in the term before, or, if there are any, the newest of the unfenced

	session  *Session
	unfenced []string // the other nodes that lost it by silence and may still run what it is for; the newest last
	from     string   // the node from which it was taken, for the files
	wish     Wish
	log      *slog.Logger
	lost     chan struct{}

	mu       sync.Mutex
	times    lock.Times // what it lives by
	sent     lease.Time // of the last acknowledged request
	noted    lease.Time // of that of which the files say
	seq      uint64     // counts renewals: for the files
	logged   uint64     // the lock's seq in the servers' log
	killNow  lease.Time // when it was learnt that another holds the lock; zero if it was not
	turned   bool       // the holder's loop has turned since the last renewal: see Turn
	giving   bool       // being released
	given    bool       // nothing is left to release: a refused renewal shows it, or the lock was never had
	over     bool       // lost or released
	settled  bool       // the lock names no unfenced node
	stopLook func()
}

// hold begins a lease that counts from begin.
func (s *Session) hold(w Wish, l lock.Lock, begin lease.Time) *Held {
	h := &Held{
		Name: w.Name, Term: l.Term, session: s, wish: w, log: s.client.Log,
		lost: make(chan struct{}), times: w.Times, sent: begin, seq: 1, logged: l.Seq, turned: true,
	}
	h.remember(l)
	s.mu.Lock()
	s.held[w.Name] = h
	s.mu.Unlock()
	h.mu.Lock()
	h.look()
	h.note() // before Had, which waits for the disk: scripts read it
	h.mu.Unlock()
	s.files.Had(w.Name, l.Term, s.Owner.Session)
	s.wake()
	return h
}

// wake makes Run look at what is due.
func (s *Session) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// look makes sure that the end of the lease is seen. The caller holds h.mu.
func (h *Held) look() {
	clock := h.session.client.Clock
	h.stopLook = lease.At(clock, h.end(), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case h.over:
		case h.end().Left(clock.Now()) > 0:
			h.look() // it was renewed
		default:
			h.lose(unconfirmed)
		}
	})
}

// end is L, the end of the lease. The caller holds h.mu.
func (h *Held) end() lease.Time { return h.sent.Add(h.times.Timeout) }

// lose says that the lock is lost. The caller holds h.mu.
func (h *Held) lose(why string) {
	h.log.Info("the lock is lost: what runs under it is stopped", "lock", h.Name, "term", h.Term, "reason", why)
	h.finish()
	close(h.lost)
}

// finish ends the renewals. The caller holds h.mu.
func (h *Held) finish() {
	h.over = true
	h.stopLook()
	s := h.session
	s.mu.Lock()
	if s.held[h.Name] == h {
		delete(s.held, h.Name)
	}
	s.mu.Unlock()
}

// Lost is closed when the lock is lost: at the lease's end, or when the servers say so.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// Ends is the end of the lease, L, and the kill end, K: after K nothing of the package runs.
// Where another holds the lock already, the kill end is now (rule 3).
func (h *Held) Ends() (end, kill lease.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.killNow != (lease.Time{}) {
		return h.end(), h.killNow
	}
	return h.end(), h.end().Add(h.times.Stop)
}

// Times are what the holder lives by now.
func (h *Held) Times() lock.Times {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.times
}

// Turn says that the holder's own loop has turned. Without it the lock is not renewed, so
// that a manager that hangs does not renew for ever.
func (h *Held) Turn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turned = true
}

func (h *Held) takeTurn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	turned := h.turned
	h.turned = false
	return turned
}

// dueIn is how long it is until the lock is to be renewed.
func (h *Held) dueIn(now lease.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent.Add(h.times.RenewEvery(h.wish.Pace)).Left(now)
}

// renewed notes the answer to a renewal that was sent at sent. One that comes after the end of
// the lease changes nothing.
func (h *Held) renewed(sent lease.Time, refused api.Code) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.over:
	case h.end().Left(h.session.client.Clock.Now()) <= 0:
		h.lose(unconfirmed)
	case h.giving && (refused == api.CodeOther || refused == api.CodeNotHolder):
		h.given = true
		h.finish()
	case refused == api.CodeOther:
		h.killNow = h.session.client.Clock.Now()
		h.lose(inWords(refused))
	case refused != "":
		h.lose(inWords(refused))
	default:
		h.sent = lease.Later(h.sent, sent)
		h.seq++
		if h.sent.Shortest(h.noted) >= h.times.Timeout/noteParts {
			h.note()
		}
		h.log.Debug("lock renewed", "lock", h.Name, "term", h.Term, "seq", h.seq)
	}
}

// noteParts is into how many parts the files divide a timeout: a renewal in each is written. To write all of a
// thousand locks takes more than to renew them.
const noteParts = 4

// note writes the lock's files. The caller holds h.mu.
func (h *Held) note() {
	h.noted = h.sent
	s := h.session
	now := lock.Lock{Owner: s.Owner, Term: h.Term, Seq: h.seq, Last: s.Owner.Node}
	s.files.Note(h.Name, now, h.from, h.end().Left(s.client.Clock.Now()))
}

// Change makes the holder live by other times: shorter ones from this moment on, longer ones
// once the servers have them in their log (rule 20). It tries until they do, the lock is over,
// or ctx ends.
func (h *Held) Change(ctx context.Context, times lock.Times) error {
	if err := h.Shorten(ctx, times); err != nil {
		return err
	}
	for {
		err := h.change(ctx, times)
		if err == nil || errors.Is(err, ErrLost) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause)
	}
}

// Shorten makes the holder live, from this moment on, by each of times that is shorter than its own. It does
// not tell the servers: whoever else goes by the holder's ends must be told the new ends before them. Where it
// returns an error nothing was changed: ctx ended before the servers answered, or the lock is over, and then its
// kill end is not moved.
func (h *Held) Shorten(ctx context.Context, times lock.Times) error {
	h.refresh(ctx, times)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.over:
		return ErrLost
	case ctx.Err() != nil:
		return ctx.Err()
	}
	h.times = lock.Times{Timeout: min(h.times.Timeout, times.Timeout), Stop: min(h.times.Stop, times.Stop)}
	h.stopLook()
	h.look()
	h.session.wake()
	return nil
}

// refresh renews the lock before a shorter timeout binds. Otherwise the shorter timeout would count from a
// renewal that was timed for the longer one, and might end the lease at once. Until the servers answer, the
// longer timeout holds.
func (h *Held) refresh(ctx context.Context, times lock.Times) {
	for ctx.Err() == nil {
		h.mu.Lock()
		shorter := times.Timeout < h.times.Timeout && !h.over
		h.mu.Unlock()
		if !shorter {
			return
		}
		sent, err := h.session.client.RenewOnce(ctx, h.session.Owner.Session, h.Name, h.Term)
		switch {
		case err == nil:
			h.renewed(sent, "")
			return
		case errors.Is(err, ErrLost): // the next ordinary renewal sees to that
			return
		}
		pause(ctx, retryPause)
	}
}

// change asks for other times once. If the lock has changed meanwhile, by an earlier try whose answer was
// lost or by another change, it notes how the lock is now, and the next try begins from that.
func (h *Held) change(ctx context.Context, times lock.Times) error {
	h.mu.Lock()
	q := api.ChangeRequest{ReleaseRequest: h.releaseRequest(), Seq: h.logged, Times: times}
	h.mu.Unlock()
	var a api.ChangedAnswer
	if _, err := h.session.client.call(ctx, changeLimit, "/v1/change", q, &a); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil { // a later change may have begun
		return ctx.Err()
	}
	if h.over || a.Lock.Session != h.session.Owner.Session || a.Lock.Term != h.Term {
		return ErrLost
	}
	h.logged = a.Lock.Seq
	if a.Lock.Times != times {
		return errCrossed
	}
	h.times = times
	return nil
}

// errCrossed is why a change was not made: another change came first.
var errCrossed = errors.New("another change of the lock came in between")

// Block makes the lock stay with this holder until a person unblocks it, whether or not it is renewed. It is
// for a holder that could not stop what it runs. It tries until the servers have that in their log, the lock
// is over (ErrLost), or ctx ends; till then the lock is renewed as ever, so the holder's loop must go on turning.
func (h *Held) Block(ctx context.Context, reason string) error {
	reason = lock.Reason(reason)
	for {
		if h.isOver() {
			return ErrLost
		}
		err := h.block(ctx, reason)
		if err == nil || errors.Is(err, ErrLost) || errors.As(err, new(refusal)) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause)
	}
}

// block asks once to have the lock blocked. A lock that was lost meanwhile may be blocked all the
// same, if it was in time.
func (h *Held) block(ctx context.Context, reason string) error {
	q := api.BlockRequest{ReleaseRequest: h.releaseRequest(), Reason: reason}
	var a api.ChangedAnswer
	_, err := h.session.client.call(ctx, changeLimit, "/v1/block", q, &a)
	switch {
	case err != nil:
		return err
	case a.Lock.Session != h.session.Owner.Session || a.Lock.Term != h.Term:
		return ErrLost
	case a.Lock.Blocked != reason:
		return errCrossed
	}
	h.mu.Lock()
	h.logged = a.Lock.Seq
	h.mu.Unlock()
	return nil
}

func (h *Held) isOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

func (h *Held) releaseRequest() api.ReleaseRequest {
	return api.ReleaseRequest{Name: h.Name, Term: h.Term, Session: h.session.Owner.Session}
}

// Release gives the lock back. It tries until the servers have it in their log, or ctx ends;
// till then the lock is renewed. There is nothing to do for one that could not be adopted.
func (h *Held) Release(ctx context.Context) error {
	h.mu.Lock()
	given := h.over && h.given
	h.giving = true
	h.mu.Unlock()
	if given {
		return nil
	}
	for {
		var a api.ChangedAnswer
		_, err := h.session.client.call(ctx, changeLimit, "/v1/release", h.releaseRequest(), &a)
		h.mu.Lock()
		given := h.given || err == nil
		h.giving = given || ctx.Err() == nil
		h.mu.Unlock()
		if given {
			h.released()
			h.session.files.Free(h.Name, h.times)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause)
	}
}

// released ends the renewals without a loss.
func (h *Held) released() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.finish()
	}
}

// Terms is the lock's term, the fencing token, and Previous.
func (h *Held) Terms() (term uint64, previous string) { return h.Term, h.Previous }
