package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/worker"
)

// shellsCommand is how the bench calls itself to measure what runs scripts, where there are other networks and mounts.
const shellsCommand = "shells"

const (
	shellRuns   = 200 // of each action, by each,
	shellRounds = 10  // in so many turns
)

// workerFDs tell sh-worker the numbers of its pipes.
var workerFDs = []string{"BTW_REQUESTS_FD=3", "BTW_ANSWERS_FD=4"}

// A shellFigure is what a run of an action costs, by one that runs scripts.
type shellFigure struct {
	Action, By string
	Wall, CPU  time.Duration // the median, and the mean
	Processes  int
	RSS        float64 // in MB, of a worker
}

// shellTable measures the status of linux-test, with its address up and its file system mounted, and "echo pace".
func shellTable(ctx context.Context, home string, t *table) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, shellsCommand, home)
	cmd.Env, cmd.Stderr = environment(), os.Stderr
	if cmd.SysProcAttr, err = apart(syscall.SIGKILL); err != nil {
		return err
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot measure the shells: %w", err)
	}
	var figures []shellFigure
	if err := json.Unmarshal(out, &figures); err != nil {
		return err
	}
	byDash, byWorker := map[string]time.Duration{}, map[string]time.Duration{}
	for _, f := range figures {
		name := fmt.Sprintf("%s of linux-test, by %s", f.Action, f.By)
		t.add(name, "%s, CPU %s, %d processes", inMillis(f.Wall), inMillis(f.CPU), f.Processes)
		switch f.By {
		case "dash":
			byDash[f.Action] = f.Wall
		case "worker":
			byWorker[f.Action] = f.Wall
			t.add("RSS of the worker after it", "%.1f MB", f.RSS)
		}
	}
	for action, goal := range map[string]float64{"status": 10, "echo": 20} {
		if byDash[action] > 0 {
			t.atLeast(action+", dash's time by the worker's", float64(byDash[action])/float64(byWorker[action]), goal)
		}
	}
	return nil
}

