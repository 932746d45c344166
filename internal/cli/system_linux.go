package cli

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// A heldProcess is one that cannot be taken for another that has its number later: a pidfd.
type heldProcess int

func holdProcess(pid int) (heldProcess, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	return heldProcess(fd), err
}

func (p heldProcess) signal(sig syscall.Signal) error {
	return unix.PidfdSendSignal(int(p), sig, nil, 0)
}

func (p heldProcess) letGo() { _ = unix.Close(int(p)) }

const (
	getTermios  = unix.TCGETS       // succeeds only for a terminal
	closeOnExec = unix.SOCK_CLOEXEC // of a socket: who is started does not inherit it
)
