// Package lockserver is a lock server: one voter of a small raft cluster that agrees on who
// holds which lock. The rules themselves are in package lock; this package gives them a log
// that survives crashes, a majority's word, and one TCP port.
//
//	          one port, TLS 1.3, told apart by ALPN
//	clients --- http/1.1 --> handler.go --.
//	servers --- btw-raft --> transport.go  +--> machine.go (table and leases)
//	servers --- btw-ask  --> quorum.go ---'         ^
//	                                                | log entries, once committed
//	                              hashicorp/raft ---+--- store/ (bbolt)
//
// What is written against the library's own way, and why, is in SAFETY.md rules 6, 7, 9 and
// 10, and in the tests of the same names.
package lockserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockserver/store"

	"github.com/hashicorp/raft"
)

// A Network is how lock servers reach one another: TCP, or a test's.
type Network interface {
	// Listen begins to take connections for this server.
	Listen() (net.Listener, error)
	// Dial connects to the server that lock_servers calls entry.
	Dial(ctx context.Context, entry string) (net.Conn, error)
}

// A Config is what a lock server needs to know.
type Config struct {
	Entry   string          // this server, as lock_servers names it
	List    []string        // all of lock_servers, at the start
	Nodes   func() []string // the other hosts of cluster_nodes, as lock_servers would name their servers; nil for none. It must not block
	Private bool            // Entry means a different host on each host, as localhost does: no other node can have this list
	Passing bool            // it was started for the packages of this host, and may end with the last: see Retire
	Dir     string          // state/: the database and the identity
	Mark    string          // file outside Dir that says this server was in a cluster once
	Version string          // of the program
	Forcing bool            // a new cluster is to be begun by force, of what this server knows: an old state is better than none

	Key     *clusterkey.Key
	Network Network
	Clock   lease.Clock
	Log     *slog.Logger
	Fatal   func(error) // ends the process, at once

	Trial
}

// A Server is a running lock server.
type Server struct {
	Config
	self    *self
	machine *machine
	asker   *asker
	reports reports
	names   names
	others  others
	http    *http.Client           // to the other servers
	tls     map[string]*tls.Config // by protocol, to them

	reloaded chan struct{} // the list was changed
	over     chan error    // why the server ends by itself

	repeats    journal.Repeats // what is said seldom
	retirement retirement

	mu      sync.Mutex
	current []string   // lock_servers
	raft    *raft.Raft // nil while the server waits to be in a cluster
	network *raft.NetworkTransport
	stream  *streamLayer
	hasty   bool       // raft has the short timeouts of a server without others
	waiting string     // what it waits for
	refused []string   // a list that has no server in common with the cluster
	rival   string     // why a cluster begun by force must not serve
	grows   lease.Time // when this cluster of one had all it needs to grow
	rivalry rivalry
}

// ErrAgain is returned by Run when the server must be opened again, and run, to go on.
var ErrAgain = errors.New("the lock server must begin again")

// Open reads the server's state and takes hold of it. Run does the rest.
func Open(cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w", err)
	}
	for _, dir := range []string{cfg.Dir, filepath.Dir(cfg.Mark)} {
		if fs, ok := store.NetworkFS(dir); ok {
			return nil, fmt.Errorf("cannot use %s: it is on a network file system (%s); state must be on a disk of this host", dir, fs)
		}
	}
	s := &Server{
		Config: cfg, machine: newMachine(cfg.Clock, cfg.Fatal), current: cfg.List, tls: map[string]*tls.Config{},
		self: newSelf(cfg), reloaded: make(chan struct{}, 1), over: make(chan error, 1),
	}
	s.retirement.passes = cfg.Passing && cfg.Private && len(cfg.List) == 1
	s.machine.loose, s.machine.knows, s.machine.saw = cfg.Off.Conditions, cmp.Or(cfg.Knows, lock.Version), cfg.saw
	if cfg.Stall != nil {
		s.self.stall = s.stall
	}
	s.asker = newAsker(s)
	for _, proto := range []string{protoHTTP, protoRaft, protoAsk} {
		config, err := cfg.Key.Client(cfg.Entry, proto)
		if err != nil {
			return nil, err
		}
		s.tls[proto] = config
	}
	if err := s.self.identify(); err != nil {
		return nil, err
	}
	s.http = &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			entry, err := api.EntryOf(addr)
			if err != nil {
				return nil, err
			}
			return s.dialTLS(ctx, entry, protoHTTP)
		},
		MaxIdleConnsPerHost: 100,
		IdleConnTimeout:     time.Minute,
	}}
	return s, nil
}

