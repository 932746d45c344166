package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lease"
)

// A world is what of a package runs on one node. It outlives the manager and the deadman, and ends
// with the host. The simulation's mu guards it.
type world struct {
	s       *Simulation
	node    *node
	pkg     *Package
	rng     *rand.Rand
	procs   []*proc
	begun   int           // services, ever
	changed chan struct{} // closed, and made anew, when something changes
	bad     string        // what its stop script does for now: see badStop; "" for nothing of it
	halved  bool          // a stop has taken away a part of the service
	long    bool          // its next start takes long
	started bool          // its last start succeeded
	vips    []string      // addresses of the package that this node has

	lease    *held       // the last lease that the node had
	released bool        // the node has given that back
	adopted  bool        // a manager has adopted it, and not asked for the status yet
	kill     lease.Time  // its kill end, as last seen
	moved    time.Time   // when the kill end last moved back
	timer    *time.Timer // checks again at the kill end
}

// A proc is a process of the package, or of one of its scripts.
type proc struct {
	what    string  // start, stop, status, service, leftover
	action  *action // whose cgroup it is in; nil once it is the service
	deaf    bool    // it ends by KILL only
	tough   time.Duration
	until   time.Time // before which KILL does nothing: it hangs in the kernel
	doomed  bool      // it got a KILL
	dead    bool
	ended   chan struct{}
	service int       // its number among the services begun here; 0 if it is none
	mark    string    // in its environment; "" for none of ours
	group   string    // its cgroup
	counts  time.Time // it is ignored before: what a status leaves is killed only after it was noticed
}

// An action is one run of the package script.
type action struct {
	w    *world
	what string
	main *proc
	code int
	done chan struct{}
	call
}

// A call is by whom an action was begun, and with what.
type call struct {
	by string
	of failover.Token
	reach
}

// An act is what an action does.
type act struct {
	takes  time.Duration
	code   int
	hangs  bool
	deaf   bool          // it ignores TERM
	tough  time.Duration // how long KILL has no effect
	lies   bool          // a stop stops nothing; a status says up
	halves bool          // a stop takes away a part of the service
	leaves bool          // it leaves a process behind
}

// usual is what a healthy script takes.
func (w *world) usual(what string) act {
	most := 300 * time.Millisecond
	if what != "status" {
		most = w.pkg.scripts()
	}
	return act{takes: time.Millisecond + time.Duration(w.rng.Int64N(int64(most)))}
}

// scripts is how long a healthy start takes, or a stop.
func (p *Package) scripts() time.Duration {
	return min(2500*time.Millisecond, p.Params.StartTimeout/2, p.Params.StopTimeout/2)
}

// draw is what a script does this time.
func (w *world) draw(what string) act {
	a := w.usual(what)
	if what == "start" && w.long {
		w.long, a.takes = false, longStart
		return a
	}
	odds := w.s.odds
	if what == "status" {
		odds /= 25
	}
	switch {
	case what == "stop" && w.bad != "":
		return w.drawBadStop(a)
	case w.rng.Float64() >= odds:
		return a
	}
	fault := w.rng.IntN(8)
	switch fault {
	case 0:
		a.code, a.lies = 1, what == "stop"
	case 1:
		a.hangs = true
	case 2:
		a.hangs, a.deaf = true, true
	case 3:
		a.lies = true
	case 4:
		a.leaves, a.deaf = true, w.rng.IntN(2) == 0
	case 5:
		a.takes *= 5
	case 6:
		a.code = 2 + w.rng.IntN(2)
	case 7:
		if a.deaf = true; w.s.Tough {
			a.tough = time.Duration(w.rng.Int64N(int64(20 * time.Second)))
		}
	}
	w.s.count(w.pkg, "script: "+what+" "+[]string{"fails", "hangs", "hangs, deaf", "lies", "leaves a process", "slow", "odd status", "deaf"}[fault])
	return a
}

// begin begins an action. The caller holds s.mu.
func (w *world) begin(what string, by call) *action {
	does := w.draw(what)
	a := &action{w: w, what: what, done: make(chan struct{}), call: by}
	a.main = w.spawn(what, a, does)
	if what != "status" {
		w.s.noteLocked(w.pkg, "%s: %s begins, by %s", w.node.name, what, by.by)
	}
	w.started = w.started && what != "start"
	w.sameTime(a)
	w.s.knows(a)
	switch {
	case what == "start" && w.up():
		w.s.violateLocked(w.pkg, "%s: start begins while the package is up there", w.node.name)
	case what != "status" && w.adopted && !isClosed(w.lease.Lost()):
		w.s.violateLocked(w.pkg, "%s: %s begins though the package was adopted, and nothing is wrong with it", w.node.name, what)
	}
	w.check()
	go a.run(does)
	return a
}

// spawn makes a process. The caller holds s.mu.
func (w *world) spawn(what string, a *action, does act) *proc {
	p := &proc{what: what, action: a, deaf: does.deaf, tough: does.tough, ended: make(chan struct{}), mark: a.mark, group: a.groups[0]}
	if what == "service" && w.pkg.bare {
		p.mark = ""
	}
	w.procs = append(w.procs, p)
	return p
}

// run is what the script does.
func (a *action) run(does act) {
	if !a.sleep(does.takes / 2) {
		return
	}
	a.lock(func() { a.acts(does) })
	if does.hangs {
		<-a.main.ended
		return
	}
	if !a.sleep(does.takes / 2) {
		return
	}
	a.lock(func() { a.exit(a.result(does)) })
}

