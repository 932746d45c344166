package lockserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// The protocols of the one port, by ALPN.
const (
	protoHTTP = "http/1.1"
	protoRaft = "btw-raft"
	protoAsk  = "btw-ask"
)

const (
	handshakeLimit = 5 * time.Second
	dialLimit      = time.Second
)

// A hello begins every connection between two servers: a server refuses what is meant for
// another cluster, or for an id that it no longer has (rule 9). Raft's messages carry neither.
type hello struct {
	Cluster string `json:"cluster"`
	From    string `json:"from"`
	To      string `json:"to"`
	sighting
	Past []string `json:"past,omitempty"` // see remember
}

// A welcome answers a hello.
type welcome struct {
	Refused string `json:"refused,omitempty"` // why
	Outrun  bool   `json:"outrun,omitempty"`  // because who said hello runs on an old copy of its state
	sighting
	Past    []string `json:"past,omitempty"`
	Entries int      `json:"entries,omitempty"` // see known
}

// dialTLS connects to entry and makes sure that it has a key of this cluster.
func (s *Server) dialTLS(ctx context.Context, entry, proto string) (net.Conn, error) {
	config := s.tls[proto].Clone()
	config.ServerName = s.Key.ServerName() // the key may have changed
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	handshake := func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		conn := tls.Client(raw, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("lock server %q: %w", entry, err), raw.Close())
		}
		return conn, nil
	}
	if n, ok := s.Network.(Connector); ok {
		return n.Connect(ctx, entry, handshake)
	}
	raw, err := s.Network.Dial(ctx, entry)
	if err != nil {
		return nil, err
	}
	return handshake(ctx, raw)
}

// A Connector is a Network that knows several addresses of a server, and takes the first that works.
type Connector interface {
	// Connect connects to the server called entry. It returns the first connection that prove accepts and
	// makes ready, by a TLS handshake.
	Connect(ctx context.Context, entry string, prove func(context.Context, net.Conn) (net.Conn, error)) (net.Conn, error)
}

// dialServer connects to the server with that id, for proto.
func (s *Server) dialServer(ctx context.Context, proto, id string) (net.Conn, error) {
	conn, err := s.dialTLS(ctx, entryOf(id), proto)
	if err != nil {
		return nil, err
	}
	if err := s.introduce(conn, id); err != nil {
		return nil, errors.Join(fmt.Errorf("lock server %q: %w", id, err), conn.Close())
	}
	return conn, nil
}

// introduce says hello to the server called id on a new connection, and waits to be welcome.
func (s *Server) introduce(conn net.Conn, id string) error {
	_ = conn.SetDeadline(time.Now().Add(dialLimit)) // a conn without deadlines fails at the read below
	if err := writeLine(conn, hello{s.self.Cluster, s.self.ID, id, s.self.present(), s.self.Past}); err != nil {
		return err
	}
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	var w welcome
	if err := json.Unmarshal([]byte(line), &w); err != nil {
		return fmt.Errorf("cannot read its answer: %w", err)
	}
	if w.Outrun {
		s.outrun()
	}
	if w.Refused != "" {
		return errors.New(w.Refused)
	}
	if _, err := s.self.remember(id, w.sighting, w.Past, s.servers); err != nil {
		return err
	}
	s.others.said(id, w.Entries)
	return conn.SetDeadline(time.Time{})
}

// receive hears a hello and answers it.
func (s *Server) receive(conn net.Conn) error {
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	var h hello
	if err := json.Unmarshal([]byte(line), &h); err != nil {
		return fmt.Errorf("cannot read hello: %w", err)
	}
	w := welcome{Refused: s.refusal(h), sighting: s.self.present(), Past: s.self.Past, Entries: s.machine.knows}
	if w.Refused == "" {
		if w.Outrun, err = s.self.remember(h.From, h.sighting, h.Past, s.servers); err != nil {
			w.Refused = err.Error()
		}
	}
	if err := writeLine(conn, w); err != nil || w.Refused == "" {
		return err
	}
	return errors.New(w.Refused)
}

func writeLine(conn net.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(b, '\n'))
	return err
}

// refusal is why this server does not talk with who says h: "" if it does.
func (s *Server) refusal(h hello) string {
	switch {
	case s.node() == nil:
		return fmt.Sprintf("%s is in no cluster", s.Entry)
	case s.Off.Identity:
		return ""
	case h.Cluster != s.self.Cluster:
		return fmt.Sprintf("%s is in another cluster (%.8s, not %.8s)", s.Entry, s.self.Cluster, h.Cluster)
	case h.To != s.self.ID:
		return fmt.Sprintf("%s is not %q any more", s.Entry, h.To)
	case h.From == s.self.ID:
		return fmt.Sprintf("two live servers have the id %q", h.From)
	}
	return ""
}

// readLine reads up to a newline and not a byte more.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < 1000 {
		if _, err := conn.Read(b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", errors.New("the line is too long")
}

// A streamLayer is what raft's own transport talks through. To raft, a server's address is
// its id, because raft ties votes to addresses; host and port are looked up here.
type streamLayer struct {
	*queue
	server *Server
}

type idAddr string

func (a idAddr) Network() string { return "btw" }
func (a idAddr) String() string  { return string(a) }

// Addr is the server's id.
func (l *streamLayer) Addr() net.Addr { return idAddr(l.server.self.ID) }

// Dial connects to the server whose id address is.
func (l *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.server.dialServer(ctx, protoRaft, string(address))
}

// A transport is raft's own, except that heartbeats wait their turn. On the library's fast path
// a heartbeat can overtake a vote and lower the current term (hashicorp/raft issue 695).
type transport struct {
	*raft.NetworkTransport
	fast bool // the library's own way
}

// SetHeartbeatHandler does nothing, so that heartbeats wait their turn among raft's other messages.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	if t.fast {
		t.NetworkTransport.SetHeartbeatHandler(handle)
	}
}

// entryOf is the lock_servers entry in a server's id.
func entryOf(id string) string {
	if i := strings.LastIndex(id, "/"); i >= 0 {
		return id[:i]
	}
	return id
}
