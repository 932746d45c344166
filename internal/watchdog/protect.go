package watchdog

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

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

// lockMemory locks what is in memory, what gets there later, and the whole program, which may have
// to run while its disk hangs. It does not fill all that Go has set aside, which would be 130 MB.
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
