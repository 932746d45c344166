package lockserver

import (
	"context"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"backtowork/internal/lockserver/store"
)

// A simFault breaks something, and may mend it after a while.
type simFault struct {
	weight int
	do     func(*sim)
}

var faults map[string]simFault

func init() {
	faults = map[string]simFault{
		"halves":       {4, (*sim).halves},
		"isolate":      {6, (*sim).isolateOne},
		"one-way":      {6, (*sim).oneWay},
		"one-way-host": {3, (*sim).oneWayHost},
		"forget":       {3, (*sim).forgetLink},
		"reset":        {3, (*sim).resetLink},
		"slow":         {4, (*sim).slowLink},
		"slow-host":    {3, (*sim).slowHost},
		"loss":         {3, (*sim).loss},
		"crash":        {5, (*sim).crashOne},
		"crash-leader": {3, (*sim).crashLeader},
		"restart":      {2, (*sim).restart},
		"upgrade":      {2, (*sim).upgradeOne},
		"transfer":     {4, (*sim).transferAway},
		"election":     {3, (*sim).forceOne},
		"slow-disk":    {3, (*sim).slowDisk},
		"hung-disk":    {2, (*sim).hungDisk},
		"pause-client": {5, (*sim).pauseClient},
		"pause-server": {3, (*sim).pauseServer},
		"wall-clock":   {2, (*sim).stepClock},
		"duplicate":    {5, (*sim).duplicate},
		"crash-client": {4, (*sim).crashClient},
		"crash-holder": {10, (*sim).crashHolder},
	}
	maps.Copy(faults, motifs)
}

// hardTimes makes faults for that long.
func (s *sim) hardTimes(length time.Duration) {
	names := slices.Sorted(maps.Keys(faults))
	weight := func(name string) int {
		if s.faults != nil {
			return s.faults[name]
		}
		return faults[name].weight
	}
	total := 0
	for _, name := range names {
		total += weight(name)
	}
	for end := time.Now().Add(length); time.Now().Before(end) && !s.isWrong(); {
		at := s.rng.IntN(total)
		for _, name := range names {
			if at -= weight(name); at < 0 {
				s.note("", "fault: %s", name)
				s.counts[name]++
				faults[name].do(s)
				break
			}
		}
		s.check()
		time.Sleep(s.span(100*time.Millisecond, 12*time.Second))
		if s.rng.IntN(6) == 0 {
			s.healNet()
			s.note("", "the network is healed")
		}
	}
}

