package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"
)

const backToWorkUsage = `Usage: back-to-work { package-name }

Runs a package (or several) on this node, in the foreground: waits for its lock,
starts it, watches it, and stops it when it fails, when the lock is lost, or at
HUP, INT or TERM. USR1 makes it read the package's parameters again. With verbose
set in the environment it tells more.

Example: verbose=1 ./back-to-work dummy
`

// readyFD is the environment variable that says where a manager in the background tells
// that it has begun, or why it cannot.
const readyFD = "BTW_READY_FD"

// hintMark stands between the reason and the hint there.
const hintMark = "\x00"

func backToWork(ctx context.Context, env *Env) error {
	if len(env.Args) == 0 {
		fmt.Fprint(env.Stdout, backToWorkUsage)
		return nil
	}
	outlivePipe()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, heeded(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, haltSignal)...)
	defer signal.Stop(signals)
	tell := newReady(env)
	out := newAsync(env.Stdout)
	defer out.close()
	errOut := out
	if !sameFile(env.Stdout, env.Stderr) {
		errOut = newAsync(env.Stderr)
		defer errOut.close()
	}
	inner := *env // what is said after this is said at once
	inner.Stdout, inner.Stderr = out, errOut
	g, err := newGroup(ctx, &inner)
	tell(err)
	var runs alreadyRuns
	if errors.As(err, &runs) { // in the original's words, where the original says it
		fmt.Fprintf(env.Stdout, "%s %v\n", date(time.Now()), runs)
		return exitStatus(1)
	}
	if err != nil {
		return err
	}
	defer g.close()
	return g.run(context.WithoutCancel(ctx), signals) // a signal is an event of the machine, not an end
}

// A group is the packages of one manager process. They share a session, and so renew their
// locks in one request.
type group struct {
	*site
	id      string // of the session
	session *lockclient.Session
	members []*member
}

// A member is one package of a group.
type member struct {
	name    string
	script  *script.Runner
	params  failover.Params
	dir     *lockDir
	out     io.Writer
	closing sync.Once
	log     *async // of this package alone, where there are several
	signals chan os.Signal
}

// newGroup checks everything that can be checked before a lock is asked for.
func newGroup(ctx context.Context, env *Env) (_ *group, err error) {
	s, err := openSite(env)
	if err != nil {
		return nil, err
	}
	if err := s.checkPackages(env.Args); err != nil {
		return nil, err
	}
	if err := s.readServers(); err != nil {
		return nil, err
	}
	shell, err := s.Shell()
	if err != nil {
		return nil, err
	}
	g := &group{site: s, id: lockclient.NewID()}
	defer func() {
		if err != nil {
			g.undo()
		}
	}()
	for _, name := range env.Args {
		m, err := g.newMember(ctx, name, shell)
		if err != nil {
			return nil, err
		}
		g.members = append(g.members, m)
	}
	if err := s.startServer(ctx); err != nil {
		if len(s.servers) == 1 {
			return nil, err
		}
		// The others can decide without it; it is tried again every minute.
		s.log.Warn("this host's lock server does not run", "reason", err)
	}
	if g.session, err = s.session(); err != nil {
		return nil, err
	}
	g.session.Owner.Session = g.id
	for _, m := range g.members {
		if err := g.open(m); err != nil {
			return nil, err
		}
		g.files.Init(m.name, g.Node, len(g.servers), lock.Times{Timeout: m.params.Timeout, Stop: m.params.StopTimeout})
	}
	return g, nil
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
	if g.env.Getenv(readyFD) == "" { // in the foreground
		m.out = io.MultiWriter(m.log, prefixed{g.env.Stdout, m.name + ": "})
	}
	return nil
}

// packageNames refuses what cannot be the names of packages.
func packageNames(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if err := lock.CheckName(name); err != nil {
			return usageError(fmt.Sprintf("cannot use this as a package: %v", err))
		}
		if seen[name] {
			return usageError(fmt.Sprintf("package %q is named twice", name))
		}
		seen[name] = true
	}
	return nil
}

// checkPackages refuses packages that are not there.
func (s *site) checkPackages(names []string) error {
	if err := packageNames(names); err != nil {
		return err
	}
	for _, name := range names {
		if err := script.Check(s.Home, name); err != nil {
			return withHint(err, "packages are executable scripts in %s", filepath.Join(s.Home, "packages"))
		}
	}
	return nil
}

