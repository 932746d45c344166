package cluster

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"backtowork/internal/failover"
)

// A fault is something that can go wrong. A line of the table is read as: how often, light, spares,
// what it is, do.
type fault struct {
	weight int               // how often it is made, compared with the others
	light  bool              // if no other fault comes, a package that runs goes on undisturbed
	spares bool              // with three lock servers, some node can still run a package
	what   string            // what happens, in words
	do     func(*Simulation) // makes it happen
}

// faults is what can go wrong.
var faults = map[string]fault{
	"node-crash":     {4, false, true, "a node crashes, and is booted again", (*Simulation).nodeCrash},
	"node-pause":     {4, false, true, "a node stands still with all that runs on it, and goes on", (*Simulation).nodePause},
	"cut-holder":     {6, false, true, "the active node is cut off", (*Simulation).cutHolder},
	"cut-node":       {6, false, true, "a host is cut off", (*Simulation).cutNode},
	"halves":         {3, false, false, "the network falls into halves", (*Simulation).halves},
	"one-way":        {4, false, false, "what a host sends is lost, or what it is sent", (*Simulation).oneWay},
	"loss":           {2, false, false, "30 % of the packets are lost", (*Simulation).loss},
	"slow":           {3, false, false, "the network is slow", (*Simulation).slow},
	"slow-disk":      {2, false, true, "the disk of a lock server is slow, or hangs for a while", (*Simulation).slowDisk},
	"server-crash":   {3, false, true, "a lock server crashes", (*Simulation).serverCrash},
	"server-restart": {2, false, true, "a lock server is started again", (*Simulation).serverRestart},
	"amnesia":        {2, false, true, "a lock server loses its state", (*Simulation).forgetState},
	"members":        {2, false, true, "a lock server is replaced by a new one", (*Simulation).replaceServer},
	"leader-crash":   {3, false, true, "the leading lock server crashes", (*Simulation).leaderCrash},
	"to-and-fro":     {1, false, false, "one lock server after the other leads for a while", (*Simulation).toAndFro},
	"manager-kill":   {8, true, true, "kill -9 of back-to-work", (*Simulation).managerKill},
	"manager-pause":  {6, false, true, "back-to-work stands still (SIGSTOP)", (*Simulation).managerPause},
	"pause-at-start": {2, false, true, "the same, at the moment of a start", (*Simulation).pauseAtStart},
	"deadman-kill":   {4, true, true, "kill -9 of the deadman", (*Simulation).deadmanKill},
	"deadman-pause":  {4, true, true, "the deadman stands still (SIGSTOP)", (*Simulation).deadmanPause},
	BothKilled:       {0, false, true, "kill -9 of both: two may run", (*Simulation).bothKilled},
	"kill-releaser":  {2, false, true, "kill -9 of back-to-work while it gives the lock back", (*Simulation).killReleaser},
	"halt":           {4, false, true, "service stop, and service start a while after", (*Simulation).haltOne},
	"bad-stop":       {3, false, false, "the stop script fails or hangs, before it has stopped anything or half-way", (*Simulation).badStop},
	changing:         {3, false, true, "timeout, stop_timeout and the address are changed", (*Simulation).parameters},
	"kill-in-start":  {3, false, true, "kill -9 of back-to-work while the start script runs; the node is cut off, now and then", (*Simulation).killInStart},
	"rename":         {2, true, true, "a host gets another name, and back-to-work there, or its deadman, is killed or upgraded", (*Simulation).rename},
	"upgrade":        {4, true, true, "service upgrade, to another version now and then", (*Simulation).upgrade},
	"disk-full":      {2, true, true, "the disk of a node is full for a while", (*Simulation).diskFull},
	"disk-hangs":     {2, true, true, "the disk of a node hangs for a while", (*Simulation).diskHangs},
	"no-forks":       {3, true, true, "no process can be made on a node for a while", (*Simulation).noForks},
	changedBadly:     {2, true, true, "a parameter becomes bad, and back-to-work is killed or upgraded", (*Simulation).badParameters},
	"clear":          {1, true, true, "service clear", (*Simulation).forget},
	"look":           {1, true, true, "service unblock, without need", (*Simulation).lookAgain},
}

// BothKilled is the fault after which two may run: see [Plan].
const BothKilled = "both-killed"

// changing is the fault that changes parameters, changedBadly the one that makes one bad.
const (
	changing     = "parameters"
	changedBadly = "bad-parameters"
)

