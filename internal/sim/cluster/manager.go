package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
	"backtowork/internal/notes"
)

// A job is a package on a node, as its directory lockdir_P has it. The simulation's mu guards it.
type job struct {
	*world
	disk    *disk
	pid     *process                             // holds the manager's flock; it may be dead
	deadman *process                             // holds the deadman's flock
	ask     func(manager.Request) manager.Answer // how to ask its manager; nil if there is none
	since   time.Time

	session string // of the last manager that had the lock; by is its process
	by      *process
	halted  bool // it was asked to halt
}

// version is that of the program that all processes run which were not upgraded.
const version = "simulated"

// A begun is how a process of back-to-work was begun.
type begun struct {
	jobs         []*job
	with         net.Conn      // the deadman from which it takes over; nil for none
	after        time.Duration // how long it takes until it does anything
	afterDeadman bool
	version      string // "" is the usual
}

// common is what a process acts on.
func (n *node) common(p *process, version string) manager.Common {
	return manager.Common{
		Node: p.node, Version: version, PID: p.pid, Boot: n.bootID(), Clock: clock{n.clock, p}, Log: slog.New(slog.DiscardHandler),
		Say:  func(line journal.Line) { n.s.note(nil, "%s: %s: %s", n.name, p.name, line.Words()) },
		Dirs: dirs{n, p},
		Scripts: func(name, mark string, also []string, _ bool) (manager.Scripts, error) {
			if !p.acts() {
				return nil, errDead
			}
			return hands{n.jobs[name].world, p, n.reach(p, mark, also)}, nil
		},
		Reset: func() (func(), error) { return func() { n.reset(p) }, nil },
		Aside: func() error {
			n.s.aside(p)
			return nil
		},
		Killer: func(pid int) func() { return n.killer(p, pid) },
	}
}

// startManager starts the process p, a back-to-work, on the node; b says how.
func (n *node) startManager(p *process, b begun) {
	n.s.wg.Go(func() {
		defer p.kill()
		select {
		case <-time.After(b.after):
		case <-p.ctx.Done():
			return
		}
		var names []string
		for _, j := range b.jobs {
			names = append(names, j.pkg.Name)
			if b.with == nil {
				n.s.mu.Lock()
				j.halted = false
				n.s.mu.Unlock()
			}
		}
		cfg := n.config(p, b)
		g, err := manager.New(p.ctx, cfg, names)
		if err == nil {
			err = g.Run(p.ctx, p.signals)
		}
		if p.alive() && err != nil && !errors.Is(err, manager.ErrStopFailed) && !errors.Is(err, manager.ErrNotBegun) && !errors.Is(err, errDisk) {
			n.s.note(nil, "%s: %s: error: %v", n.name, p.name, err)
			if g != nil {
				n.s.violate(nil, "%s: %s ended with an error: %v", n.name, p.name, err)
			}
		}
		n.s.note(nil, "%s: %s ends", n.name, p.name)
	})
}

func (n *node) config(p *process, b begun) manager.Config {
	if b.version == "" {
		b.version = version
	}
	cfg := manager.Config{
		Common: n.common(p, b.version), AfterDeadman: b.afterDeadman, Spawn: func() (io.ReadWriteCloser, func(), error) { return n.spawn(p, b.version) },
		Ready: func(context.Context, bool) error { return nil }, Session: func() (*lockclient.Session, error) { return n.session(p), nil },
		Output: func(name string) (journal.Log, func(), error) {
			return func(line journal.Line) { n.s.note(n.jobs[name].pkg, "%s: %s: %s", n.name, p.name, line.Words()) }, func() {}, nil
		},
		Beside: func(ctx context.Context, c *lockclient.Client, _ *manager.Group) { n.beside(ctx, p, c) },
		Become: func(path string) (func(io.ReadWriteCloser, []string) error, error) { return n.become(p, path) },
		Seen: manager.Seen{Strict: n.s.Off.Strict, Locker: func(name string, l *manager.Locker) failover.Locker {
			return &locker{l, n.jobs[name], p}
		}},
	}
	if b.with != nil {
		cfg.Earlier = b.with
	}
	return cfg
}

