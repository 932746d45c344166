//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

// apart always fails: no lock server runs on this system.
func apart(syscall.Signal) (*syscall.SysProcAttr, error) {
	return nil, errors.New("cannot measure on this system: that needs Linux")
}

func dataSync(f *os.File) error { return f.Sync() }
