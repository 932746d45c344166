package lockserver

import (
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// motifs are faults that play together, each to hurt where one rule protects.
var motifs = map[string]simFault{
	"stale-answers":   {2, (*sim).staleAnswers},
	"there-and-back":  {2, (*sim).thereAndBack},
	"fast-heartbeat":  {1, (*sim).fastHeartbeat},
	"amnesia":         {1, (*sim).amnesia},
	"old-disk":        {1, (*sim).oldDisk},
	"wipe":            {1, (*sim).wipeOne},
	"members":         {1, (*sim).editMembers},
	"members-restart": {1, (*sim).membersRestart},
	"second-alone":    {0, (*sim).secondAlone},
}

// others is the servers of the list, those in not left out, in random order.
func (s *sim) otherServers(not ...*simServer) []*simServer {
	var all []*simServer
	for _, i := range s.rng.Perm(len(s.servers)) {
		if v := s.servers[i]; v.server() != nil && slices.Contains(s.list, v.entry) && !slices.Contains(not, v) {
			all = append(all, v)
		}
	}
	return all
}

// staleAnswers has a leader get an answer that was sent before another was elected, while a
// holder that reaches only the old one renews its lock (rule 6).
func (s *sim) staleAnswers() {
	old := s.leader()
	if old == nil {
		return
	}
	others := s.otherServers(old)
	if len(others) < 2 {
		return
	}
	next, net := others[0], s.c.net
	net.Cut(next.entry, old.entry)
	time.Sleep(250 * time.Millisecond)
	net.Cut(old.entry, next.entry)
	for _, v := range others[1:] {
		net.Isolate(v.entry, []string{old.entry}, true)
	}
	half := s.rng.IntN(len(s.nodes)) + 1
	for _, n := range s.nodes[:half] { // they reach the old leader only
		net.Isolate(n.name, without(s.allHosts(), n.name, old.entry), true)
	}
	sent := time.Now()
	next.elect()
	if !within(300*time.Millisecond, func() bool { t := next.server(); return t != nil && t.status().Open }) {
		return
	}
	time.Sleep(s.span(100*time.Millisecond, 600*time.Millisecond))
	net.Release(next.entry, old.entry, sent)
	time.Sleep(s.span(10*time.Second, 35*time.Second))
}

func without(all []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(some, a) })
}

// thereAndBack makes a server lead, lose leadership, and lead again, with what it knows of the
// leases from before (rule 7).
func (s *sim) thereAndBack() {
	first := s.leader()
	if first == nil {
		return
	}
	others := s.otherServers(first)
	if len(others) == 0 {
		return
	}
	first.handOver(others[0])
	time.Sleep(s.span(time.Second, 25*time.Second))
	others[0].handOver(first)
	time.Sleep(s.span(time.Second, 5*time.Second))
}

// fastHeartbeat has a heartbeat of one term wait on a follower's disk while a vote of the next
// term passes it (rule 10).
func (s *sim) fastHeartbeat() {
	s.healNet()
	old := s.leader()
	if old == nil {
		return
	}
	others := s.otherServers(old)
	if len(others) < 2 {
		return
	}
	first, voter, net := others[0], others[1], s.c.net
	net.Cut(first.entry, voter.entry)
	first.elect()
	if !within(time.Second, func() bool { t := first.server(); return t != nil && t.status().Open }) {
		return
	}
	net.Reset(func(from, to string) bool { return from == first.entry && to == voter.entry })
	var calls atomic.Int32
	wait := s.span(200*time.Millisecond, 1500*time.Millisecond)
	voter.stallBy(func() {
		if calls.Add(1) == 1 {
			time.Sleep(wait)
		}
	}, false)
	net.Set(first.entry, voter.entry, false)
	within(400*time.Millisecond, func() bool { return calls.Load() > 0 })
	old.elect()
	time.Sleep(2 * time.Second)
	voter.stallBy(nil, false)
}

// sound says whether every server of the list is up, and a voter of the cluster under the id that
// it has: only then one more may lose its memory, or the list be edited, and the cluster live on.
func (s *sim) sound() bool {
	leader := s.leader()
	if leader == nil || len(s.list) < 3 {
		return false
	}
	t := leader.server()
	if t == nil {
		return false
	}
	status := t.status()
	voters := 0
	for _, m := range status.Servers {
		for _, v := range s.servers {
			if o := v.server(); o != nil && o.node() != nil && o.self.ID == m.ID && m.Voter && slices.Contains(s.list, v.entry) {
				voters++
			}
		}
	}
	return voters == len(s.list) && len(status.Servers) == voters
}

// amnesia has a server forget what it alone knew but for one that is down (rules 9 and 12): the
// third has slept meanwhile.
func (s *sim) amnesia() { s.forgetful(func(v *simServer) error { return v.wipe() }) }