// session is one of the process.
func (n *node) session(p *process) *lockclient.Session {
	client := lockclient.NewClient(lockclient.Config{
		Servers: n.s.clients(), TLS: n.tls, Clock: clock{n.clock, p}, Log: slog.New(slog.DiscardHandler), Host: n.name,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if !p.acts() {
				return nil, errDead
			}
			c, err := n.s.net.On(n.name).Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return p.own(c), nil
		},
	})
	return lockclient.NewSession(client, p.node, lockclient.FilesOn(notes.On(files{n.locks, p})))
}

// beside follows lock_servers.
func (n *node) beside(ctx context.Context, p *process, c *lockclient.Client) {
	defer c.Close()
	for every := time.Tick(time.Minute); ; {
		select {
		case <-every:
		case <-ctx.Done():
			return
		}
		if p.acts() {
			c.SetServers(n.s.clients())
		}
	}
}

// killer returns a function that kills process pid of the node, whatever program that process has
// become.
func (n *node) killer(by *process, pid int) func() {
	return func() {
		if !by.acts() {
			return
		}
		n.s.mu.Lock()
		p := n.processes[pid]
		n.s.mu.Unlock()
		if p != nil {
			p.kill()
		}
	}
}

// become acts as an exec: another program runs in the same process, and has only one connection of
// the first.
func (n *node) become(p *process, path string) (func(io.ReadWriteCloser, []string) error, error) {
	return func(to io.ReadWriteCloser, packages []string) error {
		if !p.acts() {
			return errDead
		}
		b := begun{version: path, after: 10 * time.Millisecond}
		for _, name := range packages {
			b.jobs = append(b.jobs, n.jobs[name])
		}
		p2 := newProcess(p.name+", upgraded", p.pid)
		p2.node = n.s.heir(n, p)
		b.with = p.hand(to.(*gated), p2)
		n.s.mu.Lock()
		gone := !n.up || !p.alive()
		if !gone {
			n.processes[p.pid] = p2
			if !isClosed(n.flow) {
				p2.pause()
			}
			n.s.count(nil, "upgraded")
		}
		n.s.mu.Unlock()
		p.kill()
		if gone {
			p2.kill()
			return errDead
		}
		n.startManager(p2, b)
		return errDead
	}, nil
}

// heir returns the name under which a successor of p, or its deadman, knows the host.
func (s *Simulation) heir(n *node, p *process) string {
	if s.Off.Name {
		s.mu.Lock()
		defer s.mu.Unlock()
		return n.called
	}
	return p.node
}

// spawn starts a deadman for the manager p.
func (n *node) spawn(p *process, version string) (io.ReadWriteCloser, func(), error) {
	if !p.acts() {
		return nil, nil, errDead
	}
	d := n.process("deadman")
	d.node = n.s.heir(n, p)
	n.s.inherit(p, d)
	ours, theirs := socketPair()
	conn, to := d.own(theirs), p.own(ours)
	if n.s.Off.Word {
		to = p.own(n.s.lagging(ours))
	}
	n.s.wg.Go(func() {
		defer d.kill()
		n.s.aside(d)
		_ = manager.RunDeadman(d.ctx, n.deadman(d, version), conn)
	})
	return to, func() {
		if p.acts() {
			d.kill()
		}
	}, nil
}

// deadman is what a deadman acts on.
func (n *node) deadman(d *process, version string) manager.DeadmanConfig {
	cfg := manager.DeadmanConfig{
		Common: n.common(d, version), Prepare: func() error { return nil },
		Revive: func(packages []string) (io.ReadWriteCloser, func(), error) { return n.revive(d, version, packages) },
		Seen:   func(w *deadman.Word) { n.stopsBy(w) },
		Begin: func(name string) error {
			if !n.deadmanActs(d) {
				return errDead
			}
			n.startManager(n.process("manager, begun by the deadman"), begun{
				jobs: []*job{n.jobs[name]}, after: n.moment(name), afterDeadman: true, version: version,
			})
			return nil
		},
	}
	cfg.Scripts = func(name, mark string, also []string, _ bool) (manager.Scripts, error) {
		return deadmanHands{hands{n.jobs[name].world, d, n.reach(d, mark, also)}}, nil
	}
	kill := cfg.Killer
	cfg.Killer = func(pid int) func() {
		k := kill(pid)
		return func() { n.killManager(d, k) }
	}
	return cfg
}

// deadmanActs is whether the deadman d has any effect.
func (n *node) deadmanActs(d *process) bool { return d.acts() && !n.s.Off.Deadman }

