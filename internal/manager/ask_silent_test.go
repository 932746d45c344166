package manager

import (
	"log/slog"
	"testing"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/sim/virtual"
)

// A manager says for how long the lock servers are silent when that is longer than between two questions of its own.
func TestSilentFor(t *testing.T) {
	dir := t.TempDir()
	virtual.Test(t, func(t *testing.T) {
		c := lockclient.NewClient(lockclient.Config{Clock: lease.Scaled(1), Log: slog.New(slog.DiscardHandler), Host: "x"})
		defer c.Close()
		m := &member{
			Group: &Group{session: lockclient.NewSession(c, "h1", lockclient.NewFiles(dir))},
			lived: &lived{Params: failover.Params{Pace: 4 * time.Second, Priority: 3 * time.Second}},
		}
		m.manager.Store(failover.New(failover.Config{}, m.lived.Params))
		time.Sleep(20 * time.Second)
		if got, _ := m.silentFor(); got != 0 {
			t.Errorf("after 20 s it says %d", got)
		}
		time.Sleep(17 * time.Second)
		if got, _ := m.silentFor(); got != 37 {
			t.Errorf("after 37 s it says %d", got)
		}
	})
}
