package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"
)

// A member is one package of a group.
type member struct {
	name    string
	script  *script.Runner
	params  atomic.Pointer[failover.Params]
	dir     *lockDir
	out     io.Writer
	closing sync.Once
	log     *async // of this package alone, where there are several
	signals chan os.Signal
	orders  chan failover.Order

	boot, mark string  // of this host's run, and of the package's processes
	former     *former // an earlier manager that may still have had the lock
	clear      bool    // processes are left of nobody knows when
	leaves     bool    // what there is of an earlier manager is left to others, if this one does not begin
	resetter   func(failover.Params) (func(), error)
	reset      func() // of this host; nil where that was never asked for
	link       *deadman.Link
	manager    atomic.Pointer[failover.Manager]
	closed     chan struct{} // when it has ended, and the deadman knows
}

// open opens the log of a member that is one of several.
func (g *group) open(m *member) error {
	if len(g.members) == 1 {
		return nil
	}
	log, err := openLog(logPath(g.Home, m.name))
	if err != nil {
		return err
	}
	m.log = newAsync(log)
	m.out = m.log
	if g.env.Getenv(readyFD) == "" && g.earlier == nil { // in the foreground
		m.out = io.MultiWriter(m.log, prefixed{g.env.Stdout, m.name + ": "})
	}
	return nil
}

// newMember takes hold of a package on this node, and asks it for its parameters.
func (g *group) newMember(ctx context.Context, name, shell string) (_ *member, err error) {
	m := &member{
		name: name, out: g.env.Stdout, signals: make(chan os.Signal, 8), orders: make(chan failover.Order, 8),
		closed: make(chan struct{}), resetter: g.resetter, leaves: g.earlier != nil,
	}
	if m.dir, err = g.takeLockDir(ctx, name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.undo()
		}
	}()
	if err := g.findFormer(m); err != nil {
		return nil, err
	}
	if m.script, err = g.runner(name, m.mark, shell, false); err != nil {
		return nil, err
	}
	m.leaves = m.leaves || m.former != nil || m.clear
	params, err := failover.ReadParams(ctx, m.script, g.Node)
	if err != nil {
		return nil, aboutPackage(name, err)
	}
	m.script.SetUnits(params.KillUnits) // they count as alive, too
	left, err := m.script.Alive()
	if err != nil {
		return nil, err
	}
	m.clear = m.clear || m.former == nil && len(left) > 0
	if m.reset, err = m.resetter(params); err != nil {
		return nil, err
	}
	m.take(params)
	return m, nil
}

func (m *member) parameters() failover.Params { return *m.params.Load() }

// take makes params those of the package.
func (m *member) take(params failover.Params) {
	m.params.Store(&params)
	m.script.SetUnits(params.KillUnits)
	if m.reset == nil { // it may be asked for only now
		reset, err := m.resetter(params)
		if err != nil {
			dated(m.out)("error: " + err.Error())
		}
		m.reset = reset
	}
	if m.link != nil {
		m.link.Update(m.origin())
	}
}

// locker gets the lock of a member.
func (g *group) locker(m *member) *guarded.Locker {
	l := &guarded.Locker{Session: g.session, Link: g.link, Note: m.remember}
	if m.former != nil {
		l.Former = m.former.Former
	}
	l.Wish = func(w *lockclient.Wish) {
		if p := m.parameters(); p.Fence != "" {
			w.Fence, w.FenceLimit, w.FenceRequired = m.fence, p.FenceTimeout, p.FenceRequired
		}
	}
	return l
}

// fence powers off a node that had the package, and says so.
func (m *member) fence(ctx context.Context, node string) error {
	say := dated(m.out)
	say(fmt.Sprintf("%s is silent: fencing it.", node))
	err := m.script.Fence(ctx, node)
	if err != nil {
		say("error: " + err.Error())
		return err
	}
	say(node + " is off.")
	return nil
}

// resetNow resets this host, if that could be prepared.
func (m *member) resetNow() {
	if m.reset != nil {
		m.reset()
	}
}

