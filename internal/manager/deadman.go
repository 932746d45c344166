package manager

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/notes"
)

// A DeadmanConfig is what a deadman's process acts on.
type DeadmanConfig struct {
	Common
	// Prepare makes this process one that nothing holds up. It is called before anything is opened.
	Prepare func() error
	// Careful is told when something begins that may hang (true), and when all of it is over (false). A process
	// that is started from a disk that hangs stands still between fork and exec. To collect garbage would mean to
	// wait for it, with all of this process: so there must be none meanwhile. It may be nil.
	Careful func(on bool)
	// Revive starts a manager that goes on with packages, and returns what kills it.
	Revive func(packages []string) (c io.ReadWriteCloser, kill func(), err error)
	Begin  func(name string) error // starts an ordinary manager of a package
	// Watchdog tells the hardware watchdog of this host; nil without one.
	Watchdog Watchdog
	// Seen is for simulations: it is told the word by which a package is about to be stopped, and may change
	// it. It may be nil.
	Seen func(w *deadman.Word)
}

// A deadmanProcess is the [deadman.Hands] of a deadman: it does on this host what that decides.
type deadmanProcess struct {
	DeadmanConfig
	packages map[string]*watched
	first    func()         // kills the manager that it began with
	acts     atomic.Int32   // how many things are being done, see Careful
	begins   sync.WaitGroup // what is to be done before this process ends

	mu      sync.Mutex
	revived func() // kills the manager that took the place of the first
	careful bool
	halted  map[string]bool // packages that a user has asked to be halted
}

// A watched is what is open for a package, so that nothing needs a file system when the deadman acts.
type watched struct {
	scripts Scripts
	flock   io.Closer
	known   atomic.Pointer[known]
}

// A known is what the manager said of a package last.
type known struct {
	deadman.Origin
	lived lived
	reset func() // of this host; nil where that was never asked for
}

func (w *watched) standing() failover.Standing { return w.known.Load().lived.standing() }

// learn takes in what o says of a package: it is stopped by that from now on.
func (d *deadmanProcess) learn(w *watched, o deadman.Origin) error {
	l := livedBy(o.Params)
	if l == nil {
		return fmt.Errorf("cannot read the parameters of package %s", o.Package)
	}
	k := &known{Origin: o, lived: *l}
	if before := w.known.Load(); before != nil {
		k.reset = before.reset
	}
	var err error
	if k.reset == nil && l.SelfFence {
		k.reset, err = d.Reset()
	}
	w.known.Store(k)
	return err
}

// RunDeadman watches the manager at the other end of c, until nothing is left to watch or ctx ends.
func RunDeadman(ctx context.Context, cfg DeadmanConfig, c io.ReadWriteCloser) error {
	hello, manager, err := deadman.Greet(c)
	if err != nil {
		return err
	}
	cfg.Say = cfg.Say.By("deadman")
	d := &deadmanProcess{DeadmanConfig: cfg, packages: map[string]*watched{}, halted: map[string]bool{}}
	if err := d.prepare(hello); err != nil {
		return manager.Refuse(err)
	}
	loop := &deadman.Deadman{Hands: d, Say: d.Say, Clock: d.Clock, Version: d.Version, PID: d.PID}
	loop.Run(ctx, hello, manager)
	d.begins.Wait() // whoever is being started is started, and the watchdog has heard
	return nil
}

// prepare opens everything that is needed to act.
func (d *deadmanProcess) prepare(hello *deadman.Hello) error {
	d.first = d.Killer(hello.PID)
	if err := d.DeadmanConfig.Prepare(); err != nil {
		return err
	}
	for _, o := range hello.Packages {
		if err := d.open(o); err != nil {
			return err
		}
	}
	return nil
}

// open opens all that it takes to stop a package, and locks its directory as its deadman.
func (d *deadmanProcess) open(o deadman.Origin) (err error) {
	w := &watched{}
	if err := d.learn(w, o); err != nil {
		return err
	}
	if w.flock, err = d.Dirs.LockAsDeadman(o.Package); err != nil {
		return err
	}
	if w.scripts, err = d.Scripts(o.Package, o.Mark, cgroups(o.Cgroup, o.Also), true); err != nil {
		return err
	}
	w.scripts.SetUnits(w.standing().Units)
	d.packages[o.Package] = w
	return nil
}

// Heard tells the hardware watchdog until when something of a package may run.
func (d *deadmanProcess) Heard(w deadman.Word) {
	d.relax()
	if d.Watchdog == nil {
		return
	}
	if w.Phase == deadman.Free {
		d.Watchdog.Clear(w.Package)
		return
	}
	d.Watchdog.Hold(w.Package, w.Kill, w.Timeout+w.Stop)
}

// KillManager kills the manager, whatever it does.
func (d *deadmanProcess) KillManager() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.revived != nil {
		d.revived()
		return
	}
	d.first()
}

// beCareful is called before anything is done that may hang, see Careful; done is to be called after it.
func (d *deadmanProcess) beCareful() (done func()) {
	d.acts.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.careful {
		d.careful = true
		if d.Careful != nil {
			d.Careful(true)
		}
	}
	return func() { d.acts.Add(-1) }
}

// relax ends the care if nothing is being done any more. It is called when a manager has spoken: all is well.
func (d *deadmanProcess) relax() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.careful && d.acts.Load() == 0 {
		d.careful = false
		if d.Careful != nil {
			d.Careful(false)
		}
	}
}

// Revive starts a manager that goes on with packages.
func (d *deadmanProcess) Revive(packages []string) (io.ReadWriteCloser, error) {
	defer d.beCareful()()
	conn, kill, err := d.DeadmanConfig.Revive(packages)
	if err != nil {
		return nil, fmt.Errorf("cannot start a manager: %w", err)
	}
	d.mu.Lock()
	d.revived = kill
	d.mu.Unlock()
	return conn, nil
}

