package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenDevice opens the watchdog at path, which arms it. The path may name any file that can be
// written to; if it has no timeout to ask for, the wanted one is assumed.
func OpenDevice(path string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	var fault *fs.PathError
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("cannot open the watchdog %q: another program uses it (systemd's RuntimeWatchdogSec, or a watchdog daemon)", path)
	case errors.As(err, &fault):
		return nil, fmt.Errorf("cannot open the watchdog %q: %w", path, fault.Err)
	case err != nil:
		return nil, fmt.Errorf("cannot open the watchdog %q: %w", path, err)
	}
	fd := int(f.Fd())
	timeout := agree(
		func(seconds int) error { return unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds) },
		func() (uint32, error) { return unix.IoctlGetUint32(fd, unix.WDIOC_GETTIMEOUT) },
	)
	return &Device{Timeout: timeout, to: f}, nil
}

// Protect keeps this process in memory, and makes it the last to be killed where memory is short.
// The error says what of it was refused; the process does what it can without.
func Protect() error {
	var faults []error
	if err := lockMemory(); err != nil {
		faults = append(faults, fmt.Errorf("cannot lock the memory: %w", err))
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		faults = append(faults, fmt.Errorf("cannot be spared by the out-of-memory killer: %w", err))
	}
	return errors.Join(faults...)
}

// heapAhead is what Go's heap grows to before it is collected for the first time.
const heapAhead = 4 << 20

// lockMemory keeps in memory what is there now, what will be added, and the whole program: it must
// run even if its disk hangs. Memory that Go has only reserved, 130 MB, is not filled.
func lockMemory() error {
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return err
	}
	ahead := make([]byte, heapAhead)
	for i := 0; i < len(ahead); i += os.Getpagesize() {
		ahead[i] = 1
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.HasSuffix(line, exe+"\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("cannot read %q: %w", line, err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MLOCK, from, to-from, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// peerOf is the user and the process at the other end of a unix socket.
func peerOf(fd int) (user uint32, process int32, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, 0, err
	}
	return peer.Uid, peer.Pid, nil
}
