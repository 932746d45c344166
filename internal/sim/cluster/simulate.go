// Package cluster is a whole cluster in virtual time: nodes with their managers and deadmen, lock
// servers on real raft, package scripts that fail, hang and lie, and faults of all kinds. All that
// decides is the real code; only what it acts on, processes and the network, is in memory. Each
// node has a clock of its own rate.
//
//	node:  manager --- socket --- deadman     server: lockserver on raft
//	          \                     /            |
//	           scripts: the world  /          memnet
//
// The checks look at what the parts do, not at what they say. At each change of what runs anywhere
// the rules of check.go must hold; if not, the run ends, with a timeline of what came before.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/lockserver"
	"backtowork/internal/manager"
	"backtowork/internal/sim/memnet"
)

// A Plan is what one simulation does. Where a field is zero the seed decides.
type Plan struct {
	Seed       uint64
	Dir        string        // for the files of lock servers; "" is the system's, in memory where there is a place
	Length     time.Duration // of virtual time
	Nodes      int           // 2 to 5
	Servers    int           // 1, 3 or 5
	Params     []failover.Params
	Name       string         // of the first package
	Faults     map[string]int // weights, by name; nil: the usual
	BothKilled bool           // manager and deadman are killed at once: two may be alive (SAFETY.md, what remains)
	Tough      bool           // some processes cannot be killed for a while
	Fixed      bool           // Params stay as they are
	Together   bool           // the lock servers are on the nodes, as far as there are nodes
	Nested     bool           // the first package starts the second
	Alone      bool           // each fault comes alone and is measured, beside those of hard times
	Off        Off
	Trace      func(line string) `json:"-"` // is told each event at once; may be nil
}

// Off switches rules off, to show that the checks notice it.
type Off struct {
	Servers  lockserver.Off
	Adoption bool // rule 18: a manager that takes another's place goes on in its session and term (in its session alone it could: terms are enough)
	KillEnd  bool // rule 3: K counts from when the stop began
	LetLive  bool // rule 15: what is alive counts for nothing when the lock is released
	Deadman  bool // rule 17: the deadman does nothing
	Silence  bool // rule 17: the deadman does not mind a silent manager
	Release  bool // rule 17: the lock is given back, and the deadman hears of it afterwards
	Word     bool // rule 17: nobody waits until the deadman knows of the lock
	Smaller  bool // rule 20: a smaller T binds when the servers know it, not before
	Name     bool // rule 4: a manager that takes over uses the host's name of now
	Unkilled bool // rule 18: what an earlier manager has begun goes on
	Previous bool // rule 18: after an adoption the manager names its own node as the previous one
	Strict   bool // rule 18: a manager that takes over refuses parameters that became bad
	NotRun   bool // rule 15: a script that could not be run counts as critical
	Standing bool // rule 15: what was set up by earlier parameters is left
	Aside    bool // rule 17: managers and deadmen stay in the cgroup of who started them
}

// A Package is one that the cluster runs. The simulation's mu guards it.
type Package struct {
	Name   string
	Params failover.Params
	s      *Simulation
	worlds []*world

	up      bool
	fault   string // the last fault that was made
	cause   string // why it is down
	since   time.Time
	longest time.Duration    // the longest time that it was up nowhere, since the last fault that came alone
	blocked bool             // since that fault its lock was blocked
	told    uint64           // the highest term of a lock of which only a deadman knew
	armed   bool             // the next manager that starts it is to stand still
	slow    bool             // its next release is to be slow, and the manager killed meanwhile
	killed  bool             // the manager of the next start is to be killed while the script runs
	wrong   bool             // a parameter cannot be used now
	bare    bool             // its service has nothing of ours in its environment
	vip     string           // its address
	child   *Package         // the package that its start script starts; nil for none
	grants  map[uint64]grant // grants of its lock, without adoptions, by term
}

// A Simulation is one run.
type Simulation struct {
	Plan
	dir      string
	key      *clusterkey.Key
	net      *memnet.Net
	rng      *rand.Rand // of the goroutine that makes the faults
	grouped  bool       // one process of back-to-work runs all packages of a node
	servers  []*server  // of lock_servers, as an admin wants it; changed with mu held
	former   []*server  // servers that were replaced
	replaced time.Time  // the last one
	nodes    []*node
	packages []*Package
	admin    *lockclient.Client
	begin    time.Time
	wg       sync.WaitGroup // of processes, and of faults that go on
	wrong    chan struct{}  // closed when something is
	over     atomic.Bool    // no node is booted any more, and nothing is done later

	mu     sync.Mutex
	odds   float64 // how likely it is that a script does something wrong
	pids   int
	healed chan struct{} // closed, and made anew, when all is healed
	events []event
	result Result
}

// run runs a plan, with its files in dir, in a bubble of virtual time.
func run(p Plan, dir string) (Result, error) {
	key, err := clusterkey.Create(filepath.Join(dir, "key"))
	if err != nil {
		return Result{}, err
	}
	s := &Simulation{
		Plan: p, dir: dir, key: key, net: memnet.New(), rng: rand.New(rand.NewPCG(p.Seed, 0)), begin: time.Now(),
		wrong: make(chan struct{}), healed: make(chan struct{}),
		result: newResult(p.Seed),
	}
	s.build()
	s.run()
	s.result.Hours = time.Since(s.begin).Hours()
	return s.result, nil
}

// pick is one of some, as the seed says.
func pick[T any](s *Simulation, of ...T) T { return of[s.rng.IntN(len(of))] }

