package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"
)

// locker is the session as the failover machine wants it.
type locker struct{ session *lockclient.Session }

// Acquire waits for the lock.
func (l locker) Acquire(ctx context.Context, name string, times lock.Times, pace, delay time.Duration) (failover.Lock, error) {
	h, err := l.session.Acquire(ctx, lockclient.Wish{Name: name, Times: times, Pace: pace, Delay: delay})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// scripts is the runner as the failover machine wants it.
type scripts struct{ *script.Runner }

// Start starts an action.
func (s scripts) Start(action string, term uint64, previous string) (failover.Action, error) {
	a, err := s.Runner.Start(action, term, previous)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// KillAll kills what there is of the package.
func (s scripts) KillAll(grace time.Duration) (string, error) {
	left, err := s.Runner.KillAll(grace)
	var words []string
	for _, p := range left {
		words = append(words, fmt.Sprintf("%s (pid %d)", p.Command, p.PID))
	}
	return strings.Join(words, ", "), err
}
