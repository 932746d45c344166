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

	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/failover"
	"backtowork/internal/inheritance"
	"backtowork/internal/journal"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

const backToWorkUsage = `Usage: back-to-work { package-name }

Runs a package (or several) on this node, in the foreground: waits for its lock,
starts it, watches it, and stops it when it fails, when the lock is lost, or at
HUP, INT or TERM. USR1 makes it read the package's parameters again. With verbose
set in the environment it tells more. One that service start has put in the
background has no terminal that could hang up: it takes HUP for the word that its
logs were rotated, and goes on.

A package's script, and so its daemons, begin the same way whoever has started this: in the
home, with input from /dev/null and output to log/P.log, no other open files, umask 022, LANG=C,
HOME as the user's, a PATH with the dex commands first and the standard directories, none of the
variables that change what a shell means (CDPATH, ENV, LC_*, LD_*, TZ, TMPDIR ...), no signal
blocked or ignored, no core files, no limit of time or memory, at least 1024 open files, and the
usual priorities. Other variables are inherited. BTW_NODE, BTW_LOCK, BTW_TERM, BTW_PREVIOUS and
BTW_UNFENCED say who runs it (see dex-exec).

Example: verbose=1 ./back-to-work dummy
`

func backToWork(ctx context.Context, env *command.Env) error {
	if len(env.Args) == 0 {
		fmt.Fprint(env.Stdout, backToWorkUsage)
		return nil
	}
	outlivePipe()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, heeded(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)...)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2) // an older service sends it; it must not end this process
	defer signal.Stop(signals)
	tell := newReady(env)
	out := output(env, env.Stdout)
	defer out.Close()
	errOut := out
	if !journal.SameFile(env.Stdout, env.Stderr) {
		errOut = output(env, env.Stderr)
		defer errOut.Close()
	}
	inner := *env // from here on all output goes through out, which never blocks
	inner.Stdout, inner.Stderr = out, errOut
	g, err := newGroup(ctx, &inner)
	if err != nil {
		tell(err)
	}
	var runs manager.RunsError
	if errors.As(err, &runs) { // print it in the original's words, and on stdout, as the original does
		journal.To(env.Stdout).Plain(journal.Error, runs.Error())
		return command.Status(1)
	}
	if err != nil {
		return err
	}
	if env.Getenv(ownLog) != "" {
		signals = withoutHUP(signals, journal.To(out))
	}
	var told sync.WaitGroup
	told.Go(func() { tell(partly(g.Asked())) })
	err = g.Run(context.WithoutCancel(ctx), signals) // a signal is an event of the machine, not an end
	told.Wait()
	if errors.Is(err, manager.ErrStopFailed) || errors.Is(err, manager.ErrNotBegun) { // Run has printed it
		return command.Status(1)
	}
	return err
}

// newGroup checks everything that can be checked before a lock is asked for.
func newGroup(ctx context.Context, env *command.Env) (*manager.Group, error) {
	s, err := openSite(env)
	if err != nil {
		return nil, err
	}
	conn, err := inherited(env)
	if err != nil {
		return nil, err
	}
	if conn == nil { // conn set: this process goes on with what runs, and faults found now must not stop that
		err = s.checkPackages(env.Args)
	}
	if err != nil {
		return nil, err
	}
	if err := s.readServers(); err != nil {
		return nil, err
	}
	if conn == nil {
		s.warnUnread()
		s.mendLinks()
	}
	if w := s.soleServerWarning(); w != "" {
		journal.To(env.Stdout).Plain(journal.Warning, w)
	}
	for _, doubt := range inheritance.Doubts() {
		journal.To(env.Stdout).Plain(journal.Warning, "Warning: "+doubt+".")
	}
	for _, name := range env.Args {
		for _, w := range s.missingModules(name) {
			journal.To(env.Stdout).Plain(journal.Warning, "warning: "+w)
		}
	}
	cfg := manager.Config{
		AfterDeadman: env.Getenv(afterDeadman) != "", Spawn: s.spawnDeadman, Ready: s.ready, Session: s.session,
		Output: s.output, Begun: s.begun, Doubts: s.doubts, Beside: s.beside, Become: s.become,
	}
	if cfg.Common, err = s.common(); err != nil {
		return nil, err
	}
	if conn != nil { // else it would be an interface that is not nil
		cfg.Earlier = conn
	}
	return manager.New(ctx, cfg, env.Args)
}

