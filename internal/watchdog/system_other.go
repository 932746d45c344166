//go:build !linux

package watchdog

import (
	"errors"
	"fmt"
)

var errSystem = errors.New("that needs Linux")

// OpenDevice opens no watchdog, and arms none.
func OpenDevice(path string) (*Device, error) {
	return nil, fmt.Errorf("cannot use the watchdog %q: %w", path, errSystem)
}

// Protect cannot keep this process in memory.
func Protect() error { return fmt.Errorf("cannot be kept alive where memory is short: %w", errSystem) }

func peerOf(int) (user uint32, process int32, err error) { return 0, 0, errSystem }
