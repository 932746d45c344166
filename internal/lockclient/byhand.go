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

// Unblock frees a blocked lock that was seen in that term and session, for whoever knows that nothing is left of
// what ran. node is the one that asks: if it is not the holder's, that is said to be off, and refused while it
// is heard.
func (c *Client) Unblock(ctx context.Context, name string, term uint64, session, node string) (api.ChangedAnswer, error) {
	q := api.UnblockRequest{ReleaseRequest: api.ReleaseRequest{Name: name, Term: term, Session: session}, Node: node}
	var a api.ChangedAnswer
	_, err := c.call(ctx, changeLimit, "/v1/unblock", q, &a)
	return a, err
}

// IsOff gives the servers a person's word that a node is off which lost the lock by silence, and is named in k,
// as it was seen.
func (c *Client) IsOff(ctx context.Context, name string, k lock.Lock, node string) (api.ChangedAnswer, error) {
	q := api.SettledRequest{ReleaseRequest: api.ReleaseRequest{Name: name, Term: k.Term, Session: k.Session}, Node: node}
	var a api.ChangedAnswer
	_, err := c.call(ctx, changeLimit, "/v1/settled", q, &a)
	return a, err
}
