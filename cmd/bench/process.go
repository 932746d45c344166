package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// activeNode measures what a node costs on which one package runs at pace 4 and nothing else
// happens, while two others stand by.
func activeNode(ctx context.Context, c *cluster, t *table, window time.Duration) error {
	active, other := c.nodes[0], c.nodes[1]
	if err := sleep(ctx, 2*time.Second); err != nil { // until all is settled
		return err
	}
	deadman, err := active.deadman(c.pkg)
	if err != nil {
		return err
	}
	all := []int{active.manager.cmd.Process.Pid, active.server.cmd.Process.Pid, other.server.cmd.Process.Pid, deadman}
	before, err := cpuTimes(all)
	if err != nil {
		return err
	}
	if err := sleep(ctx, window); err != nil {
		return err
	}
	after, err := cpuTimes(all)
	if err != nil {
		return err
	}
	perMinute := func(i int) float64 {
		return (after[i] - before[i]).Seconds() * time.Minute.Seconds() / window.Seconds()
	}
	t.add("CPU s/min, active node at pace 4 (the original: 2.8)", "%.2f", perMinute(0)+perMinute(1)+perMinute(3))
	t.add("  of which back-to-work and its scripts", "%.2f", perMinute(0))
	t.add("  of which its deadman", "%.2f", perMinute(3))
	t.add("  of which dex-server, leader", "%.2f", perMinute(1))
	t.add("  (dex-server, follower)", "%.2f", perMinute(2))
	return memory(c, deadman, t)
}

// deadman is the process beside the node's manager.
func (n *node) deadman(pkg string) (pid int, err error) {
	text, err := os.ReadFile(filepath.Join(n.home, "temp/lockdir_"+pkg, "deadman"))
	if err != nil {
		return 0, fmt.Errorf("no deadman: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// memory measures how much memory the processes have, in all and as their share.
func memory(c *cluster, deadman int, t *table) error {
	for _, p := range []struct {
		name string
		pid  int
	}{
		{"dex-server, leader", c.nodes[0].server.cmd.Process.Pid},
		{"dex-server, follower", c.nodes[1].server.cmd.Process.Pid},
		{"back-to-work, active", c.nodes[0].manager.cmd.Process.Pid},
		{"its deadman", deadman},
	} {
		rss, pss, err := residentSet(p.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		t.add("RSS (PSS) of "+p.name+", idle", "%.1f (%.1f) MB", rss, pss)
	}
	return nil
}

// residentSet is a process's resident and proportional set, in MB.
func residentSet(pid int) (rss, pss float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kB float64
		name, value, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(value, &kB); err != nil {
			continue // the first line is another
		}
		switch name {
		case "Rss":
			rss = kB / 1024
		case "Pss":
			pss = kB / 1024
		}
	}
	return rss, pss, nil
}

func cpuTimes(pids []int) ([]time.Duration, error) {
	var times []time.Duration
	for _, pid := range pids {
		used, err := cpuTime(pid)
		if err != nil {
			return nil, err
		}
		times = append(times, used)
	}
	return times, nil
}

// cpuTime returns how much CPU time a process has used, with its children that have ended: utime,
// stime, cutime and cstime, the 14th to 17th field.
func cpuTime(pid int) (time.Duration, error) { return ticksOf(pid, 4) }

// ownTime is cpuTime without children.
func ownTime(pid int) (time.Duration, error) { return ticksOf(pid, 2) }

// ticksOf is the sum of n fields of a process from the 14th on, in hundredths of a second.
func ticksOf(pid, n int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name is btw's, without parentheses
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	var ticks int64
	for _, f := range fields[11 : 11+n] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// threadsTime is the processor time of a process's threads: of what takes less than a tick, other times say nothing.
func threadsTime(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range threads {
		text, _ := os.ReadFile(path)
		var ran time.Duration
		_, _ = fmt.Sscan(string(text), &ran)
		sum += ran
	}
	return sum
}

// wholeProcesses measures commands from their start to their end.
func wholeProcesses(ctx context.Context, c *cluster, t *table) error {
	const runs, limit = 50, 10 * time.Millisecond
	home := c.nodes[0].home
	for _, command := range [][]string{{"dex-lock/dex-previous", c.pkg}, {"service", "status"}} {
		path := filepath.Join(home, command[0])
		if out, err := exec.CommandContext(ctx, path, command[1:]...).Output(); err != nil || len(out) == 0 {
			return fmt.Errorf("cannot run %s: %q, %w", path, out, err)
		}
		times, err := repeat(runs, func() (time.Duration, error) {
			cmd := exec.CommandContext(ctx, path, command[1:]...)
			cmd.Env = environment()
			began := time.Now()
			err := cmd.Run()
			return time.Since(began), err
		})
		if err != nil {
			return err
		}
		name := filepath.Base(command[0])
		if name == "service" {
			name += " status"
		}
		t.aim(name+", p50", quantile(times, 0.5), limit)
		t.add(name+", max", "%s", inMillis(times[len(times)-1]))
	}
	return nil
}

// diskTimes measures the disk alone: an acquire waits for a few of these one after the other.
func diskTimes(dir string, t *table) error {
	const syncs = 200
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, 4096)
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	times, err := repeat(syncs, func() (time.Duration, error) {
		began := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		err := dataSync(f)
		return time.Since(began), err
	})
	if err != nil {
		return err
	}
	t.add("fdatasync of 4 KiB on this disk, p50", "%s", inMillis(quantile(times, 0.5)))
	t.add("fdatasync of 4 KiB on this disk, p99", "%s", inMillis(quantile(times, 0.99)))
	return nil
}

// fileSystem is what kind of file system dir is on, and where that is mounted.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "an unknown file system"
	}
	best, kind := "", ""
	for line := range strings.Lines(string(mounts)) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(head), strings.Fields(tail)
		if len(fields) < 5 || len(types) == 0 {
			continue
		}
		inside := dir == fields[4] || strings.HasPrefix(dir, strings.TrimSuffix(fields[4], "/")+"/")
		if inside && len(fields[4]) >= len(best) { // of two mounts at one place the later hides the other
			best, kind = fields[4], types[0]
		}
	}
	return fmt.Sprintf("%s (%s)", kind, best)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// busyTime is how much CPU time all of this machine's processes have used.
func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d", &user, &nice, &system); err != nil {
		return 0, fmt.Errorf("cannot read /proc/stat: %w", err)
	}
	return time.Duration(user+nice+system) * 10 * time.Millisecond, nil
}
