package script

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	afterKill = time.Second           // how long what was sent SIGKILL may take to be gone
	firstLook = time.Millisecond      // pauses between two looks at what is left,
	lastLook  = 50 * time.Millisecond // doubling
)

// target tells by what the processes that belong to something are known.
type target struct {
	pids    []int          // all that is in its cgroups
	marks   [][]byte       // a process with all of these in its environment belongs
	leaders []int          // these processes belong, and all of their groups
	known   map[int]uint64 // seen before: start times, by pid
	groups  []initGroup    // what has the marks of one of these belongs too
}

// findAll looks for all that belongs to the package.
func (r *Runner) findAll() (map[int]proc, error) {
	t := target{marks: r.marks}
	for _, tree := range r.trees() {
		pids, err := tree.pids()
		if err != nil {
			return nil, err
		}
		t.pids = append(t.pids, pids...)
	}
	r.mu.Lock()
	t.known = maps.Clone(r.seen)
	for a := range r.running {
		t.leaders = append(t.leaders, a.pid)
	}
	units := r.units
	t.groups = r.groups
	r.mu.Unlock()
	inGroups, err := groupPIDs(t.groups)
	if err != nil {
		return nil, err
	}
	t.pids = append(append(t.pids, unitPIDs(units)...), inGroups...)
	return r.find(t)
}

// target is what belongs to the action: without the cgroup, which other actions share.
func (a *Action) target() target {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	t := target{marks: [][]byte{a.mark}, known: maps.Clone(a.known)}
	if !a.reaped {
		t.leaders = []int{a.pid}
	}
	return t
}

// find looks for all that belongs to t and is alive, descendants included. It stops at what runs
// beside packages: a manager that a package's script has started is not the package's.
func (r *Runner) find(t target) (map[int]proc, error) {
	procs, err := processes()
	if err != nil {
		return nil, err
	}
	kids := make(map[int][]int)
	for pid, p := range procs {
		kids[p.ppid] = append(kids[p.ppid], pid)
	}
	found := make(map[int]proc)
	var fault error
	var add func(p proc)
	add = func(p proc) {
		if _, ok := found[p.pid]; ok || p.zombie || p.pid == os.Getpid() || p.pid == 1 {
			return
		}
		if p.mayBeAside() {
			if other, err := aside(p.pid, t.marks); other || err != nil {
				fault = cmp.Or(fault, err)
				return
			}
		}
		found[p.pid] = p
		for _, kid := range kids[p.pid] {
			add(procs[kid])
		}
	}
	for _, pid := range t.pids {
		if p, ok := procs[pid]; ok {
			add(p)
		} else if p, err := readProc(pid); err == nil {
			add(p) // it began after the list was read
		}
	}
	for pid, p := range procs {
		start, known := t.known[pid]
		if known && start == p.start || slices.Contains(t.leaders, pid) || slices.Contains(t.leaders, p.pgrp) {
			add(p)
		}
	}
	for pid, p := range procs { // last, because it reads a file for each that is left
		if _, ok := found[pid]; ok || p.zombie {
			continue
		}
		ok, err := t.owns(pid)
		if err != nil {
			return nil, err
		}
		if ok {
			add(p)
		}
	}
	if fault != nil {
		return nil, fault
	}
	r.mu.Lock()
	r.remember(found, procs)
	r.mu.Unlock()
	return found, nil
}

// remember keeps what belongs to the package, and forgets the dead. At a later look such a process
// may be an orphan by which nothing shows any more whose it is. r.mu is held.
func (r *Runner) remember(found, procs map[int]proc) {
	for pid, p := range found {
		r.seen[pid] = p.start
	}
	maps.DeleteFunc(r.seen, func(pid int, start uint64) bool {
		if procs[pid].start == start {
			return false
		}
		p, err := readProc(pid) // it may be younger than procs
		return err != nil || p.start != start
	})
}

// busy is all that belongs to running actions other than a.
func (r *Runner) busy(a *Action) (map[int]proc, error) {
	r.mu.Lock()
	var others []*Action
	for other := range r.running {
		if other != a && !other.ended {
			others = append(others, other)
		}
	}
	r.mu.Unlock()
	busy := make(map[int]proc)
	for _, other := range others {
		found, err := r.find(other.target())
		if err != nil {
			return nil, err
		}
		maps.Copy(busy, found)
	}
	return busy, nil
}

// Alive lists everything of the package that is alive.
func (r *Runner) Alive() ([]Process, error) {
	found, err := r.sure(r.findAll)()
	if err != nil {
		return nil, err
	}
	expected.reapOrphans()
	return list(found), nil
}

// Kill ends everything of this action: it sends SIGTERM, and after grace SIGKILL to what is left.
// It returns when nothing is left, or 1 s after SIGKILL. Other running actions are not touched.
// With cgroups it also ends what an earlier action left, unless Settle has made that the service.
func (a *Action) Kill(grace time.Duration) {
	a.end(grace, a.r.tree != nil)
}

// Drop kills this action at once, and only what is surely its own: another action may have begun
// already of which this Runner knows nothing yet.
func (a *Action) Drop() { a.end(0, false) }

