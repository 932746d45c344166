package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

const (
	acquisitions = 1000
	renewals     = 5000
	handOvers    = 50
	syncs        = 200
)

// quiet is the log of clients that are here only to be measured.
var quiet = slog.New(slog.DiscardHandler)

// wish is for a lock that outlasts every measurement.
func wish(name string) lockclient.Wish {
	times := lock.Times{Timeout: 2 * time.Minute, Stop: 10 * time.Second}
	return lockclient.Wish{Name: name, Times: times, Pace: 10 * time.Second}
}

// lockTimes measures one client that acquires and renews. An acquire is on the disks of a
// majority when it is answered, a renewal touches none.
func lockTimes(ctx context.Context, c *cluster, t *table) error {
	s, err := c.nodes[0].session()
	if err != nil {
		return err
	}
	defer s.client.Close()
	acquired, err := repeat(acquisitions, func() (time.Duration, error) {
		began := time.Now()
		h, err := s.Acquire(ctx, wish("acquired"))
		took := time.Since(began)
		if err != nil {
			return 0, err
		}
		// What the node notes of its locks must not hold up the disk in the next cycle.
		return took, errors.Join(h.Release(ctx), s.files.Sync())
	})
	if err != nil {
		return err
	}
	h, err := s.Acquire(ctx, wish("renewed"))
	if err != nil {
		return err
	}
	renewed, err := repeat(renewals, func() (time.Duration, error) {
		began := time.Now()
		_, err := s.client.RenewOnce(ctx, s.Owner.Session, h.Name, h.Term)
		return time.Since(began), err
	})
	if err != nil {
		return err
	}
	if err := h.Release(ctx); err != nil {
		return err
	}
	synced, err := syncTimes(c.nodes[0].home)
	if err != nil {
		return err
	}
	t.aim("acquire, p50", quantile(acquired, 0.5), 2*time.Millisecond)
	t.add("acquire, p99", "%s", millis(quantile(acquired, 0.99)))
	t.add("  (fdatasync of 4 KiB on this disk, p50)", "%s", millis(quantile(synced, 0.5)))
	t.aim("renew, p50", quantile(renewed, 0.5), 500*time.Microsecond)
	t.add("renew, p99", "%s", millis(quantile(renewed, 0.99)))
	return nil
}

// syncTimes measures the disk alone: an acquire waits for a few of these one after the other.
func syncTimes(dir string) ([]time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "temp-sync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page := make([]byte, 4096)
	if _, err := f.WriteAt(page, 0); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return repeat(syncs, func() (time.Duration, error) {
		began := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		err := syscall.Fdatasync(int(f.Fd()))
		return time.Since(began), err
	})
}

// handOver measures from the call that releases a lock until another node that waits has it.
func handOver(ctx context.Context, c *cluster, t *table) error {
	var parties [2]*party
	for i := range parties {
		s, err := c.nodes[i].session()
		if err != nil {
			return err
		}
		defer s.client.Close()
		parties[i] = s
	}
	h, err := parties[0].Acquire(ctx, wish("handed"))
	if err != nil {
		return err
	}
	next := 1
	times, err := repeat(handOvers, func() (took time.Duration, err error) {
		took, h, err = handTo(ctx, h, parties[next])
		next = 1 - next
		return took, err
	})
	if err != nil {
		return err
	}
	t.add("hand-over from a release to who waits, p50", "%s", millis(quantile(times, 0.5)))
	t.add(fmt.Sprintf("hand-over, max of %d", handOvers), "%s", millis(times[len(times)-1]))
	return h.Release(ctx)
}

// handTo releases h once s waits for it, and returns what s then has.
func handTo(ctx context.Context, h *lockclient.Held, s *party) (time.Duration, *lockclient.Held, error) {
	const untilItWaits = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type acquired struct {
		held *lockclient.Held
		at   time.Time
		err  error
	}
	got := make(chan acquired, 1)
	go func() { // ends with ctx, at the latest
		held, err := s.Acquire(ctx, wish(h.Name))
		got <- acquired{held, time.Now(), err}
	}()
	if err := sleep(ctx, untilItWaits); err != nil {
		return 0, nil, err
	}
	began := time.Now()
	if err := h.Release(ctx); err != nil {
		return 0, nil, err
	}
	a := <-got
	return a.at.Sub(began), a.held, a.err
}
