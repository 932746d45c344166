// Package lockclient asks the lock servers for locks, and knows when a lease ends.
//
// A [Client] finds the server that answers, and the leader. A [Session] is one manager's
// locks: it renews them together in one request, and counts each lease from when the request
// was sent (SAFETY.md rule 2).
package lockclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// attemptLimit is how long one server may take to answer before the next is asked.
const attemptLimit = time.Second

// A Server is a lock server: its name in lock_servers, and where it listens.
type Server struct{ Entry, Addr string }

// A Config is what a client needs to know.
type Config struct {
	Servers []Server
	TLS     *tls.Config
	Clock   lease.Clock
	Log     *slog.Logger
	// Dial connects to an address. Nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// A Client asks the lock servers. It may be used by many goroutines at once.
type Client struct {
	Config
	http *http.Client

	mu     sync.Mutex
	leader string // entry of the server that answered last, or that it named as the leader
}

// ErrUnreachable means that no server gave an answer that counts.
var ErrUnreachable = errors.New("cannot reach the majority of lock servers")

// NewClient is a client of the servers in cfg. It connects when there is something to ask.
func NewClient(cfg Config) *Client {
	if cfg.Dial == nil {
		var d net.Dialer
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	c := &Client{Config: cfg}
	c.http = &http.Client{Transport: &http.Transport{
		DialTLSContext:      c.dial,
		MaxIdleConnsPerHost: 10,
		IdleConnTimeout:     time.Minute,
	}}
	return c
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// dial connects to the server that addr, made by lock.URL, names.
func (c *Client) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	entry, err := lock.EntryOf(addr)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Servers, func(s Server) bool { return s.Entry == entry })
	if i < 0 {
		return nil, fmt.Errorf("%q is not one of the lock servers", entry)
	}
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	raw, err := c.Dial(ctx, c.Servers[i].Addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, c.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// order is the servers in the order to ask them: the leader, as far as is known, first.
func (c *Client) order() []Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	servers := slices.Clone(c.Servers)
	if i := slices.IndexFunc(servers, func(s Server) bool { return s.Entry == c.leader }); i > 0 {
		servers[0], servers[i] = servers[i], servers[0]
	}
	return servers
}

// An answered is what came with an answer.
type answered struct {
	sent    lease.Time // when the request that was answered was sent
	cluster string     // id of the cluster that answered
}

// call sends request to path of one server after the other until one answers it, each for at
// most limit, and reads the answer into answer. The time that it returns is read before the
// request that was answered was sent.
func (c *Client) call(ctx context.Context, limit time.Duration, path string, request, answer any) (answered, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answered{}, err
	}
	var faults []error
	for _, server := range c.order() {
		sent := c.Clock.Now()
		header, err := c.try(ctx, limit, server.Entry, path, body, answer)
		if err == nil {
			c.noteLeader(header.Get(lock.LeaderHeader), server.Entry)
			return answered{sent, header.Get(lock.ClusterHeader)}, nil
		}
		var refused refusal
		if errors.As(err, &refused) {
			return answered{}, err
		}
		faults = append(faults, fmt.Errorf("%s: %s", server.Entry, Reason(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return answered{}, fmt.Errorf("%w (%w)", ErrUnreachable, joined(faults))
}

// joined is errors on one line.
func joined(errs []error) error {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}

// noteLeader remembers whom to ask first.
func (c *Client) noteLeader(leader, answered string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = answered
	if leader != "" {
		c.leader = leader
	}
}

// A refusal is an answer that asking another server would not change.
type refusal struct{ error }

// try asks one server.
func (c *Client) try(ctx context.Context, limit time.Duration, entry, path string, body []byte, answer any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, lock.URL(entry, path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Header, json.Unmarshal(b, answer)
	}
	var e lock.ErrorAnswer
	if err := json.Unmarshal(b, &e); err != nil || e.Error == "" {
		e.Error = response.Status
	}
	if response.StatusCode == http.StatusBadRequest {
		return nil, refusal{errors.New(e.Error)}
	}
	return nil, errors.New(e.Error)
}

// Tell sends request to path of every server. Who does not answer is not told again.
func (c *Client) Tell(ctx context.Context, path string, request any) {
	body, err := json.Marshal(request)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for _, server := range c.Servers {
		wg.Go(func() {
			var answer struct{}
			if _, err := c.try(ctx, attemptLimit, server.Entry, path, body, &answer); err != nil {
				c.Log.Debug("not told", "server", server.Entry, "reason", Reason(err))
			}
		})
	}
	wg.Wait()
}

// Get asks the one server called entry for what stands at path.
func (c *Client) Get(ctx context.Context, entry, path string, answer any) error {
	_, err := c.try(ctx, attemptLimit, entry, path, nil, answer)
	return err
}

// Reason is the plain word for why a server gave no answer.
func Reason(err error) string {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &dns):
		return "the name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no lock server runs there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case strings.Contains(err.Error(), "remote error: tls:"):
		return "it has another cluster key" // our certificate was refused
	}
	text := err.Error()
	if i := strings.Index(text, "\": "); i >= 0 && strings.Contains(text[:i], "https://") { // url.Error's
		text = text[i+3:]
	}
	return text
}

// RenewOnce renews one lock of a session, once, and returns when that was asked: only then
// begins, or goes on, its lease.
func (c *Client) RenewOnce(ctx context.Context, session, name string, term uint64) (lease.Time, error) {
	q := lock.RenewRequest{Session: session, Locks: []lock.Renewal{{Name: name, Term: term}}}
	var a lock.RenewAnswer
	at, err := c.call(ctx, attemptLimit, "/v1/renew", q, &a)
	if err != nil {
		return lease.Time{}, err
	}
	if len(a.Refused) != 1 || a.Refused[0] != "" {
		return lease.Time{}, ErrLost
	}
	return at.sent, nil
}
