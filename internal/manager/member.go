package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lockclient"
)

// A member is one package of a group.
type member struct {
	*Group
	pkg     string
	scripts Scripts
	dir     Dir
	say     journal.Log
	silent  func() // ends say
	closing sync.Once
	signals chan os.Signal
	orders  chan failover.Order

	mu    sync.Mutex
	lived *lived       // what the package is run by; set before anything is begun
	free  bool         // nothing of the package is set up
	reset func()       // of this host; nil where that was never asked for
	last  deadman.Word // that was told to the deadman, for the record

	mark        string       // in the environment of all the package's processes
	also        []string     // cgroups that some of them may be in yet
	predecessor *predecessor // an earlier manager that may still have had the lock
	clear       bool         // processes are left, under which lock nobody knows
	leaves      bool         // what there is of an earlier manager is left to others, if this one does not begin
	manager     atomic.Pointer[failover.Manager]
	closed      chan struct{} // when it has ended, and the deadman knows
	outcomes    outcomes
	failed      bool // the stop was

	ctx     context.Context    // in which it is asked for its parameters
	giveUp  context.CancelFunc // ends that
	halted  atomic.Bool        // it is to halt
	asked   chan struct{}      // closed when it was asked for its parameters; then the rest may be read
	fault   error              // of its parameters: it is not begun
	refused string             // what was wrong with parameters that do not count
	late    bool               // its parameters came after the deadman was told of it
}

// hold takes hold of a package on this node.
func (g *Group) hold(ctx context.Context, name string) (_ *member, err error) {
	m := &member{
		Group: g, pkg: name, say: g.Say.Of(name), signals: make(chan os.Signal, 8), orders: make(chan failover.Order, 8),
		closed: make(chan struct{}), asked: make(chan struct{}), leaves: true, free: true,
	}
	if m.dir, err = g.takeDir(ctx, name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.undo()
		}
	}()
	if err := g.findPredecessor(m); err != nil {
		return nil, err
	}
	m.scripts, err = g.Scripts(name, m.mark, m.also, false)
	return m, err
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (m *member) parameters() failover.Params {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lived.Params
}

// standing is what a start may have set up.
func (m *member) standing() failover.Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lived.standing()
}

// take is live for a package that runs: the deadman and the record are told.
func (m *member) take(params failover.Params) {
	m.live(params)
	m.mu.Lock()
	wants := params.SelfFence && m.reset == nil // it may be asked for only now
	m.mu.Unlock()
	if wants {
		reset, err := m.Reset()
		if err != nil {
			m.say.Error(err.Error())
		}
		m.mu.Lock()
		m.reset = reset
		m.mu.Unlock()
	}
	select {
	case m.Group.changed <- struct{}{}:
	default: // nobody has looked since the last time
	}
	m.tell()
}

// live makes params what the package is run by, and remembers what earlier ones may have set up.
func (m *member) live(params failover.Params) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := &lived{Params: params}
	if !m.free && m.lived != nil {
		now.Before = m.lived.standing()
	}
	m.lived = now
	m.scripts.SetUnits(now.standing().Units)
}

// starting finds out, just before a start, what that will set up: the script may have been edited since it was asked
// for its parameters, which stay. The deadman and the record know of it before the start. Of a script that says
// something of no use, the rest counts; one that cannot be asked will hardly start anything.
func (m *member) starting(ctx context.Context) {
	p, _ := failover.ReadParams(ctx, m.scripts, m.Node)
	m.mu.Lock()
	known := m.lived.standing()
	now := known.And(p.Standing())
	added := !now.Same(known)
	if added {
		m.lived = &lived{Params: m.lived.Params, Before: now}
		m.scripts.SetUnits(now.Units)
	}
	m.mu.Unlock()
	if added {
		m.tell()
		_ = m.link.Settle(ctx, m.pkg) // where ctx has ended there is no start
	}
}

// tell tells the deadman what the package is run by, and writes it into the record for who comes after both.
func (m *member) tell() {
	if m.link == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link.Update(m.originNow())
	m.putRecord()
}

// settled takes note that something may be set up from now on, or nothing is (free): then by earlier parameters, too.
func (m *member) settled(free bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.free
	m.free = free
	stale := free && m.lived != nil && !m.lived.Before.Empty()
	if stale {
		m.lived = &lived{Params: m.lived.Params}
	}
	if was == free || !stale {
		return
	}
	m.scripts.SetUnits(m.lived.standing().Units)
	m.link.Update(m.originNow())
}

// remember writes the word w into the record, for a manager that may have to go on with the package. The mark
// stays there even when nothing runs: a daemon that was overlooked is found by it.
func (m *member) remember(w deadman.Word) {
	m.settled(w.Phase == deadman.Free)
	m.keepRecord(w)
}

func (m *member) keepRecord(w deadman.Word) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = w
	m.putRecord()
}

// putRecord writes the record: the last word, and what the package is run by. The caller has locked m.mu: the two
// come from different goroutines, and neither may put back an older state of the other.
func (m *member) putRecord() {
	r := Record{m.Boot, m.Node, m.mark, m.scripts.Cgroup(), m.also, m.lived.text(), m.last}
	m.dir.Notes().Put(recordNote, r.note())
}

