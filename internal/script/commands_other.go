//go:build !linux

package script

import (
	"os"
	"syscall"
)

// All of this serves Commands, which there are not here: see becomeReaper.

var limitNames map[string]int

func (Limit) set() error { return syscall.ENOSYS }

func ignoredSignals() []os.Signal { return nil }

func unblockSignals() func() { return func() {} }

type follower struct{}

func newFollower() (*follower, error) { return &follower{}, nil }

func (*follower) add(proc) error { return syscall.ENOSYS }

func (*follower) run(func(pid int)) {}

func (*follower) close() {}