func (s *sim) forgetful(lose func(*simServer) error) {
	if !s.sound() || len(s.list) != 3 {
		return
	}
	s.healNet()
	leader := s.leader()
	if leader == nil {
		return
	}
	others := s.otherServers(leader)
	asleep, wiped := others[0], others[1]
	asleep.end()
	time.Sleep(s.span(5*time.Second, 30*time.Second)) // some lock changes hands
	leader.crash(false)
	wiped.end()
	if err := lose(wiped); err != nil {
		s.violate("", "cannot lose the state: %v", err)
	}
	wiped.boot()
	asleep.boot()
	time.Sleep(s.span(5*time.Second, 25*time.Second))
	leader.boot()
}

// wipeOne has a server lose its state.
func (s *sim) wipeOne() {
	if !s.sound() {
		return
	}
	v := s.otherServers()[0]
	v.crash(s.rng.IntN(2) == 0)
	if err := v.wipe(); err != nil {
		s.violate("", "cannot wipe %s: %v", v.entry, err)
	}
	s.later(s.span(time.Millisecond, 20*time.Second), v.boot)
}

// oldDisk puts an old copy of its state back under a server, after what it has done since was
// made to matter.
func (s *sim) oldDisk() {
	if !s.sound() || len(s.list) != 3 {
		return
	}
	s.healNet()
	leader := s.leader()
	if leader == nil {
		return
	}
	v := s.otherServers(leader)[0]
	v.end()
	restore, err := v.save()
	if err != nil {
		s.violate("", "cannot save the state of %s: %v", v.entry, err)
		return
	}
	v.boot()
	within(20*time.Second, s.sound)
	whole := s.rng.IntN(2) == 0
	s.note("", "%s will have an old copy (of the whole disk: %v)", v.entry, whole)
	asleep := s.otherServers(leader, v)
	if !s.sound() || len(asleep) == 0 {
		v.end()
		_ = restore(whole)
		v.boot()
		return
	}
	asleep[0].end()
	time.Sleep(s.span(5*time.Second, 30*time.Second))
	if l := s.leader(); l != nil {
		l.crash(false)
		defer l.boot()
	}
	v.end()
	if err := restore(whole); err != nil {
		s.violate("", "cannot put the state of %s back: %v", v.entry, err)
	}
	v.boot()
	asleep[0].boot()
	time.Sleep(s.span(5*time.Second, 25*time.Second))
}

// secondAlone starts a server that is alone in its lock_servers, beside one that is too, maybe where they
// do not reach each other; an admin finds that out later (rule 11).
func (s *sim) secondAlone() {
	first := s.leader()
	if first == nil || len(s.list) != 1 {
		return
	}
	second := s.servers[1]
	second.reload([]string{second.entry})
	if s.rng.IntN(2) == 0 {
		s.c.net.Isolate(first.entry, []string{second.entry}, true)
	}
	second.boot()
	time.Sleep(s.span(5*time.Second, 50*time.Second))
	second.end()
	if err := errors.Join(second.wipe(), os.RemoveAll(s.c.config(second.entry, &testServer{}).Mark)); err != nil {
		s.violate("", "cannot wipe %s: %v", second.entry, err)
	}
	second.reload(s.list)
}

// edit makes another list of servers.
func (s *sim) edit() {
	list := slices.Clone(s.list)
	spare := without(s.entries, list...)
	s.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	switch s.rng.IntN(3) {
	case 0:
		list = append(list, spare[:min(len(spare), 1+s.rng.IntN(2))]...)
	case 1:
		if len(list) > 3 {
			list = list[1:]
		}
	default:
		if len(spare) > 0 {
			list = append(list[1:], spare[0])
		}
	}
	slices.Sort(list)
	s.list = list
}

// editMembers edits lock_servers, and has each server read it at another time.
func (s *sim) editMembers() {
	if !s.sound() {
		return
	}
	s.edit()
	s.note("", "lock_servers is %v now", s.list)
	list := s.list
	for _, v := range s.servers {
		s.later(s.span(time.Millisecond, 10*time.Second), func() {
			v.reload(list)
			if slices.Contains(list, v.entry) {
				v.boot()
			}
		})
	}
}

// membersRestart grows the list to five, has half of the servers read it at a restart, and parts
// them from the rest (rule 13).
func (s *sim) membersRestart() {
	if !s.sound() || len(s.list) != 3 {
		return
	}
	s.healNet()
	old := s.list
	grown := append(slices.Clone(old), without(s.entries, old...)[:2]...)
	slices.Sort(grown)
	s.list = grown
	s.note("", "lock_servers is %v on some servers now", s.list)
	stay := s.otherServers()[:2]
	for _, v := range s.servers {
		if slices.Contains(grown, v.entry) && !slices.Contains(stay, v) {
			v.end()
			v.reload(grown)
			v.boot()
			for _, o := range stay {
				s.c.net.Isolate(v.entry, []string{o.entry}, true)
			}
		}
	}
	for i, n := range s.nodes {
		for _, v := range s.servers {
			if slices.Contains(stay, v) == (i%2 == 0) {
				s.c.net.Isolate(n.name, []string{v.entry}, true)
			}
		}
	}
	time.Sleep(s.span(10*time.Second, 40*time.Second))
}
