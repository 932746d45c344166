package lock

import (
	"errors"
	"testing"
	"time"

	"backtowork/internal/lease"
)

// held is the lock P in the hands of anna, with S = T+S+m = 50.5 s.
func held() Lock { return Lock{Owner: anna, Term: 3, Seq: 1, Last: "h1", Times: long} }

const silence = 50*second + 500*time.Millisecond // of long

func at(d time.Duration) lease.Time { return lease.Reading(d, d) }

// opened is the leases of raft term 1, opened at second 100.
func opened() *Leases {
	var l Leases
	l.Open(1, at(100*second))
	return &l
}

// wantJudge fails unless Judge says left at now.
func wantJudge(t *testing.T, l *Leases, k Lock, now lease.Time, left time.Duration) {
	t.Helper()
	if got := l.Left("P", k, now); got != left {
		t.Errorf("Left = %v, want %v", got, left)
	}
	if got, err := l.Judge("P", k, now); got != left || err != nil {
		t.Errorf("Judge = %v, %v, want %v", got, err, left)
	}
}

func wantRenew(t *testing.T, l *Leases, k Lock, received lease.Time, want error) {
	t.Helper()
	if got := l.Renew(l.RaftTerm(), "P", k, k.Term, k.Session, received); !errors.Is(got, want) {
		t.Errorf("Renew = %v, want %v", got, want)
	}
}

func TestOpenGivesFullLeases(t *testing.T) {
	t.Parallel()
	wantJudge(t, opened(), held(), at(100*second), silence)
	wantJudge(t, opened(), held(), at(100*second+silence-1), 1)
	wantJudge(t, opened(), held(), at(100*second+silence), 0)

	l := opened()
	wantRenew(t, l, held(), at(120*second), nil)
	l.Open(2, at(130*second))
	wantJudge(t, l, held(), at(130*second), silence)
}

// Another's acquire may already stand on that judgement.
func TestSecondOpenUndoesNothing(t *testing.T) {
	t.Parallel()
	l := opened()
	wantJudge(t, l, held(), at(100*second+silence), 0)
	l.Open(1, at(200*second))
	wantRenew(t, l, held(), at(200*second), ErrEnded)
	wantJudge(t, l, held(), at(200*second), 0)
	if l.RaftTerm() != 1 {
		t.Errorf("RaftTerm = %d, want 1", l.RaftTerm())
	}
	l.Open(2, at(200*second))
	wantRenew(t, l, held(), at(200*second), nil)
}

func TestOnceJudgedNeverAcknowledged(t *testing.T) {
	t.Parallel()
	l := opened()
	wantJudge(t, l, held(), at(150*second), silence-50*second) // not yet
	wantRenew(t, l, held(), at(150*second), nil)
	wantJudge(t, l, held(), at(150*second+silence), 0)
	// Received before, asked for only now: still no.
	wantRenew(t, l, held(), at(151*second), ErrEnded)
	l.Changed("P", Lock{Owner: anna, Term: 3, Times: Times{Timeout: 900 * second}})
	wantRenew(t, l, held(), at(160*second), ErrEnded)
	wantJudge(t, l, held(), at(150*second), 0)
	if got := l.Left("Q", held(), at(150*second)); got <= 0 {
		t.Errorf("the judgement on one lock is also on another: Left = %v", got)
	}
}

// Left is for showing: it must not take anything away.
func TestLeftDoesNotJudge(t *testing.T) {
	t.Parallel()
	l := opened()
	if got := l.Left("P", held(), at(500*second)); got != 0 {
		t.Errorf("Left = %v, want 0", got)
	}
	wantRenew(t, l, held(), at(500*second), nil)
}

func TestRenewRefuses(t *testing.T) {
	t.Parallel()
	free := held()
	free.Owner = Owner{}
	for _, row := range []struct {
		name     string
		raftTerm uint64
		k        Lock
		term     uint64
		session  string
		want     error
	}{
		{"the holder", 1, held(), 3, "anna", nil},
		{"an earlier raft term", 0, held(), 3, "anna", ErrNotOpen},
		{"a later raft term", 2, held(), 3, "anna", ErrNotOpen},
		{"another session", 1, held(), 3, "bert", ErrOther},
		{"an earlier term", 1, held(), 2, "anna", ErrNotHolder},
		{"a later term", 1, held(), 4, "anna", ErrNotHolder},
		{"no session", 1, held(), 3, "", ErrOther},
		{"a free lock", 1, free, 3, "anna", ErrNotHolder},
		{"a free lock, by nobody", 1, free, 3, "", ErrNotHolder},
		{"a lock that was never held", 1, Lock{}, 0, "", ErrNotHolder},
	} {
		l := opened()
		if got := l.Renew(row.raftTerm, "P", row.k, row.term, row.session, at(110*second)); !errors.Is(got, row.want) {
			t.Errorf("%s: Renew = %v, want %v", row.name, got, row.want)
		}
		left := silence - 20*second
		if row.want == nil {
			left = silence - 10*second
		}
		if got := l.Left("P", held(), at(120*second)); got != left {
			t.Errorf("%s: Left = %v, want %v", row.name, got, left)
		}
	}
}

// Answers need not be given in the order in which the requests came.
func TestRenewOutOfOrder(t *testing.T) {
	t.Parallel()
	l := opened()
	wantRenew(t, l, held(), at(130*second), nil)
	wantRenew(t, l, held(), at(120*second), nil)
	wantJudge(t, l, held(), at(130*second), silence)
}

