// Package drive measures a lock service from a program that uses it. The bench starts such a
// program for each service, as one process or as many, and gives it orders, as lines of JSON
// on its standard input; so all services are measured by the same code.
package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"
)

// A Service is a lock service as a program that uses it sees it: one client, that is connected.
type Service interface {
	// Acquire waits until the lock called name is this client's, and returns how to release it.
	Acquire(ctx context.Context, name string) (release func(context.Context) error, err error)
	// Hold takes what Renew renews: n locks, called after name.
	Hold(ctx context.Context, name string, n int) error
	// Renew renews all that is held, again and again, until the time is over. It calls answered
	// with the number of locks that an answer renewed, and may do so from many goroutines.
	Renew(ctx context.Context, until time.Time, answered func(n int)) error
	// Drop gives back what is held.
	Drop(ctx context.Context) error
	// Leader is the name of the server that leads now.
	Leader(ctx context.Context) (string, error)
	// Close ends the connections.
	Close() error
}

// An Order is what a program is to do, and measure.
type Order struct {
	Do   string        `json:"do"` // one of the constants
	Name string        `json:"name,omitempty"`
	N    int           `json:"n,omitempty"`
	For  time.Duration `json:"for,omitempty"`
}

// What a program can do. Every order but Leader gives times, or a count.
const (
	Acquire  = "acquire"   // acquire a free lock and release it, N times
	HandOver = "hand over" // release a lock for which another client waits, N times
	Hold     = "hold"      // take N locks, to be renewed
	Renew    = "renew"     // renew them for a while
	Drop     = "drop"      // give them back
	Leader   = "leader"    // say who leads
)

// A Result is what came of an order.
type Result struct {
	Error  string          `json:"error,omitempty"`
	Leader string          `json:"leader,omitempty"`
	Times  []time.Duration `json:"times,omitempty"`  // of acquire, hand-over or renewal, one by one
	Cycles []time.Duration `json:"cycles,omitempty"` // acquire and release together
	Count  int             `json:"count,omitempty"`  // locks renewed
	Took   time.Duration   `json:"took,omitempty"`
	CPU    time.Duration   `json:"cpu,omitempty"` // that this process used for it
}

// Serve does what the orders from in say, one after the other, and writes a result for each
// to out. It returns at the end of in. open connects another client of the service.
func Serve(ctx context.Context, in io.Reader, out io.Writer, open func(context.Context) (Service, error)) error {
	service, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = service.Close() }() // the process ends
	orders, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o Order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := do(ctx, service, o, open)
		if err != nil {
			r.Error = err.Error()
		}
		if err := results.Encode(r); err != nil {
			return err
		}
	}
}

func do(ctx context.Context, s Service, o Order, open func(context.Context) (Service, error)) (r Result, err error) {
	before, began := cpu(), time.Now()
	switch o.Do {
	case Acquire:
		err = acquire(ctx, s, o, &r)
	case HandOver:
		err = handOver(ctx, s, o, &r, open)
	case Hold:
		err = s.Hold(ctx, o.Name, o.N)
	case Renew:
		err = renew(ctx, s, o, &r)
	case Drop:
		err = s.Drop(ctx)
	case Leader:
		r.Leader, err = s.Leader(ctx)
	default:
		err = fmt.Errorf("cannot do %q", o.Do)
	}
	r.Took, r.CPU = time.Since(began), cpu()-before
	return r, err
}

// cpu is what this process has used of the CPUs.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func acquire(ctx context.Context, s Service, o Order, r *Result) error {
	for range o.N {
		began := time.Now()
		release, err := s.Acquire(ctx, o.Name)
		if err != nil {
			return err
		}
		r.Times = append(r.Times, time.Since(began))
		if err := release(ctx); err != nil {
			return err
		}
		r.Cycles = append(r.Cycles, time.Since(began))
	}
	return nil
}

// renew counts the locks that are renewed. Times are recorded only if one lock is held: then each
// is the time of one renewal.
func renew(ctx context.Context, s Service, o Order, r *Result) error {
	var count atomic.Int64
	answered := func(n int) { count.Add(int64(n)) }
	if o.N == 1 {
		last := time.Now()
		answered = func(n int) {
			now := time.Now()
			r.Times = append(r.Times, now.Sub(last))
			last = now
			count.Add(int64(n))
		}
	}
	err := s.Renew(ctx, time.Now().Add(o.For), answered)
	r.Count = int(count.Load())
	return err
}

// handOver measures the time from the call that releases a lock until another client, which has
// waited for the lock, has it. The two clients take turns.
func handOver(ctx context.Context, s Service, o Order, r *Result, open func(context.Context) (Service, error)) error {
	other, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close() }() // all of its locks are released
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	release, err := s.Acquire(ctx, o.Name)
	if err != nil {
		return err
	}
	for range o.N {
		s, other = other, s
		var took time.Duration
		if took, release, err = handTo(ctx, release, s, o.Name); err != nil {
			return err
		}
		r.Times = append(r.Times, took)
	}
	return release(ctx)
}

type releaser func(context.Context) error

// handTo releases a lock once s waits for it, and returns how s releases it in turn.
func handTo(ctx context.Context, release releaser, s Service, name string) (time.Duration, releaser, error) {
	const untilItWaits = 150 * time.Millisecond // etcd reports its first changes only after 100 ms
	type acquired struct {
		release releaser
		at      time.Time
		err     error
	}
	next := make(chan acquired, 1)
	go func() { // ends with ctx at the latest
		release, err := s.Acquire(ctx, name)
		next <- acquired{release, time.Now(), err}
	}()
	time.Sleep(untilItWaits)
	began := time.Now()
	if err := release(ctx); err != nil {
		return 0, nil, err
	}
	a := <-next
	return a.at.Sub(began), a.release, a.err
}
