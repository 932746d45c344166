package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"backtowork/internal/failover"
)

// UpgradeLimit is how long a manager waits until nothing is being done about its packages.
const UpgradeLimit = 30 * time.Second

// upgrade makes this process the program at path, which goes on with the packages: it hears from the deadman
// what there is. The packages notice nothing. It returns only where it fails.
func (g *Group) upgrade(ctx context.Context, path string) error {
	if !g.upgrading.TryLock() {
		return errors.New("an upgrade is under way")
	}
	defer g.upgrading.Unlock()
	err := g.tryUpgrade(ctx, path)
	g.Say.Error("not upgraded: " + oneLine(err))
	return err
}

func (g *Group) tryUpgrade(ctx context.Context, path string) error {
	now, err := g.Become(path)
	if err != nil {
		return err
	}
	for _, m := range g.members {
		if m.hasEnded() {
			continue
		}
		if err := m.readAnew(ctx); err != nil {
			return AboutPackage(m.pkg, err)
		}
	}
	resume, err := g.standStill(ctx)
	defer resume()
	if err != nil {
		return err
	}
	g.Say.Info("becoming " + path + ".")
	return g.become(ctx, now)
}

// standStill pauses all packages; resume lets those go on that stand still.
func (g *Group) standStill(ctx context.Context) (resume func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, UpgradeLimit)
	defer cancel()
	resumes, errs := make([]func(), len(g.members)), make([]error, len(g.members))
	var all sync.WaitGroup
	for i, m := range g.members {
		all.Go(func() {
			manager, ok := m.manager.Load(), m.hasEnded()
			if resumes[i] = func() {}; manager != nil {
				resumes[i], ok = manager.Pause(ctx)
			}
			if !ok {
				errs[i] = fmt.Errorf("package %s is just being started or stopped", m.pkg)
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

// become is the last of an upgrade, while the packages stand still.
func (g *Group) become(ctx context.Context, now func(to io.ReadWriteCloser, packages []string) error) error {
	left := g.left()
	if len(left) == 0 {
		return errors.New("all packages have ended")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	to := g.link.Detach(ctx)
	if to == nil {
		return errors.New("the deadman does not answer")
	}
	return now(to, left)
}

// left is the packages that have not ended. Of those that have ended the deadman has been told.
func (g *Group) left() (names []string) {
	for _, m := range g.members {
		if manager := m.manager.Load(); manager == nil || isClosed(manager.Ended()) {
			<-m.closed
			continue
		}
		names = append(names, m.pkg)
	}
	return names
}

// readAnew asks the package for its parameters, as the next program will. Where they are bad there is no upgrade:
// that program would have to live by the old ones.
func (m *member) readAnew(ctx context.Context) error {
	beside, err := m.Scripts(m.pkg, m.mark, m.also, true)
	if err != nil {
		return err
	}
	_, err = failover.ReadParams(ctx, beside, m.Node)
	return errors.Join(err, beside.Close())
}
