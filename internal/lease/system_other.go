//go:build !linux

package lease

import (
	"errors"
	"time"
)

// System is a clock for commands that only ask, and hold no lock. A lease cannot rest on it: it may be slewed, it may
// stand still while the machine sleeps, and there is no second one that would tell. So a deadline is over at once: a
// holder that cannot time its lease must not act on it.
func System() Clock { return system{} }

type system struct{}

var began = time.Now()

func (system) Now() Time {
	d := time.Since(began)
	return Time{d, d}
}

func (system) AfterFunc(_ time.Duration, f func()) func() {
	go f()
	return func() {}
}

// BootID always fails on this system. So nothing of a lease can be kept in a file: its times could not be told from
// those of another boot.
func BootID() (string, error) {
	return "", errors.New("cannot time a lease on this system: that needs Linux")
}
