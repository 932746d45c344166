package cluster

import (
	"context"
	"slices"
	"syscall"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/journal"
)

// Hands is how a process reaches a package: it stands for package script of the real program.
type hands struct {
	*world
	p *process
	reach
}

// A reach says which processes of a package a process can find: those with the package's mark in
// their environment, and those in its cgroups. The host's name, at the time when a cgroup was made,
// is part of the cgroup's name.
type reach struct {
	mark   string
	groups []string
}

// reach returns the reach of process p. What p starts goes to the first of its groups.
func (n *node) reach(p *process, mark string, also []string) reach {
	r := reach{mark: mark, groups: []string{p.node}}
	if !n.s.Off.Name {
		r.groups = append(r.groups, also...)
	}
	return r
}

func (r reach) sees(p *proc) bool { return p.mark == r.mark || slices.Contains(r.groups, p.group) }

// seen is what of the package the process can find. The caller holds s.mu.
func (h hands) seen() (all []*proc) {
	for _, p := range h.procs {
		if h.sees(p) {
			all = append(all, p)
		}
	}
	return all
}

// Cgroup is what its processes are in.
func (h hands) Cgroup() string { return h.groups[0] }

// SetUnits has nothing to do: there is no systemd.
func (h hands) SetUnits([]string) {}

// Fence has a node powered off.
func (h hands) Fence(ctx context.Context, node string) error { return h.powerOff(ctx, node) }

// TakeAway takes away the addresses of the package.
func (h hands) TakeAway(of failover.Standing, _ journal.Log) {
	if !h.p.acts() {
		return
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	vips := of.VIPs
	if h.s.Off.Standing {
		vips = []string{h.pkg.vip}
	}
	for _, vip := range vips {
		h.drop(vip)
	}
}

// Close has nothing to do, as the others.
func (h hands) Close() error { return nil }

// Leave has nothing to do.
func (h hands) Leave() error { return nil }

// Abandon has nothing to do.
func (h hands) Abandon() error { return nil }

// afterKill is how long what was sent SIGKILL is waited for.
const afterKill = time.Second

// Sets says that there is no text to look at.
func (h hands) Sets([]string) (file, name string) { return "", "" }

// Echo says the parameters.
func (h hands) Echo(context.Context, []string, []string) (map[string]string, string, error) {
	if !h.p.acts() {
		return nil, "", errDead
	}
	if h.cannotFork() {
		return nil, "", syscall.EAGAIN
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	said := h.pkg.Params.Values()
	said["vip_ip_0"] = h.pkg.vip
	if h.pkg.wrong {
		said["pace"] = "1s"
	}
	return said, "", nil
}

// Start begins a script.
func (h hands) Start(what string, of failover.Token) (failover.Action, error) {
	if !h.p.acts() {
		return nil, errDead
	}
	if what == "start" {
		h.s.starting(h)
		if !h.p.acts() {
			return nil, errDead
		}
	}
	switch full := h.cannotFork(); {
	case full && h.s.Off.NotRun:
		return critical{}, nil
	case full:
		return nil, syscall.EAGAIN
	}
	if h.s.Off.Previous && h.p.adopted.Load() {
		of.Previous = h.p.node
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return deed{h.begin(what, call{h.p.name, of, h.reach}), h}, nil
}

// A critical is an action that could not be run, taken for one that ended with "critical" (rule 15
// is off).
type critical struct{ failover.Action }

// Done is closed.
func (critical) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Status is that of a shell that did not find it.
func (critical) Status() int { return 127 }

// cannotFork says whether no process can be made on the node.
func (h hands) cannotFork() bool {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.node.full
}

// Settle makes what a start left running the service.
func (h hands) Settle() error {
	if !h.p.acts() {
		return errDead
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	for _, p := range h.seen() {
		if p.action == nil || p.action.main != p {
			p.action = nil
		}
	}
	return nil
}

// KillAll ends all that there is of the package.
func (h hands) KillAll(grace time.Duration) (string, error) {
	if h.s.Off.LetLive {
		return "", nil
	}
	return h.sweep(grace, func(*proc) bool { return true })
}

// sweep sends TERM to those that which picks, and KILL after grace. It returns what is alive even
// then.
func (h hands) sweep(grace time.Duration, which func(*proc) bool) (string, error) {
	left := func() []*proc {
		return slices.DeleteFunc(h.seen(), func(p *proc) bool { return !which(p) })
	}
	for _, kill := range []bool{false, true} {
		limit := grace
		if kill {
			limit = afterKill
		}
		if limit == 0 {
			continue
		}
		if !h.p.acts() {
			return "", errDead
		}
		h.s.mu.Lock()
		for _, p := range left() {
			h.signal(p, kill)
		}
		h.killWithin(kill)
		h.s.mu.Unlock()
		if !h.await(limit, func() bool { return len(left()) == 0 }) {
			continue
		}
		break
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return words(left()), nil
}

// await waits until ok, at most for limit; the world is locked when ok is asked.
func (h hands) await(limit time.Duration, ok func() bool) bool {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		h.s.mu.Lock()
		yes, changed := ok(), h.changed
		h.s.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-changed:
		case <-over.C:
			return false
		case <-h.p.ctx.Done():
			return false
		}
	}
}

// Alive is what there is of the package.
func (h hands) Alive() (string, error) {
	if !h.p.acts() {
		return "", errDead
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return words(h.seen()), nil
}

// KillUnfinished kills the actions and what they left, but not the service.
func (h hands) KillUnfinished(bool) error {
	if h.s.Off.Unkilled {
		return nil
	}
	_, err := h.sweep(0, func(p *proc) bool { return p.action != nil })
	return err
}

// killWithin kills the managers and deadmen that are in the package's cgroup, because the package's
// start script started them. The caller holds s.mu.
func (h hands) killWithin(kill bool) {
	for _, p := range h.node.processes {
		if kill && p.in == h.world && p.alive() {
			h.s.violateLocked(h.pkg, "%s: %s, of another package, is killed with this one", h.node.name, p.name)
			p.kill()
		}
	}
}

// reset is self_fence=reboot.
func (n *node) reset(p *process) {
	if p.acts() {
		n.s.wg.Go(func() { n.s.resetNode(n) })
		<-p.ctx.Done()
	}
}

// aside is a process that moves out of the cgroup in which it was started.
func (s *Simulation) aside(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Off.Aside {
		p.in = nil
	}
}

// inherit puts a new process into the cgroup of the one that starts it.
func (s *Simulation) inherit(from, to *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.in = from.in
}

// A deed is an action as the process that began it sees it.
type deed struct {
	*action
	h hands
}

// Done is closed when the script has ended.
func (d deed) Done() <-chan struct{} { return d.done }

// Status is its exit status.
func (d deed) Status() int {
	d.w.s.mu.Lock()
	defer d.w.s.mu.Unlock()
	return d.code
}

// Kill ends it, with what it has left unsettled.
func (d deed) Kill(grace time.Duration) {
	_, _ = d.h.sweep(grace, func(p *proc) bool { return p.action == d.action })
}

// Drop ends it at once, and nothing else.
func (d deed) Drop() { d.Kill(0) }
