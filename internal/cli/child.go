package cli

// What starts other programs stands here: this program under another name, for the most part. And beside it
// what such a process reads of who started it: files that it inherits, and variables of its environment
// that say which these are.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
	"backtowork/internal/inheritance"
	"backtowork/internal/script"
)

// readyFD is the environment variable that tells a process in the background the number of the pipe on which
// it is to say that it has begun, or why it cannot.
const readyFD = "BTW_READY_FD"

// hintMark separates the reason from the hint in what is said there.
const hintMark = "\x00"

// A partError is why some packages were not begun by a process that runs others. partMark begins it there.
type partError struct{ error }

const partMark = "\x01"

func partly(err error) error {
	if err == nil {
		return nil
	}
	return partError{err}
}

// deadmanFD is the environment variable that tells a process the number of its connection with its
// counterpart: a deadman has one with its manager, and a manager that goes on for another, with that one's deadman.
const deadmanFD = "BTW_DEADMAN_FD"

// succeeds is the environment variable that tells a process under which node name, and with which lock
// directory, the packages run that it takes over, or watches: NODE/DIRECTORY. Both may have been changed in conf/
// since these were started, and the lock servers know them by the earlier ones.
const succeeds = "BTW_SUCCEEDS"

// heirs returns that variable for the processes that go on for this one.
func (s *site) heirs() string { return succeeds + "=" + s.Node + s.LockDir }

// afterDeadman is set in the environment of a manager that a deadman starts without handing anything over.
const afterDeadman = "BTW_AFTER_DEADMAN"

// passing is set in the environment of a lock server that back-to-work starts: it may end with the last package of this host.
const passing = "BTW_PASSING"

// environ returns the environment for a process that this one starts. It lacks the BTW_ variables, which are about
// this process only: if a package's script has called this command, they say that it belongs to the
// package, and all that belongs to a package is killed with it. And it lacks what is the caller's.
func environ() []string {
	return slices.DeleteFunc(inheritance.Environ(os.Environ()), func(v string) bool { return strings.HasPrefix(v, "BTW_") })
}

// settled is the environment variable that says to a process of ours that who started it, or what it was
// before an exec, has nothing of a caller any more.
const settled = "BTW_SETTLED"

