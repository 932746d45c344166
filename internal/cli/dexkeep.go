package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"

	"golang.org/x/sys/unix"
)

// What the keeper says to the first process of dex-exec: a line for the user, until when it has
// the lock, that the command was stopped, or its end.
const (
	saying  = "say "
	holding = "holds %d %d\n" // on both clocks
	stopped = "stopped %d\n"
	ending  = "exit %d\n"
)

// A keeper holds the lock of a dex-exec and runs its command.
type keeper struct {
	execArgs
	*site
	session  *lockclient.Session
	guard    *script.Guard
	group    int       // process group of the first process, and of the command
	says     io.Writer // to the first process, at once
	job      int       // its process
	orders   <-chan order
	children chan os.Signal
	turns    *time.Ticker
	held     *lockclient.Held
	has      atomic.Pointer[lockclient.Held] // held, for answers to pings
	status   int                             // of the command, once it has ended
	ended    bool
}

// An order is a signal for the command.
type order struct {
	sig      syscall.Signal
	terminal bool // which has sent it to the command too
}

// runKeeper is the second process of dex-exec.
func runKeeper(ctx context.Context, env *command.Env, x execArgs, id string) error {
	runtime.LockOSThread() // the command dies with the thread that started it
	var ordersFD, saysFD int
	if _, err := fmt.Sscan(id, &id, &ordersFD, &saysFD); err != nil {
		return fmt.Errorf("cannot use %s: %w", keeperID, err)
	}
	orders, says := os.NewFile(uintptr(ordersFD), "orders"), os.NewFile(uintptr(saysFD), "says")
	syscall.CloseOnExec(ordersFD)
	syscall.CloseOnExec(saysFD)
	out := journal.NewAsync(says)
	told := *env
	told.Stderr = sayer{out}
	k := &keeper{execArgs: x, says: says, job: os.Getppid(), children: make(chan os.Signal, 1)}
	k.orders = readOrders(ctx, orders, func() { k.answerPing(out) })
	signal.Notify(k.children, syscall.SIGCHLD)
	err := k.prepare(&told, id)
	if err == nil {
		k.guard.OnStop = func(pid int) { fmt.Fprintf(out, stopped, pid) }
		k.guard.OnContinue = func() { _ = unix.Kill(k.job, unix.SIGCONT) }
		defer k.turns.Stop()
		err = k.run(context.WithoutCancel(ctx), id)
		k.guard.Close()
	}
	fmt.Fprintf(out, ending, command.Report(&told, "", err))
	out.Close()
	return err
}

// sayer marks each line as one for the user.
type sayer struct{ to io.Writer }

// Write writes one line.
func (s sayer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(s.to, saying+string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// readOrders is the signals from the first process, and from whoever sends one to this process.
// It is closed when the first process has ended.
func readOrders(ctx context.Context, from io.Reader, pinged func()) <-chan order {
	orders := make(chan order)
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() {
		defer close(over)
		lines := bufio.NewReader(from)
		for {
			var o order
			if _, err := fmt.Fscanf(lines, "%d %t\n", &o.sig, &o.terminal); err != nil {
				return
			}
			if o.sig == ping {
				pinged()
				continue
			}
			orders <- o
		}
	})
	wg.Go(func() {
		select {
		case <-ctx.Done():
			orders <- order{sig: syscall.SIGTERM}
		case <-over:
		}
	})
	go func() {
		wg.Wait()
		close(orders)
	}()
	return orders
}

// answerPing says until when the lock is held. It may run outside the keeper's loop: if the loop
// hangs, the lock is not renewed, and the answer shows that.
func (k *keeper) answerPing(out io.Writer) {
	if held := k.has.Load(); held != nil {
		_, kill := held.Ends()
		fmt.Fprintf(out, holding, int64(kill.Boot()), int64(kill.Raw()))
	}
}

// prepare does everything that can fail before the lock is asked for.
func (k *keeper) prepare(env *command.Env, id string) (err error) {
	if k.site, err = openListed(env); err != nil {
		return err
	}
	if k.session, err = k.site.session(); err != nil {
		return err
	}
	if k.group, err = syscall.Getpgid(os.Getppid()); err != nil {
		return fmt.Errorf("cannot find the process group of this job: %w", err)
	}
	k.turns = time.NewTicker(k.times.RenewEvery(k.times.Timeout) / 2)
	k.guard, err = script.NewGuard(k.guarded(id))
	return err
}

// run takes the lock, runs the command, and gives the lock back when nothing of it is left.
func (k *keeper) run(ctx context.Context, id string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var renewals sync.WaitGroup
	renewals.Go(func() { k.session.Run(ctx) })
	renewals.Go(func() { k.followServers(ctx, k.session.Client()) })
	defer renewals.Wait()
	defer cancel()
	if k.held, err = k.acquire(ctx); err != nil {
		return err
	}
	k.has.Store(k.held)
	k.answerPing(k.says) // before anything runs: from this line on the first process knows the kill end, and watches it
	if end, _ := k.held.Ends(); k.lost() || end.Left(lease.System().Now()) <= 0 {
		k.during(func() { k.release(ctx) })
		return command.Failed(k.env, statusLost, fmt.Errorf("lock %q was lost before %s began", k.execArgs.lock, k.command[0]))
	}
	path, err := exec.LookPath(k.command[0])
	if err == nil {
		argv := append([]string{path}, k.command[1:]...)
		err = k.guard.Start(argv, k.environ(id), []*os.File{os.Stdin, os.Stdout, os.Stderr}, k.group, k.job)
	}
	if err == nil {
		err = k.watch()
		if e := k.empty(); e != nil {
			k.log.Error("not all is ended", "lock", k.execArgs.lock, "reason", e)
		}
	} else {
		err = command.CannotExecute(k.env, k.command[0], err)
	}
	if !k.lost() {
		k.during(func() { k.release(ctx) })
	}
	return errors.Join(err, k.files.Sync())
}

// environ is what the command has in its environment: who holds which lock.
func (k *keeper) environ(id string) []string {
	term, previous := k.held.Terms()
	ours := []string{
		"BTW_LOCK=" + k.execArgs.lock, "BTW_TERM=" + strconv.FormatUint(term, 10), "BTW_PREVIOUS=" + previous,
		"BTW_UNFENCED=" + strings.Join(k.held.Unfenced(), " "),
		"BTW_NODE=" + k.Node, "BTW_SESSION=" + id,
	}
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == keeperID || name == settled || name == script.AsideMark || slices.ContainsFunc(ours, func(o string) bool { return strings.HasPrefix(o, name+"=") })
	}), ours...)
}

