package worker

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// Start starts a worker process by run, which is given the process's ends of two pipes: requests, and answers. (A socket would
// wake who has written to it whenever the other end reads.)
func Start(run func(requests, answers *os.File) (*exec.Cmd, error)) (Conn, error) {
	requests, ask, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer requests.Close()
	hear, answers, err := os.Pipe()
	if err != nil {
		_ = ask.Close()
		return nil, err
	}
	defer answers.Close()
	p := &pipes{ask: ask, hear: hear}
	if p.cmd, err = run(requests, answers); err != nil {
		_ = p.Close()
		return nil, err
	}
	go func() { _ = p.cmd.Wait() }() // its end is that of the pipes
	return p, nil
}

// pipes are the connection with a worker process, and are its Conn.
type pipes struct {
	ask, hear *os.File
	cmd       *exec.Cmd
}

func (p *pipes) Read(b []byte) (int, error)  { return p.hear.Read(b) }
func (p *pipes) Write(b []byte) (int, error) { return p.ask.Write(b) }
func (p *pipes) Close() error                { return errors.Join(p.ask.Close(), p.hear.Close()) }
func (p *pipes) Kill()                       { _ = p.cmd.Process.Kill() } // it may have ended

// SyscallConn is that of requests.
func (p *pipes) SyscallConn() (syscall.RawConn, error) { return p.ask.SyscallConn() }
