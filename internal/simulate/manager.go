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

// A group is a process of back-to-work, with the packages that it runs.
type group struct {
	*node
	p       *process
	session *lockclient.Session
	link    *deadman.Link
	members []*manager
}

// A manager is what a group does for one package.
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
func (n *node) startManager(p *process, jobs []*job, conn net.Conn, after time.Duration) {
	n.s.wg.Go(func() {
		defer p.kill()
		select {
		case <-time.After(after):
		case <-p.ctx.Done():
			return
		}
		g := &group{node: n, p: p}
		if err := g.open(jobs, conn); err != nil {
			n.s.note(nil, "%s: %s: %v", n.name, p.name, err)
			return
		}
		g.run()
		n.s.note(nil, "%s: %s ends", n.name, p.name)
	})
}

// open is what back-to-work does before it asks for a lock.
func (g *group) open(jobs []*job, conn net.Conn) (err error) {
	var earlier *deadman.Attached
	if conn != nil {
		if earlier, err = deadman.Attach(conn, g.killer, deadman.Hello{PID: g.p.pid, Version: version}); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		if earlier != nil {
			if _, ok := earlier.Words[j.pkg.Name]; !ok {
				continue // the deadman stops it itself
			}
		}
		m := &manager{
			job: j, p: g.p, hands: hands{j.world, g.p}, signals: make(chan os.Signal, 8), orders: make(chan failover.Order, 8),
		}
		if err := m.takeFlock(earlier != nil); err != nil {
			return err
		}
		m.findFormer(earlier)
		if m.params, err = failover.ReadParams(m.p.ctx, m.hands, m.node.name); err != nil {
			return err
		}
		g.members = append(g.members, m)
	}
	if len(g.members) == 0 {
		return errors.New("the deadman has the packages")
	}
	client := lockclient.NewClient(lockclient.Config{
		Servers: g.s.clients(), TLS: g.tls, Clock: clock{g.clock, g.p}, Log: slog.New(slog.DiscardHandler), Host: g.name, Dial: g.dial,
	})
	g.s.wg.Go(func() {
		for every := time.Tick(time.Minute); ; {
			select {
			case <-every:
			case <-g.p.ctx.Done():
				return
			}
			if g.p.acts() {
				client.SetServers(g.s.clients())
			}
		}
	})
	g.session = lockclient.NewSession(client, g.name, lockclient.NewFiles(g.locks))
	return g.openLink(earlier)
}

// dial connects to a lock server.
func (g *group) dial(ctx context.Context, addr string) (net.Conn, error) {
	if !g.p.acts() {
		return nil, errDead
	}
	c, err := g.s.net.On(g.name).Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return g.p.own(c), nil
}

// killer is what kills a process of the node.
func (g *group) killer(pid int) func() {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	p := g.processes[pid]
	return func() {
		if p != nil && g.p.acts() {
			p.kill()
		}
	}
}

// openLink starts the deadman, or goes on with the one that there is.
func (g *group) openLink(earlier *deadman.Attached) error {
	hello := deadman.Hello{PID: g.p.pid, Version: version}
	for _, m := range g.members {
		hello.Packages = append(hello.Packages, m.origin())
	}
	g.link = deadman.NewLink(hello, g.spawnDeadman, g.members[0].say, func() {
		for _, m := range g.members {
			m.signal(syscall.SIGTERM)
		}
	})
	for _, m := range g.members {
		m.session, m.link = g.session, g.link
	}
	if earlier != nil {
		g.link.Use(earlier)
		return nil
	}
	for _, m := range g.members {
		if m.doing != nil {
			g.link.Say(guarded.Inherited(m.record.word, g.clock.Now()))
		}
	}
	return g.link.Open()
}

// run runs the packages until their machines end, or the process.
func (g *group) run() {
	ctx, cancel := context.WithCancel(g.p.ctx)
	var rest, members sync.WaitGroup
	rest.Go(func() { g.link.Run(ctx) })
	rest.Go(func() { g.session.Run(ctx) })
	defer g.session.Client().Close()
	defer rest.Wait()
	defer cancel()
	for _, m := range g.members {
		members.Go(func() { m.run(ctx) })
	}
	members.Wait()
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
	f, ok, past := guarded.FormerOf(r.word, m.node.clock.Now())
	if ok {
		m.former, m.doing = f, &failover.Former{Doing: failover.PkgState(r.word.Doing)}
	}
	if m.mark == "" {
		m.mark = lockclient.NewID()
		m.record = record{m.node.boot, m.mark, deadman.Word{Package: m.pkg.Name, Phase: deadman.Free}}
	}
	m.clear = past || m.doing == nil && len(m.procs) > 0
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

// run runs the package until its machine ends, or the process.
func (m *manager) run(ctx context.Context) {
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
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if m.pid == m.p && m.p.alive() { // other packages may run on in the process
		m.pid, m.runs = nil, nil
	}
}

// whole says whether manager and deadman are both there and well, for a while already: only then
// one of them may be hurt. The caller holds s.mu.
func (j *job) whole() bool {
	const settled = 3 * time.Second
	m := j.runs
	return j.node.up && m != nil && m.p == j.pid && m.p.alive() && !m.p.paused() && j.guard != nil && j.guard.alive() && !j.guard.paused() &&
		time.Since(j.since) > settled
}
