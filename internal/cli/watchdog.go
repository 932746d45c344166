package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/manager"
	"backtowork/internal/script"
	"backtowork/internal/watchdog"
)

const watchdogUsage = `Usage: watchdog

Feeds the hardware watchdog that conf/watchdog names, in the foreground. back-to-work
starts it in the background by itself where there is that file: one line, the path of
the device. Its log is log/watchdog.log.

It stops feeding in time to have the machine reset at the kill end of a package on this
node, unless its lock is renewed, or nothing of it is left and somebody has seen that.
(If timeout + stop_timeout is at most one and a half times the device's timeout, 10 s, it
stops feeding 1 s after the kill end.) TERM and INT end it and disarm the device, but only while no package runs here. (A device whose
driver was loaded with nowayout cannot be disarmed: it resets the machine.)

Example: echo /dev/watchdog > conf/watchdog; bin/btw watchdog
`

// runWatchdog is the watchdog process of this node.
func runWatchdog(ctx context.Context, env *command.Env) error {
	if len(env.Args) > 0 {
		return command.UsageError("watchdog takes no arguments")
	}
	outlivePipe()
	signal.Ignore(syscall.SIGHUP) // a terminal that closes is no reason to leave the node unguarded
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	tell := newReady(env)
	out := output(env, env.Stderr)
	defer out.Close()
	inner := *env // feeding never waits for the log
	inner.Stderr = out
	w, err := openWatchdog(ctx, &inner)
	tell(err)
	if err != nil {
		return err
	}
	defer w.close()
	w.log.Info("the watchdog is in force", "device", w.path, "timeout", w.device.Timeout)
	server := watchdog.New(watchdog.Config{
		Node: w.Node, Device: w.device, Clock: lease.System(), Log: w.log, Stopped: w.mark,
	})
	return server.Run(context.WithoutCancel(ctx), w.listener, ends) // Run itself decides whether a signal ends it
}

// A watchdogProcess is what the watchdog process has open.
type watchdogProcess struct {
	*site
	path     string // of the device
	device   *watchdog.Device
	listener net.Listener
	pid      *os.File // locked for as long as the process lives
}

// openWatchdog makes this process the watchdog process of this home. The device comes last: from
// then on the machine is reset unless it is fed.
func openWatchdog(ctx context.Context, env *command.Env) (_ *watchdogProcess, err error) {
	s, err := openSite(env)
	if err != nil {
		return nil, err
	}
	w := &watchdogProcess{site: s}
	if w.path, err = watchdogDevice(s.Home); err != nil {
		return nil, err
	}
	if w.path == "" {
		return nil, command.WithHint(fmt.Errorf("no watchdog is named: %s is missing", watchdogConf(s.Home)),
			"write the path of the device there, such as /dev/watchdog")
	}
	if w.pid, err = takeWatchdogPID(s.Home); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := watchdog.Protect(); err != nil {
		s.log.Warn(unprotected("the watchdog process", "this host is reset"), "reason", oneLine(err))
	}
	if w.listener, err = watchdog.Listen(watchdogSocket(s.Home)); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("given up: %w", context.Cause(ctx))
	}
	w.device, err = watchdog.OpenDevice(w.path)
	return w, err
}

func (w *watchdogProcess) close() {
	if w.listener != nil {
		_ = w.listener.Close()
		_ = os.Remove(watchdogSocket(w.Home))
	}
	_ = w.pid.Close()
}

// watchdogStopped begins the line that says, in the pid file, in which boot the feeding stopped.
const watchdogStopped = "stopped"

// mark writes into the pid file that feeding has stopped, so that no later watchdog process feeds
// the device again.
func (w *watchdogProcess) mark(pkg string) {
	boot, err := lease.BootID()
	if err == nil {
		_, err = fmt.Fprintf(w.pid, "%s %s %s\n", watchdogStopped, boot, pkg)
	}
	if err != nil {
		w.log.Error("cannot write down that the watchdog is not fed any more", "reason", err)
	}
}

func watchdogConf(home string) string   { return filepath.Join(home, "conf/watchdog") }
func watchdogPID(home string) string    { return filepath.Join(home, "temp/watchdog.pid") }
func watchdogSocket(home string) string { return filepath.Join(home, "temp/watchdog.sock") }

// watchdogDevice is the device that conf/watchdog names; "" if there is no such file.
func watchdogDevice(home string) (string, error) {
	b, err := os.ReadFile(watchdogConf(home))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot learn which watchdog to use: %w", err)
	}
	var words []string
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Fields(line)...)
	}
	switch {
	case len(words) != 1: // the user wrote the file, and believes that the node is guarded
		return "", fmt.Errorf("%s: the path of one device is wanted there, not %d words", watchdogConf(home), len(words))
	case !filepath.IsAbs(words[0]):
		return "", fmt.Errorf("%s: cannot use %q: say the absolute path of a device", watchdogConf(home), words[0])
	}
	return words[0], nil
}

