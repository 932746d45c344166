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
	"backtowork/internal/notes"
)

// version is that of the one program that all processes run.
const version = "simulated"

// A keeper is a deadman process, with its hands.
type keeper struct {
	*job
	p       *process
	hands   hands
	params  failover.Params
	manager *process
	revived *process
}

// spawnDeadman starts a deadman for the manager.
func (m *manager) spawnDeadman() (io.ReadWriteCloser, func(), error) {
	if !m.p.acts() {
		return nil, nil, errDead
	}
	p := m.node.process("deadman")
	ours, theirs := socketPair()
	k := &keeper{job: m.job, p: p, hands: hands{m.world, p}, manager: m.p}
	conn := p.own(theirs)
	to := m.p.own(ours)
	if m.s.Off.Word {
		to = m.p.own(m.s.lagging(ours))
	}
	m.s.wg.Go(func() {
		defer p.kill()
		k.run(conn)
	})
	return to, func() {
		if m.p.acts() {
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
	if err := k.prepare(hello.Packages[0]); err != nil {
		_ = to.Refuse(err)
		return
	}
	d := &deadman.Deadman{Hands: k, Clock: clock{k.node.clock, k.p}, Version: version, PID: k.p.pid}
	d.Run(k.p.ctx, hello, to)
}

// prepare takes the deadman's flock, for which it waits a second at most.
func (k *keeper) prepare(o deadman.Origin) error {
	if err := json.Unmarshal(o.Params, &k.params); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		k.s.mu.Lock()
		free := k.guard == nil || !k.guard.alive()
		if free {
			k.guard, k.since = k.p, time.Now()
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
	k.s.count(k.pkg, "deadman kills manager")
	k.s.mu.Unlock()
	if k.revived != nil {
		k.revived.kill()
		return
	}
	k.manager.kill()
}

// Revive starts a manager that goes on with the package; now and then that fails, or hangs.
func (k *keeper) Revive([]string) (io.ReadWriteCloser, error) {
	if !k.acts() {
		return nil, errDead
	}
	k.s.mu.Lock()
	takes, luck := 10*time.Millisecond+time.Duration(k.rng.Int64N(int64(390*time.Millisecond))), k.rng.IntN(20)
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
	k.startManager(p, p.own(theirs), takes)
	return k.p.own(ours), nil
}

// Stop climbs the stop ladder.
func (k *keeper) Stop(ctx context.Context, w deadman.Word) {
	if !k.acts() || k.s.Off.Silence {
		<-ctx.Done()
		return
	}
	k.s.mu.Lock()
	k.s.result.TakeOvers++
	k.s.noteLocked(k.pkg, "%s: the deadman stops the package", k.node.name)
	if k.pid == nil || !k.pid.alive() {
		k.pid = k.p
	}
	k.s.mu.Unlock()
	_ = k.hands.KillUnfinished(w.Doing != string(failover.Running))
	params := k.params
	params.Timeout, params.StopTimeout = w.Timeout, w.Stop
	if k.s.Off.KillEnd {
		w.Kill = k.node.clock.Now().Add(w.Stop)
	}
	m := failover.New(failover.Config{
		Package: k.pkg.Name, Node: k.node.name, Scripts: k.hands, Clock: clock{k.node.clock, k.p}, Notes: notes.In(k.dir),
		Say: k.Say, Stop: guarded.Lost(w), Reset: k.hands.reset,
	}, params)
	_, _ = m.Run(ctx)
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.pid == k.p {
		k.pid = nil
	}
}

// Kill kills all that is left of the package.
func (k *keeper) Kill(string) {
	if !k.acts() || k.s.Off.KillEnd || k.s.Off.Silence {
		return
	}
	k.s.wg.Go(func() { _, _ = k.hands.KillAll(0) })
}

// Begin starts an ordinary manager.
func (k *keeper) Begin(string) {
	if !k.acts() {
		return
	}
	k.s.mu.Lock()
	k.record = record{}
	takes := 10*time.Millisecond + time.Duration(k.rng.Int64N(int64(390*time.Millisecond)))
	k.s.mu.Unlock()
	k.startManager(k.node.process("manager, begun by the deadman"), nil, takes)
}

// Heard has nothing to do: there is no hardware watchdog.
func (k *keeper) Heard(deadman.Word) {}

// Update takes up other parameters.
func (k *keeper) Update(o deadman.Origin) { _ = json.Unmarshal(o.Params, &k.params) }

// LetGo says that another may act on the package.
func (k *keeper) LetGo(string) {
	if !k.p.acts() {
		return
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.guard == k.p {
		k.guard = nil
	}
}

// Say tells the admin.
func (k *keeper) Say(line string) {
	if !strings.Contains(line, brokenDisk) {
		k.s.note(k.pkg, "%s: deadman: %s", k.node.name, line)
	}
}