// end does what Kill says. cgroup says whether to kill also what else is in the cgroup of actions.
func (a *Action) end(grace time.Duration, cgroup bool) {
	if a.proc == nil {
		return // it never ran
	}
	r := a.r
	release := r.hold(a)
	defer release()
	look := func() (map[int]proc, error) {
		t := a.target()
		busy, err := r.busy(a)
		if err != nil {
			return nil, err
		}
		if cgroup {
			if t.pids, err = r.tree.act.pids(); err != nil {
				return nil, err
			}
		}
		found, err := r.find(t)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for pid := range busy {
			delete(found, pid)
		}
		for pid, p := range found {
			a.known[pid] = p.start
		}
		return found, nil
	}
	_, _ = sweep([]*Action{a}, grace, r.sure(look), func() {
		if cgroup && r.alone(a) {
			r.tree.act.killAll()
		}
	})
}

// EndRun kills what programs are left of a run that somebody else did, with env as Setting gave it.
func (r *Runner) EndRun(env []string) {
	const variable = "BTW_ACTION="
	i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, variable) })
	if i < 0 {
		return
	}
	t := target{marks: [][]byte{mark("BTW_ACTION", strings.TrimPrefix(env[i], variable))}}
	_, _ = sweep(nil, 0, r.sure(func() (map[int]proc, error) { return r.find(t) }), func() {})
}

// KillAll ends everything of the package, as Kill does for an action. It returns what is still
// alive then: processes that hang in the kernel.
func (r *Runner) KillAll(grace time.Duration) ([]Process, error) {
	r.mu.Lock()
	actions := slices.Collect(maps.Keys(r.running))
	r.mu.Unlock()
	release := r.hold(actions...)
	defer release()
	killAll := func() {
		for _, t := range r.trees() {
			t.act.killAll()
			t.svc.killAll()
		}
		r.killGroups()
	}
	defer r.killAt(grace, actions, killAll)()
	_ = r.haltGroups()
	left, err := sweep(actions, grace, r.sure(r.findAll), killAll)
	return list(left), errors.Join(err, r.haltGroups()) // again: a start that is dead now may have removed the note
}

// killAt kills after grace what can be killed without looking, unless stop was called before. A
// look reads /proc, and one process that hangs in the kernel can block it.
func (r *Runner) killAt(grace time.Duration, actions []*Action, killAll func()) (stop func()) {
	var mu sync.Mutex
	over := false
	t := time.AfterFunc(grace, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		for _, a := range actions {
			a.signalGroup(unix.SIGKILL)
		}
		killAll()
	})
	return func() {
		t.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
	}
}

// sure wraps look: "nothing" is believed only after three looks. Without a cgroup a process is
// known by its environment, which cannot be seen in the moment of an exec; and its parent may have
// been killed in that moment.
func (r *Runner) sure(look func() (map[int]proc, error)) func() (map[int]proc, error) {
	if r.tree != nil && len(r.initGroups()) == 0 {
		return look
	}
	return func() (map[int]proc, error) {
		for _, wait := range looks {
			pause(wait)
			if left, err := look(); err != nil || len(left) > 0 {
				return left, err
			}
		}
		return nil, nil
	}
}

// looks are the pauses before those three looks.
var looks = []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond}

// alone says whether no action but a is running.
func (r *Runner) alone(a *Action) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.running {
		if other != a && !other.ended {
			return false
		}
	}
	return true
}

// hold keeps the leaders of actions unreaped until the function that it returns is called.
func (r *Runner) hold(actions ...*Action) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range actions {
		a.kills++
	}
	return func() {
		r.mu.Lock()
		for _, a := range actions {
			a.kills--
			a.reap()
		}
		r.mu.Unlock()
		expected.reapOrphans()
	}
}

// signalGroup signals the whole group of the action at once, if its number is still the action's.
func (a *Action) signalGroup(sigs ...unix.Signal) bool {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if a.reaped {
		return false
	}
	for _, sig := range sigs {
		_ = unix.Kill(-a.pid, sig)
	}
	return true
}

// sweep sends SIGTERM to all that look finds and, after grace, SIGKILL until nothing is left. What
// needs no file to be opened comes first, so that a full file table cannot save anyone.
func sweep(actions []*Action, grace time.Duration, look func() (map[int]proc, error), killAll func()) (map[int]proc, error) {
	if grace > 0 {
		if left, err := terminate(actions, grace, look); err == nil && len(left) == 0 {
			return nil, nil
		}
	}
	for stop, wait := now()+afterKill, firstLook; ; wait = min(2*wait, lastLook) {
		for _, a := range actions {
			a.signalGroup(unix.SIGKILL)
		}
		killAll()
		left, err := look()
		if err == nil && len(left) == 0 || now() > stop {
			return left, err
		}
		for _, p := range left {
			p.signal(unix.SIGKILL)
		}
		pause(wait)
	}
}

// terminate sends SIGTERM once, and SIGCONT so that the stopped hear it too, and waits until all are
// gone or grace is over. What is born later gets none: it may be a script's trap that cleans up.
func terminate(actions []*Action, grace time.Duration, look func() (map[int]proc, error)) (left map[int]proc, err error) {
	groups := make(map[int]bool)
	stop := now() + grace
	for _, a := range actions {
		groups[a.pid] = a.signalGroup(unix.SIGTERM, unix.SIGCONT)
	}
	for first, wait := true, firstLook; ; wait = min(2*wait, lastLook) {
		left, err = look()
		if err == nil && len(left) == 0 {
			return left, err
		}
		for _, p := range left {
			if first && !groups[p.pgrp] {
				p.signal(unix.SIGTERM, unix.SIGCONT)
			}
		}
		first = first && err != nil
		rest := stop - now()
		if rest <= 0 {
			return left, err
		}
		pause(min(wait, rest))
	}
}
