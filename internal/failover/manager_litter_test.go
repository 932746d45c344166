package failover

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/journal"
)

// litter is scripts whose status leaves a process behind.
type litter struct {
	*memScripts
	left atomic.Bool
}

// Start begins an action.
func (l *litter) Start(action string, of Token) (Action, error) {
	l.left.Store(l.left.Load() || action == "status")
	return l.memScripts.Start(action, of)
}

// Alive is what is left.
func (l *litter) Alive() (string, error) {
	if l.left.Load() {
		return "sleep (pid 7)", nil
	}
	return l.memScripts.Alive()
}

// KillAll ends that too.
func (l *litter) KillAll(grace time.Duration) (string, error) {
	l.left.Store(false)
	return l.memScripts.KillAll(grace)
}

// Nothing of the package is alive when its lock is given back: not what the last status left either
// (found by the simulation of a whole cluster, seed 1).
func TestLastStatusLeavesAProcess(t *testing.T) {
	bubble(t, func(n *node) {
		l := &litter{memScripts: n.scripts}
		signals := make(chan os.Signal, 1)
		m := New(Config{
			Package: "dummy", Node: n.locker.node, Scripts: l, Locker: n.locker, Clock: n.locker.clock, Notes: n.dir,
			Say: func(journal.Line) {}, Signals: signals,
		}, dummy)
		time.AfterFunc(time.Second, func() { signals <- syscall.SIGTERM })
		if code, err := m.Run(context.Background()); code != 0 || err != nil {
			t.Fatalf("Run = %d, %v", code, err)
		}
		if l.left.Load() {
			t.Error("the lock was given back with a process left")
		}
		_ = n.dir.Sync()
	})
}
