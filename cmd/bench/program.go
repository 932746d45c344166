package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"backtowork/cmd/bench/drive"
)

// A program uses a lock service as the bench orders.
type program struct {
	cmd     *exec.Cmd
	in      io.Closer
	orders  *json.Encoder
	results *json.Decoder
	stopped bool
}

// start starts a program that uses the contestant. It ends with ctx.
func (c *contestant) start(ctx context.Context) (_ *program, err error) {
	cmd := exec.CommandContext(ctx, c.driver[0], c.driver[1:]...)
	cmd.Env, cmd.Stderr, cmd.WaitDelay = environment(), os.Stderr, time.Second
	if cmd.SysProcAttr, err = apart(syscall.SIGKILL); err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &program{cmd: cmd, in: in, orders: json.NewEncoder(in), results: json.NewDecoder(out)}
	return p, cmd.Start()
}

// stop ends the program, and waits for that.
func (p *program) stop() {
	if p.stopped {
		return
	}
	p.stopped = true
	_ = p.in.Close() // an error means that the program has ended already
	kill := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait() // its answers were read
}

// do has the program do one thing.
func (p *program) do(o drive.Order) (drive.Result, error) {
	if err := p.orders.Encode(o); err != nil {
		return drive.Result{}, fmt.Errorf("cannot %s: %w", o.Do, err)
	}
	return p.result(o)
}

func (p *program) result(o drive.Order) (r drive.Result, err error) {
	if err := p.results.Decode(&r); err != nil {
		return r, fmt.Errorf("cannot %s: the program has ended: %w", o.Do, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("cannot %s: %w", o.Do, errors.New(r.Error))
	}
	return r, nil
}

// together has all programs do one thing at the same time, each with names of its own.
func together(all []*program, o drive.Order) (results []drive.Result, err error) {
	name := o.Name
	for i, p := range all {
		o.Name = fmt.Sprintf("%s-%d-%d", name, len(all), i)
		if err := p.orders.Encode(o); err != nil {
			return nil, fmt.Errorf("cannot %s: %w", o.Do, err)
		}
	}
	for _, p := range all {
		r, err := p.result(o)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}
