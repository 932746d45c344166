package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/clinit"
	"backtowork/internal/command"
)

const isinitUsage = `Usage: isinit [-c FILE] [-s SOCKET] [GROUP LEVEL]
       isinit -k

Brings a resource group of the file (/etc/isinittab) to a run level, as clinit does; the
first call starts the daemon, in the background. Without operands the daemon reads its file
again. The daemon's lines go to SOCKET.log.

  -k  stops all processes, and the daemon
  -c  another file
  -s  another socket than the file's (or /var/run/is/init.s)
  --wait[=STATE], --timeout=N, --json, --check, and status, start, stop, restart are
      those of clinit

Exit status: 0 done, 1 refused or failed, 2 wrong arguments, 3 no daemon, 4 timed out.

Example: isinit web 1
`

// inDaemon says to isinit that it is to be the daemon.
const inDaemon = "ISINIT_DAEMON"

func runIsinit(ctx context.Context, env *command.Env) error {
	c := &initCommand{env: env, dialect: clinit.Isinit, file: "/etc/isinittab"}
	if err := c.parse("hkc:s:W::T:JCOS", isinitUsage); err != nil {
		return err
	}
	if c.daemon = env.Getenv(inDaemon) != ""; c.daemon {
		os.Unsetenv(inDaemon)
	}
	return c.run(ctx)
}

// daemonLimit is how long a daemon may take to begin.
const daemonLimit = 10 * time.Second

// startDaemon starts the daemon, if none listens, and waits until it does.
func (c *initCommand) startDaemon() error {
	socket := c.socketPath()
	if listens(socket) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	log, err := os.OpenFile(socket+".log", os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the daemon's log: %w", err)
	}
	defer log.Close()
	before, _ := log.Seek(0, 2)
	args := []string{"isinit", "-c", c.file}
	if c.socket != "" {
		args = append(args, "-s", c.socket)
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: args, Env: append(os.Environ(), inDaemon+"=yes"),
		Stdout: log, Stderr: log, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.After(daemonLimit); ; {
		select {
		case <-ended:
			if listens(socket) { // another was faster
				return nil
			}
			said := make([]byte, 4096)
			n, _ := log.ReadAt(said, before)
			return fmt.Errorf("the daemon has ended: %s", strings.TrimSpace(string(said[:n])))
		case <-end:
			return fmt.Errorf("the daemon does not answer: see %s", log.Name())
		case <-time.After(5 * time.Millisecond):
			if listens(socket) {
				return nil
			}
		}
	}
}

func listens(socket string) bool {
	_, err := clinit.Call(socket, clinit.Ask{Op: clinit.Look}, time.Now().Add(time.Second))
	return err == nil
}
