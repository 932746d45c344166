package lock

import (
	"errors"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// A blocked lock has no lease end, whatever its holder does.
func TestBlockedHasNoEnd(t *testing.T) {
	t.Parallel()
	l, k := opened(), held()
	k.Blocked = "stuck"
	wantJudge(t, l, k, at(100*second), Never)
	wantJudge(t, l, k, at(900*time.Hour), Never)
	wantRenew(t, l, k, at(900*time.Hour), nil)
	wantRenew(t, l, k, at(901*time.Hour), nil)
	// Nor has one that was judged, and blocked before another got it.
	l = opened()
	wantJudge(t, l, held(), at(900*second), 0)
	wantJudge(t, l, k, at(900*second), Never)
	if Never+time.Hour < Never || Never.Milliseconds() <= 0 {
		t.Error("Never cannot be reckoned with")
	}
}

// wantFence fails unless the holder of k may be fenced left after now.
func wantFence(t *testing.T, l *Leases, k Lock, now lease.Time, left time.Duration) {
	t.Helper()
	if got := l.UntilFence("P", k, now); got != left {
		t.Errorf("UntilFence = %v, want %v", got, left)
	}
	if got, err := l.JudgeFence("P", k, now); got != left || err != nil {
		t.Errorf("JudgeFence = %v, %v, want %v", got, err, left)
	}
}

// A holder may be powered off once it was silent for T in this table, and is not acknowledged then,
// but the lock is opened no earlier by that.
func TestJudgeFence(t *testing.T) {
	t.Parallel()
	l, k := opened(), held()
	wantFence(t, l, k, at(100*second), long.Timeout)
	wantRenew(t, l, k, at(120*second), nil)
	wantFence(t, l, k, at(149*second), second)
	wantRenew(t, l, k, at(149*second), nil)
	if got := l.Silent("P", k, at(169*second)); got != 20*second {
		t.Errorf("Silent = %v, want 20s", got)
	}
	wantFence(t, l, k, at(179*second), 0)
	wantRenew(t, l, k, at(180*second), ErrEnded)
	wantJudge(t, l, k, at(180*second), silence-31*second)
	wantJudge(t, l, k, at(149*second+silence), 0)
	wantFence(t, l, k, at(149*second+silence), 0)

	l = opened()
	blocked, off, free := k, k, k
	blocked.Blocked, off.Fenced, free.Owner = "stuck", true, Owner{}
	for _, k := range []Lock{blocked, off, free, {}} {
		wantFence(t, l, k, at(900*second), Never)
	}
	wantRenew(t, l, off, at(110*second), ErrEnded)
	wantJudge(t, l, off, at(110*second), 0)

	// A lease that was given is not made shorter.
	l = opened()
	wantRenew(t, l, k, at(110*second), nil)
	less := k
	less.Times = short
	l.Changed("P", less)
	wantFence(t, l, less, at(120*second), 20*second)
	wantRenew(t, l, less, at(120*second), nil)
	wantFence(t, l, less, at(120*second), short.Timeout)

	if _, err := new(Leases).JudgeFence("P", k, at(900*second)); !errors.Is(err, ErrNotOpen) {
		t.Errorf("JudgeFence of what is not open = %v", err)
	}
}

// While a lock is fenced nobody gets it; the time for that counts from when this table knew of it.
func TestFencingHasALimit(t *testing.T) {
	t.Parallel()
	k := held()
	k.Fencing = Fencing{By: clara, Limit: 60_000}

	l := opened()
	l.Fencing("P", k, at(140*second))
	if l.FencingOver("P", k, at(199*second)) || !l.FencingOver("P", k, at(200*second)) {
		t.Error("the fencing is not over at its limit")
	}
	wantJudge(t, l, k, at(160*second), 40*second)
	wantFence(t, l, k, at(160*second), 40*second)
	wantRenew(t, l, k, at(160*second), ErrEnded)
	wantFence(t, l, k, at(200*second), 0)
	wantJudge(t, l, k, at(200*second), 0)
	wantRenew(t, l, k, at(201*second), ErrEnded)

	l = opened() // by another leader
	wantJudge(t, l, k, at(130*second), 30*second)
	wantFence(t, l, k, at(130*second), 30*second)
	k.Fencing.Limit = 10_000
	wantJudge(t, l, k, at(130*second), silence-30*second)

	l = opened() // who was judged gone is that again when the fencing is over
	wantJudge(t, l, held(), at(100*second+silence), 0)
	k.Fencing.Limit = 60_000
	l.Fencing("P", k, at(160*second))
	wantJudge(t, l, k, at(170*second), 50*second)
	wantJudge(t, l, held(), at(170*second), 0)
	new(Leases).Fencing("P", k, at(0)) // no panic
}
