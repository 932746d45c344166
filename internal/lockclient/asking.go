package lockclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
)

// patience bounds how long a question to all servers may take: this many times the limit for one server,
// or once that limit for each server if there are more servers.
const patience = 3

// call sends request to path of one server after the other until one of them answers, and reads the
// answer into answer. It asks the next server too when the last one has failed, or has not answered
// within limit. A slow server may still be the first to answer: on a link that loses packets a new
// connection takes longest. While one is slow, those that failed are asked again, since they may have
// got a leader. The time that call returns was read before the answered request was sent.
func (c *Client) call(ctx context.Context, limit time.Duration, path string, request, answer any) (answered, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answered{}, err
	}
	servers := c.order()
	ctx, cancel := context.WithTimeout(ctx, limit*time.Duration(max(len(servers), patience)))
	defer cancel()
	a := asking{
		queue: servers, fresh: len(servers), faults: map[string]string{},
		results: make(chan tried, len(servers)), more: time.NewTimer(0),
	}
	defer a.more.Stop()
	for {
		select {
		case <-a.more.C:
			s := a.next(limit)
			go func() { a.results <- c.try(ctx, s, path, body) }() // ends with ctx
		case t := <-a.results:
			if t.err == nil {
				t.err = json.Unmarshal(t.body, answer)
			}
			if t.err == nil {
				c.noteLeader(t.header.Get(api.LeaderHeader), t.server.Entry, t.sent)
				if c.Off.Sending {
					t.sent = c.Clock.Now()
				}
				return answered{t.sent, t.header.Get(api.ClusterHeader)}, nil
			}
			if errors.As(t.err, new(refusal)) {
				return answered{}, t.err
			}
			if over := a.failed(t); over || ctx.Err() != nil {
				return answered{}, fmt.Errorf("%w (%s)", ErrUnreachable, a.reasons(servers))
			}
		}
	}
}

// An asking is how far a question to all servers has come.
type asking struct {
	queue   []Server // to be asked, or asked again
	fresh   int      // how many of queue were not asked at all yet; they stand first
	running int      // how many servers are being asked now
	faults  map[string]string
	results chan tried  // it has room for all, since nobody waits for what comes late
	more    *time.Timer // for the next of the queue
}

// next takes the next server from the queue, which is not empty when more fires.
func (a *asking) next(limit time.Duration) Server {
	s := a.queue[0]
	a.queue = a.queue[1:]
	a.running++
	a.fresh = max(a.fresh-1, 0)
	switch {
	case a.fresh > 0:
		a.more.Reset(limit)
	case len(a.queue) > 0:
		a.more.Reset(retryPause)
	}
	return s
}

// failed notes that a server gave no answer. The question is over when no server is left that was not
// asked yet or may still answer.
func (a *asking) failed(t tried) (over bool) {
	a.faults[t.server.Entry] = Reason(t.err)
	a.queue = append(a.queue, t.server)
	a.running--
	switch {
	case a.fresh > 0:
		a.more.Reset(0)
	case a.running > 0:
		a.more.Reset(retryPause)
	}
	return a.fresh+a.running == 0
}

// reasons is why no server gave an answer, on one line.
func (a *asking) reasons(servers []Server) string {
	var texts []string
	for _, s := range servers {
		if fault, ok := a.faults[s.Entry]; ok {
			texts = append(texts, s.Entry+": "+fault)
		}
	}
	return strings.Join(texts, "; ")
}

// A tried is what came of asking one server.
type tried struct {
	server Server
	sent   lease.Time
	header http.Header
	body   []byte
	err    error
}

// try asks one server: body nil is a GET.
func (c *Client) try(ctx context.Context, s Server, path string, body []byte) (t tried) {
	t = tried{server: s, sent: c.Clock.Now()}
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, api.URL(s.Entry, path), bytes.NewReader(body))
	if err != nil {
		t.err = err
		return t
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.err = err
		return t
	}
	defer response.Body.Close()
	t.header = response.Header
	if t.body, t.err = io.ReadAll(io.LimitReader(response.Body, 16<<20)); t.err != nil || response.StatusCode == http.StatusOK {
		return t
	}
	var e api.ErrorAnswer
	if err := json.Unmarshal(t.body, &e); err != nil || e.Error == "" {
		e.Error = response.Status
	}
	t.err = errors.New(e.Error)
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
		t.err = refusal{t.err}
	}
	return t
}