// locker gets the lock of a member.
func (m *member) locker() failover.Locker {
	l := &Locker{Session: m.session, Link: m.link, Note: m.remember}
	if m.predecessor != nil {
		l.Prior, l.Doing = m.predecessor.PriorLease, failover.PkgState(m.predecessor.word.Doing)
	}
	l.Wish = func(w *lockclient.Wish) {
		if p := m.parameters(); p.Fence != "" {
			w.Fence, w.FenceLimit, w.FenceRequired = m.fence, p.FenceTimeout, p.FenceRequired
		}
	}
	if m.Seen.Locker != nil {
		return m.Seen.Locker(m.pkg, l)
	}
	return l
}

// fence powers off a node that had the package, and says so.
func (m *member) fence(ctx context.Context, node string) error {
	m.say.Info(fmt.Sprintf("%s is silent: fencing it.", node))
	err := m.scripts.Fence(ctx, node)
	if err != nil {
		m.say.Error(err.Error())
		return err
	}
	m.say.Info(node + " is off.")
	return nil
}

// resetNow resets this host, if that could be prepared.
func (m *member) resetNow() {
	m.mu.Lock()
	reset := m.reset
	m.mu.Unlock()
	if reset != nil {
		reset()
	}
}

// origin is what the deadman is to know of the package.
func (m *member) origin() deadman.Origin {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.originNow()
}

// originNow is origin, for who holds m.mu.
func (m *member) originNow() deadman.Origin {
	params := m.lived
	if params == nil { // not asked for yet
		params = &lived{}
	}
	return deadman.Origin{Package: m.pkg, Mark: m.mark, Cgroup: m.scripts.Cgroup(), Also: m.also, Params: params.text()}
}

// AboutPackage names the package in every line of err.
func AboutPackage(name string, err error) error {
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

func (m *member) close() { m.closing.Do(m.closeNow) } // the deadman is told so, and the directory goes

func (m *member) closeNow() {
	if m.link != nil {
		m.over()
	}
	if m.scripts != nil {
		_ = m.scripts.Close() // nothing is left to do about it
	}
	if m.silent != nil {
		m.silent()
	}
	m.outcomes.add(Outcome{Ended: true, Failed: m.failed})
	m.dir.Remove()
	close(m.closed)
}

// undo is close for a package that was not begun. What an earlier manager has left stays, for its deadman or the next.
func (m *member) undo() {
	switch {
	case m.leaves:
		if m.silent != nil {
			m.silent()
		}
		if m.scripts != nil {
			_ = m.scripts.Leave()
		}
		m.dir.Leave()
		return
	case m.scripts != nil:
		_ = m.scripts.Abandon()
		m.scripts = nil
	}
	m.close()
}

// signal gives the member a signal. One that halts it ends the asking for its parameters, unless what runs
// from before needs them.
func (m *member) signal(sig os.Signal) {
	select {
	case m.signals <- sig:
	default: // it has enough to do, or has ended
	}
	if sig != syscall.SIGUSR1 && m.predecessor == nil {
		m.halted.Store(true)
		if m.giveUp != nil {
			m.giveUp()
		}
	}
}

func (m *member) order(o failover.Order) {
	select {
	case m.orders <- o:
	default: // it has enough to do, or has ended
	}
}

// run runs the package until its machine ends, once it was asked for its parameters.
func (m *member) run(ctx context.Context) error {
	m.dir.Serve(func(q Request) Answer { return m.answer(ctx, q) })
	<-m.asked
	if m.fault != nil {
		return m.refuse()
	}
	defer m.close()
	if m.late {
		m.tell()
	}
	if m.refused != "" {
		m.say.Error(m.refused)
	}
	params := m.parameters()
	if m.Begun != nil {
		m.Begun(m.pkg, params)
	}
	for _, w := range params.Warnings() {
		m.say.Warning(w)
	}
	if m.Doubts != nil {
		for _, w := range m.Doubts(params) {
			m.say.Warning(w)
		}
	}
	cfg := failover.Config{
		Package: m.pkg, Node: m.Node, Scripts: hands{m.scripts, m.standing, m.say}, Locker: m.locker(),
		Clock: m.Clock, Notes: m.dir.Notes(), Say: m.say, Signals: m.signals, Orders: m.orders, Reset: m.resetNow, Clear: m.clear,
		Changed: m.take, Starting: m.starting, Kept: m.outcomes.kept,
	}
	if m.predecessor != nil {
		cfg.From = &failover.Predecessor{Doing: failover.PkgState(m.predecessor.word.Doing)}
	}
	manager := failover.New(cfg, params)
	m.manager.Store(manager)
	m.dir.Notes().Put(versionNote, m.Version+"\n")
	status, err := manager.Run(ctx)
	if err == nil && status != 0 {
		err, m.failed = ErrStopFailed, true
	}
	_ = m.dir.Notes().Sync() // it has ended in good order all the same, where the disk cannot be written
	return err
}

// ErrStopFailed is of a group in which the stop of a package failed.
var ErrStopFailed = errors.New("a stop has failed")

// versionNote is what a manager writes when it begins: the version of its program.
const versionNote = "version"
