package manager

import (
	"slices"
	"sync"
	"testing"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/journal"
)

// tough is a package of which something cannot be killed for as long as let is open.
type tough struct {
	Scripts
	let chan struct{}

	mu    sync.Mutex
	taken []string
}

// KillAll waits for what it killed.
func (s *tough) KillAll(time.Duration) (string, error) {
	<-s.let
	return "", nil
}

// TakeAway notes what was.
func (s *tough) TakeAway(of failover.Standing, _ journal.Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, of.VIPs...)
}

func (s *tough) has(vips ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Equal(s.taken, vips)
}

// An address is taken away at the kill end, be it that a process cannot be killed; and once more when that is gone.
func TestAddressesDoNotWaitForTheDying(t *testing.T) {
	t.Parallel()
	s := &tough{let: make(chan struct{})}
	h := hands{s, func() failover.Standing { return failover.Standing{VIPs: []string{"192.0.2.1"}} }, func(journal.Line) {}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = h.KillAll(0)
	}()
	for end := time.Now().Add(10 * time.Second); !s.has("192.0.2.1"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the address waits for a process that cannot be killed")
		}
	}
	close(s.let)
	<-done
	if !s.has("192.0.2.1", "192.0.2.1") {
		t.Errorf("taken away: %q", s.taken)
	}
}