func (s *sim) span(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// hosts is the names of all hosts, in random order.
func (s *sim) hosts() []string {
	var all []string
	for _, v := range s.servers {
		if v.up() || slices.Contains(s.list, v.entry) {
			all = append(all, v.entry)
		}
	}
	for _, n := range s.nodes {
		all = append(all, n.name)
	}
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// allHosts is every host that there can be.
func (s *sim) allHosts() []string {
	all := slices.Clone(s.entries)
	for _, n := range s.nodes {
		all = append(all, n.name)
	}
	return all
}

// later does f after a while, in its own goroutine, or at the latest when everything is healed.
func (s *sim) later(d time.Duration, f func()) {
	healed := s.healed
	s.wg.Go(func() {
		select {
		case <-time.After(d):
		case <-healed:
		}
		f()
	})
}

// heal mends everything and starts what is down.
func (s *sim) heal() {
	s.healNet()
	close(s.healed)
	s.wg.Wait()
	s.healed = make(chan struct{})
	s.healNet()
	for range 2 { // a disk that hung until now may yet end its server
		for _, v := range s.servers {
			v.stallBy(nil, false)
			if !slices.Equal(v.lockServers(), s.list) {
				v.reload(s.list)
			}
			if slices.Contains(s.list, v.entry) {
				v.boot()
			}
		}
		time.Sleep(store.Limit + 4*time.Second)
	}
}

// healNet mends the network.
func (s *sim) healNet() {
	all := s.allHosts()
	for _, a := range all {
		for _, b := range all {
			s.c.net.SetSlow(a, b, nil)
			if a != b && s.c.net.IsCut(a, b) {
				s.c.net.Set(a, b, false)
			}
		}
	}
}

func (s *sim) halves() {
	all := s.hosts()
	half := 1 + s.rng.IntN(len(all)-1)
	for _, a := range all[:half] {
		for _, b := range all[half:] {
			s.c.net.Set(a, b, true)
			s.c.net.Set(b, a, true)
		}
	}
}

func (s *sim) isolateOne() {
	all := s.hosts()
	s.c.net.Isolate(all[0], all[1:], true)
}

func (s *sim) oneWay() {
	all := s.hosts()
	s.c.net.Cut(all[0], all[1])
}

func (s *sim) oneWayHost() {
	all := s.hosts()
	out := s.rng.IntN(2) == 0
	for _, o := range all[1:] {
		if out {
			s.c.net.Cut(all[0], o)
		} else {
			s.c.net.Cut(o, all[0])
		}
	}
}

func (s *sim) forgetLink() {
	all := s.hosts()
	for _, o := range all[1 : 1+s.rng.IntN(len(all)-1)] {
		s.c.net.Forget(all[0], o)
	}
}

func (s *sim) resetLink() {
	all := s.hosts()
	a := all[0]
	for _, b := range all[1 : 1+s.rng.IntN(len(all)-1)] {
		s.c.net.Reset(func(from, to string) bool { return from == a && to == b || from == b && to == a })
	}
}

// delays is a random source of delays for one link.
func (s *sim) delays(most time.Duration) func() time.Duration {
	rng := rand.New(rand.NewPCG(s.seed, s.rng.Uint64()))
	return func() time.Duration { return time.Duration(rng.Int64N(int64(most))) }
}

func (s *sim) slowLink() {
	all := s.hosts()
	s.c.net.SetSlow(all[0], all[1], s.delays(s.span(10*time.Millisecond, 3*time.Second)))
	if s.rng.IntN(2) == 0 {
		s.c.net.SetSlow(all[1], all[0], s.delays(s.span(10*time.Millisecond, 3*time.Second)))
	}
}

func (s *sim) slowHost() {
	all := s.hosts()
	most := s.span(10*time.Millisecond, time.Second)
	for _, o := range all[1:] {
		s.c.net.SetSlow(all[0], o, s.delays(most))
		s.c.net.SetSlow(o, all[0], s.delays(most))
	}
}

// loss is 30 % of the packets lost, everywhere: TCP sends them again, later each time.
func (s *sim) loss() {
	all := s.hosts()
	for _, a := range all {
		for _, b := range all {
			rng := rand.New(rand.NewPCG(s.seed, s.rng.Uint64()))
			s.c.net.SetSlow(a, b, func() time.Duration {
				delay, again := time.Millisecond, 200*time.Millisecond
				for rng.IntN(10) < 3 {
					delay += again
					again *= 2
				}
				return delay
			})
		}
	}
	s.later(s.span(time.Second, 20*time.Second), s.healNet)
}

// crashDown crashes a server that starts again later.
func (s *sim) crashDown(v *simServer, silent bool, down time.Duration) {
	v.crash(silent)
	s.later(down, v.boot)
}

func (s *sim) crashOne() {
	if up := s.running(); len(up) > 0 {
		s.crashDown(up[s.rng.IntN(len(up))], s.rng.IntN(2) == 0, s.span(time.Millisecond, time.Minute))
	}
}

func (s *sim) running() []*simServer {
	return slices.DeleteFunc(slices.Clone(s.servers), func(v *simServer) bool { return !v.up() })
}

func (s *sim) crashLeader() {
	if v := s.leader(); v != nil {
		s.crashDown(v, s.rng.IntN(2) == 0, s.span(time.Millisecond, 30*time.Second))
	}
}

func (s *sim) restart() {
	if up := s.running(); len(up) > 0 {
		v := up[s.rng.IntN(len(up))]
		v.end()
		s.later(s.span(time.Millisecond, 10*time.Second), v.boot)
	}
}

// upgradeOne has an older server go on as a new program.
func (s *sim) upgradeOne() {
	old := slices.DeleteFunc(s.running(), func(v *simServer) bool { return v.version() == 0 })
	if len(old) > 0 {
		old[s.rng.IntN(len(old))].upgrade()
	}
}

func (s *sim) transferAway() {
	if v, to := s.leader(), s.follower(); v != nil && to != nil {
		s.wg.Go(func() { v.handOver(to) })
	}
}

func (s *sim) forceOne() {
	if v := s.follower(); v != nil {
		s.wg.Go(v.elect)
	}
}

// slowDisk makes each call of a server's disk take a while.
func (s *sim) slowDisk() {
	if up := s.running(); len(up) > 0 {
		v := up[s.rng.IntN(len(up))]
		d := s.span(10*time.Millisecond, 1900*time.Millisecond)
		v.stallBy(func() { time.Sleep(d) }, false)
		s.later(s.span(time.Second, 30*time.Second), func() { v.stallBy(nil, false) })
	}
}

// hungDisk makes a server's disk hang for longer than it may.
func (s *sim) hungDisk() {
	if up := s.running(); len(up) > 0 {
		v := up[s.rng.IntN(len(up))]
		d := s.span(2100*time.Millisecond, 5*time.Second)
		v.stallBy(func() {
			time.Sleep(d)
			runtime.Goexit() // the process is no more
		}, true)
		s.later(s.span(5*time.Second, 40*time.Second), func() {
			v.stallBy(nil, false)
			v.boot()
		})
	}
}

func (s *sim) node() *simNode { return s.nodes[s.rng.IntN(len(s.nodes))] }

func (s *sim) others(host string) []string {
	return slices.DeleteFunc(s.allHosts(), func(o string) bool { return o == host })
}

func (s *sim) pauseClient() {
	n := s.node()
	n.setPaused(true)
	s.c.net.Isolate(n.name, s.others(n.name), true)
	s.later(s.span(time.Second, 40*time.Second), func() {
		s.c.net.Isolate(n.name, s.others(n.name), false)
		n.setPaused(false)
	})
}

// pauseServer is SIGSTOP, as far as others see it: its timers go on.
func (s *sim) pauseServer() {
	if up := s.running(); len(up) > 0 {
		v := up[s.rng.IntN(len(up))]
		s.c.net.Isolate(v.entry, s.others(v.entry), true)
		s.later(s.span(100*time.Millisecond, 20*time.Second), func() { s.c.net.Isolate(v.entry, s.others(v.entry), false) })
	}
}

func (s *sim) stepClock() {
	by := s.span(-5*time.Hour, 5*time.Hour)
	if s.rng.IntN(2) == 0 {
		s.node().clock.step(by)
		return
	}
	s.servers[s.rng.IntN(len(s.servers))].clock.step(by)
}

func (s *sim) crashClient() {
	n := s.node()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.crash != nil {
		n.crash()
	}
}

// duplicate sends requests of long ago once more, to whatever server.
func (s *sim) duplicate() {
	n := s.node()
	n.mu.Lock()
	was := slices.Clone(n.was)
	n.mu.Unlock()
	for range min(len(was), 1+s.rng.IntN(4)) {
		q := was[s.rng.IntN(len(was))]
		if s.rng.IntN(2) == 0 { // not so long ago
			q = was[len(was)-1-s.rng.IntN(min(len(was), 4))]
		}
		client := s.c.client(n.name, s.list[s.rng.IntN(len(s.list))])
		s.wg.Go(func() {
			client.Tell(context.Background(), q.path, q.body)
			client.Close()
		})
	}
}
