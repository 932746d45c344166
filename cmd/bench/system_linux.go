package main

import (
	"os"
	"syscall"
)

// apart makes a process start in a process group of its own: Ctrl-C is only for this process, which
// ends the others in order. If this process ends before them, they get sig.
func apart(sig syscall.Signal) (*syscall.SysProcAttr, error) {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: sig}, nil
}

func dataSync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
