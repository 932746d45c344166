package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lease"
	"backtowork/internal/notes"
	"backtowork/internal/script"
	"backtowork/internal/watchdog"

	"golang.org/x/sys/unix"
)

// deadmanFD is the environment variable that says where the other of the two is: to a deadman its
// manager, to a manager the deadman that it goes on with.
const deadmanFD = "BTW_DEADMAN_FD"

const deadmanUsage = `Usage: deadman

The second process beside each back-to-work, which starts it: it sees to it that the
packages are down in time when back-to-work dies or hangs, and starts another in its
place. It ends with it. Nobody else needs to start or to end it.

Example: ps -e | grep deadman
`

// A deadmanProcess is the hands of a deadman.
type deadmanProcess struct {
	*site
	out      *async
	packages map[string]*watched
	feeder   *feeder      // nil without a hardware watchdog
	manager  int          // pidfd of the first manager
	acts     atomic.Int32 // stops, and processes that are being started
	begins   sync.WaitGroup

	mu      sync.Mutex
	revived *os.Process // the manager that took the place of the first
	careful bool
}

// A watched is what is open for a package, so that nothing needs a file system when the deadman acts.
type watched struct {
	mark   string
	runner *script.Runner
	params atomic.Pointer[failover.Params]
	flock  *os.File
	reset  func()
}

func (w *watched) parameters() failover.Params { return *w.params.Load() }

// take makes the parameters of o those that it goes by.
func (w *watched) take(o deadman.Origin) error {
	var p failover.Params
	if err := json.Unmarshal(o.Params, &p); err != nil {
		return fmt.Errorf("cannot read the parameters of package %s: %w", o.Package, err)
	}
	w.params.Store(&p)
	return nil
}

// runDeadman is the deadman process.
func runDeadman(_ context.Context, env *Env) error {
	// Not ignored: whoever it starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, haltSignal)
	outlivePipe()
	conn, err := inherited(env)
	if err != nil {
		return err
	}
	if conn == nil {
		return usageError("a deadman is started by back-to-work, not by hand")
	}
	hello, manager, err := deadman.Greet(conn)
	if err != nil {
		return err
	}
	d := &deadmanProcess{packages: map[string]*watched{}, out: newAsync(os.Stdout)}
	defer d.out.close()
	if err := d.prepare(env, hello); err != nil {
		return manager.Refuse(err)
	}
	loop := &deadman.Deadman{Hands: d, Clock: lease.System(), Version: Version, PID: os.Getpid()}
	loop.Run(context.Background(), hello, manager)
	d.begins.Wait() // whoever is being started is started
	return nil
}

// inherited is the connection that this process was given; nil if none.
func inherited(env *Env) (net.Conn, error) {
	var fd uintptr
	if _, err := fmt.Sscan(env.Getenv(deadmanFD), &fd); err != nil {
		return nil, nil
	}
	f := os.NewFile(fd, "deadman")
	defer f.Close()
	return net.FileConn(f)
}

// prepare opens everything that is needed to act.
func (d *deadmanProcess) prepare(env *Env, hello *deadman.Hello) (err error) {
	inner := *env
	inner.Stdout, inner.Stderr = d.out, d.out
	if d.site, err = openSite(&inner); err != nil {
		return err
	}
	if d.manager, err = unix.PidfdOpen(hello.PID, 0); err != nil {
		return fmt.Errorf("cannot watch process %d: %w", hello.PID, err)
	}
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))) // said once: it is not to be changed while a script is begun
	if err := watchdog.Protect(); err != nil {
		d.log.Debug("not all that keeps the deadman alive is to be had", "reason", err)
	}
	if err := script.Aside(d.Home, d.Node, ".deadman", os.Getpid()); err != nil {
		d.log.Debug("the deadman stays in this cgroup", "reason", err)
	}
	shell, err := d.Shell()
	if err != nil {
		return err
	}
	for _, o := range hello.Packages {
		if err := d.open(o, shell); err != nil {
			return err
		}
	}
	device, err := watchdogDevice(d.Home)
	if err == nil && device != "" {
		d.feeder = newFeeder(watchdogSocket(d.Home), d.Say)
	}
	return err
}

