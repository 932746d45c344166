package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"

	"golang.org/x/sys/unix"
)

const dexExecUsage = `Usage: dex-exec [-t T=30] [-w SECONDS] LOCK -- COMMAND [ARGUMENT...]

Waits for a lock, runs COMMAND while holding it, and gives it back. COMMAND and all that comes
out of it (daemons too) get TERM, then KILL, when COMMAND has ended, and in any case before T
seconds have passed since the lock was last confirmed: so never two of them run at a time.
  -t T        how many seconds the lock is kept without an answer of the lock servers, 3 or more.
              When no answer came for T less a third of it (at most 5 s), the killing begins.
  -w SECONDS  give up after so long; 0: do not wait for a lock that another holds. While lock
              servers hang it may take some seconds more
COMMAND has the terminal and gets the signals, those sent to the whole job twice. A stopped job
(Ctrl-Z) goes on holding the lock.
BTW_LOCK, BTW_TERM (grows with each new holder), BTW_NODE, BTW_PREVIOUS, and BTW_UNFENCED are in its
environment. BTW_UNFENCED are nodes that were cut off, or died, with the lock, since when no COMMAND
exited 0: the newest is last, and is BTW_PREVIOUS too.

Exit status: COMMAND's, 128 + n where signal n ended it; 75 the lock was not had; 76 it was lost
before COMMAND had ended; 126 and 127 COMMAND cannot be run, or is not there.

dex-exec is two processes that watch each other: kill one, and all of COMMAND is killed; stop the
second (SIGSTOP), and all is killed in time. If both are killed or stopped at once, a kill ends
COMMAND too, but nobody ends what COMMAND has started, or what goes on while both are stopped.

Example: dex-lock/dex-exec -w 0 backup -- /usr/local/bin/backup --full
`

// Exit statuses of dex-exec and dex-wait: those of sysexits.h for "try again", and the next.
const (
	statusNotHad = 75
	statusLost   = 76
)

// execArgs is what dex-exec is asked to do.
type execArgs struct {
	lock    string
	times   lock.Times    // the lease ends early enough to kill until its T is over
	wait    time.Duration // at most; less than 0: for ever
	command []string
}

func parseExec(env *command.Env) (execArgs, error) {
	const shortest, longest = 3 * time.Second, 1_000_000 * time.Second
	x, timeout := execArgs{wait: -1}, 30*time.Second
	opts, operands, err := command.Options(env.Args, "+t:w:", nil)
	if err != nil {
		return x, err
	}
	for _, o := range opts {
		d, err := command.Seconds(o.Value)
		switch {
		case err != nil:
			return x, err
		case o.Letter == 'w':
			x.wait = d
		case d < shortest || d > longest:
			return x, command.Usagef("cannot use %q as T: 3 seconds are the least, a million the most", o.Value)
		default:
			timeout = d
		}
	}
	if len(operands) < 3 || operands[1] != "--" {
		return x, command.UsageError("say a lock, then --, then a command")
	}
	x.lock, x.command = operands[0], operands[2:]
	grace := min(5*time.Second, (timeout / 3).Round(100*time.Millisecond))
	x.times = lock.Times{Timeout: timeout - grace, Stop: grace}
	return x, lockName(x.lock)
}

// keeperID is set in the environment of the second process. Its value identifies the command that
// the keeper guards.
const keeperID = "BTW_KEEPER"