// build makes the cluster.
func (s *Simulation) build() {
	nodes, servers := pick(s, 2, 2, 3, 3, 4, 5), pick(s, 1, 1, 3, 3, 3, 3, 3, 5)
	if s.Nodes == 0 {
		s.Nodes = nodes
	}
	if s.Servers == 0 {
		s.Servers = servers
	}
	if s.Params == nil {
		for range pick(s, 1, 1, 2) {
			s.Params = append(s.Params, s.someParams())
		}
	}
	if s.Nested && len(s.Params) < 2 {
		s.Params = append(s.Params, s.someParams())
	}
	s.grouped = s.rng.IntN(2) == 0 && !s.Nested
	for i, params := range s.Params {
		name := fmt.Sprintf("p%d", i+1)
		if i == 0 && s.Name != "" {
			name = s.Name
		}
		s.packages = append(s.packages, &Package{Name: name, Params: params, s: s, since: time.Now(), bare: s.rng.IntN(3) == 0, vip: addresses[0]})
	}
	if len(s.packages) > 1 && !s.grouped {
		s.packages[0].child = s.packages[1]
	}
	for i := range s.Nodes {
		s.nodes = append(s.nodes, s.newNode(fmt.Sprintf("n%d", i+1)))
	}
	apart := s.rng.IntN(3) == 0 && !s.Together
	for i := range s.Servers {
		v := &server{s: s, entry: fmt.Sprintf("s%d", i+1), clock: lease.Scaled(s.rate())}
		if i < len(s.nodes) && !apart {
			v.on, s.nodes[i].server = s.nodes[i], v
		}
		s.servers = append(s.servers, v)
	}
	for _, v := range s.servers {
		v.list = s.entries()
	}
	config, err := s.key.Client("admin", "http/1.1")
	if err != nil {
		s.violate(nil, "cannot make a certificate: %v", err)
	}
	s.admin = lockclient.NewClient(lockclient.Config{
		Servers: s.clients(), TLS: config, Clock: lease.Scaled(1), Log: slog.New(slog.DiscardHandler), Host: "admin", Dial: s.net.On("admin").Dial,
	})
}

// someParams are parameters that give an hour many changes of node.
func (s *Simulation) someParams() failover.Params {
	second := func(of ...int) time.Duration { return time.Duration(pick(s, of...)) * time.Second }
	p := failover.Params{
		Pace: second(2, 4, 4, 6), Timeout: second(8, 10, 12, 20), StartTimeout: second(10, 20), StopTimeout: second(4, 6, 8, 12),
		Adopt: true, KillLeftovers: true,
	}
	p.Retries = 3 - int(p.Pace/(2*time.Second)) // 2, 1 or none
	if s.rng.IntN(4) == 0 {
		p.Fence, p.FenceTimeout, p.FenceRequired = "power", second(5, 10), s.rng.IntN(3) == 0
	}
	return p
}

func (s *Simulation) span(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// sleep sleeps, unless something is wrong.
func (s *Simulation) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.wrong:
	}
}

// later does f after a while, or at the latest when everything is healed. The caller may hold s.mu.
func (s *Simulation) later(d time.Duration, f func()) {
	healed := s.healed
	if s.over.Load() {
		return
	}
	s.wg.Go(func() {
		select {
		case <-time.After(d):
		case <-healed:
		}
		f()
	})
}

// unblock is an admin who sees that a lock is blocked, mends what is wrong there, and says so.
func (s *Simulation) unblock() {
	locks := s.locks()
	for _, p := range s.packages {
		k := locks[p.Name].Lock
		for _, n := range s.nodes {
			if k.Blocked == "" || !n.isCalled(k.Node) {
				continue
			}
			j := n.jobs[p.Name]
			s.mu.Lock()
			j.clean()
			its := j.manages() && j.by == j.pid && j.session == k.Session // if not, an earlier manager left it blocked
			s.noteLocked(p, "the admin unblocks %s", n.name)
			s.mu.Unlock()
			if its {
				s.tell(j, string(failover.Look), "")
				continue
			}
			_, _ = s.admin.Unblock(context.Background(), p.Name, k.Term, k.Session, k.Node) // by the name that the host had then; else the next time
		}
	}
}

// finish halts everything, and waits until it has ended.
func (s *Simulation) finish() {
	s.heal()
	begin := time.Now()
	for range 2 {
		for _, n := range s.nodes {
			for _, j := range n.jobs {
				s.halt(j)
			}
		}
		time.Sleep(5 * time.Second) // a manager that a deadman was just starting is asked the second time
	}
	const bound = 2 * time.Minute
	for s.running() > 0 && !s.isWrong() {
		if time.Since(begin) > bound {
			s.violate(nil, "%v after TERM %d processes run", bound, s.running())
		}
		s.unblock()
		time.Sleep(time.Second)
	}
	s.over.Store(true)
	for _, n := range s.nodes {
		n.crash()
	}
	for _, v := range slices.Concat(s.servers, s.former) {
		v.end()
	}
	s.wg.Wait()
	s.admin.Close()
	const dialLimit = 10 * time.Second
	time.Sleep(2 * dialLimit) // net/http ends a dial that nobody waits for by its own limit
}

// running is how many managers and deadmen there are.
func (s *Simulation) running() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range s.nodes {
		for _, p := range node.processes {
			if p.alive() {
				n++
			}
		}
	}
	return n
}

// halt is service stop.
func (s *Simulation) halt(j *job) {
	s.mu.Lock()
	j.adopted, j.halted = false, true
	s.mu.Unlock()
	s.tell(j, manager.Halt, "")
}
