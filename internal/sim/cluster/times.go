package cluster

import (
	"fmt"
	"slices"
	"time"

	"backtowork/internal/failover"
)

// Hard times, calm ones and quiet ones.

// run lets the cluster live through hard times and calm ones, by turns.
func (s *Simulation) run() {
	s.note(nil, "%d nodes, lock servers %v, %+v, together: %v", s.Nodes, s.entries(), s.Params, s.grouped)
	for _, v := range s.servers {
		v.boot()
	}
	time.Sleep(5 * time.Second)
	for _, n := range s.nodes {
		s.wg.Go(n.start)
	}
	s.calm()
	for time.Since(s.begin) < s.length() && !s.isWrong() {
		if s.Alone {
			s.oneByOne()
		}
		s.hardTimes(s.span(3*time.Minute, 6*time.Minute))
		s.calm()
		if s.Length >= time.Hour && !s.Alone && !s.large() {
			s.quietTimes(s.span(90*time.Minute, 130*time.Minute))
		}
	}
	s.finish()
}

// large says whether quiet times would cost more than they show: most of the work in a quiet hour
// is for the heartbeats of the lock servers.
func (s *Simulation) large() bool { return s.Servers > 3 }

func (s *Simulation) length() time.Duration {
	if s.large() {
		return s.Length / 6
	}
	return s.Length
}

// calm heals everything; then each package must be up within its bound.
func (s *Simulation) calm() {
	s.heal()
	s.recovers("all was healed")
	s.sleep(20 * time.Second)
	s.recovers("a calm time") // what a script did before may have been noticed only now
	s.seeTold()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packages {
		p.fault = "none"
	}
}

// recovers waits until every package is up, which it must be within its bound.
func (s *Simulation) recovers(after string) {
	begin, elections := time.Now(), s.raftTerm()
	hopeless := 10*time.Minute + s.longest(func(p *Package) time.Duration { return p.recovery(5) })
	s.awaitUp(begin, hopeless)
	took := time.Since(begin)
	elections = s.raftTerm() - elections
	for _, p := range s.packages {
		if bound := p.recovery(elections); took > bound && !s.isWrong() {
			s.violate(p, "it was up %v after %s: with %d elections it may be %v", took, after, elections, bound)
		}
	}
}

// seeTold checks that every lock in whose term a deadman acted was really granted.
func (s *Simulation) seeTold() {
	locks := s.locks()
	for _, p := range s.packages {
		s.mu.Lock()
		told := p.told
		s.mu.Unlock()
		if k := locks[p.Name].Lock; k.Term < told {
			s.violate(p, "a deadman acted in term %d, and the servers know of %d only", told, k.Term)
		}
	}
}

// recovery is how long a package may take to be up after everything is healed, by doc/SAFETY.md:
// (leader changes + 1) x (T + S + m) and an election. On top comes what may just be going on: a
// status that hangs, a stop, a start, each up to its limit, and a blocked lock until the admin
// looks.
func (p *Package) recovery(elections uint64) time.Duration {
	bound := time.Duration(elections+1)*p.silence() + failover.LongestElection + adminLooks
	bound += p.Params.Timeout + p.Params.StopTimeout + p.Params.StartTimeout + p.Params.Pace + p.scripts()
	return bound + p.fencing()
}

// adminLooks is how often the admin looks for locks that are blocked.
const adminLooks = 10 * time.Second

// awaitUp waits until every package is up, which it must be within bound from begin.
func (s *Simulation) awaitUp(begin time.Time, bound time.Duration) {
	for next := begin; !s.allUp() && !s.isWrong(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(next) {
			s.unblock()
			next = time.Now().Add(adminLooks)
		}
		if time.Since(begin) > bound {
			s.violate(nil, "%v after all was healed %v", bound, s.down())
		}
	}
}

func (s *Simulation) allUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.packages, func(p *Package) bool { return !p.up })
}

// down says of each package that is up nowhere who has its lock, and on which nodes it has a manager and a deadman.
func (s *Simulation) down() (text []string) {
	locks := s.locks()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packages {
		if p.up {
			continue
		}
		line := fmt.Sprintf("%s is up nowhere, its lock is %+v", p.Name, locks[p.Name])
		for _, n := range s.nodes {
			j := n.jobs[p.Name]
			line += fmt.Sprintf("; %s: host up %t, manager %t, deadman %t, halted %t", n.name, n.up, j.manages(), j.watched(), j.halted)
		}
		text = append(text, line)
	}
	return text
}

// quietTimes lets time pass without faults: every package must stay up.
func (s *Simulation) quietTimes(length time.Duration) {
	s.net.SetDelay(0) // cheaper
	s.note(nil, "quiet times")
	services := s.services()
	s.sleep(length)
	if now := s.services(); !s.isWrong() && !slices.Equal(now, services) {
		s.violate(nil, "in quiet times there were starts: %v became %v", services, now)
	}
	s.net.SetDelay(time.Millisecond)
}

// services is which service of each package runs on each node.
func (s *Simulation) services() (all []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packages {
		for _, w := range p.worlds {
			all = append(all, w.service())
		}
	}
	return all
}
