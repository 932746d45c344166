//go:build !linux

package applet

import "errors"

// allProcesses always fails: other systems have no /proc, or another one.
func allProcesses() ([]process, error) {
	return nil, errors.New("cannot list processes: that needs Linux")
}
