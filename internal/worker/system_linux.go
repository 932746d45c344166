package worker

import (
	"fmt"
	"os"

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
