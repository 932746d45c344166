package lockserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"backtowork/internal/clusterkey"
)

// A front takes the connections of the one port and hands each to its protocol. Until a client
// has shown a certificate of the cluster it gets little of the server's time: see lobby, and
// clusterkey.Greeting.
type front struct {
	server   *Server
	listener net.Listener
	config   *tls.Config
	http     *queue
	raft     *streamLayer

	lobby     *lobby
	each, all *rate // of the handshakes of strangers

	mu     sync.Mutex
	open   map[net.Conn]bool
	wg     sync.WaitGroup
	served chan struct{} // closed when no more connections are taken
}

// portProtos is what is spoken on the port.
var portProtos = []string{protoHTTP, protoRaft, protoAsk}

var errTooMany = errors.New("too many connections without a certificate of the cluster")

func newFront(s *Server, l net.Listener) (*front, error) {
	config, err := s.Key.Server(portProtos...)
	if err != nil {
		return nil, err
	}
	s.stream = &streamLayer{newQueue(l.Addr()), s}
	f := &front{
		server: s, listener: l, config: config, http: newQueue(l.Addr()), raft: s.stream,
		lobby: newLobby(lobbySeats, lobbyEach), each: newRate(strangersEach), all: newRate(strangersAll),
		open: map[net.Conn]bool{}, served: make(chan struct{}),
	}
	refuse := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch s.Key.Greeting(hello, portProtos) {
		case clusterkey.Member:
			f.lobby.leave(hello.Conn)
		case clusterkey.Unproven:
			if err := f.spare(hello.Conn); err != nil {
				return nil, err
			}
		default:
			return refuse(hello)
		}
		return nil, nil // the one that it came from
	}
	return f, nil
}

// spare bounds the public-key work that is done for strangers.
func (f *front) spare(conn net.Conn) error {
	host := clientAt(conn.RemoteAddr().String())
	if f.each.take(host) > 0 || f.all.take("") > 0 {
		f.sayCrowded(host)
		return errTooMany
	}
	return nil
}

func (f *front) sayCrowded(host string) {
	f.server.again(slog.LevelWarn, "crowded", errTooMany.Error(), "most lately from", host)
}

func (f *front) serve(ctx context.Context) {
	defer close(f.served)
	for {
		conn, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // out of descriptors, most likely
			f.server.again(slog.LevelError, "accept", "this lock server cannot take a connection: if it has too many files open, raise its limit (ulimit -n)", "reason", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if f.lobby.enter(conn) {
			f.sayCrowded(clientAt(conn.RemoteAddr().String()))
		}
		secret := tls.Server(conn, f.config)
		f.track(secret, true)
		f.wg.Go(func() { f.dispatch(ctx, conn, secret) })
	}
}

// dispatch finds out what conn is for, and gives it to that protocol. conn is raw with TLS on it. dispatch
// returns when another goroutine has taken conn over, or conn is closed.
func (f *front) dispatch(ctx context.Context, raw net.Conn, conn *tls.Conn) {
	keep := false
	defer func() {
		if !keep {
			f.track(conn, false)
		}
	}()
	limited, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	err := f.server.Key.Handshake(limited, conn)
	f.lobby.leave(raw)
	if err != nil {
		f.sayRefused(conn, err)
		_ = conn.Close()
		return
	}
	proto := conn.ConnectionState().NegotiatedProtocol
	if proto != protoRaft && proto != protoAsk {
		f.http.put(conn)
		return
	}
	_ = conn.SetDeadline(time.Now().Add(handshakeLimit)) // the read below fails where this did
	if err := f.server.receive(conn); err != nil {
		f.server.again(slog.LevelDebug, "server refused "+clientAt(conn.RemoteAddr().String()), "server refused", "from", conn.RemoteAddr().String(), "reason", err)
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if proto == protoRaft {
		keep = true // close has to end it: raft does not remember what it has accepted
		f.raft.put(tracked{conn, func() { f.track(conn, false) }})
		return
	}
	f.server.answerQuestions(conn)
}

// sayRefused tells of a host with another cluster key, seldom, since somebody has to mend
// that; other strangers on the port are nobody's concern.
func (f *front) sayRefused(conn net.Conn, err error) {
	from := conn.RemoteAddr().String()
	host := clientAt(from)
	var other *clusterkey.OtherKeyError
	if errors.As(err, &other) {
		f.server.again(slog.LevelWarn, "other key "+host, "connection refused: that host has another cluster key; copy conf/cluster_key to it from a host of this cluster",
			"from", host, "reason", err)
		return
	}
	f.server.again(slog.LevelDebug, "refused "+host, "connection refused", "from", from, "reason", err)
}

// A tracked connection tells when it is closed.
type tracked struct {
	net.Conn
	closed func()
}

// Close closes the connection.
func (t tracked) Close() error {
	t.closed()
	return t.Conn.Close()
}

// track keeps the connections that are this front's own, so that close can end them.
func (f *front) track(conn net.Conn, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if mine {
		f.open[conn] = true
	} else {
		delete(f.open, conn)
	}
}

func (f *front) close() {
	_ = f.listener.Close()
	<-f.served // then nothing is added to what is waited for
	f.mu.Lock()
	for conn := range f.open {
		_ = conn.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	_ = f.http.Close()
	_ = f.raft.Close()
}

// A queue is a net.Listener of connections that were taken elsewhere.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.done:
		_ = conn.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.addr }
