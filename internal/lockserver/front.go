package lockserver

import (
	"backtowork/internal/clusterkey"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A front takes the connections of the one port and hands each to its protocol.
type front struct {
	server   *Server
	listener net.Listener
	http     *queue
	raft     *streamLayer
	rare     rare
	mu       sync.Mutex
	open     map[net.Conn]bool
	wg       sync.WaitGroup
}

func newFront(s *Server, l net.Listener) (*front, error) {
	config, err := s.Key.Server(s.Entry, protoHTTP, protoRaft, protoAsk)
	if err != nil {
		return nil, err
	}
	s.stream = &streamLayer{newQueue(l.Addr()), s}
	return &front{
		server: s, listener: tls.NewListener(l, config), http: newQueue(l.Addr()),
		raft: s.stream, open: map[net.Conn]bool{},
	}, nil
}

func (f *front) serve(ctx context.Context) {
	for {
		conn, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // out of descriptors, most likely
			f.server.Log.Error("cannot take a connection", "reason", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		f.track(conn, true)
		f.wg.Go(func() { f.dispatch(ctx, conn.(*tls.Conn)) })
	}
}

// dispatch finds out what conn is for. It returns when conn is somebody else's, or done with.
func (f *front) dispatch(ctx context.Context, conn *tls.Conn) {
	keep := false
	defer func() { f.track(conn, keep) }()
	limited, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	if err := f.server.Key.Handshake(limited, conn); err != nil {
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
		f.server.Log.Debug("server refused", "from", conn.RemoteAddr().String(), "reason", err)
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if proto == protoRaft {
		keep = true // raft forgets what it has accepted
		f.raft.put(tracked{conn, func() { f.track(conn, false) }})
		return
	}
	f.server.answerQuestions(conn)
}

// sayRefused tells of a host with another cluster key, once a minute, since somebody has to mend
// that; other strangers on the port are nobody's concern.
func (f *front) sayRefused(conn net.Conn, err error) {
	from := conn.RemoteAddr().String()
	host, _, splitErr := net.SplitHostPort(from)
	var other *clusterkey.OtherKeyError
	if splitErr == nil && errors.As(err, &other) && f.rare.first(host) {
		f.server.Log.Warn("connection refused", "from", host, "reason", err)
		return
	}
	f.server.Log.Debug("connection refused", "from", from, "reason", err)
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
