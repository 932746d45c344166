package lockserver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/sim/memnet"
	"backtowork/internal/sim/virtual"
)

// A plan is what one simulation does.
type plan struct {
	seed      uint64
	length    time.Duration
	servers   int            // 0: as the seed says
	faults    map[string]int // weights; nil: the usual
	hasty     bool           // all clients renew twice a second
	fencers   bool           // stand-bys power off silent holders; else every second time
	old       bool           // all servers but the first are older at first; else every third time
	scripts   bool           // all nodes but one take locks as scripts do
	bornCut   bool           // the servers do not reach each other when the cluster is to begin
	switched  Off
	offClient lockclient.Off
	offTime   bool
}

// A sim is one simulation: lock servers on real raft, real clients, and faults, in virtual time.
// All that is drawn at random comes from the seed.
type sim struct {
	*history
	plan
	t       *testing.T
	c       *testCluster
	rng     *rand.Rand // of the goroutine that makes the faults
	entries []string   // of all servers that there can be
	servers []*simServer
	list    []string // lock_servers, as they are to be
	nodes   []*simNode
	locks   []string
	counts  map[string]int // faults, by name
	wg      sync.WaitGroup // of faults that go on
	quiet   atomic.Bool    // nothing has been broken for long, and clients take their time
	healed  chan struct{}  // closed when everything is
	lasted  time.Duration
}

// A result is what came of a simulation.
type result struct {
	Seed   uint64
	Hours  float64
	Faults map[string]int
	Grants int
	Lost   int
	Did    map[lock.Kind]int // changes of locks, by kind
	Wrong  string            // "" if nothing is
}

