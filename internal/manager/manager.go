// Package manager is a process of back-to-work: packages that share a session at the lock servers
// and a deadman, and the deadman's process, which acts on them when the first dies or hangs.
//
//	Group (back-to-work)                        Deadman (its second process)
//	  member: failover machine, Locker ---.       Deadman loop of package deadman
//	  member: ...                         |       the stop ladder: failover machine of its own
//	  session of lockclient               '-- socket --'
//	  Dir: lockdir_P, locked by pid               the same, locked by its own
//
// What the two act on comes in by a [Config]: clocks, files, scripts, other processes. So the
// simulation of a cluster runs this very code; it stands for the world, and decides nothing.
package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

// A Common is what both processes act on.
type Common struct {
	Node    string // this host's name; for who goes on with packages, the name that it had for their first manager
	Version string // of the program
	PID     int
	Boot    string // of this host's run: its clocks count from then
	Clock   lease.Clock
	Log     *slog.Logger
	Say     journal.Log // to the admin
	Dirs    Dirs
	// Scripts runs the actions of a package, whose processes have mark in their environment, or are in one of
	// the cgroups called also. beside says that this process is not its manager.
	Scripts func(name, mark string, also []string, beside bool) (Scripts, error)
	// Reset prepares a reset of this host; now resets it, with nothing synced and nobody asked.
	Reset func() (now func(), err error)
	// Aside moves this process out of the cgroup that it was started in: that may be a package's, and be killed.
	Aside func() error
	// Killer prepares to kill process pid; kill kills that, and never another that has its number later.
	Killer func(pid int) (kill func())
}

// A Config is what a manager process acts on.
type Config struct {
	Common
	// Earlier is the connection with the deadman of a manager that this one goes on for; nil for none.
	Earlier io.ReadWriteCloser
	// AfterDeadman says that a deadman has started this process, as the next ordinary manager.
	AfterDeadman bool
	Spawn        deadman.Spawn // starts a deadman for this process
	// Ready sees to what must be there before a lock is asked for: this host's lock server, the hardware
	// watchdog. goesOn says that packages run already.
	Ready   func(ctx context.Context, goesOn bool) error
	Session func() (*lockclient.Session, error)
	// Output opens the log of one of several packages; end closes it. Where Output is nil, all is told to Say.
	Output func(name string) (say journal.Log, end func(), err error)
	// Begun is told the parameters of each package before it is begun. It may be nil.
	Begun func(name string, p failover.Params)
	// Doubts are what else there is to warn of in the parameters of a package when it begins. It may be nil.
	Doubts func(p failover.Params) []string
	// Beside does what else there is to do while packages run, until ctx ends. It may be nil.
	Beside func(ctx context.Context, c *lockclient.Client, g *Group)
	// Become looks whether this process can become the program at path; now does so, and returns only where
	// it failed all the same. That program goes on with packages, by to, the connection with their deadman.
	Become func(path string) (now func(to io.ReadWriteCloser, packages []string) error, err error)

	Seen Seen
}

// Seen is for tests and simulations, which look at what a manager does, or switch a rule off.
type Seen struct {
	Strict bool                                         // rule 18 off: who goes on refuses parameters that became bad
	Locker func(name string, l *Locker) failover.Locker // stands for l
}

// A Group is the packages of one manager process. They share a session, and so renew their
// locks in one request.
type Group struct {
	Config
	session *lockclient.Session
	members []*member
	link    *deadman.Link     // with the deadman
	earlier *deadman.Attached // the deadman of a manager that this one goes on for; nil if there was none
	askers  sync.WaitGroup
	able    chan struct{} // closed when a package can begin, or none can
	run     string        // see Answer
	changed chan struct{} // see Changed

	upgrading sync.Mutex
}

// New takes hold of packages, and checks what can be checked before a lock is asked for. It returns when one can
// begin: the others are asked for their parameters meanwhile, see [Group.Asked].
func New(ctx context.Context, cfg Config, packages []string) (_ *Group, err error) {
	g := &Group{Config: cfg, run: lockclient.NewID(), able: make(chan struct{}), changed: make(chan struct{}, 1)}
	if err := g.Aside(); err != nil {
		g.Log.Debug("back-to-work stays in the cgroup of who started it, and ends when all of that is ended (systemd, a container); it needs root, and cgroups that can be written, to leave that", "reason", oneLine(err))
	}
	if g.Earlier != nil {
		if g.earlier, err = deadman.Attach(g.Earlier, g.Killer, deadman.Hello{PID: g.PID, Version: g.Version}); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			g.undo()
		}
	}()
	for _, name := range g.wanted(packages) {
		m, err := g.hold(ctx, name)
		if err != nil {
			return nil, err
		}
		g.members = append(g.members, m)
	}
	if len(g.members) == 0 {
		return nil, errors.New("the deadman stops the packages itself")
	}
	defer g.ask(ctx)()
	if err := g.first(); err != nil {
		return nil, err
	}
	if err := g.Ready(ctx, g.earlier != nil); err != nil {
		return nil, err
	}
	if g.session, err = g.Session(); err != nil {
		return nil, err
	}
	for _, m := range g.members {
		if err := g.begin(m); err != nil {
			return nil, err
		}
	}
	if err := g.openLink(); err != nil { // last: to undo it is to tell the deadman that nothing runs
		return nil, err
	}
	return g, nil
}

