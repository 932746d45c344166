package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An initSide is one that starts processes and keeps them running. What each is to run is a link of its own to one
// program that sleeps: so it is seen when which of them is begun.
type initSide struct {
	name, pkg string
	needs     []string // programs
	n         int
	exe       string // of clinit
	seen      *begins
	dir       string
	daemons   []*exec.Cmd

	write                 func() error // its files
	start                 func(ctx context.Context) error
	same, half, none, all func() [][]string // commands
	stop                  func() [][]string
	stopSignal            syscall.Signal // of the daemons, where no command stops them
	children              bool           // of the daemons supervise, too
}

func initSides(n int) []*initSide {
	return []*initSide{clinitSide(n), supervisordSide(n), runitSide(n)}
}

// missing is the first program that is not here.
func (s *initSide) missing() string {
	for _, name := range s.needs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

func (s *initSide) entry(i int) string { return fmt.Sprintf("%s%05d", s.name[:1], i) }

func (s *initSide) program(i int) string { return filepath.Join(s.dir, "run", s.entry(i)) }

// prepare writes the files of the side in dir.
func (s *initSide) prepare(dir string) (err error) {
	s.dir = dir
	run := filepath.Join(dir, "run")
	if err := os.MkdirAll(run, 0o755); err != nil {
		return err
	}
	if err := copyFile("/bin/sleep", filepath.Join(dir, "sleep")); err != nil {
		return err
	}
	for i := range s.n {
		if err := os.Link(filepath.Join(dir, "sleep"), s.program(i)); err != nil {
			return err
		}
	}
	if s.seen, err = watchBegins(run); err != nil {
		return err
	}
	return s.write()
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// process is a process of the side's programs.
func (s *initSide) process(ctx context.Context, args []string) *exec.Cmd {
	path := args[0]
	if s.exe != "" {
		path = s.exe
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args[0], cmd.Env = args[0], environment()
	return cmd
}

// daemon starts a daemon.
func (s *initSide) daemon(ctx context.Context, args ...string) error {
	cmd := s.process(ctx, args)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(cmp.Or(s.stopSignal, syscall.SIGTERM)) }
	if cmd.SysProcAttr, err = apart(0); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.daemons = append(s.daemons, cmd)
	return nil
}

// end ends the daemons, with all that they run.
func (s *initSide) end() {
	if len(s.daemons) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if s.stop != nil {
		if err := s.command(ctx, s.stop()); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	for _, cmd := range s.daemons {
		if s.stopSignal != 0 {
			_ = cmd.Process.Signal(s.stopSignal)
		}
		limit := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		limit.Stop()
	}
	s.daemons = nil
	for left := s.running(); len(left) > 0 && ctx.Err() == nil; left = s.running() {
		_ = sleep(ctx, lookPause)
	}
	for _, pid := range s.running() {
		_ = kill(pid)
	}
}

// supervisors are the processes that supervise.
func (s *initSide) supervisors() (pids []int) {
	for _, cmd := range s.daemons {
		pid := cmd.Process.Pid
		pids = append(pids, pid)
		if !s.children {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// running are the processes of the entries, by name.
func (s *initSide) running() map[string]int {
	pids := map[string]int{}
	all, _ := os.ReadDir("/proc")
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		path, err := os.Readlink("/proc/" + e.Name() + "/exe")
		if err == nil && strings.HasPrefix(path, filepath.Join(s.dir, "run")+"/") {
			pids[filepath.Base(path)] = pid
		}
	}
	return pids
}

func kill(pid int) error {
	if pid <= 0 {
		return errors.New("it does not run")
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// clinitSide is clinit: all are of levels 1 and 2, half of them of 3.
func clinitSide(n int) *initSide {
	s := &initSide{name: "clinit", n: n}
	s.exe, _ = filepath.Abs("bin/btw")
	command := func(args ...string) func() [][]string {
		return func() [][]string {
			return [][]string{append([]string{"clinit", "-c", filepath.Join(s.dir, "cltab")}, args...)}
		}
	}
	s.write = func() error {
		text := s.settings()
		for i := range n {
			levels := "12"
			if i >= n/2 {
				levels = "123"
			}
			text += fmt.Sprintf("g:%s:%s:respawn:%s infinity\n", s.entry(i), levels, s.program(i))
		}
		return os.WriteFile(filepath.Join(s.dir, "cltab"), []byte(text), 0o644)
	}
	s.start = func(ctx context.Context) error {
		if err := s.listens(ctx); err != nil {
			return err
		}
		return s.command(ctx, command("g", "1")())
	}
	s.same, s.half, s.none = command("--wait", "g", "2"), command("--wait", "g", "3"), command("--wait", "g", "4")
	s.all, s.stop = command("g", "1"), command("-k")
	return s
}

func (s *initSide) settings() string {
	return fmt.Sprintf(":::socket:%s/s\n:::clstat:%s/clstat\n", s.dir, s.dir)
}

// listens starts clinit -d, and waits until it listens.
func (s *initSide) listens(ctx context.Context) error {
	if err := s.daemon(ctx, "clinit", "-d", "-c", filepath.Join(s.dir, "cltab")); err != nil {
		return err
	}
	for {
		if conn, err := net.Dial("unix", filepath.Join(s.dir, "s")); err == nil {
			return conn.Close()
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// supervisordSide is supervisord, with a program of numbered processes for each half.
func supervisordSide(n int) *initSide {
	s := &initSide{name: "supervisord", pkg: "supervisor", needs: []string{"supervisord", "supervisorctl"}, n: n}
	conf := func() string { return filepath.Join(s.dir, "conf") }
	command := func(args ...string) func() [][]string {
		return func() [][]string { return [][]string{append([]string{"supervisorctl", "-c", conf()}, args...)} }
	}
	s.write = func() error {
		text := fmt.Sprintf("[unix_http_server]\nfile=%[1]s/s\n[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"+
			"pidfile=%[1]s/pid\nchildlogdir=%[1]s\nminfds=%[2]d\nuser=%[3]d\n[supervisorctl]\nserverurl=unix://%[1]s/s\n"+
			"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
			s.dir, 1000+4*n, os.Geteuid())
		for _, half := range []struct{ first, n int }{{0, n / 2}, {n / 2, n - n/2}} {
			text += fmt.Sprintf("[program:half%d]\ncommand=%s/run/s%%(process_num)05d infinity\nprocess_name=%%(process_num)05d\n"+
				"numprocs=%d\nnumprocs_start=%d\nstartsecs=0\nautorestart=true\nredirect_stderr=true\nstdout_logfile=NONE\n",
				half.first, s.dir, half.n, half.first)
		}
		return os.WriteFile(conf(), []byte(text), 0o644)
	}
	s.start = func(ctx context.Context) error { return s.daemon(ctx, "supervisord", "-c", conf()) }
	s.same, s.half, s.none = command("update"), command("stop", "half0:*"), command("stop", "all")
	s.all, s.stop = command("start", "all"), command("shutdown")
	return s
}

// scanned is how many services a runsvdir of Debian looks after.
const scanned = 1000

// runitSide is runsvdir, as many as are needed for so many services.
func runitSide(n int) *initSide {
	s := &initSide{
		name: "runit", pkg: "runit", needs: []string{"runsvdir", "runsv", "sv"}, n: n,
		children: true, stopSignal: syscall.SIGHUP,
	}
	service := func(i int) string { return fmt.Sprintf("%s/services%d/%s", s.dir, i/scanned, s.entry(i)) }
	command := func(from, to int, args ...string) func() [][]string {
		return func() [][]string {
			line := append([]string{"sv", "-w", "60"}, args...)
			for i := from; i < to; i++ {
				line = append(line, service(i))
			}
			return [][]string{line}
		}
	}
	s.write = func() error {
		for i := range n {
			if err := os.MkdirAll(service(i), 0o755); err != nil {
				return err
			}
			text := fmt.Sprintf("#!/bin/sh\nexec %s infinity\n", s.program(i))
			if err := os.WriteFile(filepath.Join(service(i), "run"), []byte(text), 0o755); err != nil {
				return err
			}
		}
		return nil
	}
	s.start = func(ctx context.Context) error {
		for i := 0; i < n; i += scanned {
			if err := s.daemon(ctx, "runsvdir", filepath.Dir(service(i))); err != nil {
				return err
			}
		}
		return nil
	}
	s.same, s.half, s.none = command(0, n, "start"), command(0, n/2, "stop"), command(0, n, "stop")
	s.all = command(0, n, "up")
	return s
}
