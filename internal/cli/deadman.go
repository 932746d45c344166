package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"backtowork/internal/command"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/manager"
	"backtowork/internal/script"
	"backtowork/internal/watchdog"

	"golang.org/x/sys/unix"
)

const deadmanUsage = `Usage: deadman

The second process beside each back-to-work, which starts it: it sees to it that the
packages are down in time when back-to-work dies or hangs, and starts another in its
place. It ends with it. Nobody else needs to start or to end it.

Example: ps -e | grep deadman
`

// runDeadman is the deadman process.
func runDeadman(_ context.Context, env *command.Env) error {
	// Not ignored: whoever it starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	outlivePipe()
	conn, err := inherited(env)
	if err != nil {
		return err
	}
	if conn == nil {
		return command.UsageError("a deadman is started by back-to-work, not by hand")
	}
	out := output(env, os.Stdout)
	defer out.Close()
	inner := *env
	inner.Stdout, inner.Stderr = out, out
	s, err := openSite(&inner)
	if err != nil {
		return err
	}
	cfg := manager.DeadmanConfig{Prepare: s.prepareDeadman, Careful: careful, Revive: s.revive, Begin: s.beginManager}
	if cfg.Common, err = s.common(); err != nil {
		return err
	}
	device, err := watchdogDevice(s.Home)
	if err != nil {
		return err
	}
	if device != "" {
		cfg.Watchdog = manager.Feed(watchdogSocket(s.Home), cfg.Say.By("deadman"))
	}
	return manager.RunDeadman(context.Background(), cfg, conn)
}

// common returns what a manager and a deadman of this home both work with.
func (s *site) common() (c manager.Common, err error) {
	scripts, err := s.scripts()
	if err != nil {
		return c, err
	}
	boot, err := lease.BootID()
	if err != nil {
		return c, err
	}
	return manager.Common{
		Node: s.Node, Version: Version, PID: os.Getpid(), Boot: boot, Clock: lease.System(), Log: s.log,
		Say: journal.To(s.env.Stdout), Dirs: manager.Home(s.Home), Reset: s.reset, Killer: killer,
		Scripts: scripts,
		Aside:   func() error { return script.Aside(s.Home, s.Node, ".manager", os.Getpid()) },
	}, nil
}

// prepareDeadman protects this process from what could delay it.
func (s *site) prepareDeadman() error {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))) // set here once: it must not change while a script is being started
	if err := watchdog.Protect(); err != nil {
		s.log.Debug(unprotected("the deadman", "packages are not stopped in time if back-to-work fails too"), "reason", oneLine(err))
	}
	if err := script.Aside(s.Home, s.Node, ".deadman", os.Getpid()); err != nil {
		s.log.Debug(staysWith("the deadman"), "reason", oneLine(err))
	}
	return nil
}

// careful switches garbage collection off if on is true, else on again.
func careful(on bool) {
	if on {
		debug.SetGCPercent(-1)
	} else {
		debug.SetGCPercent(100)
	}
}

// killer returns a function that kills process pid, and never another process that gets its number
// later.
func killer(pid int) func() {
	p, err := holdProcess(pid)
	if err != nil {
		return func() {} // it has ended
	}
	return func() { _ = p.signal(unix.SIGKILL) }
}

// revive starts a manager that goes on with packages.
func (s *site) revive(packages []string) (io.ReadWriteCloser, func(), error) {
	conn, process, err := s.startOther("back-to-work", packages...)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = process.Kill() }, nil // it may have ended
}

// beginManager starts an ordinary manager of a package.
func (s *site) beginManager(name string) error {
	cmd := s.self("back-to-work", name)
	cmd.Env = append(cmd.Env, afterDeadman+"=yes")
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // it tells where this process does
	return nil
}

// spawnDeadman starts a deadman for this manager.
func (s *site) spawnDeadman() (io.ReadWriteCloser, func(), error) {
	conn, process, err := s.startOther("deadman")
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = process.Kill() }, nil
}

// reset prepares a reset of this host: at once, nothing synced, nobody asked (sysrq b). It opens
// what it needs beforehand. conf/sysrq_trigger names the file, if it is not at the usual place.
func (s *site) reset() (func(), error) {
	path := "/proc/sysrq-trigger"
	if other, err := os.ReadFile(filepath.Join(s.Home, "conf/sysrq_trigger")); err == nil {
		path = strings.TrimSpace(string(other))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, command.WithHint(fmt.Errorf("self_fence=reboot cannot work here: %w", err), "it needs root, and a kernel with magic SysRq")
	}
	return func() { _, _ = f.WriteString("b") }, nil
}

// become checks whether this process can become the program at path, and returns the function that
// does it. That function never returns.
func (s *site) become(path string) (now func(to io.ReadWriteCloser, packages []string) error, err error) {
	if _, err := exec.LookPath(path); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", path, err)
	}
	return func(to io.ReadWriteCloser, packages []string) error {
		mine := append([]string{"BTW_HOME=" + s.Home, s.heirs()}, logMark(s.env.Getenv(ownLog))...)
		err := execGiven(path, to, packages, mine...)
		// The deadman waits for a successor, and this process is the only one that could tell it:
		// so it ends.
		die(s.env.Stderr, "back-to-work", fmt.Errorf("cannot become %s: %w; its deadman starts another in its place", path, err))
		return err
	}, nil
}
