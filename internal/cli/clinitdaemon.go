package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/clinit"
	"backtowork/internal/command"
	"backtowork/internal/inheritance"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/manager"
	"backtowork/internal/notes"
	"backtowork/internal/script"
)

// An initDaemon is what a daemon of clinit or isinit has open.
type initDaemon struct {
	*initCommand
	socket string // absolute
	lock   *os.File
	say    *journal.Async
	log    journal.Log
	out    *os.File // of entries without a log; nil for this process's
	hands  *script.Commands
	beaten time.Time // when its beat was written
}

// runDaemon keeps the processes of the file's groups until ctx is over, or somebody has it stop.
func (c *initCommand) runDaemon(ctx context.Context) (err error) {
	for _, p := range c.problems {
		if p.Level == clinit.Error {
			return command.WithHint(errors.New(p.String()), "%s --check -c %s says all that is wrong with it", c.env.Name, c.file)
		}
	}
	inheritance.CloseOthers() // the rest is the caller's, and the processes' too, as in the original
	outlivePipe()
	hup := make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGHUP)
	signal.Notify(hup, syscall.SIGHUP)
	d := &initDaemon{initCommand: c}
	if err := d.open(); err != nil {
		return err
	}
	defer d.lock.Close()
	defer d.say.Close()
	if d.hands, err = script.NewCommands(script.CommandsConfig{Name: script.DaemonName(d.socket)}); err != nil {
		return err
	}
	defer d.hands.Close()
	l, err := d.listen()
	if err != nil {
		return err
	}
	return d.serve(ctx, l, hup)
}

// open makes the directories, and takes the lock that one daemon has for a socket.
func (d *initDaemon) open() (err error) {
	if d.socket, err = filepath.Abs(d.socketPath()); err != nil {
		return err
	}
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; len(d.socket) > most {
		return fmt.Errorf("cannot listen on %s: the path of a socket has %d bytes at most", d.socket, most)
	}
	for _, path := range []string{d.socket, d.statusPath(), d.table.Log} {
		if path == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("cannot make a directory: %w", err)
		}
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(d.socket)); err == nil { // /run and /var/run name one daemon
		d.socket = filepath.Join(dir, filepath.Base(d.socket))
	}
	if d.lock, err = os.OpenFile(d.socket+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("cannot lock: %w", err)
	}
	if manager.FlockPatiently(d.lock, manager.Briefly) != nil {
		pid, _ := os.ReadFile(d.lock.Name())
		return command.WithHint(fmt.Errorf("a daemon listens on %s already: process %s", d.socket, dash(strings.TrimSpace(string(pid)))),
			"%s -k ends it, with its processes", d.env.Name)
	}
	_ = d.lock.Truncate(0) // whose it is, is for people: on a full disk it is not said
	_, _ = d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return d.openLog()
}

// openLog has what goes wrong said on stderr, as the original does; or all that happens, with its time, in the log that
// the file names.
func (d *initDaemon) openLog() error {
	d.say = journal.NewAsync(d.env.Stderr)
	all, least := journal.Log(func(l journal.Line) { fmt.Fprintln(d.say, l.Text) }), journal.Warning
	if d.table.Log != "" {
		f, err := clinit.OpenLog(d.table.Log)
		if err != nil {
			return fmt.Errorf("cannot open the log: %w", err)
		}
		d.out = f
		d.say = follow(journal.At(d.table.Log, f), nil)
		all, least = journal.To(d.say), journal.Info
	}
	if d.env.Getenv("DEBUG") != "" || d.env.Getenv("verbose") != "" {
		least = journal.Debug
	}
	d.log = func(l journal.Line) {
		if l.Level >= least {
			all(l)
		}
	}
	return nil
}

// listen opens the socket, for this user alone. What is left of an earlier daemon is removed: it has no lock any more.
func (d *initDaemon) listen() (net.Listener, error) {
	if info, err := os.Lstat(d.socket); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("cannot listen on %s: it is another file", d.socket)
	}
	_ = os.Remove(d.socket)
	defer syscall.Umask(syscall.Umask(0o077))
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", d.socket, command.Reason(err))
	}
	return l, nil
}

// serve runs the daemon.
func (d *initDaemon) serve(ctx context.Context, l net.Listener, hup <-chan os.Signal) error {
	boot, err := lease.BootID()
	if err != nil {
		return err
	}
	files := notes.In(filepath.Dir(d.socket))
	kept := filepath.Base(d.socket) + ".state"
	earlier, _ := files.Read(kept)
	launcher := &clinit.Launcher{Hands: d.hands, Environ: os.Environ(), Output: d.out}
	daemon, problems := clinit.New(clinit.Config{
		Dialect: d.dialect, File: d.file, Hands: d.hands, Start: launcher.Start, Log: d.log, Boot: boot, Kept: earlier,
		Read:   func() ([]byte, error) { return readTable(d.file) },
		Keep:   func(text string) error { return files.Write(kept, text) },
		Status: d.writeStatus, Rest: giveBack,
		Halted: func(group string) string {
			file := script.HaltFile(d.socket, group)
			if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
				return ""
			}
			return file
		},
	})
	if daemon == nil {
		return errors.New(problems[0].String())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // for as long as the process lives
		for {
			select {
			case <-hup:
				daemon.Do(clinit.Ask{Op: clinit.Reread}, ctx.Done())
			case <-time.After(time.Minute):
				launcher.LookAtLogs()
			}
		}
	}()
	served := make(chan error, 1)
	go func() { served <- daemon.Serve(l) }()
	daemon.Run(ctx)
	l.Close() // which removes the socket
	<-served
	_ = os.Remove(filepath.Join(filepath.Dir(d.socket), kept))
	_ = os.Remove(d.socket + beat)
	if path := d.statusPath(); path != "" && d.dialect == clinit.Clinit {
		_ = os.Remove(path)
	}
	return nil
}

// beat is of the file beside the socket that says that the daemon lives: the seconds since the host was booted, as
// /proc/uptime has them, and the daemon's process. What a shell can read without a program.
const beat = ".beat"

// writeStatus replaces clstat, or initstat.
func (d *initDaemon) writeStatus(text string) error {
	if time.Since(d.beaten) > time.Second {
		d.beat()
	}
	path := d.statusPath()
	if path == "" {
		return nil
	}
	return notes.In(filepath.Dir(path)).Write(filepath.Base(path), text)
}

// beat writes that the daemon lives.
func (d *initDaemon) beat() {
	if uptime, _ := os.ReadFile("/proc/uptime"); len(uptime) > 0 {
		d.beaten = time.Now()
		seconds, _, _ := strings.Cut(string(uptime), ".")
		_ = notes.In(filepath.Dir(d.socket)).Write(filepath.Base(d.socket)+beat, fmt.Sprintf("%s %d\n", seconds, os.Getpid()))
	}
}