// killManager is called when the deadman d kills its manager.
func (n *node) killManager(d *process, kill func()) {
	if !n.deadmanActs(d) || n.s.Off.Silence {
		return
	}
	n.s.mu.Lock()
	n.s.count(nil, "deadman kills manager")
	n.s.mu.Unlock()
	kill()
}

// moment is how long a process takes to begin.
func (n *node) moment(name string) time.Duration {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return 10*time.Millisecond + time.Duration(n.jobs[name].rng.Int64N(int64(390*time.Millisecond)))
}

// revive starts a manager that takes packages over; now and then that fails, or hangs.
func (n *node) revive(d *process, version string, packages []string) (io.ReadWriteCloser, func(), error) {
	if !n.deadmanActs(d) {
		return nil, nil, errDead
	}
	b := begun{after: n.moment(packages[0]), version: version}
	n.s.mu.Lock()
	luck := n.jobs[packages[0]].rng.IntN(20)
	n.s.mu.Unlock()
	switch {
	case n.s.Alone:
	case luck == 0:
		return nil, nil, errors.New("no such file")
	case luck == 1:
		b.after = time.Minute
	}
	for _, name := range packages {
		b.jobs = append(b.jobs, n.jobs[name])
	}
	p := n.process("manager, revived")
	p.node = n.s.heir(n, d)
	ours, theirs := socketPair()
	b.with = p.own(theirs)
	n.startManager(p, b)
	kill := n.killer(d, p.pid)
	return d.own(ours), func() { n.killManager(d, kill) }, nil
}

// stopsBy is called before a deadman stops a package, with the word by which it does so.
func (n *node) stopsBy(w *deadman.Word) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.jobs[w.Package].told(*w)
	if n.s.Off.KillEnd {
		w.Kill = n.clock.Now().Add(w.Stop)
	}
}

// A deadmanHands is how a deadman reaches a package.
type deadmanHands struct{ hands }

// Start begins a script.
func (h deadmanHands) Start(what string, of failover.Token) (failover.Action, error) {
	if h.s.Off.Deadman || h.s.Off.Silence {
		<-h.p.ctx.Done()
		return nil, errDead
	}
	return h.hands.Start(what, of)
}

// KillAll ends all that there is of the package.
func (h deadmanHands) KillAll(grace time.Duration) (string, error) {
	if h.s.Off.Deadman || h.s.Off.Silence || h.s.Off.KillEnd && grace == 0 {
		return "", nil
	}
	return h.hands.KillAll(grace)
}

// KillUnfinished is the first thing that a deadman does when it stops a package.
func (h deadmanHands) KillUnfinished(starting bool) error {
	if h.s.Off.Deadman || h.s.Off.Silence {
		return nil
	}
	h.s.mu.Lock()
	h.s.result.TakeOvers++
	h.s.noteLocked(h.pkg, "%s: the deadman stops the package", h.node.name)
	h.s.mu.Unlock()
	return h.hands.KillUnfinished(starting)
}

// told records a lock of which only the deadman knows: the manager had it, and was killed before it
// could tell anybody else. The caller holds s.mu.
func (w *world) told(word deadman.Word) {
	var term uint64
	if w.lease != nil {
		term, _ = w.lease.Terms()
	}
	if word.Term > term {
		w.pkg.told = max(w.pkg.told, word.Term)
		w.lease, w.released, w.kill, w.moved = &held{Lock: manager.Lost(word)}, false, lease.Time{}, time.Now()
		w.arm()
	}
}

// manages says whether the process that holds the flock is a manager that can be asked. The caller holds s.mu.
func (j *job) manages() bool {
	return j.pid != nil && j.pid.alive() && j.ask != nil && j.pid != j.deadman
}

// watched says whether the job has a deadman that is well. The caller holds s.mu.
func (j *job) watched() bool { return j.deadman != nil && j.deadman.alive() && !j.deadman.paused() }

// whole says whether manager and deadman are both there and well, and have been for a while: only
// then may one of them be hurt. The caller holds s.mu.
func (j *job) whole() bool {
	const settled = 3 * time.Second
	return j.node.up && j.manages() && !j.pid.paused() && j.watched() &&
		time.Since(j.since) > settled
}

// tell has the manager of a job do something, as a user asks for it.
func (s *Simulation) tell(j *job, what, text string) {
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		j.request(ctx, what, text)
	})
}
