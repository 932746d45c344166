package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/guarded"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"

	"golang.org/x/sys/unix"
)

// attach takes over the deadman of an earlier manager, where this process was started to go on in
// its place.
func (g *group) attach() (*deadman.Attached, error) {
	conn, err := inherited(g.env)
	if conn == nil || err != nil {
		return nil, err
	}
	if err := script.Aside(g.Home, g.Node, ".manager", os.Getpid()); err != nil {
		g.log.Debug("the manager stays in this cgroup", "reason", err)
	}
	return deadman.Attach(conn, killer, deadman.Hello{PID: os.Getpid(), Version: Version})
}

// killer is what kills process pid, and no other that has its number later.
func killer(pid int) func() {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return func() {} // it has ended
	}
	return func() { _ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) }
}

// runner runs the script of a package whose processes have mark in their environment. beside says
// that this process is not its manager.
func (s *site) runner(name, mark, shell string, beside bool) (*script.Runner, error) {
	return script.New(script.Config{
		Home: s.Home, Name: name, Node: s.Node, Lock: name, LockDir: s.LockDir,
		Session: mark, Shell: shell, Environ: environ(), Beside: beside,
	})
}

// wanted is the packages of this manager: those of its arguments, without what the deadman that it
// goes on with stops itself.
func (g *group) wanted() []string {
	if g.earlier == nil {
		return g.env.Args
	}
	return slices.DeleteFunc(slices.Clone(g.env.Args), func(name string) bool {
		_, ok := g.earlier.Words[name]
		return !ok
	})
}

// takeLockDir is takeLockDir, once no deadman of an earlier manager is at work on the package.
func (g *group) takeLockDir(ctx context.Context, name string) (*lockDir, error) {
	for told := false; ; told = true {
		dir, err := takeLockDir(g.Home, name, g.forgotten()...)
		if err != nil || g.earlier != nil || !isGuarded(g.Home, name) {
			return dir, err
		}
		_ = dir.pid.Close()
		if !told {
			dated(g.env.Stdout)(fmt.Sprintf("the deadman of an earlier back-to-work is at work on package %s: waiting for it.", name))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("given up while the deadman of an earlier back-to-work is at work on package %s", name)
		}
	}
}

// afterDeadman is set in the environment of a manager that a deadman starts anew.
const afterDeadman = "BTW_AFTER_DEADMAN"

// forgotten is which notes for an earlier manager are not for this one: none, where it takes that
// one's place, for whoever waits for what he asked for.
func (g *group) forgotten() []string {
	if g.earlier != nil || g.env.Getenv(afterDeadman) != "" {
		return []string{upgradeNote}
	}
	return allNotes
}

// findFormer finds out what there is to go on with: from the deadman, or from the note that a
// manager left which was killed together with its deadman.
func (g *group) findFormer(m *member) (err error) {
	if m.boot, err = lease.BootID(); err != nil {
		return err
	}
	r, err := readRecord(g.Home, m.name)
	if err != nil {
		return err
	}
	if g.earlier != nil {
		r.Mark, r.Word = g.earlier.Marks[m.name], g.earlier.Words[m.name]
	}
	m.mark = r.Mark
	f, ok, past := guarded.FormerOf(r.Word, lease.System().Now())
	if m.clear = past; ok {
		m.former = &former{f, r.Word}
		if g.earlier == nil && g.env.Getenv(afterDeadman) == "" && (m.former.word.Doing == string(failover.Halting) || m.former.word.Doing == string(failover.Halted)) {
			m.former.word.Doing = string(failover.Failing) // it is to be stopped, but who starts it by hand wants it
		}
	}
	if m.mark == "" {
		m.mark = lockclient.NewID()
		m.remember(deadman.Word{Package: m.name, Phase: deadman.Free})
	}
	return nil
}

// openLink starts the deadman, or goes on with the one that there is, unless it is of another version.
func (g *group) openLink() error {
	hello := deadman.Hello{PID: os.Getpid(), Version: Version}
	for _, m := range g.members {
		hello.Packages = append(hello.Packages, m.origin())
	}
	say := dated(g.env.Stdout)
	g.link = deadman.NewLink(hello, g.spawnDeadman, say, g.halt)
	switch {
	case g.earlier == nil:
	case g.earlier.Version == Version:
		g.link.Use(g.earlier)
		return nil
	default: // its deadman is of another version: it knows an older stop ladder
		g.earlier.Dismiss()
		g.link.Tell(g.earlier.Words)
		if err := g.link.Open(); err != nil { // it is tried again, and if that is of no use the packages are halted
			say("error: " + err.Error())
		}
		return nil
	}
	for _, m := range g.members {
		if m.former != nil {
			g.link.Say(guarded.Inherited(m.former.word, lease.System().Now()))
		}
	}
	return g.link.Open()
}

// halt halts all packages.
func (g *group) halt() {
	for _, m := range g.members {
		m.signal(syscall.SIGTERM)
	}
}