// Faults is all that can go wrong with fixed parameters, by name, in words.
func Faults() map[string]string {
	all := map[string]string{}
	for name, f := range faults {
		if name != changing && name != changedBadly {
			all[name] = f.what
		}
	}
	return all
}

// weight is how often a fault is made.
func (s *Simulation) weight(name string) int {
	switch {
	case (name == changing || name == changedBadly) && s.Fixed:
		return 0
	case s.Faults != nil:
		return s.Faults[name]
	case name == BothKilled && s.BothKilled:
		return 10
	}
	return faults[name].weight
}

// hardTimes makes faults for that long.
func (s *Simulation) hardTimes(length time.Duration) {
	names := slices.Sorted(maps.Keys(faults))
	total := 0
	for _, name := range names {
		total += s.weight(name)
	}
	s.setOdds(0.25)
	for end := time.Now().Add(length); time.Now().Before(end) && !s.isWrong(); {
		at := s.rng.IntN(total)
		for _, name := range names {
			if at -= s.weight(name); at < 0 {
				s.fault(name)
				faults[name].do(s)
				break
			}
		}
		s.sleep(s.span(100*time.Millisecond, 16*time.Second))
		if s.rng.IntN(5) == 0 {
			s.net.Heal()
			s.note(nil, "the network is healed")
		}
	}
	s.setOdds(0)
}

func (s *Simulation) setOdds(odds float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odds = odds
}

// fault records that a fault is made.
func (s *Simulation) fault(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(nil, "fault: %s", name)
	s.result.Faults[name]++
	for _, p := range s.packages {
		p.fault = name
	}
}

// count records an event that no fault made. The caller holds s.mu.
func (s *Simulation) count(p *Package, name string) {
	s.noteLocked(p, "%s", name)
	s.result.Happened[name]++
}

// heal mends everything and starts what is down.
func (s *Simulation) heal() {
	s.net.Heal()
	s.mu.Lock()
	close(s.healed)
	s.healed = make(chan struct{})
	for _, p := range s.packages {
		p.armed, p.slow, p.killed, p.wrong = false, false, false, false
		for _, w := range p.worlds {
			w.bad = ""
		}
	}
	s.mu.Unlock()
	for _, n := range s.nodes {
		n.setDisks(false, false)
	}
	time.Sleep(time.Millisecond)
	s.net.Heal()
	for _, v := range s.servers {
		v.boot()
	}
	for _, n := range s.nodes {
		n.freeze(false)
		n.start()
		n.startAll()
		s.each(n, string(failover.Forget))
	}
	s.note(nil, "everything is healed")
}

// each asks every manager of a node for something.
func (s *Simulation) each(n *node, what string) {
	for _, p := range s.packages {
		s.tell(n.jobs[p.Name], what, "")
	}
}

// holder is the node on which a package is up, or a random one.
func (s *Simulation) holder() *job {
	p := pick(s, s.packages...)
	at := s.rng.IntN(len(s.nodes))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.jobs[p.Name].up() {
			return n.jobs[p.Name]
		}
	}
	return s.nodes[at].jobs[p.Name]
}

// some returns the holder mostly, now and then a random job.
func (s *Simulation) some() *job {
	if s.rng.IntN(5) == 0 {
		return pick(s, s.nodes...).jobs[pick(s, s.packages...).Name]
	}
	return s.holder()
}

// hurt calls do with the manager and the deadman of a job, if both are well.
func (s *Simulation) hurt(j *job, do func(manager, deadman *process)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(j.node.flow) && j.whole() {
		j.since = time.Now()
		s.noteLocked(j.pkg, "%s: of %s and %s", j.node.name, j.pid.name, j.deadman.name)
		do(j.pid, j.deadman)
	}
}

func (s *Simulation) managerKill() { s.hurt(s.some(), func(m, _ *process) { m.kill() }) }
func (s *Simulation) deadmanKill() { s.hurt(s.some(), func(_, d *process) { d.kill() }) }

func (s *Simulation) bothKilled() {
	s.hurt(s.some(), func(m, d *process) { m.kill(); d.kill() })
}

func (s *Simulation) managerPause() {
	length := s.span(time.Second, time.Minute)
	s.hurt(s.some(), func(m, _ *process) { s.stopFor(m, length) })
}

func (s *Simulation) deadmanPause() {
	length := s.span(time.Second, time.Minute)
	s.hurt(s.some(), func(_, d *process) { s.stopFor(d, length) })
}

// stopFor makes a process stand still for a while. The caller holds s.mu.
func (s *Simulation) stopFor(p *process, length time.Duration) {
	p.pause()
	s.later(length, p.resume)
}

