package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lease"
	"backtowork/internal/notes"
)

// version is that of the one program that all processes run.
const version = "simulated"

// A keeper is a deadman process.
type keeper struct {
	*node
	p       *process
	kept    map[string]*kept // by package
	manager *process
	revived *process
}

// A kept package is one that it watches, with its hands.
type kept struct {
	*job
	hands  hands
	params failover.Params
}

// spawnDeadman starts a deadman for the manager.
func (g *group) spawnDeadman() (io.ReadWriteCloser, func(), error) {
	if !g.p.acts() {
		return nil, nil, errDead
	}
	p := g.process("deadman")
	ours, theirs := socketPair()
	k := &keeper{node: g.node, p: p, kept: map[string]*kept{}, manager: g.p}
	conn := p.own(theirs)
	to := g.p.own(ours)
	if g.s.Off.Word {
		to = g.p.own(g.s.lagging(ours))
	}
	g.s.wg.Go(func() {
		defer p.kill()
		k.run(conn)
	})
	return to, func() {
		if g.p.acts() {
			p.kill()
		}
	}, nil
}

// run is the process.
func (k *keeper) run(conn net.Conn) {
	hello, to, err := deadman.Greet(conn)
	if err != nil {
		return
	}
	for _, o := range hello.Packages {
		if err := k.prepare(o); err != nil {
			_ = to.Refuse(err)
			return
		}
	}
	d := &deadman.Deadman{Hands: k, Clock: clock{k.clock, k.p}, Version: version, PID: k.p.pid}
	d.Run(k.p.ctx, hello, to)
}

// prepare takes the deadman's flock of a package, for which it waits a second at most.
func (k *keeper) prepare(o deadman.Origin) error {
	j := k.jobs[o.Package]
	w := &kept{job: j, hands: hands{j.world, k.p}}
	k.kept[o.Package] = w
	if err := json.Unmarshal(o.Params, &w.params); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		k.s.mu.Lock()
		free := j.guard == nil || !j.guard.alive()
		if free {
			j.guard, j.since = k.p, time.Now()
		}
		k.s.mu.Unlock()
		switch {
		case free:
			return nil
		case time.Now().After(end):
			return errors.New("another deadman guards the package")
		}
	}
}

// acts is whether the deadman has any effect.
func (k *keeper) acts() bool { return k.p.acts() && !k.s.Off.Deadman }

// KillManager kills the manager that it watches.
func (k *keeper) KillManager() {
	if !k.acts() || k.s.Off.Silence {
		return
	}
	k.s.mu.Lock()
	k.s.count(nil, "deadman kills manager")
	k.s.mu.Unlock()
	if k.revived != nil {
		k.revived.kill()
		return
	}
	k.manager.kill()
}

// Revive starts a manager that goes on with the package; now and then that fails, or hangs.
func (k *keeper) Revive(packages []string) (io.ReadWriteCloser, error) {
	if !k.acts() {
		return nil, errDead
	}
	var jobs []*job
	for _, name := range packages {
		jobs = append(jobs, k.jobs[name])
	}
	k.s.mu.Lock()
	rng := jobs[0].rng
	takes, luck := 10*time.Millisecond+time.Duration(rng.Int64N(int64(390*time.Millisecond))), rng.IntN(20)
	k.s.mu.Unlock()
	switch {
	case luck == 0:
		return nil, errors.New("cannot start a manager: no such file")
	case luck == 1:
		takes = time.Minute
	}
	p := k.node.process("manager, revived")
	ours, theirs := socketPair()
	k.revived = p
	k.startManager(p, jobs, p.own(theirs), takes)
	return k.p.own(ours), nil
}

// Stop climbs the stop ladder.
func (k *keeper) Stop(ctx context.Context, w deadman.Word) {
	if !k.acts() || k.s.Off.Silence {
		<-ctx.Done()
		return
	}
	j := k.kept[w.Package]
	k.s.mu.Lock()
	k.s.result.TakeOvers++
	k.s.noteLocked(j.pkg, "%s: the deadman stops the package", k.name)
	if j.pid == nil || !j.pid.alive() {
		j.pid = k.p
	}
	params := j.params
	j.told(w)
	k.s.mu.Unlock()
	_ = j.hands.KillUnfinished(w.Doing != string(failover.Running))
	params.Timeout, params.StopTimeout = w.Timeout, w.Stop
	if k.s.Off.KillEnd {
		w.Kill = k.clock.Now().Add(w.Stop)
	}
	m := failover.New(failover.Config{
		Package: j.pkg.Name, Node: k.name, Scripts: j.hands, Clock: clock{k.clock, k.p}, Notes: notes.In(j.dir),
		Say: k.Say, Stop: guarded.Lost(w), Reset: j.hands.reset,
	}, params)
	_, _ = m.Run(ctx)
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if ctx.Err() == nil && k.p.alive() { // it is shown to be down: there is nothing to go on with
		j.record.word = deadman.Word{Package: j.pkg.Name, Phase: deadman.Free}
	}
	if j.pid == k.p {
		j.pid = nil
	}
}

// told notes a lock that the manager had, and of which it could not tell anybody but the deadman before it
// was killed. The caller holds s.mu.
func (w *world) told(word deadman.Word) {
	var term uint64
	if w.lease != nil {
		term, _ = w.lease.Terms()
	}
	if word.Term > term {
		w.pkg.told = max(w.pkg.told, word.Term)
		w.lease, w.released, w.kill, w.moved = &held{Lock: guarded.Lost(word)}, false, lease.Time{}, time.Now()
		w.arm()
	}
}

// Kill kills all that is left of the package.
func (k *keeper) Kill(pkg string) {
	if !k.acts() || k.s.Off.KillEnd || k.s.Off.Silence {
		return
	}
	k.s.wg.Go(func() { _, _ = k.kept[pkg].hands.KillAll(0) })
}

// Begin starts an ordinary manager.
func (k *keeper) Begin(pkg string) {
	if !k.acts() {
		return
	}
	j := k.jobs[pkg]
	k.s.mu.Lock()
	j.record = record{}
	takes := 10*time.Millisecond + time.Duration(j.rng.Int64N(int64(390*time.Millisecond)))
	k.s.mu.Unlock()
	k.startManager(k.process("manager, begun by the deadman"), []*job{j}, nil, takes)
}

// Heard has nothing to do: there is no hardware watchdog.
func (k *keeper) Heard(deadman.Word) {}

// Update takes up other parameters.
func (k *keeper) Update(o deadman.Origin) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	_ = json.Unmarshal(o.Params, &k.kept[o.Package].params)
}

// LetGo says that another may act on the package.
func (k *keeper) LetGo(pkg string) {
	if !k.p.acts() {
		return
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if j := k.jobs[pkg]; j.guard == k.p {
		j.guard = nil
	}
}

// Say tells the admin.
func (k *keeper) Say(line string) {
	if !strings.Contains(line, brokenDisk) {
		k.s.note(nil, "%s: deadman: %s", k.name, line)
	}
}
