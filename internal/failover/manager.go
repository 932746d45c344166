package failover

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/notes"
)

// A Locker gets the lock of a package.
type Locker interface {
	// Acquire waits until the lock is this node's, or ctx ends. delay is how long a free
	// lock is left to others.
	Acquire(ctx context.Context, name string, times lock.Times, pace, delay time.Duration) (Lock, error)
	// Resume asks for the lock that an earlier manager of this node held, until it has it or knows
	// that it is lost. A lost one is returned too: its kill end says until when all must be stopped.
	Resume(ctx context.Context, name string, pace time.Duration) Lock
}

// A Lock is a lock that is held.
type Lock interface {
	Terms() (term uint64, previous string) // the fencing token, and the node that had it before
	Unfenced() []string                    // other nodes that lost it by silence, and may run the package yet
	Settled(ctx context.Context) error     // tells the servers that the package has begun here: they may forget Unfenced
	Ends() (end, kill lease.Time)          // L and K of SAFETY.md
	Lost() <-chan struct{}                 // closed at L, or when the servers say that it is not ours
	Turn(doing PkgState)                   // tells that the holder's loop has turned: one that stands still is to lose its lease
	Change(ctx context.Context, times lock.Times) error
	Release(ctx context.Context) error              // returns when the servers have it in their log
	Block(ctx context.Context, reason string) error // no other node gets it, whatever becomes of this one
	Done()                                          // tells that nothing of the package is left here to be stopped
}

// Scripts runs the actions of the package script.
type Scripts interface {
	Teller
	Start(action string, of Token) (Action, error) // the error: it cannot be run now
	Settle() error                                 // makes what a start left running the service: it stays when an action is killed
	// KillAll ends every process of the package: TERM, and KILL after grace. It returns what
	// is alive even so, in words.
	KillAll(grace time.Duration) (alive string, err error)
	Alive() (alive string, err error)
	// KillUnfinished kills the actions that an earlier manager began and did not see end. Where a
	// start may be among them it kills everything of the package: half a service is none.
	KillUnfinished(starting bool) error
}

// A Token is what a script is told of the lock that the node has, or had last.
type Token struct {
	Term     uint64
	Previous string   // the node that is to be off before the package begins here: it had the lock before
	Unfenced []string // all such, where there are more
}

// An Action is one run of the package script.
type Action interface {
	Done() <-chan struct{} // closed when the script has ended
	Status() int           // its exit status, after that; below 0 where it has none: its Err() error, if there is one, says why
	Kill(grace time.Duration)
	Drop() // kills it, and leaves alone what else there is: another action may have begun
}

// A Config is what a manager needs.
type Config struct {
	Package string
	Node    string
	Scripts Scripts
	Locker  Locker
	Clock   lease.Clock
	Notes   *notes.Dir       // lockdir_P: role and pkg_state
	Say     journal.Log      // to the admin
	Signals <-chan os.Signal // HUP INT TERM: halt. USR1: read the parameters again
	Orders  <-chan Order
	Reset   func()       // self_fence=reboot: resets this host
	Changed func(Params) // is called when the parameters were read again
	// Kept is called when the package cannot be shown to be down; lost says that its lock is lost. It may be nil.
	Kept func(why string, lost bool)
	// Starting is called before each start, and waited for. The script may have been edited since its parameters
	// were read, and who stops the package must know what this start sets up. It may be nil.
	Starting func(ctx context.Context)

	From  *Predecessor // the earlier manager whose lock this one resumes; nil for none
	Clear bool         // processes of the package are left, nobody knows under which lock
	Stop  Lock         // a lost one: the package is only stopped, by its kill end; nil for an ordinary manager
}

// A Predecessor is what is known of an earlier manager of this package on this node, which may still
// have held the lock when it died.
type Predecessor struct{ Doing PkgState }

// ends is what an earlier manager had begun and not come to the end of; "" for nothing.
func (f *Predecessor) ends() PkgState {
	switch f.Doing {
	case Failing, Failed:
		return Failing
	case Halting, Halted:
		return Halting
	default:
		return ""
	}
}

