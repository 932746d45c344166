package failover

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// holdStill pauses the manager of n, and says at which second it stood still.
func (n *node) holdStill(limit time.Duration) (resume func(), ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return n.manager.Pause(ctx)
}

// A paused manager renews its lock and runs no script; then it goes on as if nothing had been.
func TestPause(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["status"] = act{takes: 2 * time.Second}
		n.run(dummy)
		n.until(9) // a status runs, from 8 to 10
		resume, ok := n.holdStill(time.Minute)
		if at := time.Since(n.begin); !ok || at < 10*time.Second || at > 14*time.Second {
			t.Errorf("it stood still at %v: %v, want soon after the status ended at 10 s", at, ok)
		}
		n.until(100)
		n.want([]string{"> ", "lost"}, "0 > status", "2 > start", "2 > status", "8 > status")
		resume()
		synctest.Wait()
		n.has("100 > status")
	})
}

// A stand-by stands still without a question on its way, and asks again afterwards.
func TestPauseStandBy(t *testing.T) {
	bubble(t, func(n *node) {
		n.locker.takes = 3 * time.Second
		n.locker.setCut(true)
		n.run(dummy)
		n.until(1)
		resume, ok := n.holdStill(time.Minute)
		if !ok {
			t.Error("it does not stand still")
		}
		n.locker.setCut(false)
		n.until(60)
		n.want([]string{"got lock"})
		resume()
		n.until(64)
		n.want([]string{"got lock"}, "63 got lock. switch to active node.")
	})
}

// While the package starts or stops there is no pause.
func TestPauseBusy(t *testing.T) {
	bubble(t, func(n *node) {
		n.scripts.acts["start"] = act{takes: 15 * time.Second}
		n.run(dummy)
		n.until(1)
		if _, ok := n.holdStill(5 * time.Second); ok {
			t.Error("a manager that starts its package stood still")
		}
		n.until(23)
		n.has("15 package state changes to running.", "21 > status")
	})
}
