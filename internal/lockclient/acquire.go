package lockclient

import (
	"context"
	"time"

	"backtowork/internal/lock"
)

// acquire asks for a lock, once. Where the lock is the session's own already, by a request whose
// answer was lost or from before a loss, it asks for the next term of it: so whatever is still
// on its way about the old term, a release or a change, changes nothing any more.
func (c *Client) acquire(ctx context.Context, name string, owner lock.Owner, times lock.Times, cluster string) (a lock.AcquireAnswer, at answered, err error) {
	q := lock.AcquireRequest{Name: name, Owner: owner, Times: times, Cluster: cluster}
	for range 3 {
		a = lock.AcquireAnswer{}
		at, err = c.call(ctx, 4*attemptLimit, "/v1/acquire", q, &a)
		if err != nil || a.Granted || a.Lock.Session != owner.Session {
			break
		}
		q.Own = a.Lock.Term
	}
	return a, at, err
}

// meet notes which cluster the servers are. On meeting another one than this node knows, it
// waits until no lease of the old one can run any more: as a server waits, by the clock that
// goes slower (rule 11).
func (c *Client) meet(ctx context.Context, files *Files, id string, times lock.Times) error {
	known := files.Cluster()
	if known == id || id == "" {
		return nil
	}
	if known != "" {
		c.Log.Warn("the lock servers are another cluster than before: waiting until nothing of the old one can run",
			"was", known, "is", id, "seconds", int(times.Silence().Seconds()))
		begin := c.Clock.Now()
		for left := times.Silence(); left > 0; left = times.Silence() - c.Clock.Now().Shortest(begin) {
			pause(ctx, max(left, time.Millisecond))
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return files.SetCluster(id)
}
