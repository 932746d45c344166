package cluster

import (
	"time"

	"backtowork/internal/manager"
)

// What happens to the processes and the disks of a node, at awkward moments.

// longStart is how long a start script takes in which its manager is killed.
const longStart = 8 * time.Second

// killInStart kills the next manager that starts a package, while the script runs.
func (s *Simulation) killInStart() {
	j := s.holder()
	s.mu.Lock()
	j.pkg.killed = true
	s.mu.Unlock()
	s.halt(j)
	s.startLater(j)
}

// killNow kills the manager to which h belongs, and in half of the cases cuts its node off.
func (s *Simulation) killNow(h hands) {
	s.mu.Lock()
	j := h.node.jobs[h.pkg.Name]
	well := j.pid == h.p && h.p.alive() && j.watched()
	cut := h.rng.IntN(2) == 0
	if well {
		j.since = time.Now()
		s.noteLocked(h.pkg, "%s: %s is killed while it starts the package; cut off: %v", h.node.name, h.p.name, cut)
	}
	s.mu.Unlock()
	if !well {
		return
	}
	h.p.kill()
	if cut {
		for _, v := range s.current() {
			s.net.Cut(h.node.name, v.entry)
			s.net.Cut(v.entry, h.node.name)
		}
	}
}

// current is the lock servers of now.
func (s *Simulation) current() []*server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers
}

// rename gives a host another name while packages run there, and then makes one process take over
// from another.
func (s *Simulation) rename() {
	j, how := s.some(), s.rng.IntN(3)
	s.mu.Lock()
	n := j.node
	if n.called == n.name {
		n.called += renamed
	} else {
		n.called = n.name
	}
	s.noteLocked(nil, "%s is called %s now", n.name, n.called)
	s.mu.Unlock()
	switch how {
	case 0:
		s.hurt(j, func(m, _ *process) { m.kill() })
	case 1:
		s.hurt(j, func(_, d *process) { d.kill() })
		s.later(s.span(2*time.Second, 6*time.Second), func() { s.hurt(j, func(m, _ *process) { m.kill() }) })
	default:
		s.upgradeOf(j)
	}
}

// upgrade is service upgrade.
func (s *Simulation) upgrade() { s.upgradeOf(s.some()) }

// upgradeOf makes the manager of a job become the program of this version, or of another.
func (s *Simulation) upgradeOf(j *job) {
	s.tell(j, manager.Upgrade, pick(s, version, version+" 2", version+" 3"))
}

// setDisks makes the disk of a node hang, be full, or neither.
func (n *node) setDisks(hangs, full bool) {
	n.locks.set(hangs, full)
	for _, j := range n.jobs {
		j.disk.set(hangs, full)
	}
}

func (s *Simulation) diskFull() {
	n := s.some().node
	n.setDisks(false, true)
	s.later(s.span(time.Second, time.Minute), func() { n.setDisks(false, false) })
}

func (s *Simulation) diskHangs() {
	n := s.some().node
	n.setDisks(true, false)
	s.later(s.span(time.Second, 30*time.Second), func() { n.setDisks(false, false) })
}

// noForks makes a node unable to start processes, as at the limit of their number: no script can
// run there. It lasts less long than a package may be in doubt.
func (s *Simulation) noForks() {
	n := s.some().node
	least := time.Minute
	for _, p := range s.packages {
		least = min(least, p.Params.Timeout)
	}
	s.mu.Lock()
	n.full = true
	s.noteLocked(nil, "%s: no process can be made", n.name)
	s.mu.Unlock()
	s.later(s.span(time.Second, least/2), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		n.full = false
	})
}

// badParameters makes a parameter of a package bad, and then makes another manager take the package
// over.
func (s *Simulation) badParameters() {
	j, kills := s.some(), s.rng.IntN(2) == 0
	s.mu.Lock()
	j.pkg.wrong = true
	s.mu.Unlock()
	if kills {
		s.hurt(j, func(m, _ *process) { m.kill() })
	} else {
		s.upgradeOf(j)
	}
	s.later(s.span(3*time.Second, 20*time.Second), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		j.pkg.wrong = false
	})
}
