package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// become makes the number of f that of the open file fresh: who writes to f writes there from now on.
func become(f, fresh *os.File) error {
	to, err := f.SyscallConn()
	if err != nil {
		return err
	}
	from, err := fresh.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	replace := func(number, by uintptr) error {
		flags, err := unix.FcntlInt(number, unix.F_GETFD, 0)
		if err != nil {
			return err
		}
		keep := 0
		if flags&unix.FD_CLOEXEC != 0 {
			keep = unix.O_CLOEXEC
		}
		return unix.Dup3(int(by), int(number), keep)
	}
	err = to.Control(func(number uintptr) { // both stay open meanwhile
		if err := from.Control(func(by uintptr) { fault = replace(number, by) }); err != nil {
			fault = err
		}
	})
	if err != nil {
		return err
	}
	return fault
}
