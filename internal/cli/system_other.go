//go:build !linux

package cli

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A heldProcess is not to be had: by its number alone another could be meant.
type heldProcess struct{}

var errSystem = errors.New("that needs Linux")

func holdProcess(int) (heldProcess, error) { return heldProcess{}, errSystem }

func (heldProcess) signal(syscall.Signal) error { return errSystem }

func (heldProcess) letGo() {}

const (
	getTermios  = unix.TIOCGETA // succeeds only for a terminal
	closeOnExec = 0             // nobody is started
)
