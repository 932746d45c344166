package lockclient

import (
	"context"
	"errors"
	"slices"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// remember notes which nodes are to be off before what l is for begins here: the one that had it before, and
// all that lost it by silence since something of it began well. This node is not to be.
func (h *Held) remember(l lock.Lock) {
	h.settled = l.Unfenced == ""
	h.unfenced = slices.DeleteFunc(l.Unfenced.All(), func(node string) bool { return node == h.session.Owner.Node })
	h.Previous = l.Previous
	if n := len(h.unfenced); n > 0 {
		h.Previous = h.unfenced[n-1]
	}
}

// Unfenced is the other nodes that lost the lock by silence, the newest last: they may run what it is for yet.
func (h *Held) Unfenced() []string { return h.unfenced }

// Settled says that what the lock is for has begun: what its start had to make sure of about other nodes is
// done, so the lock need not name them any more. It tries until the servers have that in their log, the
// lock is over (ErrLost), or ctx ends; there is nothing to do where no node is named.
func (h *Held) Settled(ctx context.Context) error {
	for {
		h.mu.Lock()
		settled, over := h.settled, h.over
		h.mu.Unlock()
		switch {
		case settled:
			return nil
		case over:
			return ErrLost
		}
		err := h.settle(ctx)
		if errors.Is(err, ErrLost) || errors.As(err, new(refusal)) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			pause(ctx, retryPause)
		}
	}
}

// settle asks once. Servers that are older than such requests refuse it, and have named nobody.
func (h *Held) settle(ctx context.Context) error {
	var a api.ChangedAnswer
	_, err := h.session.client.call(ctx, changeLimit, "/v1/settled", api.SettledRequest{ReleaseRequest: h.releaseRequest()}, &a)
	switch {
	case err != nil:
		return err
	case a.Lock.Session != h.session.Owner.Session || a.Lock.Term != h.Term:
		return ErrLost
	case a.Lock.Unfenced != "":
		return errCrossed
	}
	h.mu.Lock()
	h.settled, h.logged = true, max(h.logged, a.Lock.Seq)
	h.mu.Unlock()
	return nil
}
