package lockserver

import (
	"math"
	"sync"
	"time"

	"backtowork/internal/lease"
)

// A simClock is the clock of a simulated host: it drifts. Its wall clock can be stepped, which
// nobody may notice; with rule 1 switched off everybody goes by it.
type simClock struct {
	rate  float64
	start time.Time
	wall  bool // rule 1 is off

	mu    sync.Mutex
	steps []clockStep
}

type clockStep struct {
	at time.Time
	by time.Duration // all steps until then together
}

func newSimClock(rate float64, wall bool) *simClock {
	return &simClock{rate: rate, start: time.Now(), wall: wall, steps: []clockStep{{at: time.Now()}}}
}

// step sets the wall clock on, or back.
func (c *simClock) step(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, clockStep{time.Now(), c.steps[len(c.steps)-1].by + by})
}

// Now is what the host takes the time to be.
func (c *simClock) Now() lease.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := time.Duration(float64(time.Since(c.start)) * c.rate)
	if c.wall {
		d += c.steps[len(c.steps)-1].by
	}
	return lease.Reading(d, d)
}

// AfterFunc calls f once d has passed on this clock, as lease.Scaled does.
func (c *simClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(time.Duration(math.Ceil(float64(d)/c.rate)), f)
	return func() { t.Stop() }
}

// when is the time at which the clock first shows t or more, not before from.
func (c *simClock) when(t lease.Time, from time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var at time.Time
	for i, step := range c.steps {
		d := t.Boot()
		if c.wall {
			d -= step.by
		}
		at = c.start.Add(time.Duration(float64(d) / c.rate))
		if at.Before(step.at) {
			at = step.at
		}
		if at.Before(from) {
			at = from
		}
		if i+1 < len(c.steps) && at.After(c.steps[i+1].at) {
			continue // the clock is stepped before that
		}
		return at
	}
	return at
}
