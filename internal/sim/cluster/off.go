package cluster

import (
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// This file has what a manager or a deadman does if a rule is switched off, where that is more than
// to leave something out.

// A same is a lock that a manager takes over without an adoption: it goes on in the earlier
// manager's session and term.
type same struct {
	l      *locker
	client *lockclient.Client
	every  time.Duration
	lost   chan struct{}

	mu   sync.Mutex
	f    lockclient.PriorLease
	over bool
}

// sameSession is a lock without an adoption.
func (l *locker) sameSession(ctx context.Context, pace time.Duration) failover.Lock {
	h := &same{
		l: l, client: l.Session.Client(), every: l.Prior.Times.RenewEvery(pace), lost: make(chan struct{}), f: l.Prior,
	}
	l.j.s.wg.Go(func() { h.renew(ctx) })
	return h
}

func (h *same) renew(ctx context.Context) {
	for ctx.Err() == nil && !h.isOver() {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		sent, err := h.client.RenewOnce(limited, h.f.Session, h.l.j.pkg.Name, h.f.Term)
		cancel()
		h.mu.Lock()
		if err == nil {
			h.f.Sent = sent
		}
		if end := h.f.Sent.Add(h.f.Times.Timeout); !h.over && end.Left(h.client.Clock.Now()) <= 0 {
			h.over = true
			close(h.lost)
		}
		h.mu.Unlock()
		select {
		case <-time.After(min(h.every, time.Second)):
		case <-ctx.Done():
		}
	}
}

func (h *same) isOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

func (h *same) Terms() (uint64, string) { return h.f.Term, "" }

func (h *same) Unfenced() []string { return nil }

func (h *same) Settled(context.Context) error { return nil }

func (h *same) Ends() (end, kill lease.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end = h.f.Sent.Add(h.f.Times.Timeout)
	return end, end.Add(h.f.Times.Stop)
}

func (h *same) Lost() <-chan struct{} { return h.lost }

func (h *same) Turn(doing failover.PkgState) {
	end, kill := h.Ends()
	w := deadman.Word{
		Package: h.l.j.pkg.Name, Phase: deadman.Held, Doing: string(doing), Term: h.f.Term, Session: h.f.Session, End: end, Kill: kill,
		Timeout: h.f.Times.Timeout, Stop: h.f.Times.Stop, Every: h.every,
	}
	if isClosed(h.lost) {
		w.Phase = deadman.Stopping
	}
	h.l.Link.Say(w)
}

func (h *same) request() api.ReleaseRequest {
	return api.ReleaseRequest{Name: h.l.j.pkg.Name, Term: h.f.Term, Session: h.f.Session}
}

func (h *same) Change(context.Context, lock.Times) error { return nil }

func (h *same) Release(ctx context.Context) error {
	h.client.Tell(ctx, "/v1/release", h.request())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	return nil
}

func (h *same) Block(ctx context.Context, reason string) error {
	h.client.Tell(ctx, "/v1/block", api.BlockRequest{ReleaseRequest: h.request(), Reason: reason})
	return nil
}

func (h *same) Done() { h.l.Link.Say(deadman.Word{Package: h.l.j.pkg.Name, Phase: deadman.Free}) }

// tellOnly has the servers know of smaller times, and nobody else.
func (h *held) tellOnly(ctx context.Context, times lock.Times) {
	term, _ := h.Terms()
	q := api.ChangeRequest{
		ReleaseRequest: api.ReleaseRequest{Name: h.l.j.pkg.Name, Term: term, Session: h.l.Session.Owner.Session}, Times: times,
	}
	for q.Seq = 1; q.Seq < 6; q.Seq++ { // one of them is right
		h.l.Session.Client().Tell(ctx, "/v1/change", q)
	}
}

// tellRelease gives the lock back, and the deadman hears nothing of it.
func (h *held) tellRelease(ctx context.Context) error {
	term, _ := h.Terms()
	h.l.Session.Client().Tell(ctx, "/v1/release", api.ReleaseRequest{Name: h.l.j.pkg.Name, Term: term, Session: h.l.Session.Owner.Session})
	return ctx.Err()
}

// lag is how long the words of a manager take to its deadman, if the rule is off that the manager
// waits for the deadman before a start.
const lag = time.Minute

// lagging returns a connection on which each word is answered before the other end has read it.
func (s *Simulation) lagging(to net.Conn) (from net.Conn) {
	from, here := socketPair()
	s.wg.Go(func() {
		defer func() { _, _ = here.Close(), to.Close() }()
		in, answers := json.NewDecoder(here), json.NewDecoder(to)
		var text json.RawMessage
		if in.Decode(&text) != nil || write(to, text) != nil || answers.Decode(&text) != nil || write(here, text) != nil {
			return
		}
		s.wg.Go(func() {
			for answers.Decode(new(json.RawMessage)) == nil {
			}
			_ = here.Close()
		})
		for {
			var words json.RawMessage
			if in.Decode(&words) != nil {
				return
			}
			time.AfterFunc(lag, func() { _ = write(to, words) })
			if write(here, json.RawMessage("{}")) != nil {
				return
			}
		}
	})
	return from
}

func write(to net.Conn, text json.RawMessage) error {
	_, err := to.Write(append(append([]byte(nil), text...), '\n'))
	return err
}
