package lockclient

import (
	"context"

	"backtowork/internal/api"
	"backtowork/internal/lock"
)

// What a person does to a lock, or has to know for that. Each is one try.

// Look is how a lock is, and for how long its holder was not heard, by the leader's word.
func (c *Client) Look(ctx context.Context, name string) (state api.State, err error) {
	_, err = c.call(ctx, attemptLimit, "/v1/wait", api.WaitRequest{Name: name}, &state)
	return state, err
}

// Unblock frees a blocked lock that was seen in that term and session. It is for a person who knows that nothing is
// left of what ran. node is where the person asks. If that is not the holder's node, Unblock also says that the
// holder's node is off, and the servers refuse it as long as they hear that node.
func (c *Client) Unblock(ctx context.Context, name string, term uint64, session, node string) (api.ChangedAnswer, error) {
	q := api.UnblockRequest{ReleaseRequest: api.ReleaseRequest{Name: name, Term: term, Session: session}, Node: node}
	var a api.ChangedAnswer
	_, err := c.call(ctx, changeLimit, "/v1/unblock", q, &a)
	return a, err
}

// IsOff gives the servers a person's word that node is off: one of those that lost the lock by silence and are named
// in k, which is the lock as the person saw it.
func (c *Client) IsOff(ctx context.Context, name string, k lock.Lock, node string) (api.ChangedAnswer, error) {
	q := api.SettledRequest{ReleaseRequest: api.ReleaseRequest{Name: name, Term: k.Term, Session: k.Session}, Node: node}
	var a api.ChangedAnswer
	_, err := c.call(ctx, changeLimit, "/v1/settled", q, &a)
	return a, err
}