// Heard tells the hardware watchdog until when something of a package may run.
func (d *deadmanProcess) Heard(w deadman.Word) {
	d.relax()
	if d.feeder != nil {
		d.feeder.put(w.Package, until{w.Kill, w.Timeout + w.Stop, w.Phase == deadman.Free})
	}
}

func (d *deadmanProcess) open(o deadman.Origin, shell string) (err error) {
	w := &watched{mark: o.Mark}
	if err := w.take(o); err != nil {
		return err
	}
	if w.flock, err = takeDeadmanFile(d.Home, o.Package); err != nil {
		return err
	}
	if w.reset, err = d.resetter(w.parameters()); err != nil {
		return err
	}
	if w.runner, err = d.runner(o.Package, o.Mark, shell, true); err != nil {
		return err
	}
	w.runner.SetUnits(w.parameters().KillUnits)
	d.packages[o.Package] = w
	return nil
}

// Say tells the admin, where the manager tells.
func (d *deadmanProcess) Say(line string) {
	dated(d.out)("deadman: " + line)
}

// KillManager kills the manager, whatever it does.
func (d *deadmanProcess) KillManager() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.revived != nil {
		_ = d.revived.Kill() // it may have ended
		return
	}
	_ = unix.PidfdSendSignal(d.manager, unix.SIGKILL, nil, 0)
}

// beCareful is called before anything is done; done is to be called after it. A process that is
// begun on a disk that hangs stands still between fork and exec, and with it who collects garbage
// and would stop this process: so none is collected until all is done.
func (d *deadmanProcess) beCareful() (done func()) {
	d.acts.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.careful {
		d.careful = true
		debug.SetGCPercent(-1)
	}
	return func() { d.acts.Add(-1) }
}

// relax ends the care, when a manager speaks and nothing is being done.
func (d *deadmanProcess) relax() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.careful && d.acts.Load() == 0 {
		d.careful = false
		debug.SetGCPercent(100)
	}
}

// Revive starts a manager that goes on with packages.
func (d *deadmanProcess) Revive(packages []string) (io.ReadWriteCloser, error) {
	defer d.beCareful()()
	conn, process, err := d.startOther("back-to-work", packages...)
	if err != nil {
		return nil, fmt.Errorf("cannot start a manager: %w", err)
	}
	d.mu.Lock()
	d.revived = process
	d.mu.Unlock()
	return conn, nil
}

// Begin starts an ordinary manager.
func (d *deadmanProcess) Begin(pkg string) {
	d.begins.Go(func() {
		defer d.beCareful()()
		if _, err := os.Stat(filepath.Join(lockDirPath(d.Home, pkg), haltNote)); err == nil {
			d.Say(fmt.Sprintf("package %s is halted, as was asked for.", pkg))
			d.tidy(pkg)
			return
		}
		cmd := d.self("back-to-work", pkg)
		cmd.Env = append(cmd.Env, afterDeadman+"=yes")
		if err := cmd.Start(); err != nil {
			d.Say("error: cannot start a manager: " + err.Error())
			return
		}
		go func() { _ = cmd.Wait() }() // it tells where this process does
	})
}

// tidy removes what stands of a package that nobody runs here any more.
func (d *deadmanProcess) tidy(pkg string) {
	if dir, err := takeLockDir(d.Home, pkg); err == nil { // else somebody runs it again
		dir.remove()
	}
}

