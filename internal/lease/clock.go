// Package lease is elapsed time, for the places where it decides who may act: the
// holder's lease and the servers' judgement that it is over (SAFETY.md rule 1).
//
// A [Time] is a reading of two clocks at once, because either can be wrong: chrony may
// slew CLOCK_BOOTTIME by 8 %, and CLOCK_MONOTONIC_RAW stands still while the machine
// sleeps. Of the two spans between two readings a holder believes the longer (it stops
// too early rather than too late), a server the shorter (it waits too long rather than
// not long enough). Wall clock and counted ticks decide nothing anywhere.
package lease

import (
	"encoding/json"
	"math"
	"sync"
	"time"
)

// A Time is a reading of both clocks of one host, since it was booted. Times of two
// hosts have nothing to do with each other. The zero Time is the boot.
type Time struct{ boot, raw time.Duration }

// Reading is the Time at which the two clocks show boot and raw.
func Reading(boot, raw time.Duration) Time { return Time{boot, raw} }

// Add is the time d after t.
func (t Time) Add(d time.Duration) Time { return Time{t.boot + d, t.raw + d} }

// Longest is how long ago u was at t, at most: what a holder goes by.
func (t Time) Longest(u Time) time.Duration { return max(t.boot-u.boot, t.raw-u.raw) }

// Shortest is how long ago u was at t, at least: what a server goes by.
func (t Time) Shortest(u Time) time.Duration { return min(t.boot-u.boot, t.raw-u.raw) }

// Left is how long it is from now to the deadline t, at the least: what a holder goes by.
// It is nought or less when either clock has reached t.
func (t Time) Left(now Time) time.Duration { return min(t.boot-now.boot, t.raw-now.raw) }

// Earlier is, of two deadlines, one that neither clock passes later than t or u.
func Earlier(t, u Time) Time { return Time{min(t.boot, u.boot), min(t.raw, u.raw)} }

// Later is, of two times, one that neither clock passed earlier than t or u.
func Later(t, u Time) Time { return Time{max(t.boot, u.boot), max(t.raw, u.raw)} }

// Boot is t on CLOCK_BOOTTIME, for keeping in a file; see [FromBoot].
func (t Time) Boot() time.Duration { return t.boot }

// Raw is t on CLOCK_MONOTONIC_RAW, for telling another process of this host; see [Reading].
func (t Time) Raw() time.Duration { return t.raw }

// MarshalJSON writes both readings, in nanoseconds, for another process of this host.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal([2]time.Duration{t.boot, t.raw}) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (t *Time) UnmarshalJSON(b []byte) error {
	var both [2]time.Duration
	if err := json.Unmarshal(b, &both); err != nil {
		return err
	}
	*t = Time{both[0], both[1]}
	return nil
}

// FromBoot is the deadline at boot on CLOCK_BOOTTIME, seen from now. It cannot know the
// raw clock's reading, so what now shows of their difference is taken for it.
func FromBoot(boot time.Duration, now Time) Time { return now.Add(boot - now.boot) }

// A Clock is the time of one host.
type Clock interface {
	Now() Time
	// AfterFunc calls f in a goroutine of its own once d has passed, as a holder counts
	// (the longer of both spans), or never after stop was called. A d of no length or
	// less is over at once.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// At calls f once clock has reached t. It is how a holder waits for a deadline.
func At(clock Clock, t Time, f func()) (stop func()) {
	return clock.AfterFunc(t.Left(clock.Now()), f)
}

// Scaled is a clock that runs at rate times the speed of package time: in a testing/synctest
// bubble, the clock of a node that drifts. Both its readings are the same.
func Scaled(rate float64) Clock { return scaled{rate, time.Now()} }

type scaled struct {
	rate  float64
	start time.Time
}

func (s scaled) Now() Time {
	d := time.Duration(float64(time.Since(s.start)) * s.rate)
	return Time{d, d}
}

func (s scaled) AfterFunc(d time.Duration, f func()) func() {
	// Rounded up: whoever looks again at a deadline not yet reached must not look for ever.
	t := time.AfterFunc(time.Duration(math.Ceil(float64(d)/s.rate)), f)
	return func() { t.Stop() }
}

// once makes stop functions that may be called twice and from two goroutines.
func once(f func()) func() {
	var o sync.Once
	return func() { o.Do(f) }
}
