package cluster

import (
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"backtowork/internal/lease"
)

// A node is a host that runs packages. The simulation's mu guards it.
type node struct {
	s      *Simulation
	name   string
	rate   float64 // of its clock
	clock  lease.Clock
	boot   int // how often it was booted
	up     bool
	full   bool          // no process can be made
	flow   chan struct{} // open while the whole host stands still, else closed
	thaw   time.Time     // when it last went on
	tls    *tls.Config
	locks  *disk           // what it knows of locks
	jobs   map[string]*job // by package
	called string          // what the host is called now; name is what the network knows
	server *server         // nil for none

	processes map[int]*process // that live, and some dead
}

// process is a new process of the node.
func (n *node) process(name string) *process {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.pids++
	p := newProcess(fmt.Sprintf("%s %d", name, n.s.pids), n.s.pids)
	p.node = n.called
	maps.DeleteFunc(n.processes, func(_ int, p *process) bool { return !p.alive() })
	n.processes[p.pid] = p
	if !isClosed(n.flow) {
		p.pause()
	}
	return p
}

func (s *Simulation) newNode(name string) *node {
	n := &node{
		s: s, name: name, called: name, rate: s.rate(), flow: make(chan struct{}), jobs: map[string]*job{}, processes: map[int]*process{},
		locks: newDisk(),
	}
	close(n.flow)
	config, err := s.key.Client(name, "http/1.1")
	if err != nil {
		s.violate(nil, "cannot make a certificate: %v", err)
	}
	n.tls = config
	for i, p := range s.packages {
		w := &world{s: s, node: n, pkg: p, changed: make(chan struct{}), rng: rand.New(rand.NewPCG(s.Seed, uint64(len(s.nodes)*100+i+7)))}
		n.jobs[p.Name] = &job{world: w, disk: newDisk()}
		p.worlds = append(p.worlds, w)
	}
	return n
}

// rate is that of a clock: the nodes' differ by less than 1 %.
func (s *Simulation) rate() float64 { return 0.9955 + 0.009*s.rng.Float64() }

// start boots a node that is off, and what runs on it.
func (n *node) start() {
	n.s.mu.Lock()
	was := n.up || n.s.over.Load()
	if !was {
		n.up, n.clock = true, lease.Scaled(n.rate)
		n.boot++
	}
	n.s.mu.Unlock()
	if was {
		return
	}
	n.s.net.Power(n.name)
	n.s.note(nil, "%s boots", n.name)
	time.Sleep(time.Second)
	if !n.s.isUp(n) {
		return // it crashed again
	}
	if n.server != nil {
		n.server.boot()
	}
	n.startAll()
}

// startAll starts a manager of each package that has none, or one of all of them.
func (n *node) startAll() {
	var idle []*job
	for _, p := range n.s.packages {
		j := n.jobs[p.Name]
		n.s.mu.Lock()
		if n.up && (j.pid == nil || !j.pid.alive()) && (j.deadman == nil || !j.deadman.alive()) {
			idle = append(idle, j)
		}
		n.s.mu.Unlock()
	}
	if n.s.grouped && len(idle) > 0 {
		n.startManager(n.process("manager"), begun{jobs: idle})
		return
	}
	for _, j := range idle {
		p := n.process("manager")
		n.s.mu.Lock()
		for _, parent := range n.s.packages { // a nested package is started by its parent's script, if the parent runs
			if w := n.jobs[parent.Name].world; parent.child == j.pkg && w.up() {
				p.in = w
			}
		}
		n.s.mu.Unlock()
		n.startManager(p, begun{jobs: []*job{j}})
	}
}

// crash ends all that runs on the node, without a word.
func (n *node) crash() {
	n.s.mu.Lock()
	n.up, n.full = false, false
	for _, p := range n.processes {
		p.kill()
	}
	clear(n.processes)
	for _, j := range n.jobs {
		j.pid, j.deadman, j.ask = nil, nil, nil
		j.disk.reboot()
		j.crash()
	}
	if !isClosed(n.flow) {
		close(n.flow)
	}
	n.s.mu.Unlock()
	n.s.net.PowerOff(n.name, true)
	if n.server != nil {
		n.server.crash(true)
	}
}

// freeze makes the whole host stand still, or go on.
func (n *node) freeze(still bool) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	switch {
	case still && n.up && isClosed(n.flow):
		n.flow = make(chan struct{})
	case !still && !isClosed(n.flow):
		close(n.flow)
		n.thaw = time.Now()
		time.AfterFunc(thawTime, n.check)
	default:
		return
	}
	for _, p := range n.processes {
		if still {
			p.pause()
		} else {
			p.resume()
		}
	}
}

// check looks at what runs on the node.
func (n *node) check() {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, j := range n.jobs {
		j.check()
	}
}

// thawed is closed unless the host stands still.
func (n *node) thawed() <-chan struct{} {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return n.flow
}

// bootID is what tells this run of the host from others.
func (n *node) bootID() string {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return fmt.Sprintf("%s %d", n.name, n.boot)
}

// isCalled says whether the host is called so, or was.
func (n *node) isCalled(name string) bool { return n.name == name || name == n.name+renamed }

// renamed ends the other name of a host.
const renamed = "-new"

// startChild is a start script that starts another package. The caller holds s.mu.
func (w *world) startChild() {
	if w.pkg.child == nil {
		return
	}
	j := w.node.jobs[w.pkg.child.Name]
	if (j.pid == nil || !j.pid.alive()) && (j.deadman == nil || !j.deadman.alive()) {
		w.s.wg.Go(func() {
			p := w.node.process("manager, of a start")
			w.s.mu.Lock()
			p.in = w
			w.s.mu.Unlock()
			w.node.startManager(p, begun{jobs: []*job{j}})
		})
	}
}
