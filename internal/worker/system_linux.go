package worker

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// newBuffer returns a file in memory.
func newBuffer() (*os.File, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot keep what is printed: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot keep what is printed: %w", err)
	}
	return os.NewFile(uintptr(fd), "output"), nil
}

func endWithParent() { _ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }

// childrenIn is how programs begin in the cgroup with that directory; "" is the worker's own. None outlives the worker.
// done is to be called when all have begun.
func childrenIn(cgroup string) (attr syscall.SysProcAttr, done func(), err error) {
	attr.Pdeathsig, done = syscall.SIGKILL, func() {}
	if cgroup == "" {
		return attr, done, nil
	}
	dir, err := os.Open(cgroup)
	if err != nil {
		return attr, done, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return attr, func() { dir.Close() }, nil
}