// Stop climbs the stop ladder, as a manager does that has lost the lock.
func (d *deadmanProcess) Stop(ctx context.Context, w deadman.Word) {
	defer d.beCareful()()
	p, dir := d.packages[w.Package], notes.In(lockDirPath(d.Home, w.Package))
	if err := p.runner.KillUnfinished(w.Doing == string(failover.Unknown) || w.Doing == string(failover.Starting)); err != nil {
		d.Say("error: " + err.Error())
	}
	if taken, err := takeLockDir(d.Home, w.Package); err == nil { // so that service status shows who acts
		defer func() { _ = taken.pid.Close() }()
	}
	params := p.parameters()
	params.Timeout, params.StopTimeout = w.Timeout, w.Stop
	m := failover.New(failover.Config{
		Package: w.Package, Node: d.Node, Scripts: scripts{p.runner, p.parameters, d.Say},
		Clock: lease.System(), Notes: dir, Say: d.Say,
		Stop: guarded.Lost(w), Reset: p.reset,
	}, params)
	_, _ = m.Run(ctx)     // it said how it ended
	if ctx.Err() == nil { // it is shown to be down: there is nothing to go on with
		if d.feeder != nil { // before a disk that is slow
			d.feeder.put(w.Package, until{clear: true})
		}
		boot, _ := lease.BootID()
		free := record{boot, p.mark, deadman.Word{Package: w.Package, Phase: deadman.Free}}
		if err := dir.Write(recordNote, free.note()); err != nil {
			d.Say("error: " + err.Error())
		}
	}
}

// Kill kills all that is left of a package, at once.
func (d *deadmanProcess) Kill(pkg string) {
	p := d.packages[pkg]
	go func() {
		all := scripts{p.runner, p.parameters, d.Say}
		if alive, err := all.KillAll(0); alive != "" || err != nil {
			d.Say(fmt.Sprintf("error: of package %s is still alive: %s (%v)", pkg, alive, err))
			if p.reset != nil && p.parameters().SelfFence {
				d.Say("self_fence=reboot: resetting this host now.")
				p.reset()
			}
		}
	}()
}

// Update takes up other parameters of a package.
func (d *deadmanProcess) Update(o deadman.Origin) {
	p := d.packages[o.Package]
	if err := p.take(o); err != nil {
		d.Say("error: " + err.Error())
		return
	}
	p.runner.SetUnits(p.parameters().KillUnits)
	if p.reset == nil {
		if reset, err := d.resetter(p.parameters()); err == nil { // else the manager says why not
			p.reset = reset
		}
	}
}

// LetGo says that another may act on a package.
func (d *deadmanProcess) LetGo(pkg string) {
	p := d.packages[pkg]
	if d.feeder != nil {
		d.feeder.put(pkg, until{clear: true})
		d.feeder.flush(time.Second)
	}
	_ = p.flock.Close()
	_ = p.runner.Close()
}

// socketPair is both ends of a connection: ours, and one for a process that is to be started.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a connection: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "deadman")
	defer f.Close()
	theirs = os.NewFile(uintptr(fds[1]), "deadman")
	if ours, err = net.FileConn(f); err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// resetter resets this host, with nothing synced and nobody asked (sysrq b); nil where that is not
// asked for. What it needs is opened before it is needed. conf/sysrq_trigger says where it stands
// if that is another place than usual.
func (s *site) resetter(p failover.Params) (func(), error) {
	if !p.SelfFence {
		return nil, nil
	}
	path := "/proc/sysrq-trigger"
	if other, err := os.ReadFile(filepath.Join(s.Home, "conf/sysrq_trigger")); err == nil {
		path = strings.TrimSpace(string(other))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, withHint(fmt.Errorf("self_fence=reboot cannot work here: %w", err), "it needs root, and a kernel with magic SysRq")
	}
	return func() { _, _ = f.WriteString("b") }, nil
}

// startOther starts the other of manager and deadman, joined to this process by a connection.
func (s *site) startOther(name string, args ...string) (net.Conn, *os.Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	cmd := s.self(name, args...)
	give(cmd, theirs, deadmanFD)
	if err := cmd.Start(); err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	go func() { _ = cmd.Wait() }() // its end is that of the connection
	return ours, cmd.Process, nil
}

// spawnDeadman starts a deadman for this manager.
func (g *group) spawnDeadman() (io.ReadWriteCloser, func(), error) {
	conn, process, err := g.startOther("deadman")
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = process.Kill() }, nil
}