// A Manager runs one package.
type Manager struct {
	Config
	params    Params
	state     state
	lock      Lock
	token     Token
	dealt     bool          // a start under this lock has succeeded, and so has dealt with the nodes of the token
	acting    chan struct{} // closed when the last use of slotAction has ended
	asked     chan struct{} // closed when the lock that the last use of slotSeek brought is taken or given back
	uses      map[slot]int  // counts the uses of each slot
	cancels   map[slot]func()
	inbox     chan posted
	unseen    bool   // nobody has looked since the last start whether anything of the package can be killed
	unsettled bool   // what the last start left running is not the service yet
	killFirst bool   // the next script waits until all of the package was killed: an earlier manager may have left something
	why       string // of doAlarm

	ended  chan struct{} // closed when Run has returned
	pauses chan pause
	paused *pause        // the pause that was asked for, and not yet resumed; nil for none
	gate   chan struct{} // status scripts wait for it: closed, unless the manager is paused
	busy   atomic.Int32  // how many scripts run, or are about to
	doing  atomic.Value  // the package's state, for who looks from outside

	mu        sync.Mutex
	notRunFor string          // why scripts cannot be run, as was told last; "" where they can
	launching []chan struct{} // one for each launchScript, closed when it is over: the script runs, or could not
	tasks     sync.WaitGroup
	began     time.Time   // when status was last started
	since     time.Time   // when the package began to run
	ran       bool        // it ran for timeout, since the lock was taken
	fails     int         // in a row
	cleared   bool        // what an earlier run has left was killed once: the next time a pace later
	alarmed   bool        // the servers were told that the lock is blocked
	fresh     chan Params // that were read again
}

// A slot is something that the loop waits for, one thing at a time: who uses the slot again
// cancels what was waited for before, and what that brings all the same counts for nothing.
type slot string

const (
	slotSeek    slot = "seek"
	slotAction  slot = "action" // status, start, stop, check: one at a time
	slotSick    slot = "sick"
	slotKillEnd slot = "kill end"
	slotRelease slot = "release"
	slotLost    slot = "lost"
	slotChange  slot = "change"
	slotBlock   slot = "block"
	slotSettled slot = "settled"
	slotWell    slot = "well"
	slotSteady  slot = "steady"
)

// steady is for how many times timeout a package must run until its restarts in place are forgotten.
const steady = 10

// A posted is what came of a use of a slot: an event, and of slotSeek a lock too.
type posted struct {
	slot  slot
	use   int
	event event
	lock  Lock
	err   error

	settled chan struct{} // to be closed when lock is taken or given back
}

// New is a manager that will live by params.
func New(cfg Config, params Params) *Manager {
	m := &Manager{
		Config: cfg, params: params, uses: map[slot]int{}, cancels: map[slot]func(){},
		inbox: make(chan posted), fresh: make(chan Params, 1), pauses: make(chan pause), ended: make(chan struct{}), gate: make(chan struct{}),
	}
	close(m.gate)
	return m
}

// Run runs the package until a signal ends it, and returns the exit status: 0, or 1 where a
// stop failed. The error is why it cannot even ask for the lock. The end of ctx is as that of
// the process: what runs goes on running, and the lock is not released.
func (m *Manager) Run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer close(m.ended)
	defer m.tasks.Wait()
	defer cancel()
	m.begin(ctx)
	turn := time.NewTicker(m.params.turn())
	defer turn.Stop()
	for m.state.Pkg != Gone {
		if m.lock != nil {
			m.lock.Turn(m.state.Pkg)
		}
		m.tryPause()
		select {
		case <-turn.C:
			m.Notes.Again()
		case <-ctx.Done():
			return 1, ctx.Err()
		case p := <-m.pauses:
			m.pause(ctx, p)
		case p := <-m.inbox:
			if p.use != m.uses[p.slot] {
				m.discard(p)
				continue
			}
			if p.err != nil {
				return 1, p.err
			}
			if p.lock != nil {
				close(p.settled)
				m.take(ctx, p.lock)
			}
			m.handle(ctx, p.event)
			if p.event.kind == evResumed {
				m.change(ctx) // it lives by the times of the earlier manager
				if m.From.Doing == Running {
					m.settled(ctx) // the earlier one may not have come to it
				}
			}
		case sig := <-m.Signals:
			m.signal(ctx, sig)
		case o := <-m.Orders:
			m.order(ctx, o)
		case m.params = <-m.fresh:
			turn.Reset(m.params.turn())
			if m.Changed != nil {
				m.Changed(m.params)
			}
			m.change(ctx)
		}
	}
	if m.lock != nil {
		m.lock.Done()
	}
	if m.state.stopFailed {
		return 1, nil
	}
	return 0, nil
}

