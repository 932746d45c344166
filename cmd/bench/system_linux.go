package main

import (
	"os"
	"syscall"
)

// apart starts a process in a group of its own, since Ctrl-C is for this process, which ends the others in order. Where
// this one ends before them they get sig.
func apart(sig syscall.Signal) (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: sig}, nil
}

func dataSync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
