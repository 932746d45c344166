package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/lease"
)

// What happens to the network, and to the lock servers.

// hosts is all hosts, each with its names in the network: those of a node and of its lock server.
// They are in random order.
func (s *Simulation) hosts() [][]string {
	var all [][]string
	for _, n := range s.nodes {
		host := []string{n.name}
		if n.server != nil {
			host = append(host, n.server.entry)
		}
		all = append(all, host)
	}
	for _, v := range s.servers {
		if v.on == nil {
			all = append(all, []string{v.entry})
		}
	}
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// link sets the link from one host to another, in one direction.
func (s *Simulation) link(from, to []string, set func(from, to string)) {
	for _, a := range from {
		for _, b := range to {
			set(a, b)
		}
	}
}

func (s *Simulation) cut(a, b []string) {
	s.link(a, b, s.net.Cut)
	s.link(b, a, s.net.Cut)
}

// isolate cuts a host from all others.
func (s *Simulation) isolate(host []string, all [][]string) {
	for _, o := range all {
		if o[0] != host[0] {
			s.cut(host, o)
		}
	}
}

func (s *Simulation) cutNode() {
	all := s.hosts()
	s.isolate(all[0], all)
}

func (s *Simulation) cutHolder() {
	n, all := s.holder().node, s.hosts()
	for _, host := range all {
		if host[0] == n.name {
			s.isolate(host, all)
		}
	}
}

func (s *Simulation) halves() {
	all := s.hosts()
	half := 1 + s.rng.IntN(len(all)-1)
	for _, a := range all[:half] {
		for _, b := range all[half:] {
			s.cut(a, b)
		}
	}
}

func (s *Simulation) oneWay() {
	all := s.hosts()
	out, many := s.rng.IntN(2) == 0, s.rng.IntN(2) == 0
	for _, o := range all[1:] {
		if out {
			s.link(all[0], o, s.net.Cut)
		} else {
			s.link(o, all[0], s.net.Cut)
		}
		if !many {
			return
		}
	}
}

// loss is 30 % of the packets lost, everywhere: TCP sends them again, later each time.
func (s *Simulation) loss() {
	all := s.hosts()
	for _, a := range all {
		for _, b := range all {
			if a[0] == b[0] {
				continue
			}
			rng := rand.New(rand.NewPCG(s.Seed, s.rng.Uint64()))
			s.link(a, b, func(from, to string) {
				s.net.SetSlow(from, to, func() time.Duration {
					delay, again := time.Millisecond, 200*time.Millisecond
					for rng.IntN(10) < 3 {
						delay += again
						again *= 2
					}
					return delay
				})
			})
		}
	}
	s.later(s.span(time.Second, 20*time.Second), s.net.Heal)
}

func (s *Simulation) slow() {
	all := s.hosts()
	most := s.span(10*time.Millisecond, 2*time.Second)
	for _, o := range all[1:] {
		rng := rand.New(rand.NewPCG(s.Seed, s.rng.Uint64()))
		set := func(from, to string) {
			s.net.SetSlow(from, to, func() time.Duration { return time.Duration(rng.Int64N(int64(most))) })
		}
		s.link(all[0], o, set)
		s.link(o, all[0], set)
	}
}

func (s *Simulation) crashServer(v *server) {
	if v.up() {
		v.crash(s.rng.IntN(2) == 0 && v.on == nil)
		s.later(s.span(time.Millisecond, 30*time.Second), v.bootAgain)
	}
}

func (s *Simulation) isUp(n *node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.up
}

func (s *Simulation) serverCrash() { s.crashServer(pick(s, s.servers...)) }

func (s *Simulation) leaderCrash() {
	if v := s.leader(); v != nil {
		s.crashServer(v)
	}
}

func (s *Simulation) serverRestart() {
	v := pick(s, s.servers...)
	if !v.up() {
		return
	}
	v.end()
	s.later(s.span(time.Millisecond, 10*time.Second), v.bootAgain)
}

// toAndFro makes one lock server after another the leader for a while.
func (s *Simulation) toAndFro() {
	s.net.Heal()
	for range 6 {
		v := s.leader()
		if v == nil {
			return
		}
		for _, o := range s.servers {
			if o != v {
				s.cut([]string{v.entry}, []string{o.entry})
			}
		}
		s.sleep(4 * time.Second)
		s.net.Heal()
		s.sleep(s.span(2*time.Second, 12*time.Second))
	}
}

// forgetState makes a lock server lose its state, but only while all servers vote and have the same
// state. If more than one lost it, or the one that had it while another lagged behind, nobody could
// replace what is lost.
func (s *Simulation) forgetState() {
	v := pick(s, s.servers...)
	if s.Servers < 3 || !s.allAlike() {
		return
	}
	v.crash(s.rng.IntN(2) == 0 && v.on == nil)
	if err := os.RemoveAll(v.state()); err != nil {
		s.violate(nil, "cannot lose the state of %s: %v", v.entry, err)
	}
	s.mu.Lock()
	s.noteLocked(nil, "%s has lost its state", v.entry)
	s.result.Happened["state lost"]++
	s.mu.Unlock()
	s.later(s.span(time.Millisecond, 20*time.Second), v.bootAgain)
}

// settles is how long lock_servers stays as it is after a change: a manager reads it once a minute.
const settles = 2 * time.Minute

// replaceServer is an admin who puts another host in the place of a lock server: each host has the new
// lock_servers at another time.
func (s *Simulation) replaceServer() {
	if s.Servers < 3 || time.Since(s.replaced) < settles || !s.allAlike() {
		return
	}
	s.replaced = time.Now()
	i := s.rng.IntN(len(s.servers))
	old := s.servers[i]
	v := &server{s: s, entry: fmt.Sprintf("s%d", len(s.servers)+len(s.former)+1), clock: lease.Scaled(s.rate())}
	s.former = append(s.former, old)
	s.mu.Lock()
	s.servers = slices.Clone(s.servers)
	s.servers[i] = v
	list := s.entries()
	s.noteLocked(nil, "lock_servers is %v now", list)
	s.result.Happened["lock server replaced"]++
	s.mu.Unlock()
	s.later(s.span(time.Second, 10*time.Second), func() {
		v.reload(list)
		v.boot()
	})
	for _, o := range slices.Concat(s.servers, s.former) {
		if o != v {
			s.later(s.span(time.Millisecond, 10*time.Second), func() { o.reload(list) })
		}
	}
	s.admin.SetServers(s.clients())
}

// entries is the names of the lock servers.
func (s *Simulation) entries() (all []string) {
	for _, v := range s.servers {
		all = append(all, v.entry)
	}
	return all
}

// allAlike says whether all lock servers run, vote, and have the same log, as each of them knows it.
func (s *Simulation) allAlike() bool {
	var first api.Status
	for i, v := range s.servers {
		var status api.Status
		if !v.up() || !s.ask(v, "/v1/server", &status) || len(status.Servers) != len(s.servers) {
			return false
		}
		if i == 0 {
			first = status
		}
		if status.Term != first.Term || status.Last != first.Last || status.Applied != first.Last ||
			slices.ContainsFunc(status.Servers, func(m api.Member) bool { return !m.Voter }) {
			return false
		}
	}
	return true
}

// slowDisk makes each call of a lock server's disk slow; or it makes the disk hang, for longer than
// the server accepts.
func (s *Simulation) slowDisk() {
	v := pick(s, s.servers...)
	if !v.up() {
		return
	}
	if s.rng.IntN(3) > 0 {
		d := s.span(10*time.Millisecond, 1900*time.Millisecond)
		v.stallBy(func() { time.Sleep(d) }, false)
		s.later(s.span(time.Second, 30*time.Second), func() { v.stallBy(nil, false) })
		return
	}
	d := s.span(2100*time.Millisecond, 5*time.Second)
	v.stallBy(func() {
		time.Sleep(d)
		runtime.Goexit() // the server has ended meanwhile: its process would be gone
	}, true)
	s.later(s.span(5*time.Second, 40*time.Second), func() {
		v.stallBy(nil, false)
		v.bootAgain()
	})
}
