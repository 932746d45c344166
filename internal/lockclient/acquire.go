package lockclient

import (
	"context"
	"errors"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// acquire asks for a lock, once; it repeats the question only to name the term that it has just learnt.
//
// If the lock is the session's own already, by a request whose answer was lost or from before a loss,
// it asks for the next term of it. So whatever is still on its way about the old term, a release or a
// change, changes nothing any more. An acquire that was given up and comes late changes nothing either:
// it is for the term that follows the one it knew. An adoption takes the lock from the session that it
// names, in the term that it names, or from this session itself, and from nobody else.
func (c *Client) acquire(ctx context.Context, q api.AcquireRequest) (a api.AcquireAnswer, at answered, err error) {
	known := c.term(q.Name)
	q.Known, q.Host = &known, c.Host
	for range 3 {
		a = api.AcquireAnswer{}
		at, err = c.call(ctx, changeLimit, "/v1/acquire", q, &a)
		if err == nil && a.Refused != "" {
			err = refusedForNow{errors.New(a.Refused)}
		}
		if err != nil || a.Stranger {
			break
		}
		c.noteTerm(q.Name, a.Lock.Term)
		switch {
		case a.Granted:
			return a, at, nil
		case a.Lock.Session == q.Owner.Session:
			q.Own = a.Lock.Term
		case q.From != "", a.Lock.Term == known:
			return a, at, nil
		default:
			q.Own, known = 0, a.Lock.Term
		}
	}
	return a, at, err
}

// term is the last term of a lock that the client was told.
func (c *Client) term(name string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.terms[name]
}

func (c *Client) noteTerm(name string, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.terms[name] = term
}

// refusedForNow is why the servers grant no lock to this node until somebody mends something: two hosts
// may have its name.
type refusedForNow struct{ error }

// meet is called when the servers are of another cluster, called id, than the one that this node knows. It
// waits until no lease of the old cluster on the lock called name can still run (rule 11).
//
// The wait counts from when the node first met the new cluster or last heard the old one work, by the slower
// of the two clocks, as a server waits. It lasts for the silence of the node's own times or of those of the
// last holder that it saw, whichever is longer. Another lock may have to wait longer: so the node does not
// forget the old cluster before no lease can be that long any more.
func (c *Client) meet(ctx context.Context, files *Files, id, name string, times lock.Times) error {
	const longest = 24 * time.Hour
	known := files.Cluster()
	if known == id || id == "" {
		return nil
	}
	met, err := files.met(id, c.Clock.Now())
	if err != nil {
		return err
	}
	silence := max(times.Silence(), files.HolderTimes(name).Silence())
	if left := silence - c.Clock.Now().Shortest(met); left > 0 {
		c.Log.Warn("the lock servers are another cluster than before: waiting until nothing of the old one can run",
			"was", known, "is", id, "seconds", int(left.Seconds()))
	}
	defer c.noWait(name)
	for told := false; ; {
		passed := c.Clock.Now().Shortest(met)
		switch {
		case passed >= max(longest, silence):
			return files.SetCluster(id)
		case passed >= silence:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case c.works(ctx, known):
			if !told {
				c.Log.Warn("some of the lock servers still work in the old cluster: the wait begins when they do not", "was", known, "is", id)
			}
			told = true
			c.noteWait(name, silence, true)
			if met, err = files.meet(id, c.Clock.Now()); err != nil {
				return err
			}
		default:
			c.noteWait(name, silence-passed, false)
		}
		pause(ctx, min(max(silence-passed, time.Millisecond), time.Second))
	}
}

// works says whether one of the servers is in that cluster, and knows a leader there.
func (c *Client) works(ctx context.Context, cluster string) (works bool) {
	servers := c.order()
	said := make(chan bool, len(servers))
	for _, s := range servers {
		go func() { // ends by Get's own limit
			var status api.Status
			said <- c.Get(ctx, s.Entry, "/v1/server", &status) == nil && status.Cluster == cluster && status.Leader != ""
		}()
	}
	for range servers {
		works = <-said || works
	}
	return works
}

// join notes the first cluster that this node meets. If that cannot be written it is only logged, since
// the node has its lock all the same.
func (c *Client) join(files *Files, id string) {
	if files.Cluster() != "" || id == "" {
		return
	}
	if err := files.SetCluster(id); err != nil {
		c.Log.Warn("the cluster's id cannot be written to dex-lock/temp: this node forgets it when it is started again; look after the disk", "reason", err)
	}
}