// wanted is the packages of this manager: those that it was told, but for any that the deadman with which it
// goes on is stopping itself.
func (g *Group) wanted(packages []string) []string {
	if g.earlier == nil {
		return packages
	}
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool {
		_, ok := g.earlier.Words[name]
		return !ok
	})
}

// begin opens a member's log, where there are several.
func (g *Group) begin(m *member) error {
	if len(g.members) > 1 && g.Output != nil {
		say, silent, err := g.Output(m.pkg)
		switch {
		case err == nil:
			m.say, m.silent = say.Of(m.pkg), silent
		case g.earlier == nil:
			return err
		default: // what runs is not stopped for it
			m.say.Error(err.Error())
		}
	}
	return nil
}

// takeDir is Dirs.Take, but waits while the deadman of an earlier manager is at work on the package.
func (g *Group) takeDir(ctx context.Context, name string) (Dir, error) {
	for told := false; ; told = true {
		dir, err := g.Dirs.Take(name, g.earlier != nil)
		if err != nil || g.earlier != nil || !g.Dirs.HasDeadman(name) {
			return dir, err
		}
		dir.Leave()
		if !told {
			g.Say.Info(fmt.Sprintf("the deadman of an earlier back-to-work is at work on package %s: waiting for it.", name))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("given up while the deadman of an earlier back-to-work is at work on package %s", name)
		}
	}
}

// openLink starts a deadman, unless an earlier manager's is there and of this version: then it goes on with that.
func (g *Group) openLink() error {
	hello := deadman.Hello{PID: g.PID, Version: g.Version}
	for _, m := range g.members {
		m.late = !m.isAble()
		hello.Packages = append(hello.Packages, m.origin())
	}
	g.link = deadman.NewLink(hello, g.Spawn, g.Say, g.halt)
	switch {
	case g.earlier == nil:
	case g.earlier.Version == g.Version:
		g.link.Use(g.earlier)
		return nil
	default: // its deadman is of another version: it knows an older stop ladder
		g.link.Succeed(g.earlier)
		if err := g.link.Open(); err != nil { // Run tries again, and where that does not help the packages are halted
			g.Say.Error(err.Error())
		}
		return nil
	}
	for _, m := range g.members {
		if m.predecessor != nil {
			g.link.Say(Inherited(m.predecessor.word, g.Clock.Now()))
		}
	}
	return g.link.Open()
}

// halt halts all packages.
func (g *Group) halt() {
	for _, m := range g.members {
		m.signal(syscall.SIGTERM)
	}
}

// Run runs all packages until each has ended. A signal is for all of them.
func (g *Group) Run(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { g.link.Run(ctx) })
	beside.Go(func() { g.session.Run(ctx) })
	beside.Go(func() { g.share(ctx, signals) })
	if g.Beside != nil {
		beside.Go(func() { g.Config.Beside(ctx, g.session.Client(), g) })
	}
	errs := make([]error, len(g.members))
	var members sync.WaitGroup
	for i, m := range g.members {
		members.Go(func() { errs[i] = m.run(ctx) })
	}
	members.Wait()
	cancel()
	g.askers.Wait()
	beside.Wait()
	return errors.Join(errs...)
}

// share gives each signal to every member.
func (g *Group) share(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case sig := <-signals:
			for _, m := range g.members {
				m.signal(sig)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Params is what each package is run by now.
func (g *Group) Params() map[string]failover.Params {
	all := map[string]failover.Params{}
	for _, m := range g.members {
		if m.isAble() {
			all[m.pkg] = m.parameters()
		}
	}
	return all
}

// Changed receives whenever Params have changed.
func (g *Group) Changed() <-chan struct{} { return g.changed }

// undo ends a group that was not begun.
func (g *Group) undo() {
	if g.link != nil && g.earlier == nil { // else the deadman is to see that nobody goes on
		g.link.Close()
	}
	g.link = nil
	g.stopAsking()
	g.askers.Wait()
	for _, m := range g.members {
		m.undo()
	}
}