// self prepares to start this program under another name, as "deadman" or "dex-server". The new process leads a
// session of its own, so that it outlives the terminal, and a kill of the caller's process group; it prints where
// this process prints. What is run is /proc/self/exe: this very program, though its file may have been replaced
// or removed.
func (s *site) self(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = name
	cmd.Env = append(environ(), "BTW_HOME="+s.Home, script.AsideMark+"="+name)
	if os.Getenv(settled) != "" {
		cmd.Env = append(cmd.Env, settled+"=yes")
	}
	if name == "dex-server" && s.env.Name == "back-to-work" {
		cmd.Env = append(cmd.Env, passing+"=yes")
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(cmd.Env, logMark(s.env.Getenv(ownLog))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// background starts this program under another name, with its output in the file log. If ready is not nil,
// the process says there how its start went.
func (s *site) background(log, ready *os.File, name string, args ...string) (*exec.Cmd, error) {
	cmd := s.self(name, args...)
	if ready != nil {
		give(cmd, ready, readyFD)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cmd.Env, logMark(log.Name())...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	return cmd, nil
}

// give lets the process that cmd will start inherit the open file f, and sets the environment variable to the number
// that the file has there.
func give(cmd *exec.Cmd, f *os.File, variable string) {
	const first = 3 // after stdin, stdout and stderr
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", variable, first+len(cmd.ExtraFiles)))
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
}

// A starting process is in the background, and says on a pipe how its start went.
type starting struct {
	cmd  *exec.Cmd
	told *os.File
	log  string // the path of its output
}

// start starts this program under another name in the background, with its output at the end of the log at path.
func (s *site) start(path, name string, args ...string) (*starting, error) {
	log, err := openLog(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	told, ready, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd, err := s.background(log, ready, name, args...)
	if err := errors.Join(err, ready.Close()); err != nil {
		_ = told.Close()
		return nil, err
	}
	return &starting{cmd, told, path}, nil
}

// answer waits until the process has said how its start went, or has ended. The error is what it said, or that
// what (its name, for people) did not start.
func (p *starting) answer(what string) error {
	defer p.told.Close()
	answer, err := io.ReadAll(p.told) // ends when it has told, or has ended
	reason, hint, hinted := strings.Cut(string(answer), hintMark)
	switch {
	case err != nil:
		return fmt.Errorf("%s does not come up: %w; see %s", what, err, p.log)
	case reason == "ok":
		return nil
	case reason == "":
		return fmt.Errorf("%s did not start; see %s", what, p.log)
	case hinted:
		return command.WithHint(errors.New(reason), "%s", hint)
	}
	if part, ok := strings.CutPrefix(reason, partMark); ok {
		return partly(errors.New(part))
	}
	return errors.New(reason)
}

// newReady returns a function with which a process in the background tells the one that started it how its
// start went, once: [starting.answer] reads it. Where nobody wants to know, it does nothing.
func newReady(env *command.Env) func(error) {
	var fd uintptr
	if _, err := fmt.Sscan(env.Getenv(readyFD), &fd); err != nil {
		return func(error) {}
	}
	syscall.CloseOnExec(int(fd))
	to := os.NewFile(fd, "ready")
	return func(err error) {
		line := "ok"
		var hint command.HintError
		if err != nil {
			line = err.Error()
		}
		if errors.As(err, new(partError)) {
			line = partMark + line
		}
		if errors.As(err, &hint) {
			line += hintMark + hint.Hint
		}
		_, _ = io.WriteString(to, line) // who started us may be gone
		_ = to.Close()
	}
}

// startOther starts the counterpart of this process, a deadman or a manager, with a connection between the two.
// The connection ends when the process does.
func (s *site) startOther(name string, args ...string) (net.Conn, *os.Process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	cmd := s.self(name, args...)
	give(cmd, theirs, deadmanFD)
	cmd.Env = append(cmd.Env, s.heirs())
	if err := cmd.Start(); err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	go func() { _ = cmd.Wait() }() // its end is that of the connection
	return ours, cmd.Process, nil
}

// socketPair makes a connection, and returns its two ends: one for this process, and one to be inherited by another.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|closeOnExec, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a connection: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "deadman")
	defer f.Close()
	theirs = os.NewFile(uintptr(fds[1]), "deadman")
	if ours, err = net.FileConn(f); err != nil {
		_ = theirs.Close()
	}
	return ours, theirs, err
}

// inherited returns the connection that startOther, or execGiven, has given this process; nil if there is none.
func inherited(env *command.Env) (net.Conn, error) {
	f := given(env, deadmanFD)
	if f == nil {
		return nil, nil
	}
	defer f.Close()
	return net.FileConn(f)
}

// given is the file that give has given this process by that variable; nil where there is none.
func given(env *command.Env, variable string) *os.File {
	var fd uintptr
	if _, err := fmt.Sscan(env.Getenv(variable), &fd); err != nil {
		return nil
	}
	unix.CloseOnExec(int(fd))
	return os.NewFile(fd, variable)
}

// execGiven makes this process the program at path, as back-to-work with the packages, and lets it inherit the
// connection with the deadman. It returns only where that fails.
func execGiven(path string, to io.ReadWriteCloser, packages []string, env ...string) error {
	conn, ok := to.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("cannot hand over the connection with the deadman")
	}
	f, err := conn.File()
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		return err
	}
	env = append(append(environ(), env...), script.AsideMark+"=back-to-work", settled+"=yes", fmt.Sprintf("%s=%d", deadmanFD, f.Fd()))
	return syscall.Exec(path, append([]string{"back-to-work"}, packages...), env)
}

// standing lists the commands that run beside packages, and are not killed with them, whoever has called them.
var standing = []string{"back-to-work", "deadman", "dex-server", "sh-worker", "watchdog"}

// standAside makes this process the same program once more, with nothing of who called it (what that is,
// package inheritance says), and with an environment that marks it as standing beside
// packages, and lacks what a package's script has set. (Others look at the environment that a process
// began with, so it cannot just change its own.) It returns only where that fails, or was done.
func standAside(name string) {
	known := os.Getenv(script.AsideMark) != ""
	if known && os.Getenv(settled) != "" {
		if name != "deadman" {
			inheritance.SettleOOM() // a deadman that has started this process has a place of its own
		}
		return
	}
	if os.Getenv("BTW_ACTION") != "" {
		_ = syscall.Setpgid(0, 0) // the group of the script that called it is killed as one; else it leads a session
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		variable, _, _ := strings.Cut(v, "=")
		return variable == script.AsideMark || slices.Contains(script.Marks, variable)
	})
	inheritance.Settle()
	inheritance.SettleSchedule()
	inheritance.Signals(known) // known: in the background. In the foreground it is the user who wants a signal ignored, as by nohup
	_ = syscall.Exec("/proc/self/exe", os.Args, append(env, script.AsideMark+"="+name, settled+"=yes"))
}

// settleKeeper makes the keeper of a dex-exec itself once more, with limits and priorities with which it is not
// late. The rest it has of its caller, as the command has.
func settleKeeper() {
	if os.Getenv(settled) == "" {
		inheritance.SettleLimits()
		inheritance.SettleSchedule()
		_ = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), settled+"=yes"))
	}
}

// startKeeper starts the second process of dex-exec, with a pipe to it and one from it. It is this command once
// more, and knows by keeperID that it is the second. It has a process group of its own, out of reach of the terminal.
func startKeeper(id string) (*keeperProcess, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	orders, tells, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	hears, says, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer says.Close()
	defer orders.Close()
	// At high numbers: those that follow stderr may be the command's.
	ordersFD, err1 := unix.FcntlInt(orders.Fd(), unix.F_DUPFD, 100)
	saysFD, err2 := unix.FcntlInt(says.Fd(), unix.F_DUPFD, 100)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	defer unix.Close(ordersFD)
	defer unix.Close(saysFD)
	proc, err := os.StartProcess(exe, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%s %d %d", keeperID, id, ordersFD, saysFD)),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	return &keeperProcess{id: id, proc: proc, tells: tells, hears: hears}, err
}

// simulation prepares to start a process that simulates clusters.
func simulation(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args[0] = "simulator"
	cmd.Env = environ()
	return cmd
}

// exitOf runs the program file in an empty environment, and returns its exit status; -1 if it has none.
func exitOf(ctx context.Context, file string, args ...string) int {
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = []string{}
	_ = cmd.Run() // the status says it
	return cmd.ProcessState.ExitCode()
}

// complaintOf runs a program in the directory dir, in the environment that scripts have, and returns what it
// prints if it fails.
func complaintOf(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, environ(), time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// outputOf runs a program, found in PATH, and returns what it prints.
func outputOf(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environ()
	out, err := cmd.Output()
	return string(out), err
}
