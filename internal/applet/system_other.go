//go:build !linux

package applet

import "errors"

// allProcesses finds none for certain: what else systems show in /proc, if they have it, is not this.
func allProcesses() ([]process, error) {
	return nil, errors.New("cannot list processes: that needs Linux")
}