// Run serves until ctx ends; then it hands leadership over and closes everything.
func (s *Server) Run(ctx context.Context) error {
	listener, err := s.Network.Listen()
	if err != nil {
		return errors.Join(err, s.self.store.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	front, err := newFront(s, listener)
	if err != nil {
		cancel()
		return errors.Join(err, listener.Close(), s.self.store.Close())
	}
	wg.Go(func() { front.serve(ctx) })
	web := s.newHTTP(ctx)
	wg.Go(func() { _ = web.Serve(front.http) }) // ends by Close, with ErrServerClosed
	wg.Go(func() { s.asker.run(ctx) })

	s.Log.Info("lock server ready", "name", s.Entry, "id", s.self.ID, "address", listener.Addr().String())
	err = s.join(ctx)
	if err == nil {
		<-ctx.Done()
	}
	s.leave()
	cancel()
	front.close()
	_ = web.Close()
	s.http.CloseIdleConnections()
	wg.Wait()
	s.Log.Info("lock server ended", "name", s.Entry)
	return errors.Join(err, s.self.store.Close())
}

// join waits until this server is in a cluster, and takes part in it.
func (s *Server) join(ctx context.Context) error {
	if s.self.Cluster == "" {
		if err := s.awaitPlace(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	if s.wasOutrun(ctx) {
		s.outrun()
		return <-s.over
	}
	return s.startRaft(ctx)
}

// Reload makes the server go by a changed lock_servers.
func (s *Server) Reload(list []string) {
	if servers := s.servers(); len(servers) > 0 && !slices.ContainsFunc(servers, func(id string) bool { return slices.Contains(list, entryOf(id)) }) {
		s.Log.Error("lock_servers is not taken up: none of its servers is in this cluster, and they would begin one of their own; change them in two steps",
			"servers", strings.Join(list, " "))
		s.mu.Lock()
		s.refused = slices.Clone(list)
		s.mu.Unlock()
		s.lookAgain()
		return
	}
	s.mu.Lock()
	s.current, s.refused = slices.Clone(list), nil
	hasty := s.raft != nil && s.hasty && len(list) > 1
	s.mu.Unlock()
	s.Log.Info("lock_servers read again", "servers", strings.Join(list, " "))
	s.lookAgain()
	if hasty {
		s.beginAgain("it is to be one of several lock servers")
	}
}

// lookAgain makes this server look at the others now, and not only when it is time to.
func (s *Server) lookAgain() {
	select {
	case s.reloaded <- struct{}{}:
	default:
	}
}

// list is lock_servers.
func (s *Server) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// beginAgain makes Run end with ErrAgain.
func (s *Server) beginAgain(why string) { s.end(fmt.Errorf("%w: %s", ErrAgain, why)) }

// end makes Run end with err.
func (s *Server) end(err error) {
	select {
	case s.over <- err:
	default: // it is about to
	}
}

// leave ends raft, after handing over leadership, so that nobody waits for an election.
func (s *Server) leave() {
	r := s.node()
	if r == nil {
		return
	}
	s.handOver(r)
	if err := r.Shutdown().Error(); err != nil {
		s.Log.Error("raft has ended with an error: what it knew is on disk", "reason", err)
	}
	s.network.CloseStreams()
}

// handOver makes another server the leader: the one that has the longest log or, if that one is gone
// too, any. It does not call raft's own LeadershipTransfer: if leadership is lost at the same time, that
// is sometimes never answered (found by the simulation, seed 58).
func (s *Server) handOver(r *raft.Raft) {
	if r.State() != raft.Leader || s.abrupt != nil && s.abrupt() {
		return
	}
	others := s.ask(context.Background(), unionOf(nil, s.members()))
	var voters []api.Member
	for _, m := range s.members() {
		if m.Voter && others[entryOf(m.ID)].ID == m.ID {
			voters = append(voters, m)
		}
	}
	slices.SortStableFunc(voters, func(a, b api.Member) int {
		return cmp.Compare(others[entryOf(b.ID)].Last, others[entryOf(a.ID)].Last)
	})
	for _, m := range voters {
		if err := s.handTo(m.ID); err != nil {
			s.Log.Info("leadership could not be handed over: the others elect a leader, in a second or two", "to", m.ID, "reason", err)
			continue
		}
		for end := time.Now().Add(raftTimeout); time.Now().Before(end) && r.State() == raft.Leader; {
			time.Sleep(time.Millisecond)
		}
		if r.State() != raft.Leader {
			return
		}
	}
}

// handTo tells the server with that id to stand for election now, and the others to let it.
func (s *Server) handTo(id string) error {
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.self.ID), Addr: []byte(s.self.ID),
	}}
	return s.network.TimeoutNow(raft.ServerID(id), raft.ServerAddress(id), request, &raft.TimeoutNowResponse{})
}

// node is the raft node, nil while the server waits to be in a cluster.
func (s *Server) node() *raft.Raft {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raft
}

// wait notes what the server waits for, and logs it when it changes.
func (s *Server) wait(what string) {
	s.mu.Lock()
	changed := s.waiting != what
	s.waiting = what
	s.mu.Unlock()
	if changed && what != "" {
		s.again(slog.LevelInfo, "waiting "+what, "waiting", "for", what)
	}
}