// pauseAtStart makes the next manager that starts a package stand still just before it does so.
func (s *Simulation) pauseAtStart() {
	j := s.holder()
	s.mu.Lock()
	j.pkg.armed = true
	s.mu.Unlock()
	s.halt(j)
	s.startLater(j)
}

// starting is called before each start.
func (s *Simulation) starting(h hands) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := h.node.jobs[h.pkg.Name]
	well := j.pid == h.p && j.watched()
	if h.pkg.killed && well {
		h.pkg.killed, h.long = false, true
		j.since = time.Now()
		s.later(50*time.Millisecond+time.Duration(h.rng.Int64N(int64(longStart))), func() { s.killNow(h) })
		return
	}
	if !h.pkg.armed || !well {
		return
	}
	h.pkg.armed = false
	s.noteLocked(h.pkg, "%s: %s stands still before the start", h.node.name, h.p.name)
	s.stopFor(h.p, time.Duration(20+h.rng.IntN(60))*time.Second)
	j.since = time.Now()
}

// killReleaser kills the next manager that gives the lock back, while its request is slowly on its
// way.
func (s *Simulation) killReleaser() {
	j := s.holder()
	s.mu.Lock()
	j.pkg.slow = true
	s.mu.Unlock()
	s.halt(j)
	s.startLater(j)
}

// releasing is called before each release.
func (s *Simulation) releasing(l *locker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := l.j
	if !j.pkg.slow || !j.whole() {
		return
	}
	j.pkg.slow = false
	j.since = time.Now()
	delay := time.Duration(500+j.rng.IntN(1000)) * time.Millisecond
	s.noteLocked(j.pkg, "%s: the release is on its way for %v", j.node.name, delay)
	servers := s.servers // those of now
	for _, v := range servers {
		s.net.SetSlow(j.node.name, v.entry, func() time.Duration { return delay })
	}
	s.later(20*time.Millisecond, l.p.kill)
	s.later(20*time.Millisecond, func() {
		for _, v := range servers {
			s.net.SetSlow(j.node.name, v.entry, nil)
		}
	})
}

func (s *Simulation) nodePause() {
	n := s.some().node
	n.freeze(true)
	all := s.hosts()
	length := s.span(time.Second, time.Minute)
	for _, host := range all {
		if host[0] == n.name {
			s.isolate(host, all)
		}
	}
	s.later(length, func() {
		n.freeze(false)
		for _, host := range all {
			for _, o := range all {
				if host[0] == n.name && o[0] != n.name {
					s.link(host, o, func(a, b string) { s.net.Set(a, b, false); s.net.Set(b, a, false) })
				}
			}
		}
	})
}

func (s *Simulation) nodeCrash() {
	n := s.some().node
	if s.isUp(n) {
		s.crashFor(n, s.span(2*time.Second, 90*time.Second))
	}
}

// crashFor crashes a node, and boots it again after a while.
func (s *Simulation) crashFor(n *node, length time.Duration) {
	n.crash()
	s.note(nil, "%s crashes", n.name)
	s.later(length, n.start)
}

// resetNode is what a fence does, or a node that resets itself.
func (s *Simulation) resetNode(n *node) {
	s.mu.Lock()
	d := 10*time.Second + time.Duration(s.packages[0].worlds[0].rng.Int64N(int64(30*time.Second)))
	s.mu.Unlock()
	s.crashFor(n, d)
}

// haltOne is service stop, and service start a while after.
func (s *Simulation) haltOne() {
	j := s.some()
	s.halt(j)
	s.startLater(j)
}

func (s *Simulation) startLater(j *job) {
	s.later(s.span(5*time.Second, 40*time.Second), j.node.startAll)
}

// parameters are changed in the script, and every manager is told to read them again.
func (s *Simulation) parameters() {
	p := pick(s, s.packages...)
	params := s.someParams()
	s.mu.Lock()
	p.Params.Timeout, p.Params.StopTimeout = params.Timeout, params.StopTimeout
	p.vip = addresses[s.pids%len(addresses)]
	s.noteLocked(p, "T is %v now, S %v, its address %s", params.Timeout, params.StopTimeout, p.vip)
	for _, w := range p.worlds {
		if j := w.node.jobs[p.Name]; j.manages() {
			select {
			case j.pid.signals <- syscall.SIGUSR1:
			default: // it has enough to do
			}
		}
	}
	s.mu.Unlock()
}

func (s *Simulation) forget() { s.each(s.some().node, string(failover.Forget)) }

func (s *Simulation) lookAgain() { s.each(s.some().node, string(failover.Look)) }
