// Bench measures the lock service and the manager on this machine, and compares the lock
// service with etcd: three nodes on the loopback, each an installed tree with the real binary,
// TLS, and its state on disk; and three members of etcd. It prints two tables; "make bench"
// runs it. How to read them is in doc/performance.md.
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

const usage = `Usage: bench [-quick] [-dir DIRECTORY]
       bench many [-n PACKAGES] [-window TIME] [-only TEXT] [-dir DIRECTORY]
       bench clinit [-n ENTRIES,...] [-rounds N] [-window TIME] [-load=false] [-dir DIRECTORY]

Measures three nodes on the loopback: their trees, and so the state of the lock
servers, are made in a directory inside DIRECTORY, and are gone afterwards. In
turns with them, etcd is measured: the one installed, or else Debian's package,
unpacked there. -quick leaves etcd out, and is done in less than a minute.

many measures a node with a thousand packages in one process, and a hundred in as
many, by the shell and by the worker (-only worker: those of which the title has
that text). It needs root, and port 4114: make bench-thousand.

clinit measures clinit with 10, 100 and 2000 entries, in turns with supervisord and
runit where they are installed, and with many clients at a time: make bench-clinit.

Example: go run ./cmd/bench -dir /var/tmp
`

const (
	rounds     = 5
	roundsTime = 4*time.Minute + 30*time.Second // then no round begins
	timeLimit  = 7 * time.Minute                // then the bench fails
)

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
	if len(args) == 2 && args[0] == driveCommand {
		return beDriver(ctx, args[1])
	}
	if len(args) == 2 && args[0] == shellsCommand {
		return beShells(ctx, args[1])
	}
	if len(args) > 0 && args[0] == manyCommand {
		return measureMany(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == initCommand {
		return measureInit(ctx, args[1:])
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	dir := flags.String("dir", "temp", "")
	quick := flags.Bool("quick", false, "")
	_ = flags.Parse(args) // ends the process where it fails
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeLimit, errors.New("the machine is too slow, or something hangs"))
	defer cancel()
	err := measure(ctx, *dir, *quick)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// measure makes the cluster in a directory inside dir, measures it, and leaves nothing.
func measure(ctx context.Context, dir string, quick bool) (err error) {
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
	c, err := newCluster(ctx, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return err
	}
	t := &table{}
	if err := nodeTable(ctx, c, t, dir, quick); err != nil {
		return err
	}
	fmt.Printf("three lock servers over TLS on 127.0.0.1 to 127.0.0.3, state on %s, %d CPUs, %s\n\n",
		fileSystem(dir), runtime.NumCPU(), runtime.Version())
	if err := t.print(os.Stdout); err != nil {
		return err
	}
	c.stopManagers() // which renew, too
	if err := lockTable(ctx, c, dir, quick, began); err != nil {
		return err
	}
	fmt.Printf("\n%.0f s\n", time.Since(began).Seconds())
	return nil
}

// nodeTable measures what a node costs.
func nodeTable(ctx context.Context, c *cluster, t *table, dir string, quick bool) error {
	window := 20 * time.Second
	if quick {
		window = 10 * time.Second
	}
	if err := activeNode(ctx, c, t, window); err != nil {
		return err
	}
	if err := wholeProcesses(ctx, c, t); err != nil {
		return err
	}
	if err := shellTable(ctx, c.nodes[2].home, t); err != nil {
		return err
	}
	return diskTimes(dir, t)
}

// lockTable measures the lock service, and etcd if there is one.
func lockTable(ctx context.Context, c *cluster, dir string, quick bool, began time.Time) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	all, n := []*contestant{c.contestant(exe)}, rounds
	if quick {
		n = 1
	} else {
		e, err := newEtcd(ctx, filepath.Join(dir, "etcd"))
		defer e.stop()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			fmt.Fprintln(os.Stderr, "bench: nothing to compare with:", err)
		default:
			fmt.Printf("\netcd %s, three members, no TLS, on the same addresses and disk\n", e.version)
			all = append(all, e.contestants()...)
		}
	}
	measured, err := contest(ctx, all, n, began.Add(roundsTime))
	if err != nil {
		return err
	}
	fmt.Println()
	return compare(os.Stdout, all, measured)
}
