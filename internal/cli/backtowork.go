package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/deadman"
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
	session *lockclient.Session
	members []*member
	link    *deadman.Link     // with the deadman
	earlier *deadman.Attached // the deadman of a manager that this one goes on for; nil if there was none
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
	g := &group{site: s}
	if g.earlier, err = g.attach(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			g.undo()
		}
	}()
	for _, name := range g.wanted() {
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
	if err := s.startWatchdog(ctx); err != nil && g.earlier != nil {
		s.log.Warn("the hardware watchdog is not in force", "reason", err) // what runs is not stopped for it
	} else if err != nil {
		return nil, fmt.Errorf("the watchdog that conf/watchdog names is not in force: %w", err)
	}
	if g.session, err = s.session(); err != nil {
		return nil, err
	}
	if err := g.openLink(); err != nil {
		return nil, err
	}
	for _, m := range g.members {
		if err := g.open(m); err != nil {
			return nil, err
		}
		g.files.Init(m.name, g.Node, len(g.servers), lock.Times{Timeout: m.parameters().Timeout, Stop: m.parameters().StopTimeout})
	}
	return g, nil
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

func logPath(home, name string) string {
	return filepath.Join(home, "log", "back-to-work."+name+".log")
}

// run runs all packages until each has ended.
func (g *group) run(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	var renewals sync.WaitGroup
	for _, m := range g.members {
		m.link = g.link
	}
	renewals.Go(func() { g.link.Run(ctx) })
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
				if path, ok := m.dir.asked(upgradeNote); sig == haltSignal && ok {
					go g.upgrade(ctx, path)
				}
			}
		case <-ctx.Done():
			return
		}
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
