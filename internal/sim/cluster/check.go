package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	late     = 50 * time.Millisecond  // how long after a kill end something may still be alive: it may be ending just now
	thawTime = 100 * time.Millisecond // the same for a host that stood still until after the kill end
)

// An event is one of the timeline.
type event struct {
	at   time.Duration
	pkg  *Package // nil for all
	text string
}

func (s *Simulation) note(p *Package, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(p, format, args...)
}

// noteLocked is note for who holds s.mu.
func (s *Simulation) noteLocked(p *Package, format string, args ...any) {
	s.events = append(s.events, event{time.Since(s.begin), p, fmt.Sprintf(format, args...)})
	if s.Trace != nil {
		s.Trace(s.events[len(s.events)-1].String())
	}
	if len(s.events) > 4000 {
		s.events = slices.Clone(s.events[2000:])
	}
}

func (e event) String() string {
	name := ""
	if e.pkg != nil {
		name = e.pkg.Name + " "
	}
	return fmt.Sprintf("%10.3f %s%s", e.at.Seconds(), name, e.text)
}

// violate reports that something happened that must never happen. Only the first report counts.
func (s *Simulation) violate(p *Package, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violateLocked(p, format, args...)
}

func (s *Simulation) violateLocked(p *Package, format string, args ...any) {
	s.noteLocked(p, "WRONG: "+format, args...)
	if s.result.Wrong != "" {
		return
	}
	const shown = 60
	var lines []string
	for _, e := range slices.Backward(s.events) {
		if p == nil || e.pkg == nil || e.pkg == p {
			lines = append(lines, e.String())
		}
		if len(lines) == shown {
			break
		}
	}
	slices.Reverse(lines)
	s.result.Wrong = fmt.Sprintf(format, args...) + "\n" + strings.Join(lines, "\n")
	close(s.wrong)
}

func (s *Simulation) isWrong() bool { return isClosed(s.wrong) }

// check looks at what runs now of the world's package. The caller holds s.mu.
func (w *world) check() {
	w.pkg.look()
	var on, stuck []string
	for _, o := range w.pkg.worlds {
		alive, tough := o.busy()
		switch {
		case len(alive) > 0 && o.node.counts():
			on = append(on, fmt.Sprintf("%s (%s)", o.node.name, strings.Join(alive, ", ")))
		case len(tough) > 0:
			stuck = append(stuck, o.node.name)
		}
	}
	if len(on) > 1 {
		w.s.doubled(w.pkg, on)
	}
	if len(on) > 0 && len(stuck) > 0 {
		w.s.result.Unkillable++
	}
	w.checkLease()
}

// doubled reports that something of a package is alive on two nodes. The caller holds s.mu.
func (s *Simulation) doubled(p *Package, on []string) {
	if s.BothKilled {
		s.result.Doubled++
		return
	}
	s.violateLocked(p, "it is alive on two nodes: %s", strings.Join(on, " and "))
}

// counts says whether what is on the node really runs: not while the host stands still, nor in the
// first moment after that.
func (n *node) counts() bool { return isClosed(n.flow) && time.Since(n.thaw) >= thawTime }

// checkLease checks that nothing is alive after the kill end. The caller holds s.mu.
func (w *world) checkLease() {
	alive, _ := w.busy()
	if len(alive) == 0 || !w.node.counts() || w.s.BothKilled {
		return
	}
	switch {
	case w.lease == nil:
		w.s.violateLocked(w.pkg, "%s: without any lease there is %s", w.node.name, strings.Join(alive, ", "))
	case w.released:
		w.s.violateLocked(w.pkg, "%s: after the release there is %s", w.node.name, strings.Join(alive, ", "))
	case w.left() < -late && time.Since(w.moved) > late:
		w.s.violateLocked(w.pkg, "%s: %v after the kill end there is %s", w.node.name, -w.left(), strings.Join(alive, ", "))
	}
}

// left returns how long it is until the kill end. The kill end may move back, even into the past:
// when parameters change, or when the node learns that another has the lock. The caller holds s.mu.
func (w *world) left() time.Duration {
	_, kill := w.lease.Lock.Ends()
	if w.kill.Left(kill) < 0 {
		w.kill = kill
	} else if kill.Left(w.kill) < 0 {
		w.kill, w.moved = kill, time.Now()
		w.arm()
	}
	return kill.Left(w.node.clock.Now())
}

// arm sets a timer that checks again just after the kill end, or after the host has stood still.
// The caller holds s.mu.
func (w *world) arm() {
	if w.timer != nil {
		w.timer.Stop()
	}
	of := w.lease
	_, kill := of.Lock.Ends()
	w.timer = time.AfterFunc(max(kill.Left(w.node.clock.Now()), 0)+2*late, func() {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		if w.lease != of || w.released || !w.node.up {
			return
		}
		w.check()
		if w.left() > -late || !isClosed(w.node.flow) {
			w.arm()
		}
	})
}

// look notes since when the package is up, or down everywhere. The caller holds s.mu.
func (p *Package) look() {
	up := slices.ContainsFunc(p.worlds, func(w *world) bool { return w.up() && isClosed(w.node.flow) })
	switch {
	case up && !p.up:
		down := time.Since(p.since)
		p.longest = max(p.longest, down)
		if p.cause != "" {
			p.s.result.Down[p.cause] = max(p.s.result.Down[p.cause], down.Seconds())
		}
		p.cause = ""
	case !up && p.up:
		p.cause, p.since = p.fault, time.Now()
	}
	p.up = up
}

// sameTime checks that no two starts or stops run on a node at the same time. The caller holds
// s.mu.
func (w *world) sameTime(a *action) {
	for _, p := range w.procs {
		other := p.action
		if other == nil || other == a || other.main != p || p.dead || p.doomed || other.what == "status" || a.what == "status" {
			continue
		}
		w.s.violateLocked(w.pkg, "%s: %s begins while %s runs", w.node.name, a.what, other.what)
	}
}

// A grant is a lock as a node was told of it.
type grant struct {
	node     string
	previous string
	unfenced []string
	begun    bool // a start has succeeded: one that is run again in place is told of its own node
}

// granted records a grant. The caller holds s.mu.
func (p *Package) granted(node string, term uint64, previous string, unfenced []string) {
	if p.grants == nil {
		p.grants = map[uint64]grant{}
	}
	p.grants[term] = grant{node, previous, unfenced, false}
}

// knows checks that BTW_TERM, BTW_PREVIOUS and BTW_UNFENCED of a start are those of the lock as it
// was granted to the node, not those of an adoption. The caller holds s.mu.
func (s *Simulation) knows(a *action) {
	g, ok := a.w.pkg.grants[a.of.Term]
	if a.what != "start" || !ok {
		return
	}
	switch {
	case g.node != a.w.node.name:
		s.violateLocked(a.w.pkg, "%s: BTW_TERM is %d, which is %s's", a.w.node.name, a.of.Term, g.node)
	case g.begun && a.w.node.isCalled(a.of.Previous) && len(a.of.Unfenced) == 0:
	case !slices.Equal(g.unfenced, a.of.Unfenced):
		s.violateLocked(a.w.pkg, "%s: BTW_UNFENCED is %v, and the lock says %v", a.w.node.name, a.of.Unfenced, g.unfenced)
	case g.previous != a.of.Previous:
		s.violateLocked(a.w.pkg, "%s: BTW_PREVIOUS is %q, and the lock was %q's before term %d", a.w.node.name, a.of.Previous, g.previous, a.of.Term)
	}
}