// beShells is the process that measures.
func beShells(ctx context.Context, home string) error {
	if err := upThere(home); err != nil {
		return err
	}
	engines := []engine{{"worker", nil}}
	for _, shell := range [][]string{{"dash"}, {"busybox", "sh"}, {"bash"}} {
		if _, err := exec.LookPath(shell[0]); err == nil {
			engines = append(engines, engine{strings.Join(shell, " "), shell})
		}
	}
	var figures []shellFigure
	for _, args := range [][]string{{"status"}, {"echo", "pace"}} {
		f, err := measureShells(ctx, home, engines, args)
		if err != nil {
			return fmt.Errorf("%s by %w", args[0], err)
		}
		figures = append(figures, f...)
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

// measureShells measures an action of the package by all engines, in turns, so that what else is done here meanwhile is the
// same for all.
func measureShells(ctx context.Context, home string, engines []engine, args []string) (figures []shellFigure, err error) {
	runs := make([]engineRuns, len(engines))
	for i, e := range engines {
		if runs[i], err = e.begin(ctx, home, args); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		defer runs[i].end()
	}
	for range shellRounds {
		for i, e := range engines {
			if err := runs[i].round(shellRuns / shellRounds); err != nil {
				return nil, fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	for i, e := range engines {
		r := runs[i]
		slices.Sort(r.times)
		f := shellFigure{
			Action: args[0], By: e.name, Wall: quantile(r.times, 0.5), CPU: r.cpu / shellRuns,
			Processes: (r.processes + shellRuns/2) / shellRuns,
		}
		if e.shell == nil {
			if f.RSS, _, err = residentSet(r.pid); err != nil {
				return nil, err
			}
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// upThere makes of this host one on which linux-test is up.
func upThere(home string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	from, to := filepath.Join(home, "temp/bound"), filepath.Join(home, "temp/mounted")
	if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(to, 0o755)); err != nil {
		return err
	}
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	for _, args := range []string{"link set lo up", "addr add 10.0.2.12/24 dev lo label lo:vip0"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	path := filepath.Join(home, "packages/linux-test")
	script, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"vip_network_0": "", "fs_dev_0": from, "fs_dir_0": to, "fs_opt_0": "bind"} {
		script = regexp.MustCompile(`(?m)^`+name+`=\S*`).ReplaceAll(script, []byte(name+"="+value))
	}
	script = regexp.MustCompile(`(?m)^vip_prefix_0=`).ReplaceAll(script, []byte("vip_netdev_0=lo\n$0"))
	return os.WriteFile(path, script, 0o755)
}

// An engine runs scripts: a shell, or the worker where that is nil.
type engine struct {
	name  string
	shell []string
}

// engineRuns are an engine's runs of an action.
type engineRuns struct {
	run       func() error
	pid       int // of the worker; 0 for a shell
	end       func()
	times     []time.Duration
	cpu       time.Duration
	processes int
}

// begin does the first runs, which do not count: the worker reads the files, and the system has them in memory then.
func (e engine) begin(ctx context.Context, home string, args []string) (r engineRuns, err error) {
	r.run, r.end = e.byShell(ctx, home, args), func() {}
	if e.shell == nil {
		if r.run, r.pid, r.end, err = byWorker(ctx, home, args); err != nil {
			return r, err
		}
	}
	for range shellRuns / shellRounds {
		if err = r.run(); err != nil {
			r.end()
			return r, err
		}
	}
	return r, nil
}

// round is some runs.
func (r *engineRuns) round(n int) error {
	used := childrensTime
	if r.pid != 0 {
		used = func() time.Duration { return threadsTime(r.pid) }
	}
	before, first := used(), lastProcess()
	times, err := repeat(n, func() (time.Duration, error) {
		began := time.Now()
		err := r.run()
		return time.Since(began), err
	})
	r.times = append(r.times, times...)
	r.cpu += used() - before
	r.processes += lastProcess() - first
	return err
}

const atPackage = "packages/linux-test"

func (e engine) byShell(ctx context.Context, home string, args []string) func() error {
	return func() error {
		cmd := exec.CommandContext(ctx, e.shell[0], append(append(e.shell[1:len(e.shell):len(e.shell)], atPackage), args...)...)
		cmd.Dir, cmd.Env = home, scriptEnv(home)
		return cmd.Run()
	}
}

func scriptEnv(home string) []string {
	return []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C", "HOME=/root", "PWD=" + home, "BTW_HOME=" + home}
}

// byWorker starts a worker as back-to-work does.
func byWorker(ctx context.Context, home string, args []string) (run func() error, pid int, end func(), err error) {
	client := worker.NewClient(func() (worker.Conn, error) {
		return worker.Start(func(requests, answers *os.File) (*exec.Cmd, error) {
			cmd := exec.CommandContext(ctx, filepath.Join(home, "bin/btw"))
			cmd.Args, cmd.Dir, cmd.Stderr, cmd.ExtraFiles = []string{"sh-worker"}, home, os.Stderr, []*os.File{requests, answers}
			cmd.Env = append(scriptEnv(home), workerFDs...)
			err := cmd.Start()
			if err == nil {
				pid = cmd.Process.Pid
			}
			return cmd, err
		})
	})
	run = func() error {
		r := worker.Request{Path: atPackage, Args: args, Dir: home, Env: scriptEnv(home), Files: "1", Limit: 10 * time.Second}
		a, _, err := client.Run(ctx, r)
		switch {
		case err != nil:
			return err
		case a.Declined != "" || a.Status != 0:
			return fmt.Errorf("%s: status %d: %s", a.Declined, a.Status, a.Stderr)
		case a.Forks > 0:
			return fmt.Errorf("it has run %d programs", a.Forks)
		}
		return nil
	}
	if err := run(); err != nil {
		client.Close()
		return nil, 0, nil, err
	}
	return run, pid, client.Close, nil
}

// childrensTime is the processor time of the children that have ended.
func childrensTime() time.Duration {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// lastProcess is the last number that a process, or thread, was given here.
func lastProcess() int {
	text, _ := os.ReadFile("/proc/sys/kernel/ns_last_pid") // 0 where the kernel has none
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