// simulate runs a plan in a bubble of its own.
func simulate(t *testing.T, p plan) result {
	t.Helper()
	dir := memoryDir(t)
	key, err := clusterkey.Create(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	var s *sim
	virtual.Test(t, func(t *testing.T) {
		s = newSim(t, p, &testCluster{t: t, net: memnet.New(), key: key, dir: dir, off: p.switched, logs: logSizes{600, 200}})
		s.run()
	})
	for _, name := range s.locks {
		if why, first := linearizable(s.of(name)); why != "" {
			s.violateAt(first.got, name, "%s: with %s in term %d at the latest", why, first.node, first.term)
		}
	}
	r := result{Seed: p.seed, Hours: s.lasted.Hours(), Faults: s.counts, Grants: len(s.grants), Did: s.did, Wrong: s.report()}
	for _, h := range s.holdings {
		if h.gaveUp.IsZero() {
			r.Lost++
		}
	}
	return r
}

func newSim(t *testing.T, p plan, c *testCluster) *sim {
	s := &sim{
		history: newHistory(), plan: p, t: t, c: c, rng: rand.New(rand.NewPCG(p.seed, 0)), counts: map[string]int{},
		healed: make(chan struct{}),
	}
	sizes := []int{3, 3, 3, 3, 3, 3, 5, 5, 1, 2}
	if p.servers == 0 {
		s.plan.servers = sizes[s.rng.IntN(len(sizes))]
	}
	s.entries = []string{"a", "b", "c", "d", "e", "f"}
	s.list = s.entries[:s.plan.servers]
	if s.plan.servers == 1 {
		c.nodes = s.entries
	}
	for i, entry := range s.entries {
		v := &simServer{sim: s, entry: entry, clock: s.newClock(), list: s.list}
		if (s.old || s.seed%3 == 0) && i > 0 && i < s.plan.servers {
			v.knows = 1
		}
		s.servers = append(s.servers, v)
	}
	for i := range 2 + s.rng.IntN(3) {
		s.locks = append(s.locks, fmt.Sprintf("l%d", i+1))
	}
	s.plan.fencers = s.fencers || s.rng.IntN(2) == 0
	for i := range 3 + s.rng.IntN(4) {
		s.nodes = append(s.nodes, s.newNode(i))
	}
	return s
}

// newClock is a clock that drifts by at most 0.4 %.
func (s *sim) newClock() *simClock {
	return newSimClock(0.996+0.008*s.rng.Float64(), s.offTime)
}

// run lets the clients live through hard times and calm ones, by turns.
func (s *sim) run() {
	if s.bornCut || s.rng.IntN(4) == 0 {
		s.counts["born-cut"]++
		s.halves()
		s.halves()
	}
	for _, v := range s.servers[:s.plan.servers] {
		v.boot()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for _, n := range s.nodes {
		clients.Go(func() { n.live(ctx) })
	}
	working, leave := context.WithCancel(context.Background())
	var office sync.WaitGroup
	office.Go(func() { s.admin(working) })
	time.Sleep(10 * time.Second)
	for time.Since(s.start) < s.length && !s.isWrong() {
		s.hardTimes(s.span(2*time.Minute, 4*time.Minute))
		s.calm(100 * time.Second)
		if s.length >= time.Hour {
			s.quietTimes(36 * time.Minute)
		}
	}
	cancel()
	clients.Wait()
	if !s.isWrong() {
		s.settle()
	}
	leave()
	office.Wait()
	s.lasted = time.Since(s.start)
	for _, v := range s.servers {
		v.end()
	}
	s.wg.Wait()
	s.check()
	time.Sleep(2 * dialLimit) // net/http ends a dial that nobody waits for by its own limit
}

// calm heals everything. From soon after that on nobody may lose a lock, and who waits for one
// that is free must have it.
func (s *sim) calm(length time.Duration) {
	s.heal()
	begin := time.Now()
	s.note("", "everything is healed")
	time.Sleep(length)
	s.check()
	election := 10 * time.Second
	if s.fencers { // one may come after the other
		election += 3 * (simFenceLimit + 6*time.Second)
	}
	s.checkAlive(begin, lock.Times{Timeout: 20 * time.Second, Stop: 10 * time.Second}.Silence(), election)
	s.checkKept(begin.Add(40 * time.Second))
	if len(s.list) >= 3 && !within(10*time.Second, s.sound) {
		s.violate("", "long after all was healed the voters are not the servers of the list, %v:%s", s.list, s.statuses())
	}
	s.isMixed(!s.knowAll())
}

// knowAll says whether no server is an older one. Then, long after all was healed, each that runs must know
// that of all.
func (s *sim) knowAll() bool {
	for _, v := range s.servers {
		if v.version() != 0 && slices.Contains(s.list, v.entry) {
			return false
		}
	}
	for _, v := range s.servers {
		if t := v.server(); t != nil && t.node() != nil && slices.Contains(s.list, v.entry) && t.known() != lock.Version {
			s.violate("", "long after all was healed %s does not know what the others know", v.entry)
		}
	}
	return true
}

// quietTimes is when only clients do something, now and then.
func (s *sim) quietTimes(length time.Duration) {
	begin := time.Now()
	s.quiet.Store(true)
	s.c.net.SetDelay(0) // cheaper
	time.Sleep(length)
	s.c.net.SetDelay(time.Millisecond)
	s.quiet.Store(false)
	s.check()
	s.checkKept(begin)
}

// settle is the end: all servers have the same table, and every lock can be had.
func (s *sim) settle() {
	same := within(30*time.Second, func() bool { return len(s.tables()) == 1 })
	if !same {
		s.violate("", "the servers' tables differ at the end: %q", s.tables())
	}
	client := s.c.client("last", s.entries...)
	defer client.Close()
	session := lockclient.NewSession(client, "last", lockclient.NewFiles(filepath.Join(s.c.dir, "last")))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, name := range s.locks {
		h, err := session.Acquire(ctx, lockclient.Wish{Name: name, Times: testTimes, Pace: time.Second})
		if err != nil {
			s.violate(name, "it could not be had at the end, with all well: %v", err)
			continue
		}
		_ = h.Release(ctx)
	}
}

// statuses is what the servers say of themselves.
func (s *sim) statuses() (text string) {
	for _, v := range s.servers {
		if t := v.server(); t != nil {
			status := t.status()
			text += fmt.Sprintf("\n%s is %s, is %s in term %d, waits for %q, knows %v of %s", v.entry, status.ID, status.Role, status.Term,
				status.Waiting, status.Servers, status.Cluster)
		}
	}
	return text
}

// tables is the different tables that the servers have.
func (s *sim) tables() map[string][]string {
	all := map[string][]string{}
	for _, v := range s.servers {
		t := v.server()
		if t == nil || t.node() == nil {
			continue
		}
		t.machine.mu.Lock()
		b, err := t.machine.table.Snapshot()
		t.machine.mu.Unlock()
		if err != nil {
			s.violate("", "%s: %v", v.entry, err)
		}
		all[string(b)] = append(all[string(b)], v.entry)
	}
	return all
}