// dexExec runs as two processes. The first is the job that the shell knows: it is in one process
// group with COMMAND, and stops and continues with it. The second, the keeper, is in a group of its
// own, where the terminal cannot reach it: it holds the lock, and is the parent of COMMAND.
func dexExec(ctx context.Context, env *command.Env) error {
	x, err := parseExec(env)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(x.command[0]); err != nil {
		return command.CannotExecute(env, x.command[0], err)
	}
	if id := env.Getenv(keeperID); id != "" {
		return runKeeper(ctx, env, x, id)
	}
	signals := make(chan os.Signal, 16)
	// CONT is passed on too: COMMAND may have left the process group of this job, to which the
	// shell sends it.
	signal.Notify(signals, heeded(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT)...)
	defer signal.Stop(signals)
	if ctx.Err() != nil { // a signal came before there was a command to pass it on to
		return command.Status(128 + int(syscall.SIGTERM))
	}
	if err := script.AdoptOrphans(); err != nil {
		return err
	}
	k, err := startKeeper(lockclient.NewID())
	if err != nil {
		return fmt.Errorf("cannot start the process that keeps the lock: %w", err)
	}
	said := journal.NewAsync(env.Stderr) // a terminal stopped with Ctrl-S must not hold up anything
	defer said.Close()
	status := make(chan int, 1)
	go func() { status <- k.listen(said) }()
	looks := time.NewTicker(x.times.Stop / 8)
	defer looks.Stop()
	for late := false; ; {
		select {
		case <-looks.C:
			was := late
			if late = k.late(x.times.Stop / 2); late && was {
				_ = k.proc.Kill() // hung, or stopped; its end is seen by listen
			}
			k.tell(ping)
		case sig := <-signals:
			k.tell(sig.(syscall.Signal))
		case n := <-status:
			if n >= 0 {
				return command.Status(n)
			}
			fmt.Fprintf(said, "%s: the process that keeps the lock is dead: killing %s\n", env.Name, x.command[0])
			return killRest(x, k.id)
		}
	}
}

// A keeperProcess is the keeper as the first process sees it.
type keeperProcess struct {
	id    string
	proc  *os.Process
	tells *os.File                   // its orders; their end ends it, and all that it guards
	hears *os.File                   // what it says
	ends  atomic.Pointer[lease.Time] // the kill end; nil while the lock is not held
}

// late says whether the kill end is less than margin away, as far as this process knows. The keeper
// may know of a later one: so the caller asks it with a ping, and looks again.
func (k *keeperProcess) late(margin time.Duration) bool {
	ends := k.ends.Load()
	return ends != nil && ends.Left(lease.System().Now()) < margin
}

// ping is no signal: it asks the keeper for the kill end.
const ping = syscall.Signal(0)

// tell passes a signal on.
func (k *keeperProcess) tell(sig syscall.Signal) {
	// If the keeper is gone, listen notices that.
	_, _ = fmt.Fprintf(k.tells, "%d %t\n", int(sig), fromTerminal(sig))
}

// fromTerminal says whether a signal came from a key at the terminal (Ctrl-C, Ctrl-\): then the
// terminal has sent it to COMMAND too.
func fromTerminal(sig syscall.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// listen hears the keeper until it has ended, and returns the exit status that it told; -1 if
// it told none.
func (k *keeperProcess) listen(said *journal.Async) int {
	status := -1
	lines := bufio.NewReader(k.hears)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if text, ok := strings.CutPrefix(line, saying); ok {
			fmt.Fprint(said, text)
			continue
		}
		var boot, raw time.Duration
		if n, _ := fmt.Sscanf(line, holding, &boot, &raw); n == 2 {
			ends := lease.Reading(boot, raw)
			k.ends.Store(&ends)
		}
		var pid int
		if n, _ := fmt.Sscanf(line, stopped, &pid); n == 1 {
			k.stopWith(pid)
		}
		_, _ = fmt.Sscanf(line, ending, &status)
	}
	_, _ = k.proc.Wait()
	return status
}

// stopWith stops this process if the command is stopped now, so that the shell sees a stopped job.
// The command may be running again: after Ctrl-Z both are stopped, and both may have been
// continued.
func (k *keeperProcess) stopWith(pid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // PID (NAME) STATE ...; a name may have anything in it
	if err != nil || !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" T ")) {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
}

// killRest kills what a killed keeper has left.
func killRest(x execArgs, id string) error {
	guard, err := script.NewGuard(x.guarded(id))
	if err != nil {
		return err
	}
	defer guard.Close()
	left, err := guard.KillAll(0)
	if err == nil && len(left) > 0 {
		err = stillAlive(left)
	}
	if err != nil {
		return err
	}
	return command.Status(statusLost)
}

// guarded returns a Config that covers all processes of COMMAND.
func (x execArgs) guarded(id string) script.Config {
	return script.Config{Name: "dex-exec." + x.lock + "." + id[:min(len(id), 8)], Lock: x.lock, Session: id}
}

func stillAlive(left []script.Process) error {
	var all []string
	for _, p := range left {
		all = append(all, fmt.Sprintf("%s (process %d)", p.Command, p.PID))
	}
	return fmt.Errorf("cannot kill %s", strings.Join(all, ", "))
}
