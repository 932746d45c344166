package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lockclient"
	"backtowork/internal/notes"
)

// A job is a package on a node, as the files in lockdir_P have it: who is its manager, who its
// deadman, and what the manager said last. The simulation's mu guards it.
type job struct {
	*world
	dir    string
	pid    *process // that holds the manager's flock; it may be dead
	guard  *process // that holds the deadman's
	record record
	runs   *manager // the last that came to run the machine
	since  time.Time
}

// A record is the note that outlives manager and deadman.
type record struct {
	boot int // of the node
	mark string
	word deadman.Word
}

// A manager is a process of back-to-work.
type manager struct {
	*job
	p       *process
	hands   hands
	former  lockclient.Former
	doing   *failover.Former
	clear   bool
	halted  bool // it was asked to halt
	mark    string
	params  failover.Params
	session *lockclient.Session
	link    *deadman.Link
	signals chan os.Signal
	orders  chan failover.Order
}

// startManager starts back-to-work on the node, by whoever; conn is that with the deadman that it
// goes on with, nil for none.
func (j *job) startManager(p *process, conn net.Conn, after time.Duration) {
	j.s.wg.Go(func() {
		defer p.kill()
		select {
		case <-time.After(after):
		case <-p.ctx.Done():
			return
		}
		m := &manager{
			job: j, p: p, hands: hands{j.world, p}, signals: make(chan os.Signal, 8), orders: make(chan failover.Order, 8),
		}
		if err := m.open(conn); err != nil {
			j.s.note(j.pkg, "%s: %s: %v", j.node.name, p.name, err)
			return
		}
		m.run()
		j.s.note(j.pkg, "%s: %s ends", j.node.name, p.name)
	})
}

// open is what back-to-work does before it asks for a lock.
func (m *manager) open(conn net.Conn) (err error) {
	var earlier *deadman.Attached
	if conn != nil {
		earlier, err = deadman.Attach(conn, m.killer, deadman.Hello{PID: m.p.pid, Version: version})
		if err != nil {
			return err
		}
		if _, ok := earlier.Words[m.pkg.Name]; !ok {
			return errors.New("the deadman has the package")
		}
	}
	if err := m.takeFlock(earlier != nil); err != nil {
		return err
	}
	m.findFormer(earlier)
	if m.params, err = failover.ReadParams(m.p.ctx, m.hands, m.node.name); err != nil {
		return err
	}
	client := lockclient.NewClient(lockclient.Config{
		Servers: m.s.clients(), TLS: m.node.tls, Clock: clock{m.node.clock, m.p}, Log: slog.New(slog.DiscardHandler),
		Host: m.node.name, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if !m.p.acts() {
				return nil, errDead
			}
			c, err := m.s.net.On(m.node.name).Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return m.p.own(c), nil
		},
	})
	m.session = lockclient.NewSession(client, m.node.name, m.node.files)
	return m.openLink(earlier)
}

// killer is what kills a process of the node.
func (m *manager) killer(pid int) func() {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	p := m.node.processes[pid]
	return func() {
		if p != nil && m.p.acts() {
			p.kill()
		}
	}
}

// takeFlock makes the process the package's manager, once no deadman of an earlier one is at work.
func (m *manager) takeFlock(goesOn bool) error {
	for tries := 0; ; tries++ {
		m.s.mu.Lock()
		taken := m.pid != nil && m.pid != m.p && m.pid.alive()
		guarded := !goesOn && m.guard != nil && m.guard.alive()
		if !taken && !guarded {
			m.pid = m.p
		}
		m.s.mu.Unlock()
		wait := 20 * time.Millisecond
		switch {
		case taken && tries >= 10 && !guarded:
			return errors.New("back-to-work is already running")
		case !taken && !guarded:
			return nil
		case guarded:
			tries, wait = 0, 100*time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-m.p.ctx.Done():
			return errDead
		}
	}
}