// acquire waits for the lock as long as the user wants to.
func (k *keeper) acquire(ctx context.Context) (*lockclient.Held, error) {
	const oneTry = 5 * time.Second // until the servers must have answered
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	if k.wait >= 0 {
		limit := k.wait
		if limit == 0 {
			limit = oneTry
		}
		var stop func()
		asked, stop = context.WithTimeout(asked, limit)
		defer stop()
	}
	var held *lockclient.Held
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		wish := lockclient.Wish{Name: k.execArgs.lock, Times: k.times, Pace: k.times.Timeout, Once: k.wait == 0}
		held, err = k.session.Acquire(asked, wish)
	}()
	given := 0
	for orders := k.orders; ; {
		select {
		case o, ok := <-orders:
			switch {
			case !ok:
				given, orders = 128+int(syscall.SIGKILL), nil // the first process is no more
			case !slices.Contains([]syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT}, o.sig):
				given = 128 + int(o.sig)
			}
			if given != 0 {
				cancel()
			}
			continue
		case <-done:
		}
		switch {
		case err == nil && given == 0:
			return held, nil
		case err == nil: // it was had just as the wait ended
			k.held = held
			k.during(func() { k.release(ctx) })
			return nil, command.Status(given)
		case given != 0:
			return nil, command.Status(given)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, lockclient.ErrBusy):
			return nil, k.notHad(k.holder(ctx))
		}
		return nil, err
	}
}

// holder is the node that holds the lock, as the servers say now; "" if none does.
func (k *keeper) holder(ctx context.Context) string {
	state, _ := k.view(ctx, k.session.Client(), k.execArgs.lock)
	return state.Lock.Node
}

// notHad says that the lock was not had.
func (k *keeper) notHad(holder string) error {
	text := "the lock servers do not answer"
	if holder != "" {
		text = holder + " holds it"
	}
	return command.Failed(k.env, statusNotHad, fmt.Errorf("lock %q was not had: %s", k.execArgs.lock, text))
}

func (k *keeper) lost() bool {
	select {
	case <-k.held.Lost():
		return true
	default:
		return false
	}
}

// watch waits until the command has ended, the lock is lost, or the first process is no more.
func (k *keeper) watch() error {
	for {
		select {
		case <-k.held.Lost():
			return command.Failed(k.env, statusLost, fmt.Errorf("lock %q was lost: killing %s", k.execArgs.lock, k.command[0]))
		case o, ok := <-k.orders:
			if !ok {
				return command.Status(1)
			}
			if !o.terminal {
				k.guard.Signal(o.sig)
			}
		case <-k.turns.C:
			k.turn()
		case <-k.children:
			k.turn()
		}
		if k.ended {
			return command.Status(k.status)
		}
	}
}

// turn is one turn of the keeper's loop, without which the lock is not renewed.
func (k *keeper) turn() {
	k.held.Turn()
	if status, ended := k.guard.Reap(); ended {
		k.status, k.ended = status, true
		k.guard.OnContinue() // whoever stopped together with the command must see its end
	}
}

// during does f, and keeps the loop turning meanwhile.
func (k *keeper) during(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return
		case <-k.turns.C:
			k.turn()
		case <-k.children:
			k.turn()
		case _, ok := <-k.orders: // orders are read and dropped: otherwise their reader blocks, and cannot answer pings
			if !ok {
				k.orders = nil
			}
		}
	}
}

// empty kills what is left of the command. If something cannot be killed, it keeps the lock as long
// as it can.
func (k *keeper) empty() error {
	for {
		var left []script.Process
		var err error
		k.during(func() { left, err = k.guard.KillAll(k.grace()) })
		if err == nil && len(left) == 0 {
			return nil
		}
		if err == nil {
			err = stillAlive(left)
		}
		if k.lost() {
			return err
		}
		k.log.Warn("keeping the lock, because something cannot be killed", "lock", k.execArgs.lock, "reason", err)
		k.during(func() { <-time.After(time.Second) })
	}
}

// grace is how much time what is left has after TERM: half of the time between the lease's end and
// the kill end, or less if the kill end is near.
func (k *keeper) grace() time.Duration {
	half := k.times.Stop / 2
	_, kill := k.held.Ends()
	return min(half, max(0, kill.Left(lease.System().Now())-half))
}

// release gives the lock back, until it is lost anyway.
func (k *keeper) release(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-k.held.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	if k.ended && k.status == 0 { // the servers are told, as after a start that went well
		_ = k.held.Settled(ctx)
	}
	_ = k.held.Release(ctx) // else its lease ends by itself
}
