package cluster

import (
	"slices"
	"time"
)

// badStop makes the stop script of a package fail, hang, or take away only a part of the service, on a node, for
// a while.
func (s *Simulation) badStop() {
	j, bad := s.some(), pick(s, "fails", "hangs", "halves")
	s.mu.Lock()
	j.bad = bad
	s.mu.Unlock()
	s.later(s.span(20*time.Second, 2*time.Minute), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		j.bad = ""
	})
}

// drawBadStop is what a stop does while it is bad. The caller holds s.mu.
func (w *world) drawBadStop(a act) act {
	a.halves = w.bad == "halves"
	if a.hangs = w.bad == "hangs" || a.halves && w.rng.IntN(2) == 0; a.hangs {
		a.deaf = w.rng.IntN(2) == 0
	} else {
		a.code, a.lies = 1, !a.halves
	}
	return a
}

// halve leaves the service half stopped: it has lost its address, or its processes. A stop that comes after it finds
// what is left, and may take that away. The caller holds s.mu.
func (w *world) halve() {
	if !w.up() || !slices.Contains(w.vips, w.pkg.vip) {
		return
	}
	w.halved = true
	left := "processes"
	if w.rng.IntN(2) == 0 {
		w.drop(w.pkg.vip)
	} else {
		left = "address"
		w.endService()
	}
	w.s.count(w.pkg, "script: stop leaves the "+left)
}

// isHalf says whether a stop has left a part of the service, and that is still there. The caller holds s.mu.
func (w *world) isHalf() bool { return w.halved && (w.up() || len(w.vips) > 0) }

// endService ends the processes of the service. The caller holds s.mu.
func (w *world) endService() {
	for _, p := range slices.Clone(w.procs) {
		if p.what == "service" {
			w.die(p)
		}
	}
}
