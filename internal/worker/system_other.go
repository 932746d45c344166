//go:build !linux

package worker

import (
	"errors"
	"os"
	"syscall"
)

// newBuffer returns a file in memory: here there is no such thing, and no worker either.
func newBuffer() (*os.File, error) { return nil, errors.ErrUnsupported }

func endWithParent() {}

func childrenIn(string) (attr syscall.SysProcAttr, done func(), err error) {
	return attr, func() {}, errors.ErrUnsupported
}