func TestGranted(t *testing.T) {
	t.Parallel()
	l := opened()
	wantJudge(t, l, held(), at(100*second+silence), 0)
	now := Lock{Owner: bert, Term: 4, Times: short}
	l.Granted("P", now, at(155*second))
	wantJudge(t, l, now, at(155*second), short.Silence())
	wantRenew(t, l, now, at(160*second), nil)
	wantJudge(t, l, now, at(160*second+short.Silence()), 0)
}

// What is known of a holder is known of its term, even if it is the same session again.
func TestEachTermHasItsOwnLease(t *testing.T) {
	t.Parallel()
	k := held()
	k.Term = 4
	l := opened()
	wantRenew(t, l, held(), at(110*second), nil)
	wantJudge(t, l, held(), at(110*second+silence), 0)
	wantJudge(t, l, k, at(110*second), silence-10*second)
	l.Granted("P", k, at(170*second))
	wantRenew(t, l, k, at(171*second), nil)
}

func TestChangedNeverShortens(t *testing.T) {
	t.Parallel()
	less, more := held(), held()
	less.Times = short
	more.Times = Times{Timeout: 60 * second, Stop: 40 * second}

	l := opened()
	wantRenew(t, l, held(), at(110*second), nil)
	l.Changed("P", less)
	wantJudge(t, l, less, at(110*second), silence)
	wantRenew(t, l, less, at(120*second), nil) // a lease of the new length
	wantJudge(t, l, less, at(120*second), short.Silence())
	l.Changed("P", more)
	wantJudge(t, l, more, at(120*second), more.Times.Silence())

	l = opened()
	l.Changed("P", more)
	wantJudge(t, l, more, at(100*second), more.Times.Silence())
}

func TestVoid(t *testing.T) {
	t.Parallel()
	l := opened()
	l.Void()
	checkSilent(t, l)
	l.Open(1, at(300*second)) // the raft term still stands: full leases once more
	wantJudge(t, l, held(), at(300*second), silence)
	checkSilent(t, new(Leases))
	l = new(Leases)
	l.Open(0, at(0))
	checkSilent(t, l)
}

// checkSilent fails unless l speaks for nobody.
func checkSilent(t *testing.T, l *Leases) {
	t.Helper()
	if got := l.RaftTerm(); got != 0 {
		t.Errorf("RaftTerm = %d, want 0", got)
	}
	for raftTerm := range uint64(2) {
		if err := l.Renew(raftTerm, "P", held(), 3, "anna", at(0)); !errors.Is(err, ErrNotOpen) {
			t.Errorf("Renew in raft term %d = %v, want ErrNotOpen", raftTerm, err)
		}
	}
	l.Granted("P", held(), at(0)) // no panic, no effect
	l.Changed("P", held())
	if left, err := l.Judge("P", held(), at(900*second)); left != 0 || !errors.Is(err, ErrNotOpen) {
		t.Errorf("Judge = %v, %v, want ErrNotOpen", left, err)
	}
	if got := l.Left("P", held(), at(0)); got != 0 {
		t.Errorf("Left = %v, want 0", got)
	}
}

func TestJudgeOfAFreeLock(t *testing.T) {
	t.Parallel()
	l := opened()
	wantJudge(t, l, Lock{}, at(100*second), 0)
	free := held()
	free.Owner = Owner{}
	wantJudge(t, l, free, at(100*second), 0)
	// Nothing is held against who gets it then.
	l.Granted("P", held(), at(101*second))
	wantRenew(t, l, held(), at(102*second), nil)
}

// A server waits until both its clocks say that the time is over.
func TestServerCountsByTheSlowerClock(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		boot, raw time.Duration // the clocks after the renewal
		left      time.Duration
	}{
		{"both", silence, silence, 0},
		{"raw stood still in a suspend", 900 * second, second, silence - second},
		{"boot slewed slower", silence - second, silence, second},
		{"raw slower", silence, silence - 1, 1},
	} {
		l := opened()
		// The clocks differ from the beginning on: only spans count.
		wantRenew(t, l, held(), lease.Reading(700*second, 300*second), nil)
		wantJudge(t, l, held(), lease.Reading(700*second+row.boot, 300*second+row.raw), row.left)
		if t.Failed() {
			t.Fatal(row.name)
		}
	}
}

// A node is heard by any of its sessions, and no longer unheard than the table is open.
func TestUnheard(t *testing.T) {
	t.Parallel()
	all := map[string]Lock{
		"P": {Owner: bert, Term: 2, Seq: 1, Times: long},
		"Q": {Owner: bert2, Term: 5, Seq: 1, Times: long},
		"R": {Owner: clara, Term: 1, Seq: 1, Times: long},
		"S": {Term: 1, Seq: 2, Last: "h2", Times: long},
	}
	var l Leases
	l.Open(7, at(100*second))
	for name, row := range map[string]struct {
		heard time.Duration // when; 0 is never
		want  time.Duration // of h2, at 200 s
	}{"P": {0, 100 * second}, "R": {195 * second, 100 * second}, "Q": {180 * second, 20 * second}} {
		l := l
		l.heard = map[string]heard{}
		if row.heard != 0 {
			k := all[name]
			if err := l.Renew(7, name, k, k.Term, k.Session, at(row.heard)); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.Unheard("h2", all, at(200*second)); got != row.want {
			t.Errorf("%s renewed at %v: unheard for %v, want %v", name, row.heard, got, row.want)
		}
	}
	if got := l.Unheard("nobody", all, at(130*second)); got != 30*second {
		t.Errorf("of a node that was never heard: %v", got)
	}
}
