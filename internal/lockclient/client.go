// Package lockclient asks the lock servers for locks, and knows when a lease ends.
//
// A [Client] finds the server that answers, and the leader. A [Session] is one manager's
// locks: it renews them together in one request, and counts each lease from when the request
// was sent (SAFETY.md rule 2).
package lockclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
)

// How long one server may take to answer before the next is asked too. A change waits for the
// servers' disks, and to ask for it twice makes it slower: that is for servers that hang.
const (
	attemptLimit = time.Second
	changeLimit  = 2 * time.Second
)

// A Server is a lock server: its name in lock_servers, and where it listens.
type Server struct{ Entry, Addr string }

// A Config is what a client needs to know.
type Config struct {
	Servers []Server // see SetServers too
	TLS     *tls.Config
	Clock   lease.Clock
	Log     *slog.Logger
	// Host tells this host from another with the same node name. "" is found out.
	Host string
	// ServerName returns the name to ask a server for now, in place of TLS.ServerName: it changes with the
	// cluster key. If it is nil, TLS.ServerName is used.
	ServerName func() string
	// Dial connects to an address. Nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Connect connects to addr, whose name may have several addresses, and returns the first connection that
	// prove accepts and makes ready, by a TLS handshake. Nil is Dial, then prove.
	Connect func(ctx context.Context, addr string, prove func(context.Context, net.Conn) (net.Conn, error)) (net.Conn, error)

	Off Off
}

// Off switches rules off, to show that a test can fail. Nothing but tests sets it.
type Off struct {
	Sending bool // rule 2: a lease counts from when the answer came
	Cluster bool // rule 11: take any cluster for the one that is known
	Overlap bool // rule 21: a dex-lock writes what came of its question, whatever another did meanwhile
}

// A Client asks the lock servers. It may be used by many goroutines at once.
type Client struct {
	Config
	http    *http.Client
	repeats journal.Repeats // what is said seldom

	closing context.Context
	close   func()

	mu     sync.Mutex
	leader string     // entry of the server that answered last, or that it named as the leader
	heard  lease.Time // when the last question was sent that the servers answered, as a whole; or when the client was made
	terms  map[string]uint64
	waits  map[string]string // by lock: see Waits
}

// ErrUnreachable means that no server gave an answer that counts.
var ErrUnreachable = errors.New("cannot reach the majority of lock servers")

// NewClient is a client of the servers in cfg. It connects when there is something to ask.
func NewClient(cfg Config) *Client {
	if cfg.Dial == nil {
		var d net.Dialer
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if cfg.Connect == nil {
		dial := cfg.Dial
		cfg.Connect = func(ctx context.Context, addr string, prove func(context.Context, net.Conn) (net.Conn, error)) (net.Conn, error) {
			raw, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return prove(ctx, raw)
		}
	}
	if cfg.Host == "" {
		cfg.Host = hostID()
	}
	c := &Client{Config: cfg, terms: map[string]uint64{}, heard: cfg.Clock.Now()}
	c.closing, c.close = context.WithCancel(context.Background())
	c.http = &http.Client{Transport: &http.Transport{
		DialTLSContext:      c.dial,
		MaxIdleConnsPerHost: 10,
		IdleConnTimeout:     time.Minute,
	}}
	return c
}

// Close ends the connections that are idle or not yet made. The client is of no use after it.
func (c *Client) Close() {
	c.close()
	c.http.CloseIdleConnections()
}

// dial connects to the server that addr, made by api.URL, names.
func (c *Client) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	entry, err := api.EntryOf(addr)
	if err != nil {
		return nil, err
	}
	servers := c.order()
	i := slices.IndexFunc(servers, func(s Server) bool { return s.Entry == entry })
	if i < 0 {
		return nil, fmt.Errorf("%q is not one of the lock servers", entry)
	}
	ctx, cancel := context.WithTimeout(ctx, patience*attemptLimit) // net/http goes on when nobody waits any more
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	return c.Connect(ctx, servers[i].Addr, c.handshake)
}

// handshake makes sure that the other end is a lock server of this cluster key.
func (c *Client) handshake(ctx context.Context, raw net.Conn) (net.Conn, error) {
	config := c.TLS
	if c.ServerName != nil {
		config = config.Clone()
		config.ServerName = c.ServerName()
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// SetServers changes the servers that are asked from now on.
func (c *Client) SetServers(servers []Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Servers = servers
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

// Silence is for how long the lock servers have not answered: a majority of them, not one that is cut off from the others.
func (c *Client) Silence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Clock.Now().Shortest(c.heard)
}

// noteLeader remembers whom to ask first, and that the servers answered a question that was sent at that time.
func (c *Client) noteLeader(leader, answered string, sent lease.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = sent
	c.leader = answered
	if leader != "" {
		c.leader = leader
	}
}

// A refusal is an answer that asking another server would not change.
type refusal struct{ error }

// Tell sends request to path of every server. Who does not answer is not told again.
func (c *Client) Tell(ctx context.Context, path string, request any) {
	body, err := json.Marshal(request)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for _, server := range c.order() {
		wg.Go(func() {
			limited, cancel := context.WithTimeout(ctx, attemptLimit)
			defer cancel()
			if t := c.try(limited, server, path, body); t.err != nil {
				c.repeats.Tell(c.Log, slog.LevelDebug, "not told "+server.Entry,
					"a lock server has not heard how this node is set up: service check-conf does not know by that server; it is told again in a minute", "server", server.Entry, "reason", Reason(t.err))
				return
			}
			c.repeats.TellOver(c.Log, "not told "+server.Entry, "the lock server has heard how this node is set up", "server", server.Entry)
		})
	}
	wg.Wait()
}

// Get asks the one server called entry for what stands at path.
func (c *Client) Get(ctx context.Context, entry, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	t := c.try(ctx, Server{Entry: entry}, path, nil)
	if t.err != nil {
		return t.err
	}
	return json.Unmarshal(t.body, answer)
}

// Reason is the plain word for why a server gave no answer.
func Reason(err error) string {
	var dns *net.DNSError
	var network net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return "the name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no lock server runs there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case errors.As(err, &op) && op.Op == "remote error":
		return "it has another cluster key" // our certificate was refused: a TLS alert
	}
	text := err.Error()
	if i := strings.Index(text, "\": "); i >= 0 && strings.Contains(text[:i], "https://") { // url.Error's
		text = text[i+3:]
	}
	return text
}

// RenewOnce renews one lock of a session, once. It returns a time from before the request was sent: the
// renewed lease counts from that.
func (c *Client) RenewOnce(ctx context.Context, session, name string, term uint64) (lease.Time, error) {
	q := api.RenewRequest{Session: session, Locks: []api.Renewal{{Name: name, Term: term}}, Host: c.Host}
	var a api.RenewAnswer
	at, err := c.call(ctx, attemptLimit, "/v1/renew", q, &a)
	if err != nil {
		return lease.Time{}, err
	}
	if len(a.Refused) != 1 || a.Refusal(0) != "" {
		return lease.Time{}, ErrLost
	}
	return at.sent, nil
}
