package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/notes"
)

// upgradeLimit is how long a manager waits until nothing is being done about its packages.
const upgradeLimit = 30 * time.Second

// upgrade makes this process the program at path, which goes on with the packages: the deadman
// tells it what there is. Nothing of the packages notices.
func (g *group) upgrade(ctx context.Context, path string) {
	say := dated(g.env.Stdout)
	resume, err := g.standStill(ctx)
	defer resume()
	if err == nil {
		say("becoming " + path + ".")
		err = g.become(ctx, path)
	}
	say("error: not upgraded: " + err.Error())
}

// standStill pauses all packages; resume lets those go on that stand still.
func (g *group) standStill(ctx context.Context) (resume func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	resumes, errs := make([]func(), len(g.members)), make([]error, len(g.members))
	var all sync.WaitGroup
	for i, m := range g.members {
		all.Go(func() {
			manager, ok := m.manager.Load(), false
			if manager != nil {
				resumes[i], ok = manager.Pause(ctx)
			}
			if !ok {
				errs[i] = fmt.Errorf("package %s is just being started or stopped", m.name)
			}
		})
	}
	all.Wait()
	return func() {
		for i, resume := range resumes {
			if errs[i] == nil {
				resume()
			}
		}
	}, errors.Join(errs...)
}

// become is upgrade, while the packages stand still. It returns only where it fails.
func (g *group) become(ctx context.Context, path string) error {
	if err := syscall.Access(path, 1); err != nil { // X_OK
		return fmt.Errorf("cannot run %s: %w", path, err)
	}
	left := g.left()
	if len(left) == 0 {
		return errors.New("all packages have ended")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	raw := g.link.Detach(ctx)
	conn, ok := raw.(*net.UnixConn)
	if !ok {
		return errors.New("the deadman does not answer")
	}
	f, err := conn.File()
	if err == nil {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0)
		if errno != 0 {
			err = errno
		}
	}
	if err == nil {
		env := append(environ(), "BTW_HOME="+g.Home, fmt.Sprintf("%s=%d", deadmanFD, f.Fd()))
		err = syscall.Exec(path, append([]string{"back-to-work"}, left...), env)
	}
	// The deadman waits for somebody who goes on, and nobody else can tell it now.
	fmt.Fprintf(os.Stderr, "back-to-work: cannot become %s: %v\n", path, err)
	os.Exit(1)
	return err
}

// left is the packages that have not ended. Of those that have, the deadman knows.
func (g *group) left() (names []string) {
	for _, m := range g.members {
		select {
		case <-m.manager.Load().Ended():
			<-m.closed
		default:
			names = append(names, m.name)
		}
	}
	return names
}

// serviceUpgrade has the managers of this node become the program that this command is.
func serviceUpgrade(ctx context.Context, env *Env, packages []string) error {
	s, err := openSite(env)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell what to upgrade to: %w", err)
	}
	running, err := s.running()
	if err != nil {
		return err
	}
	for _, name := range packages {
		if !slices.Contains(running, name) {
			return fmt.Errorf("back-to-work does not run package %s here", name)
		}
	}
	if len(packages) == 0 {
		packages = running
	}
	for _, name := range packages {
		if err := s.askUpgrade(ctx, name, exe); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "package=%s; version=%s;\n", name, Version)
	}
	return nil
}

// askUpgrade has the manager of a package upgraded, and waits until the next one has taken its place.
func (s *site) askUpgrade(ctx context.Context, name, exe string) error {
	pid, err := managerOf(s.Home, name)
	if err != nil || pid == 0 {
		return err // it has ended by itself
	}
	version := filepath.Join(lockDirPath(s.Home, name), versionNote)
	if err := os.Remove(version); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := askManager(s.Home, name, pid, upgradeNote, exe); err != nil {
		return err
	}
	for end := time.Now().Add(upgradeLimit + 5*time.Second); time.Now().Before(end); {
		if _, err := os.Stat(version); err == nil && !s.resumes(name) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return withHint(fmt.Errorf("package %s is not upgraded", name), "see %s", logPath(s.Home, name))
}

// resumes says whether a manager still asks for the lock of an earlier one.
func (s *site) resumes(name string) bool {
	state, err := notes.In(lockDirPath(s.Home, name)).Read("pkg_state")
	return err != nil || state == "unknown"
}
