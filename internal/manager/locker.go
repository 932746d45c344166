package manager

import (
	"context"
	"errors"
	"sync"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// A Locker gets the lock of one package, and tells the deadman of it.
type Locker struct {
	Session *lockclient.Session
	Link    *deadman.Link
	Prior   lockclient.PriorLease  // of an earlier manager; zero for none
	Doing   failover.PkgState      // the package's state under that manager
	Wish    func(*lockclient.Wish) // adds what else is wished of the lock: fencing; may be nil
	Note    func(deadman.Word)     // is told each word too, for who comes when manager and deadman are dead; may be nil
}

// Acquire waits for the lock, and until the deadman knows of it.
func (l *Locker) Acquire(ctx context.Context, name string, times lock.Times, pace, delay time.Duration) (failover.Lock, error) {
	wish := lockclient.Wish{Name: name, Times: times, Pace: pace, Delay: delay, StandBy: true}
	if l.Wish != nil {
		l.Wish(&wish)
	}
	h, err := l.Session.Acquire(ctx, wish)
	if err != nil {
		return nil, err
	}
	g := l.watch(h, pace)
	if err := l.Link.Sure(ctx, g.word(failover.Unknown)); err != nil {
		l.Link.Say(deadman.Word{Package: name, Phase: deadman.Free})
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackLimit)
		defer cancel()
		return nil, errors.Join(err, h.Release(limited))
	}
	return g, nil
}

// giveBackLimit is for how long Acquire tries to give back a lock that is not wanted any more.
const giveBackLimit = time.Second

// Resume asks for the lock that an earlier manager held.
func (l *Locker) Resume(ctx context.Context, name string, pace time.Duration) failover.Lock {
	g := l.watch(l.Session.Adopt(ctx, lockclient.Wish{Name: name, Times: l.Prior.Times, Pace: pace}, l.Prior), pace)
	_ = l.Link.Sure(ctx, g.word(failover.Unknown)) // where ctx has ended this process ends
	return g
}

// watch makes h a lock of which the deadman is told.
func (l *Locker) watch(h *lockclient.Held, pace time.Duration) *watchedLock {
	note := l.Note
	if note == nil {
		note = func(deadman.Word) {}
	}
	return &watchedLock{Held: h, link: l.Link, session: l.Session.Owner.Session, pace: pace, note: note}
}

// PriorLeaseOf is the lease of a manager whose last word was w. ok says that there is one, which can be gone on
// with; past, that there was one whose kill end is over: another node may have the lock by now, and what is left
// here is to be killed first.
func PriorLeaseOf(w deadman.Word, now lease.Time) (f lockclient.PriorLease, ok, past bool) {
	if w.Session == "" || w.Phase == deadman.Free {
		return f, false, false
	}
	if w.Kill.Left(now) <= 0 {
		return f, false, true
	}
	return lockclient.PriorLease{
		Session: w.Session, Term: w.Term, Sent: w.End.Add(-w.Timeout), Times: lock.Times{Timeout: w.Timeout, Stop: w.Stop},
	}, true, false
}

// Inherited is the word that a new deadman is told at first where manager and deadman were both killed and w was
// the manager's last: where its lease is over the lock is lost, and all is to be down by the kill end.
func Inherited(w deadman.Word, now lease.Time) deadman.Word {
	if w.End.Left(now) <= 0 {
		w.Phase = deadman.Stopping
	}
	return w
}

// A watchedLock is a lock of which the deadman knows.
type watchedLock struct {
	*lockclient.Held
	link    *deadman.Link
	session string
	pace    time.Duration
	note    func(deadman.Word)

	mu    sync.Mutex
	last  deadman.Word
	noted deadman.Word // the last that was given to note
	free  bool         // nothing of the package is left, and the lock is being given back
}

// word is how it stands with the package.
func (h *watchedLock) word(doing failover.PkgState) deadman.Word {
	end, kill := h.Ends()
	term, previous := h.Terms()
	times := h.Times()
	w := deadman.Word{
		Package: h.Name, Phase: deadman.Held, Doing: string(doing), Term: term, Prev: previous, Session: h.session,
		End: end, Kill: kill, Timeout: times.Timeout, Stop: times.Stop, Every: times.RenewEvery(h.pace),
	}
	select {
	case <-h.Lost():
		w.Phase = deadman.Stopping
	default:
	}
	return w
}

// Turn says that the loop has turned, and how it stands.
func (h *watchedLock) Turn(doing failover.PkgState) {
	h.Held.Turn()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free {
		return
	}
	h.last = h.word(doing)
	if isNews(h.last, h.noted) {
		h.noted = h.last
		h.note(h.last)
	}
	h.link.Say(h.last)
}

// newsParts is into how many parts the record divides a timeout: a renewal in each is written.
const newsParts = 4

// isNews says whether w is to be written where the record says noted: not if all that has changed is that the lease
// ends a little later. Who goes on by the record then believes that it has less time than it has, never more.
func isNews(w, noted deadman.Word) bool {
	later := w.End.Shortest(noted.End)
	if later < 0 || later >= w.Timeout/newsParts || w.Kill.Shortest(noted.Kill) < 0 {
		return true
	}
	noted.End, noted.Kill = w.End, w.Kill
	return w != noted
}

// Release gives the lock back. The deadman knows before that nothing of the package is left: it would
// run its stop script else, if this process ended with the release on its way, while another node
// has the lock already.
func (h *watchedLock) Release(ctx context.Context) error {
	w := deadman.Word{Package: h.Name, Phase: deadman.Free}
	h.mu.Lock()
	h.free = true
	h.mu.Unlock()
	h.note(w)
	if err := h.link.Sure(ctx, w); err != nil {
		return err
	}
	return h.Held.Release(ctx)
}

// Change makes the holder live by other times. The deadman is told first: it must know of a nearer kill end
// before the servers grant the lock to another by it.
func (h *watchedLock) Change(ctx context.Context, times lock.Times) error {
	if err := h.Shorten(ctx, times); err != nil {
		return err
	}
	h.mu.Lock()
	w := h.word(failover.PkgState(h.last.Doing))
	h.mu.Unlock()
	if err := h.link.Sure(ctx, w); err != nil {
		return err
	}
	return h.Held.Change(ctx, times)
}

// Done says that nothing of the package is left here.
func (h *watchedLock) Done() {
	h.mu.Lock()
	h.free = true
	h.mu.Unlock()
	w := deadman.Word{Package: h.Name, Phase: deadman.Free}
	h.link.Say(w)
	h.note(w)
}

// Lost is a lock that is lost, with the ends that a manager told: what a deadman stops a package by.
func Lost(w deadman.Word) failover.Lock { return lost(w) }
