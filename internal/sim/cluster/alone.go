package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/failover"
	"backtowork/internal/lock"
)

// A Measured says what a fault costs if it is the only one.
type Measured struct {
	Down     []float64 // for how long a package was up nowhere, in seconds: 0 if it stayed up
	Seed     uint64    // of the longest
	Timeline []string  // of the longest, in seconds from the fault on
}

// Most is the longest, in seconds.
func (m Measured) Most() float64 {
	if len(m.Down) == 0 {
		return 0
	}
	return slices.Max(m.Down)
}

// Median is the middle one, in seconds.
func (m Measured) Median() float64 {
	if len(m.Down) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(m.Down))
	return sorted[len(sorted)/2]
}

// Add returns the measurements of both.
func (m Measured) Add(o Measured) Measured {
	if o.Most() >= m.Most() {
		m.Seed, m.Timeline = o.Seed, o.Timeline
	}
	m.Down = append(m.Down, o.Down...)
	return m
}

// oneByOne makes each fault alone, in random order, from calm to calm, and measures it.
func (s *Simulation) oneByOne() {
	names := slices.Sorted(maps.Keys(faults))
	s.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		if s.weight(name) > 0 && !s.isWrong() {
			s.alone(name)
		}
	}
}

// alone makes one fault and heals it later: when the package is up in spite of the fault, or when
// that has taken too long.
func (s *Simulation) alone(name string) {
	s.mu.Lock()
	for _, p := range s.packages {
		p.longest, p.blocked = 0, false
	}
	s.mu.Unlock()
	elections, begin := s.raftTerm(), time.Now()
	services := s.services()
	s.fault(name)
	faults[name].do(s)
	if name == "bad-stop" {
		s.haltOne() // without a stop nobody would notice this fault
	}
	s.sleep(s.longest((*Package).silence) + 5*time.Second) // the longest time until somebody notices the fault
	for time.Since(begin) < s.longest((*Package).patience) && !s.allUp() && !s.isWrong() {
		s.sleep(time.Second)
	}
	healed := time.Since(begin)
	s.calm()
	if now := s.services(); faults[name].light && !s.isWrong() && !slices.Equal(now, services) {
		s.violate(nil, "%s: there were starts: %v became %v", name, services, now)
	}
	if !s.isWrong() {
		s.measured(name, begin, healed, s.raftTerm()-elections)
	}
}

// silence is T + S + m.
func (p *Package) silence() time.Duration {
	return lock.Times{Timeout: p.Params.Timeout, Stop: p.Params.StopTimeout}.Silence()
}

// patience is how long a package may be down while there is a fault from which others can take over.
func (p *Package) patience() time.Duration {
	return 2*p.silence() + failover.LongestElection + p.Params.StartTimeout
}

// longest is the longest of what all packages have.
func (s *Simulation) longest(of func(*Package) time.Duration) (d time.Duration) {
	for _, p := range s.packages {
		d = max(d, of(p))
	}
	return d
}

// measured records what a fault has cost, and compares that with the bound of doc/SAFETY.md: a
// package that can run does so within (leader changes + 1) x (T + S + m) + an election. The time of
// its scripts comes on top.
func (s *Simulation) measured(name string, begin time.Time, healed time.Duration, elections uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packages {
		m := Measured{Down: []float64{p.longest.Seconds()}, Seed: s.Seed}
		for _, e := range s.events {
			if at := e.at - begin.Sub(s.begin); at >= 0 && (e.pkg == nil || e.pkg == p) {
				m.Timeline = append(m.Timeline, fmt.Sprintf("%+9.3f  %s", at.Seconds(), e.text))
			}
		}
		s.result.Alone[name] = s.result.Alone[name].Add(m)
		bound := time.Duration(elections+1)*p.silence() + failover.LongestElection + 2*p.scripts() + p.Params.Pace
		bound += p.fencing()
		if !s.canRun(name) || p.Params.FenceRequired {
			bound += healed
		}
		if p.longest > bound && !p.blocked {
			s.violateLocked(p, "%s: it was up nowhere for %v: with %d elections it may be %v", name, p.longest, elections, bound)
		}
	}
}

// fencing is how long a fence that hangs can keep everybody from the lock. A fence may begin just
// before the lock could be had; with fence_required it is tried again after a minute.
func (p *Package) fencing() (d time.Duration) {
	if p.Params.Fence != "" {
		d = p.Params.FenceTimeout + failover.FenceReport
	}
	if p.Params.FenceRequired {
		d += time.Minute
	}
	return d
}

// canRun says whether a package can run in spite of that fault, however long the fault lasts. It
// needs another node, and a majority of lock servers that hears this node.
func (s *Simulation) canRun(name string) bool {
	nodes := 2
	if name == "kill-in-start" {
		nodes++ // one node is halted, and the one that then starts the package is cut off
	}
	return s.Servers >= 3 && faults[name].spares && len(s.nodes) >= nodes
}

// raftTerm is the highest term of raft that a server knows: it grows by 1 with each election.
func (s *Simulation) raftTerm() (term uint64) {
	for _, v := range s.servers {
		var status api.Status
		if v.up() && s.ask(v, "/v1/server", &status) {
			term = max(term, status.Term)
		}
	}
	return term
}