// begin enters the first state, and does what belongs to it.
func (m *Manager) begin(ctx context.Context) {
	var first []do
	switch {
	case m.Stop != nil:
		m.take(ctx, m.Stop)
		m.cancel(slotLost) // it is known
		m.state = state{Pkg: Halting, phase: stopping, lost: true, tried: true}
		first = []do{doKillEnd, doStop}
	case m.From != nil:
		m.state = state{Pkg: Unknown, phase: resuming, ends: m.From.ends(), adopts: m.params.Adopt}
		first = []do{doResume}
	case m.Clear:
		m.Say.Info("killing what is left of an earlier run.")
		m.state = state{phase: clearing}
		first = []do{doClear}
	default:
		m.Say.Info("Lock initialization done.")
		m.Say.Info("starting as stand-by node.")
		first = []do{doSeek}
	}
	m.note()
	for _, d := range first {
		m.carryOut(ctx, d)
	}
}

// discardLimit is for how long discard tries to give back a lock.
const discardLimit = 5 * time.Second

// take makes l the lock that the package runs under. Its loss will come to the inbox.
func (m *Manager) take(ctx context.Context, l Lock) {
	m.lock, m.dealt = l, false
	m.token.Term, m.token.Previous = l.Terms()
	m.token.Unfenced = l.Unfenced()
	if m.From == nil && m.Stop == nil {
		m.Notes.Put("blocked", "") // by an earlier manager
	}
	if m.From != nil && m.From.Doing == Running {
		m.token.Previous, m.token.Unfenced = m.Node, nil // others were dealt with by the start under an earlier term
	}
	m.postWhen(ctx, slotLost, func(ctx context.Context) (event, bool) {
		select {
		case <-l.Lost():
			return event{kind: evLost}, true
		case <-ctx.Done():
			return event{}, false
		}
	})
}

// discard drops what nobody waits for any more; a lock among it is given back.
func (m *Manager) discard(p posted) {
	if p.lock == nil {
		if p.settled != nil {
			close(p.settled)
		}
		return
	}
	m.tasks.Go(func() {
		defer close(p.settled)
		ctx, cancel := context.WithTimeout(context.Background(), discardLimit)
		defer cancel()
		if err := p.lock.Release(ctx); err != nil {
			m.Say.Error("the lock was not given back, and stays taken until its lease ends: " + err.Error())
		}
	})
}

// handle puts e into the machine and does what follows. Once the manager has begun it is the one
// place that changes the state.
func (m *Manager) handle(ctx context.Context, e event) {
	was := m.state
	s := next(was, e)
	m.state = s.state
	for _, line := range s.say {
		m.Say.Tell(line.Level, line.Text)
	}
	if detail := m.detail(was, e); detail != "" {
		m.Say.Info(detail)
	}
	if s.Pkg != was.Pkg {
		m.sayState()
	}
	switch {
	case s.Pkg == Running && was.Pkg != Running:
		m.since = time.Now()
		m.after(ctx, slotWell, m.params.Timeout, evWell)
		m.after(ctx, slotSteady, steady*m.params.Timeout, evSteady)
	case s.Pkg != Running && was.Pkg == Running:
		m.ran = time.Since(m.since) >= m.params.Timeout
		m.cancel(slotWell)
		m.cancel(slotSteady)
	}
	m.note()
	if m.lock != nil {
		m.lock.Turn(m.state.Pkg) // the deadman is to know it before anything is done
	}
	m.why = s.why
	for _, d := range s.do {
		m.carryOut(ctx, d)
	}
}

func (m *Manager) sayState() {
	switch m.state.Pkg {
	case Unknown:
		m.Say.Info("package state initialized to unknown.")
	case StandBy, Gone:
	default:
		m.Say.Info(fmt.Sprintf("package state changes to %s.", m.state.Pkg))
	}
}

// Clearing is what a manager does that stands by for a package of which something is left here.
const Clearing PkgState = "clearing"

// Doing is the package's state, or Clearing.
func (m *Manager) Doing() PkgState {
	doing, _ := m.doing.Load().(PkgState)
	return doing
}

// note writes the state files.
func (m *Manager) note() {
	m.doing.Store(m.state.Pkg)
	if m.state.phase == clearing {
		m.doing.Store(Clearing)
	}
	role := "stand-by"
	if m.state.active() {
		role = "active"
	}
	m.Notes.Put("role", role+"\n")
	if m.state.Pkg != Gone { // its files are about to go too
		m.Notes.Put("pkg_state", string(m.state.Pkg)+"\n")
	}
}