// origin is what the deadman is to know of the package.
func (m *member) origin() deadman.Origin {
	params, err := json.Marshal(m.parameters())
	if err != nil {
		panic(err) // they are numbers and words
	}
	return deadman.Origin{Package: m.name, Mark: m.mark, Params: params}
}

// aboutPackage names the package in every line of err.
func aboutPackage(name string, err error) error {
	about := fmt.Sprintf("package %q", name)
	var faults []error
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.Contains(line, about) {
			line = about + ": " + line
		}
		faults = append(faults, errors.New(line))
	}
	return errors.Join(faults...)
}

// prefixed writes each line with a prefix.
type prefixed struct {
	to     io.Writer
	prefix string
}

func (m *member) close() { m.closing.Do(m.closeNow) }

func (m *member) closeNow() {
	if m.link != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // longer than it takes to replace it
		defer cancel()
		_ = m.link.Sure(ctx, deadman.Word{Package: m.name, Phase: deadman.Free, Over: true}) // else it finds out
	}
	if m.script != nil {
		_ = m.script.Close() // nothing is left to do about it
	}
	if m.log != nil {
		m.log.close()
	}
	m.dir.remove()
	close(m.closed)
}

// undo is close for a package that was not begun: an empty log goes too. Where there was an earlier
// manager all stays: its deadman needs it, or the next manager.
func (m *member) undo() {
	if m.leaves {
		if m.script != nil {
			_ = m.script.Leave()
		}
		m.dir.leave()
		return
	}
	if m.script != nil {
		log := m.script.Log()
		if info, err := log.Stat(); err == nil && info.Size() == 0 {
			_ = os.Remove(log.Name())
		}
	}
	m.close()
}

func (g *group) undo() {
	if g.link != nil && g.earlier == nil { // else the deadman is to know that nobody goes on
		g.link.Close()
	}
	for _, m := range g.members {
		m.undo()
	}
}

func (g *group) close() {
	for _, m := range g.members {
		m.close()
	}
}

// signal gives the member a signal, or a TERM where it alone is to halt.
func (m *member) signal(sig os.Signal) {
	if sig == haltSignal {
		for _, what := range []string{unblockNote, clearNote} {
			if _, ok := m.dir.asked(what); ok {
				m.order(failover.Order(what))
			}
		}
		if _, ok := m.dir.asked(haltNote); !ok {
			return
		}
		sig = syscall.SIGTERM
	}
	select {
	case m.signals <- sig:
	default: // it has enough to do, or has ended
	}
}

func (m *member) order(o failover.Order) {
	select {
	case m.orders <- o:
	default: // it has enough to do, or has ended
	}
}

func (g *group) runMember(ctx context.Context, m *member) error {
	defer m.close()
	say := dated(m.out)
	params := m.parameters()
	for _, w := range params.Warnings() {
		say(w)
	}
	if w := g.resettable(); w.device != "" && !w.guards(params) {
		say("warning: the hardware watchdog: " + w.promise(params) + ".")
	}
	cfg := failover.Config{
		Package: m.name, Node: g.Node, Scripts: scripts{m.script, m.parameters, say}, Locker: g.locker(m),
		Clock: lease.System(), Notes: m.dir.notes, Say: say, Signals: m.signals, Orders: m.orders, Reset: m.resetNow, Clear: m.clear,
		Changed: m.take,
	}
	if m.former != nil {
		cfg.From = &failover.Former{Doing: failover.PkgState(m.former.word.Doing)}
	}
	if _, ok := m.dir.asked(haltNote); ok { // the manager before was asked, and died of something else
		m.signals <- syscall.SIGTERM
	}
	manager := failover.New(cfg, params)
	m.manager.Store(manager)
	m.dir.notes.Put(versionNote, Version+"\n")
	status, err := manager.Run(ctx)
	if err == nil && status != 0 {
		err = exitStatus(status)
	}
	return errors.Join(err, g.files.Sync(), m.dir.notes.Sync())
}

// Write writes one line.
func (p prefixed) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.to, p.prefix+string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
