package lockserver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/sim/memnet"
	"backtowork/internal/sim/virtual"
)

// A testCluster is lock servers on real raft and real disks, in virtual time over a memnet.Net.
type testCluster struct {
	t     *testing.T
	net   *memnet.Net
	list  []string
	key   *clusterkey.Key
	dir   string
	off   Off
	logs  logSizes
	hosts map[string]*testServer
	knows map[string]int // by entry: servers that are older
	nodes []string       // of cluster_nodes
	log   func(entry string) slog.Handler
}

type testServer struct {
	*Server
	cancel  context.CancelFunc
	done    chan error
	crashes atomic.Bool // it ends without handing over
	mu      sync.Mutex
	fatals  []error
}

// fatal notes why the process would end, and ends the goroutine that is to blame.
func (s *testServer) fatal(err error) {
	s.mu.Lock()
	s.fatals = append(s.fatals, err)
	s.mu.Unlock()
	runtime.Goexit()
}

func (s *testServer) died() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.fatals)
}

// inCluster runs test on servers called list, with the rules in off switched off, in a bubble
// of virtual time.
func inCluster(t *testing.T, switched Off, list []string, test func(*testing.T, *testCluster)) {
	t.Helper()
	key, err := clusterkey.Create(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := memoryDir(t)
	virtual.Test(t, func(t *testing.T) {
		c := &testCluster{t, memnet.New(), list, key, dir, switched, logSizes{}, map[string]*testServer{}, map[string]int{}, nil, nil}
		for _, entry := range list {
			c.start(entry)
		}
		defer func() {
			for _, entry := range list {
				c.stop(entry)
			}
			time.Sleep(2 * dialLimit) // net/http ends a dial that nobody waits for by its own limit
		}()
		test(t, c)
	})
}

func (c *testCluster) stateDir(entry string) string { return filepath.Join(c.dir, entry, "state") }

func (c *testCluster) config(entry string, s *testServer) Config {
	var to slog.Handler = slog.DiscardHandler
	if testing.Verbose() {
		to = slog.NewTextHandler(os.Stderr, nil).WithAttrs([]slog.Attr{slog.String("on", entry)})
	}
	if c.log != nil {
		to = c.log(entry)
	}
	return Config{
		Entry: entry, List: c.list, Nodes: func() []string { return c.nodes }, Dir: c.stateDir(entry), Mark: filepath.Join(c.dir, entry, "mark"),
		Version: "test", Key: c.key, Network: c.net.On(entry), Clock: lease.Scaled(1),
		Log: slog.New(to), Fatal: s.fatal,
		Trial: Trial{Off: c.off, Knows: c.knows[entry], logs: c.logs, abrupt: s.crashes.Load},
	}
}

// start starts, or restarts, a server.
func (c *testCluster) start(entry string) {
	c.t.Helper()
	s := &testServer{done: make(chan error, 1)}
	server, err := Open(c.config(entry, s))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.Server, s.cancel = server, cancel
	c.hosts[entry] = s
	go func() { s.done <- server.Run(ctx) }()
}

// stop ends a server in good order.
func (c *testCluster) stop(entry string) {
	c.t.Helper()
	s := c.hosts[entry]
	if s == nil {
		return
	}
	s.cancel()
	if err := <-s.done; err != nil && len(s.died()) == 0 {
		c.t.Errorf("%s ended with %v", entry, err)
	}
	delete(c.hosts, entry)
}

// unmake makes a server that does not run one that never was in a cluster.
func (c *testCluster) unmake(entry string) error {
	return errors.Join(os.RemoveAll(c.stateDir(entry)), os.RemoveAll(c.config(entry, &testServer{}).Mark))
}

// crash ends a server without a word to the others.
func (c *testCluster) crash(entry string) {
	c.net.Isolate(entry, c.others(entry), true)
	c.net.Crash(entry)
	c.hosts[entry].crashes.Store(true)
	c.stop(entry)
	c.net.Isolate(entry, c.others(entry), false)
}

func (c *testCluster) others(entry string) []string {
	return slices.DeleteFunc(slices.Clone(c.list), func(e string) bool { return e == entry })
}

// eventually waits, in virtual time, until ok.
func (c *testCluster) eventually(limit time.Duration, what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// leader waits for an open leader among the servers that run, those in not left out.
func (c *testCluster) leader(not ...string) string {
	c.t.Helper()
	var leader string
	c.eventually(20*time.Second, "a leader", func() bool {
		for entry, s := range c.hosts {
			if !slices.Contains(not, entry) && s.status().Open {
				leader = entry
			}
		}
		return leader != ""
	})
	return leader
}

// client is a client on host, which may be one of the servers' hosts.
func (c *testCluster) client(host string, servers ...string) *lockclient.Client {
	if len(servers) == 0 {
		servers = c.list
	}
	tls, err := c.key.Client(host, protoHTTP)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := lockclient.Config{TLS: tls, Clock: lease.Scaled(1), Log: slog.New(slog.DiscardHandler), Dial: c.net.On(host).Dial}
	for _, entry := range servers {
		cfg.Servers = append(cfg.Servers, lockclient.Server{Entry: entry, Addr: entry})
	}
	return lockclient.NewClient(cfg)
}

// A holder is a session that runs.
type holder struct {
	*lockclient.Session
	client *lockclient.Client
	stop   func()
}

func (c *testCluster) session(host string, servers ...string) *holder {
	return c.sessionOf(host, c.client(host, servers...), filepath.Join(memoryDir(c.t), host))
}

// sessionOf is a session of node whose disk is at dir.
func (c *testCluster) sessionOf(node string, client *lockclient.Client, dir string) *holder {
	s := lockclient.NewSession(client, node, lockclient.NewFiles(dir))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.Run(ctx)
		close(done)
	}()
	return &holder{s, client, func() {
		cancel()
		<-done
		client.Close()
	}}
}

// keep turns the holder's loop for it until stop is called.
func keep(h *lockclient.Held) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			h.Turn()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func isLost(h *lockclient.Held) bool {
	select {
	case <-h.Lost():
		return true
	default:
		return false
	}
}

var testTimes = lock.Times{Timeout: 10 * time.Second, Stop: 5 * time.Second}

func wish(name string) lockclient.Wish {
	return lockclient.Wish{Name: name, Times: testTimes, Pace: 2 * time.Second}
}

var three = []string{"a", "b", "c"}

func TestBirthAndHandOver(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		first, second := c.session("a"), c.session("b")
		defer first.stop()
		defer second.stop()
		h, err := first.Acquire(t.Context(), wish("p"))
		if err != nil || h.Term != 1 {
			t.Fatalf("Acquire = %+v, %v", h, err)
		}
		defer keep(h)()
		time.Sleep(time.Minute)
		if isLost(h) {
			t.Fatal("a lock that is renewed was lost")
		}
		got := make(chan time.Time, 1)
		go func() {
			h, err := second.Acquire(t.Context(), wish("p"))
			if err != nil || h.Term != 2 || h.Previous != "a" {
				t.Errorf("second Acquire = %+v, %v", h, err)
			}
			got <- time.Now()
		}()
		time.Sleep(30 * time.Second)
		begin := time.Now()
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := (<-got).Sub(begin); took > 100*time.Millisecond {
			t.Errorf("the stand-by had the lock %v after the release", took)
		}
	})
}