// lock does f, unless the script is dead.
func (a *action) lock(f func()) {
	a.w.s.mu.Lock()
	defer a.w.s.mu.Unlock()
	if !a.main.dead {
		f()
	}
}

func (a *action) lockAll(f func()) {
	a.w.s.mu.Lock()
	defer a.w.s.mu.Unlock()
	f()
}

// swept is how long what a status left behind may live until it is killed.
const swept = 4 * time.Second

// sleep returns false if the script is killed meanwhile.
func (a *action) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.main.ended:
		return false
	}
	select {
	case <-a.w.node.thawed():
		return true
	case <-a.main.ended:
		return false
	}
}

// acts does the script's work, half-way through its time. The caller holds s.mu.
func (a *action) acts(does act) {
	w := a.w
	switch {
	case a.what == "start" && (does.code == 0 || w.rng.IntN(2) == 0):
		w.begun++
		p := w.spawn("service", a, does)
		p.service = w.begun
		w.vips, w.halved = append(w.vips, w.pkg.vip), false
		w.startChild()
	case a.what == "stop" && does.halves:
		w.halve()
	case a.what == "stop" && !does.lies && !does.hangs:
		w.drop(w.pkg.vip)
		w.endService()
	}
	if does.leaves {
		p := w.spawn("leftover", a, does)
		if a.what == "status" {
			p.counts = time.Now().Add(swept)
			time.AfterFunc(swept, func() { a.lockAll(w.check) })
		}
	}
	w.change()
}

// result is the exit status. The caller holds s.mu.
func (a *action) result(does act) int {
	switch honest := a.what == "status" && does.code == 0 && !does.lies; {
	case honest && a.w.isHalf():
		return 2
	case honest && !a.w.up():
		return 1
	}
	return does.code
}

// exit ends the script by itself. The caller holds s.mu.
func (a *action) exit(code int) {
	a.code = code
	if a.what == "start" {
		a.w.started = code == 0
		if g, ok := a.w.pkg.grants[a.of.Term]; ok && code == 0 {
			g.begun = true
			a.w.pkg.grants[a.of.Term] = g
		}
	}
	if a.what == "status" && a.w.adopted && code == 0 {
		a.w.s.result.Kept++
	}
	if a.what != "status" || code > 1 {
		a.w.s.noteLocked(a.w.pkg, "%s: %s ends with %d", a.w.node.name, a.what, code)
	}
	a.w.die(a.main)
}

// die ends a process. The caller holds s.mu.
func (w *world) die(p *proc) {
	if p.dead {
		return
	}
	p.dead = true
	close(p.ended)
	w.procs = slices.DeleteFunc(w.procs, func(o *proc) bool { return o == p })
	if p.action != nil && p.action.main == p {
		w.adopted = false
		if p.doomed {
			p.action.code = 137
		}
		close(p.action.done)
	}
	w.change()
}

// signal sends TERM or KILL to a process. The caller holds s.mu.
func (w *world) signal(p *proc, kill bool) {
	switch {
	case p.dead, p.deaf && !kill:
		return
	case !kill:
		p.doomed = true
		w.die(p)
		return
	case p.tough > 0 && p.until.IsZero():
		p.until, p.doomed = time.Now().Add(p.tough), true
		w.s.noteLocked(w.pkg, "%s: %s cannot be killed for %v", w.node.name, p.what, p.tough)
		w.s.later(p.tough, func() {
			w.s.mu.Lock()
			defer w.s.mu.Unlock()
			w.die(p)
		})
	case p.until.IsZero():
		p.doomed = true
		w.die(p)
	}
}

// change tells who waits that something changed. The caller holds s.mu.
func (w *world) change() {
	close(w.changed)
	w.changed = make(chan struct{})
	w.check()
}

// up says whether a service runs. The caller holds s.mu.
func (w *world) up() bool { return w.service() > 0 }

// service is which one runs; 0 for none. The caller holds s.mu.
func (w *world) service() int {
	for _, p := range w.procs {
		if p.what == "service" {
			return p.service
		}
	}
	return 0
}

// busy says in words what of the package is alive, without the status script: alive can be killed,
// tough cannot for now. The caller holds s.mu.
func (w *world) busy() (alive, tough []string) {
	for _, p := range w.procs {
		switch {
		case p.what == "status", time.Now().Before(p.counts):
		case p.until.IsZero():
			alive = append(alive, p.what)
		default:
			tough = append(tough, p.what)
		}
	}
	if len(w.vips) > 0 {
		alive = append(alive, "address "+strings.Join(w.vips, ", "))
	}
	return alive, tough
}

// addresses are what a package can have.
var addresses = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}

// drop takes an address away from the node. The caller holds s.mu.
func (w *world) drop(vip string) {
	w.vips = slices.DeleteFunc(w.vips, func(o string) bool { return o == vip })
}

// words is what is alive, as a manager is told. The caller holds s.mu.
func words(procs []*proc) string {
	var all []string
	for _, p := range procs {
		all = append(all, p.what)
	}
	return strings.Join(all, ", ")
}

// crash ends all with the host. The caller holds s.mu.
func (w *world) crash() {
	for _, p := range slices.Clone(w.procs) {
		w.die(p)
	}
	w.lease, w.bad, w.vips = nil, "", nil
}

// clean is an admin that ends what is left, by whatever means. The caller holds s.mu.
func (w *world) clean() {
	w.bad, w.vips = "", nil
	for _, p := range slices.Clone(w.procs) {
		if p.what == "leftover" || p.what == "service" {
			w.die(p)
		}
	}
}

func (w *world) String() string { return fmt.Sprintf("%s on %s", w.pkg.Name, w.node.name) }