// Begin starts an ordinary manager, unless a user has asked meanwhile that there be none.
func (d *deadmanProcess) Begin(pkg string) {
	d.begins.Go(func() {
		defer d.beCareful()()
		d.mu.Lock()
		halted := d.halted[pkg]
		d.mu.Unlock()
		if halted {
			d.Say.Info(fmt.Sprintf("package %s is halted, as was asked for.", pkg))
			if dir, err := d.Dirs.Take(pkg, false); err == nil { // else somebody runs it again
				dir.Remove()
			}
			return
		}
		if err := d.DeadmanConfig.Begin(pkg); err != nil {
			d.Say.Error(fmt.Sprintf("cannot start a manager, and package %s is run by nobody here: %v. service start %s tries again.", pkg, err, pkg))
		}
	})
}

// Stop climbs the stop ladder, as a manager does that has lost the lock.
func (d *deadmanProcess) Stop(ctx context.Context, w deadman.Word) {
	defer d.beCareful()()
	p, of, say := d.packages[w.Package], d.Dirs.Notes(w.Package), d.Say.Of(w.Package)
	var stop outcomes
	came := Outcome{} // nothing is known of it: this process is being ended
	if d.Seen != nil {
		d.Seen(&w)
	}
	if err := p.scripts.KillUnfinished(w.Doing == string(failover.Unknown) || w.Doing == string(failover.Starting)); err != nil {
		say.Error(err.Error())
	}
	if taken, err := d.Dirs.Take(w.Package, true); err == nil { // so that service status shows who acts
		defer func() {
			stop.add(came) // nobody is to wait for one any more
			taken.Leave()
		}()
		taken.Serve(d.answer(ctx, w.Package, &stop))
	}
	params := p.known.Load().lived.Params
	params.Timeout, params.StopTimeout = w.Timeout, w.Stop
	m := failover.New(failover.Config{
		Package: w.Package, Node: d.Node, Scripts: hands{p.scripts, p.standing, say},
		Clock: d.Clock, Notes: of, Say: say, Stop: Lost(w), Reset: p.known.Load().reset, Kept: stop.kept,
	}, params)
	status, err := m.Run(ctx) // it said how it ended
	if err == nil {
		came = Outcome{Ended: true, Failed: status != 0}
	}
	if ctx.Err() == nil { // it is shown to be down: there is nothing to go on with
		if d.Watchdog != nil { // before a disk that is slow
			d.Watchdog.Clear(w.Package)
		}
		d.free(p, of)
	}
}

// answer is what is done for users while the deadman stops a package.
func (d *deadmanProcess) answer(ctx context.Context, pkg string, stop *outcomes) func(Request) Answer {
	return func(q Request) Answer {
		a := Answer{Version: d.Version, Node: d.Node, Doing: string(failover.Halting), Outcomes: stop.number()}
		switch q.What {
		case Halt:
			d.mu.Lock()
			d.halted[pkg] = true
			d.mu.Unlock()
		case State:
		case Await:
			return stop.answer(ctx, q.Text, a)
		default:
			a.Error = "the deadman of back-to-work stops the package"
		}
		return a
	}
}

// free writes into the record that nothing of the package is left to go on with.
func (d *deadmanProcess) free(p *watched, of *notes.Dir) {
	o := p.known.Load().Origin
	r := Record{
		Boot: d.Boot, Node: d.Node, Mark: o.Mark, Cgroup: o.Cgroup, Also: o.Also, Lived: o.Params,
		Word: deadman.Word{Package: o.Package, Phase: deadman.Free},
	}
	if err := of.Write(recordNote, r.note()); err != nil {
		d.Say.Of(o.Package).Error(err.Error())
	}
}

// Kill kills all that is left of a package, at once.
func (d *deadmanProcess) Kill(pkg string) {
	p, say := d.packages[pkg], d.Say.Of(pkg)
	killed := make(chan string, 1)
	go func() {
		alive, err := hands{p.scripts, p.standing, say}.KillAll(0)
		why := ""
		if alive != "" || err != nil {
			why = fmt.Sprintf("of package %s is still alive: %s (%v)", pkg, alive, err)
		}
		killed <- why
	}()
	go func() {
		why := ""
		select {
		case why = <-killed:
		case <-time.After(killLimit): // to look at a process that hangs in the kernel may hang too
			why = fmt.Sprintf("what is alive of package %s cannot be seen", pkg)
		}
		if why == "" {
			return
		}
		say.Error(why)
		if k := p.known.Load(); k.reset != nil && k.lived.SelfFence {
			say.Info("self_fence=reboot: resetting this host now.")
			k.reset()
		}
	}()
}

// killLimit is how long Kill takes at the most where nothing hangs: a second until what was killed is gone, and the
// time in which addresses and mounts are taken away.
const killLimit = 3 * time.Second

// Update takes up other parameters of a package.
func (d *deadmanProcess) Update(o deadman.Origin) {
	p := d.packages[o.Package]
	if err := d.learn(p, o); err != nil {
		d.Say.Of(o.Package).Error(err.Error())
	}
	p.scripts.SetUnits(p.standing().Units)
}

// LetGo says that another may act on a package. free says that nothing of it runs here.
func (d *deadmanProcess) LetGo(pkg string, free bool) {
	p := d.packages[pkg]
	letGo := func() {
		_ = p.flock.Close()
		_ = p.scripts.Close()
	}
	if d.Watchdog == nil || !free {
		letGo()
		return
	}
	d.Watchdog.Clear(pkg)
	d.begins.Go(func() { // not waited for: the kill end of another package may come meanwhile
		d.Watchdog.Flush(time.Second)
		letGo()
	})
}
