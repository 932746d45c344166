package manager

import (
	"context"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
)

// A lost lock has nothing to renew, to change or to give back.
type lost deadman.Word

// Terms is the term that it had, and who had it before.
func (l lost) Terms() (term uint64, previous string) { return l.Term, l.Prev }

// Unfenced is nobody: a package that is only stopped begins nowhere.
func (l lost) Unfenced() []string { return nil }

// Settled does nothing.
func (l lost) Settled(context.Context) error { return nil }

// Ends is when the lease ended, and the kill end.
func (l lost) Ends() (end, kill lease.Time) { return l.End, l.Kill }

// Lost is closed.
func (l lost) Lost() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Turn does nothing, as do the others.
func (l lost) Turn(failover.PkgState) {}

// Change does nothing.
func (l lost) Change(context.Context, lock.Times) error { return nil }

// Release does nothing.
func (l lost) Release(context.Context) error { return nil }

// Block does nothing.
func (l lost) Block(context.Context, string) error { return nil }

// Done does nothing.
func (l lost) Done() {}