// The lease of a holder that is cut off ends on its side before the servers give it away, and
// they do so within T + S + m of the last request that they acknowledged.
func TestHolderCutOff(t *testing.T) {
	inCluster(t, Off{}, []string{"a", "b", "c"}, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		holder, standby := c.session("x"), c.session("y")
		defer holder.stop()
		defer standby.stop()
		h, err := holder.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		_ = leader
		time.Sleep(20 * time.Second)
		c.net.Isolate("x", c.list, true)
		cut := time.Now()
		got := make(chan time.Time, 1)
		go func() {
			if _, err := standby.Acquire(t.Context(), wish("p")); err != nil {
				t.Error(err)
			}
			got <- time.Now()
		}()
		<-h.Lost()
		if after := time.Since(cut); after < 7*time.Second || after > testTimes.Timeout {
			t.Errorf("the holder lost its lock %v after the cut, want at most T", after)
		}
		_, kill := h.Ends()
		killIn := kill.Left(holder.client.Clock.Now())
		killAt := time.Now().Add(killIn)
		at := <-got
		if at.Before(killAt.Add(500 * time.Millisecond)) {
			t.Errorf("granted %v before the kill end and margin", killAt.Sub(at))
		}
		if after := at.Sub(cut); after > testTimes.Silence()+time.Second {
			t.Errorf("granted %v after the cut, want at most T+S+m", after)
		}
		c.net.Isolate("x", c.list, false)
	})
}

// A new leader gives every holder its full time, and a leader's crash costs the holder nothing.
func TestLeaderCrash(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		first, second := c.session("x"), c.session("y")
		defer first.stop()
		defer second.stop()
		h, err := first.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		for range 3 {
			time.Sleep(10 * time.Second)
			leader := c.leader()
			c.crash(leader)
			c.leader()
			time.Sleep(5 * time.Second)
			if isLost(h) {
				t.Fatal("the lock was lost with the leader")
			}
			c.start(leader)
		}
		// Now the holder goes with the leader: the next holder waits from the new leader's open.
		leader := c.leader()
		c.net.Isolate("x", c.list, true)
		c.crash(leader)
		c.leader()
		opened := time.Now()
		if _, err := second.Acquire(t.Context(), wish("p")); err != nil {
			t.Fatal(err)
		}
		took := time.Since(opened)
		if took < testTimes.Silence()-time.Second || took > testTimes.Silence()+time.Second {
			t.Errorf("granted %v after the new leader opened, want %v", took, testTimes.Silence())
		}
		c.net.Isolate("x", c.list, false)
	})
}

// With one of three servers nobody gets or keeps a lock.
func TestNoMajority(t *testing.T) {
	inCluster(t, Off{}, three, func(t *testing.T, c *testCluster) {
		s := c.session("x")
		defer s.stop()
		h, err := s.Acquire(t.Context(), wish("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer keep(h)()
		leader := c.leader()
		for _, entry := range c.others(leader) {
			c.crash(entry)
		}
		begin := time.Now()
		<-h.Lost()
		if after := time.Since(begin); after > testTimes.Timeout {
			t.Errorf("lost %v after the majority, want at most T", after)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if h, err := s.Acquire(ctx, wish("p")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire without a majority = %v, %v", h, err)
		}
	})
}

// state is a lock as this server sees it.
func (s *Server) state(name string) api.State {
	m := s.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.table.Get(name)
	return api.State{Lock: k, Left: m.leases.Left(name, k, s.Clock.Now()).Milliseconds()}
}