// A resettable is what this host's hardware watchdog can do.
type resettable struct {
	device  string        // "" for none
	timeout time.Duration // of the device
	old     bool          // the watchdog process is of a version that resets only after a kill end
}

// resettable returns what the watchdog process says, or, if none runs yet, what the device says.
func (s *site) resettable() resettable {
	device, err := watchdogDevice(s.Home)
	if device == "" || err != nil {
		return resettable{}
	}
	w := resettable{device: device, timeout: watchdog.Wanted}
	if c, err := watchdog.Dial(watchdogSocket(s.Home)); err == nil {
		w.timeout, w.old = c.Timeout, !c.Spans
		_ = c.Close()
	}
	return w
}

// resets says whether the watchdog resets this host at the kill end of a package.
func (w resettable) resets(p failover.Params) bool {
	return w.device != "" && !w.old && watchdog.Resets(p.Timeout+p.StopTimeout, w.timeout)
}

// promise is what the watchdog does for a package, in words.
func (w resettable) promise(p failover.Params) string {
	if w.resets(p) {
		return "this host is reset at the kill end, unless the package was seen down"
	}
	if w.old {
		return fmt.Sprintf("its process is of an older version: this host is reset up to %v after the kill end", watchdog.Grace+w.timeout)
	}
	return fmt.Sprintf("its %v are too long for timeout + stop_timeout = %v: this host is reset up to %v after the kill end",
		w.timeout, p.Timeout+p.StopTimeout, watchdog.Grace+w.timeout)
}

// takeWatchdogPID makes this process the only watchdog process of home, unless an earlier one of
// this boot left the machine to be reset. The file stays: it is only ever locked.
func takeWatchdogPID(home string) (_ *os.File, err error) {
	if err := os.MkdirAll(filepath.Dir(watchdogPID(home)), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the state files: %w", err)
	}
	f, err := os.OpenFile(watchdogPID(home), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot make the state files: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	locked := manager.FlockPatiently(f, manager.Briefly)
	said, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state files: %w", err)
	}
	if locked != nil {
		pid, _, _ := strings.Cut(string(said), "\n")
		return nil, fmt.Errorf("the watchdog process runs already: process %s", pid)
	}
	if err := stoppedBefore(string(said)); err != nil {
		return nil, command.WithHint(err, "if that device is none that resets a machine, remove %s", watchdogPID(home))
	}
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("cannot write the state files: %w", err)
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return nil, fmt.Errorf("cannot write the state files: %w", err)
	}
	return f, nil
}

// stoppedBefore returns an error if an earlier watchdog process has stopped feeding in this boot.
// said is the content of its pid file.
func stoppedBefore(said string) error {
	boot, err := lease.BootID()
	if err != nil {
		return err
	}
	for line := range strings.Lines(said) {
		words := strings.Fields(line)
		if len(words) >= 3 && words[0] == watchdogStopped && words[1] == boot {
			return fmt.Errorf("the watchdog is not fed any more in this boot, since package %q was past its kill end", words[2])
		}
	}
	return nil
}

// startWatchdog starts the watchdog process in the background, if conf/watchdog names a device and
// the process does not run. If it returns nil, the watchdog is in force, or none is wanted.
func (s *site) startWatchdog(ctx context.Context) error {
	device, err := watchdogDevice(s.Home)
	if device == "" || err != nil {
		return err
	}
	c, err := watchdog.Dial(watchdogSocket(s.Home))
	var refusal watchdog.Refusal
	switch {
	case err == nil:
		return c.Close()
	case errors.As(err, &refusal):
		return refusal
	}
	err = s.launchWatchdog(ctx)
	if err == nil {
		return nil
	}
	if c, e := watchdog.Dial(watchdogSocket(s.Home)); e == nil { // another process started it in this moment
		return c.Close()
	}
	return err
}

// launchWatchdog starts the watchdog process, and waits until it has the device or has ended.
func (s *site) launchWatchdog(ctx context.Context) error {
	p, err := s.start(filepath.Join(s.Home, "log/watchdog.log"), "watchdog")
	if err != nil {
		return err
	}
	if err := script.Aside(s.Home, s.Node, "watchdog", p.cmd.Process.Pid); err != nil {
		s.log.Debug(staysWith("the watchdog process"), "reason", oneLine(err))
	}
	go func() { _ = p.cmd.Wait() }() // it says all on the pipe, and in its log
	if err := p.told.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.told.SetReadDeadline(time.Now()) })()
	return p.answer("the watchdog process")
}