// newMember takes hold of a package on this node, and asks it for its parameters.
func (g *group) newMember(ctx context.Context, name, shell string) (_ *member, err error) {
	m := &member{name: name, out: g.env.Stdout, signals: make(chan os.Signal, 8)}
	if m.dir, err = takeLockDir(g.Home, name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.undo()
		}
	}()
	m.script, err = script.New(script.Config{
		Home: g.Home, Name: name, Node: g.Node, Lock: name, LockDir: g.LockDir,
		Session: g.id, Shell: shell, Environ: environ(),
	})
	if err != nil {
		return nil, err
	}
	if m.params, err = failover.ReadParams(ctx, m.script, g.Node); err != nil {
		return nil, aboutPackage(name, err)
	}
	return m, nil
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

// Write writes one line.
func (p prefixed) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.to, p.prefix+string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func logPath(home, name string) string {
	return filepath.Join(home, "log", "back-to-work."+name+".log")
}

func (m *member) close() { m.closing.Do(m.closeNow) }

func (m *member) closeNow() {
	if m.script != nil {
		_ = m.script.Close() // nothing is left to do about it
	}
	if m.log != nil {
		m.log.close()
	}
	m.dir.remove()
}

// undo is close for a package that was not begun: an empty log goes too.
func (m *member) undo() {
	if m.script != nil {
		log := m.script.Log()
		if info, err := log.Stat(); err == nil && info.Size() == 0 {
			_ = os.Remove(log.Name())
		}
	}
	m.close()
}

func (g *group) undo() {
	for _, m := range g.members {
		m.undo()
	}
}

func (g *group) close() {
	for _, m := range g.members {
		m.close()
	}
}

// run runs all packages until each has ended.
func (g *group) run(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	var renewals sync.WaitGroup
	renewals.Go(func() { g.session.Run(ctx) })
	renewals.Go(func() { g.share(ctx, signals) })
	renewals.Go(func() { g.keepServer(ctx, g.session.Client()) })
	renewals.Go(func() { g.reportAll(ctx, g.session.Client()) })
	errs := make([]error, len(g.members))
	var managers sync.WaitGroup
	for i, m := range g.members {
		managers.Go(func() { errs[i] = g.runMember(ctx, m) })
	}
	managers.Wait()
	cancel()
	renewals.Wait()
	return errors.Join(errs...)
}

// share gives each signal to every member.
func (g *group) share(ctx context.Context, signals <-chan os.Signal) {
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

// signal gives the member a signal, or a TERM where it alone is to halt.
func (m *member) signal(sig os.Signal) {
	if sig == haltSignal {
		if !m.dir.haltAsked() {
			return
		}
		sig = syscall.SIGTERM
	}
	select {
	case m.signals <- sig:
	default: // it has enough to do, or has ended
	}
}

// serverEvery is how often is looked whether this host's lock server still runs.
const serverEvery = time.Minute

// keepServer starts this host's lock server again if it ended: it ends by itself rather than
// trust a disk that stalls.
func (g *group) keepServer(ctx context.Context, c *lockclient.Client) {
	for {
		select {
		case <-time.After(serverEvery):
		case <-ctx.Done():
			return
		}
		g.takeServers(c)
		if err := g.startServer(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("this host's lock server does not run", "reason", err)
		}
	}
}

func (g *group) runMember(ctx context.Context, m *member) error {
	defer m.close()
	say := func(line string) { fmt.Fprintf(m.out, "%s %s\n", date(time.Now()), line) }
	for _, w := range m.params.Warnings() {
		say(w)
	}
	manager := failover.New(failover.Config{
		Package: m.name, Node: g.Node, Scripts: scripts{m.script}, Locker: locker{g.session},
		Clock: lease.System(), Notes: m.dir.notes, Say: say, Signals: m.signals,
	}, m.params)
	status, err := manager.Run(ctx)
	if err == nil && status != 0 {
		err = exitStatus(status)
	}
	return errors.Join(err, g.files.Sync(), m.dir.notes.Sync())
}

// newReady is how a manager in the background tells who started it how that went.
func newReady(env *Env) func(error) {
	var fd uintptr
	if _, err := fmt.Sscan(env.Getenv(readyFD), &fd); err != nil {
		return func(error) {}
	}
	syscall.CloseOnExec(int(fd))
	to := os.NewFile(fd, "ready")
	return func(err error) {
		line := "ok"
		var hint hintError
		if err != nil {
			line = err.Error()
		}
		if errors.As(err, &hint) {
			line += hintMark + hint.hint
		}
		_, _ = io.WriteString(to, line) // who started us may be gone
		_ = to.Close()
	}
}
