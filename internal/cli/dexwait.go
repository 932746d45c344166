package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

const dexWaitUsage = `Usage: dex-wait [-w SECONDS] LOCK

Waits until another node, or nobody, holds the lock, or the same node in a new term, and prints
the holder (-invalid- for none) and the term. With -w the exit status is 75 when nothing has
changed for so long, or until a signal came. A lock server that is lost, or a new leader, ends no wait.

What changes between two calls is not seen: look with dex-show first.

Example: dex-lock/dex-wait -w 600 backup && logger "the lock backup has changed hands"
`

// Pauses of dex-wait: one request of it, and between two tries of a server that does not answer.
const (
	watchLength = "0.5" // seconds; with the way there and back it must be less than a client's patience
	watchRetry  = 250 * time.Millisecond
)

func dexWait(ctx context.Context, env *command.Env) error {
	opts, operands, err := command.Options(env.Args, "w:", nil)
	if err != nil {
		return err
	}
	if len(operands) != 1 {
		return command.UsageError("say one lock")
	}
	if err := lockName(operands[0]); err != nil {
		return err
	}
	limited := ctx
	for _, o := range opts {
		d, err := command.Seconds(o.Value)
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	s, c, err := openClient(env)
	if err != nil {
		return err
	}
	now, err := s.nextHolder(limited, c, operands[0])
	switch {
	case ctx.Err() != nil: // a signal
		return command.Status(statusNotHad)
	case errors.Is(err, context.DeadlineExceeded):
		return command.Status(statusNotHad)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s %d\n", holderOf(now), now.Term)
	return err
}

// nextHolder is the lock when its holder or term is no longer what it is now.
func (s *site) nextHolder(ctx context.Context, c *lockclient.Client, name string) (lock.Lock, error) {
	seen, err := s.settled(ctx, c, name)
	if err != nil {
		return lock.Lock{}, err
	}
	s.log.Debug("waiting for another holder", "lock", name, "holder", holderOf(seen), "term", seen.Term)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &handover{seen: seen, last: seen}
	var watches sync.WaitGroup
	for _, server := range c.Servers {
		watches.Go(func() {
			if h.watch(ctx, c, server.Entry, name) {
				cancel() // one has seen it, so the others need not
			}
		})
	}
	watches.Wait()
	if last, over := h.note(seen); over {
		return last, nil
	}
	return seen, ctx.Err()
}

// A handover is what is seen of a lock until its holder or term changes.
type handover struct {
	seen lock.Lock // when the wait began
	mu   sync.Mutex
	last lock.Lock // the newest that was shown since
}

// note takes in what a server shows. A server that lags behind shows an older state, which is no
// change. Only a state newer than all seen so far counts; after the first change of hands nothing
// more does.
func (h *handover) note(shown lock.Lock) (last lock.Lock, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if newer(shown, h.last) && !h.over() {
		h.last = shown
	}
	return h.last, h.over()
}

func (h *handover) over() bool { return h.last.Owner != h.seen.Owner || h.last.Term != h.seen.Term }

// watch notes what one server shows, until the lock has changed hands or ctx ends.
func (h *handover) watch(ctx context.Context, c *lockclient.Client, entry, name string) (over bool) {
	for seen := h.seen; !over && ctx.Err() == nil; {
		var state api.State
		path := fmt.Sprintf("/v1/watch/%s?term=%d&seq=%d&wait=%s", url.PathEscape(name), seen.Term, seen.Seq, watchLength)
		if err := c.Get(ctx, entry, path, &state); err == nil {
			seen, over = h.note(state.Lock)
			continue
		}
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
		}
	}
	return over
}

// settled returns the lock as a leader knows it: the other servers may not know the latest change
// yet.
func (s *site) settled(ctx context.Context, c *lockclient.Client, name string) (lock.Lock, error) {
	for begin, told := time.Now(), false; ; {
		servers := askAll[api.Status](ctx, c, "/v1/server")
		states := askAll[api.State](ctx, c, lockPath(name))
		var newest lock.Lock
		known := false // by the leader
		for i, a := range states {
			if a.err == nil && newer(a.value.Lock, newest) {
				newest = a.value.Lock
			}
			known = known || a.err == nil && servers[i].err == nil && servers[i].value.Open
		}
		if known {
			return newest, nil
		}
		if all, _ := faults(states); !told && time.Since(begin) > 3*time.Second { // an election takes as long
			told = true
			s.sayFaults(all)
			s.log.Warn("waiting for the lock servers", "lock", name)
		}
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
			return newest, ctx.Err()
		}
	}
}
