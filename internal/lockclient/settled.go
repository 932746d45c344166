package lockclient

import (
	"context"
	"errors"
	"slices"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// remember notes which nodes must be off before what l is for may start here: the node that had l before, and
// all that lost it by silence since a holder last started well. This node is left out.
func (h *Held) remember(l lock.Lock) {
	h.settled = l.Unfenced == ""
	h.unfenced = slices.DeleteFunc(l.Unfenced.All(), func(node string) bool { return node == h.session.Owner.Node })
	h.Previous, h.from = l.Previous, tookFrom(l)
	if n := len(h.unfenced); n > 0 {
		h.Previous = h.unfenced[n-1]
		h.from = h.Previous
	}
}

// Unfenced is the other nodes that lost the lock by silence, the newest last: they may run what it is for yet.
func (h *Held) Unfenced() []string { return h.unfenced }

// Settled tells the servers that what the lock is for has started here. The start has done what it had to do
// about the nodes that lost the lock by silence, so the lock need not name them any more. Settled tries until
// the servers have that in their log, the lock is over (ErrLost), or ctx ends. If no node is named, there is
// nothing to do.
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

// settle asks once. Older servers do not know this request and refuse it; nor have they named any node.
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