// findFormer finds out what there is to go on with.
func (m *manager) findFormer(earlier *deadman.Attached) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	var r record
	if m.record.boot == m.node.boot {
		r = m.record
	}
	if earlier != nil {
		r.mark, r.word = earlier.Marks[m.pkg.Name], earlier.Words[m.pkg.Name]
	}
	m.mark = r.mark
	if f, ok := guarded.FormerOf(r.word); ok {
		m.former, m.doing = f, &failover.Former{Doing: failover.PkgState(r.word.Doing)}
	}
	if m.mark == "" {
		m.mark = lockclient.NewID()
		m.record = record{m.node.boot, m.mark, deadman.Word{Package: m.pkg.Name, Phase: deadman.Free}}
	}
	m.clear = m.doing == nil && len(m.procs) > 0
}

// remember keeps a word for who comes after both.
func (m *manager) remember(w deadman.Word) {
	if !m.p.alive() {
		return
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.record = record{m.node.boot, m.mark, w}
}

func (m *manager) origin() deadman.Origin {
	b, err := json.Marshal(m.params)
	if err != nil {
		panic(err) // they are numbers and words
	}
	return deadman.Origin{Package: m.pkg.Name, Mark: m.mark, Params: b}
}

// openLink starts the deadman, or goes on with the one that there is.
func (m *manager) openLink(earlier *deadman.Attached) error {
	hello := deadman.Hello{PID: m.p.pid, Version: version, Packages: []deadman.Origin{m.origin()}}
	m.link = deadman.NewLink(hello, m.spawnDeadman, m.say, func() { m.signal(syscall.SIGTERM) })
	if earlier != nil {
		m.link.Use(earlier)
		return nil
	}
	if m.doing != nil {
		m.link.Say(m.record.word)
	}
	return m.link.Open()
}

// say notes what the manager says to the admin.
func (m *manager) say(line string) {
	if !strings.Contains(line, brokenDisk) {
		m.s.note(m.pkg, "%s: %s: %s", m.node.name, m.p.name, line)
	}
}

func (m *manager) signal(sig os.Signal) {
	select {
	case m.signals <- sig:
	default: // it has enough to do
	}
}

func (m *manager) order(o failover.Order) {
	select {
	case m.orders <- o:
	default: // it has enough to do
	}
}

// run runs the package until the machine ends, or the process.
func (m *manager) run() {
	ctx, cancel := context.WithCancel(m.p.ctx)
	var rest sync.WaitGroup
	rest.Go(func() { m.link.Run(ctx) })
	rest.Go(func() { m.session.Run(ctx) })
	defer m.session.Client().Close()
	defer rest.Wait()
	defer cancel()
	cfg := failover.Config{
		Package: m.pkg.Name, Node: m.node.name, Scripts: m.hands, Locker: m.locker(), Clock: clock{m.node.clock, m.p},
		Notes: notes.In(m.dir), Say: m.say,
		Signals: m.signals, Orders: m.orders, Clear: m.clear, From: m.doing, Reset: m.hands.reset,
		Changed: func(p failover.Params) {
			m.s.mu.Lock()
			m.params = p
			m.s.mu.Unlock()
			m.link.Update(m.origin())
		},
	}
	m.s.mu.Lock()
	m.runs, m.since = m, time.Now()
	m.s.mu.Unlock()
	_, err := failover.New(cfg, m.params).Run(ctx)
	if !m.p.alive() {
		return
	}
	if err != nil {
		m.s.violate(m.pkg, "%s: %s ended with an error: %v", m.node.name, m.p.name, err)
	}
	over, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	_ = m.link.Sure(over, deadman.Word{Package: m.pkg.Name, Phase: deadman.Free, Over: true}) // else it finds out
}

// whole says whether manager and deadman are both there and well, for a while already: only then
// one of them may be hurt. The caller holds s.mu.
func (j *job) whole() bool {
	const settled = 3 * time.Second
	m := j.runs
	return j.node.up && m != nil && m.p == j.pid && m.p.alive() && !m.p.paused() && j.guard != nil && j.guard.alive() && !j.guard.paused() &&
		time.Since(j.since) > settled
}