// ready starts this host's lock server, and the hardware watchdog's process.
func (s *site) ready(ctx context.Context, goesOn bool) error {
	if err := s.startServer(ctx); err != nil {
		if (len(s.servers) == 1 || errors.As(err, new(portHolder))) && !goesOn {
			return err
		}
		// The others can decide without it; it is tried again every minute.
		s.again("server", serverDown, "reason", oneLine(err))
	}
	if err := s.startWatchdog(ctx); err != nil && goesOn {
		s.log.Warn("the hardware watchdog is not in force: packages run on, but this host is not reset when they cannot be stopped; mend it, then service upgrade", "reason", oneLine(err)) // what runs is not stopped for it
	} else if err != nil {
		return fmt.Errorf("the watchdog that conf/watchdog names is not in force: %w", err)
	}
	return nil
}

// output is the log of a package that is one of several.
func (s *site) output(name string) (say journal.Log, end func(), err error) {
	file, err := openLog(logPath(s.Home, name))
	if err != nil && s.env.Getenv(deadmanFD) != "" { // what runs is not stopped for it
		return journal.Named(s.env.Stdout), func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	log := follow(journal.At(file.Name(), file), done)
	end = func() {
		close(done)
		log.Close()
	}
	if s.env.Getenv(readyFD) == "" && s.env.Getenv(deadmanFD) == "" { // in the foreground
		return journal.To(log).Both(journal.Named(s.env.Stdout)), end, nil
	}
	return journal.To(log), end, nil
}

// begun writes the files of dex-lock.
func (s *site) begun(name string, p failover.Params) {
	s.files.Init(name, s.Node, len(s.servers), lock.Times{Timeout: p.Timeout, Stop: p.StopTimeout})
}

// doubts returns warnings about what the hardware watchdog cannot guarantee.
func (s *site) doubts(p failover.Params) []string {
	if w := s.resettable(); w.device != "" && !w.resets(p) {
		return []string{"the hardware watchdog: " + w.promise(p) + "."}
	}
	return nil
}

// beside does what runs beside the packages, until ctx ends: it keeps this host's lock server
// running, and reports the checksums of this host's files to the servers.
func (s *site) beside(ctx context.Context, c *lockclient.Client, g *manager.Group) {
	var all sync.WaitGroup
	all.Go(func() { s.restartServer(ctx, c) })
	all.Go(func() { s.reportAll(ctx, c, g) })
	all.Wait()
	s.retireServer(g.Params())
	_ = s.files.Sync() // the packages have ended in good order all the same
}

// packageNames refuses what cannot be the names of packages.
func packageNames(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if err := lock.CheckName(name); err != nil {
			return command.Usagef("cannot use this as a package: %v", err)
		}
		if seen[name] {
			return command.Usagef("package %q is named twice", name)
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
	if err := script.CheckHome(s.Home); err != nil {
		return err
	}
	checkEmbedded, err := s.checkEmbedded()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := script.Check(s.Home, name); errors.As(err, new(script.TakenError)) {
			return err
		} else if err != nil {
			return command.WithHint(err, "packages are executable scripts in %s", filepath.Join(s.Home, "packages"))
		}
		if err := checkLineEnds(s.Home, name); err != nil {
			return err
		}
		if err := checkEmbedded(name); err != nil {
			return err
		}
	}
	return s.checkOriginal(names)
}

func logPath(home, name string) string {
	return filepath.Join(home, "log", "back-to-work."+name+".log")
}

// serverEvery is how often a manager looks whether this host's lock server still runs.
const serverEvery = time.Minute

// restartServer starts this host's lock server again if it ended: it ends by itself rather than
// trust a disk that stalls.
func (s *site) restartServer(ctx context.Context, c *lockclient.Client) {
	for {
		select {
		case <-time.After(serverEvery):
		case <-ctx.Done():
			return
		}
		s.takeServers(c)
		if s.isStopped() {
			continue
		}
		if err := s.startServer(ctx); err != nil && ctx.Err() == nil {
			s.again("server", serverDown, "reason", oneLine(err))
		} else if err == nil {
			s.repeats.TellOver(s.log, "server", "this host's lock server runs again")
		}
	}
}

// runner makes a Runner for a package. Its processes are those that have mark in their environment,
// or are in one of the cgroups named by also. beside says that this process is not the package's
// manager.
func (s *site) runner(name, mark string, shell conf.Shell, also []string, asker script.Asker, beside bool) (*script.Runner, error) {
	return script.New(script.Config{
		Home: s.Home, Name: name, Node: s.Node, Aliases: s.Aliases(), Lock: name, LockDir: s.LockDir,
		Session: mark, Shell: shell.Path, Embedded: shell.Embedded, Asker: asker, Environ: environ(), Also: also, Beside: beside,
		GoesOn: beside || s.env.Getenv(deadmanFD) != "", // the package may run already: it has a manager, or a deadman hands it over
	})
}
