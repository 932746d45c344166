// Bench measures the lock service and the manager on this machine, in one run of about a
// minute: three nodes on the loopback, each an installed tree with the real binary, TLS, and
// its state on disk. It prints a table; "make bench" runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const usage = `Usage: bench [-dir DIRECTORY]

Measures three nodes on the loopback: their trees, and so the state of the lock
servers, are made in a directory inside DIRECTORY, and are gone afterwards.

Example: go run ./utils/bench -dir /var/tmp
`

// holderCommand is how the bench calls itself to be one of many processes.
const holderCommand = "holder"

func main() {
	// A broken pipe too must not end the process before it has cleaned up.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == holderCommand {
		return beHolder(ctx, args[1], args[2])
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	dir := flags.String("dir", "temp", "")
	_ = flags.Parse(args) // ends the process where it fails
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	err := measure(ctx, *dir)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// measure makes the cluster in a directory inside dir, measures it, and leaves nothing.
func measure(ctx context.Context, dir string) (err error) {
	began := time.Now()
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if dir, err = os.MkdirTemp(dir, "bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintln(os.Stderr, "bench: three nodes on the loopback; this takes about a minute")
	c, err := newCluster(ctx, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return err
	}
	t := &table{}
	for _, part := range []func(context.Context, *cluster, *table) error{
		activeNode, lockTimes, memoryAfter, renewalRates, handOver, wholeProcesses,
	} {
		if err := part(ctx, c, t); err != nil {
			return err
		}
	}
	fmt.Printf("three lock servers over TLS on 127.0.0.1 to 127.0.0.3, state on %s, %d CPUs, %s, %.0f s\n\n",
		fileSystem(dir), runtime.NumCPU(), runtime.Version(), time.Since(began).Seconds())
	return t.print(os.Stdout)
}
