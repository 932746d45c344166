package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// manyCommand is the measurement of a node with many packages.
const manyCommand = "many"

const (
	manyPace    = 4 * time.Second
	manySettle  = 35 * time.Second // all have run often enough by then for the worker to be believed
	manyUpLimit = 5 * time.Minute
	manyEnd     = 3 * time.Minute // until all packages are stopped
	oneAddress  = 10              // one package in so many has an address
)

// manyScript is a package that is up where its flag is; each status opens that, which [openings] sees.
const manyScript = `#!/bin/sh
cd "${0%%/*}" || exit 3
pace=4
timeout=40
start_timeout=60
stop_timeout=60
%s
flag=../temp/up/${0##*/}
os=$(uname)
case $1 in
 echo)
   case $2 in
    ''|[0-9]*|*[!A-Za-z0-9_]*) echo "$0: not a parameter: \"$2\"" >&2 ; exit 2 ;;
   esac
   eval "echo \"\${$2:-}\"" ;;
 start)
   echo up > "$flag" || exit 1%s ;;
 stop)
   ret=0
   rm -f "$flag" || ret=1%s
   exit $ret ;;
 status)
   num_check=1 failed_check=0
   [ -f "$flag" ] && read -r is < "$flag" && [ "$is" = up ] || failed_check=1%s
   [ "$failed_check" -ne "$num_check" ] || exit 1
   [ "$failed_check" -ne 0 ] || exit 0
   exit 2 ;;
 *)
   exit 2 ;;
esac
`

// A many is a node with one lock server, on which many packages run.
type many struct {
	*node
	n         int
	window    time.Duration
	names     []string
	processes bool // each package has a back-to-work of its own
	managers  []*child
}

// measureMany measures a node with n packages in one process, and with a tenth of them in as many processes: with
// the shell, and with the worker. It is to have a network of its own.
func measureMany(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench "+manyCommand, flag.ContinueOnError)
	n := flags.Int("n", 1000, "")
	window := flags.Duration("window", time.Minute, "")
	dir := flags.String("dir", "temp", "")
	only := flags.String("only", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, shell := range []string{"/bin/sh", "auto"} {
		for _, m := range []*many{{n: *n}, {n: *n / 10, processes: true}} {
			title := fmt.Sprintf("%d packages in one process, shell %s", m.n, shell)
			if m.processes {
				title = fmt.Sprintf("%d packages in %d processes, shell %s", m.n, m.n, shell)
			}
			if !strings.Contains(title, *only) {
				continue
			}
			m.window = *window
			t := &table{}
			if err := m.measure(ctx, *dir, shell, t); err != nil {
				return fmt.Errorf("%s: %w", title, err)
			}
			fmt.Printf("\n%s, pace %v\n\n", title, manyPace)
			if err := t.print(os.Stdout); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure makes the node in a directory inside dir, measures it, and leaves nothing.
func (m *many) measure(ctx context.Context, dir, shell string, t *table) (err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if dir, err = os.MkdirTemp(dir, "bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := m.install(ctx, filepath.Join(dir, "node"), shell); err != nil {
		return err
	}
	opened, err := watchOpenings(filepath.Join(m.home, "temp/up"))
	if err != nil {
		return err
	}
	defer opened.close()
	defer m.stop()
	took, err := m.start(ctx)
	if err != nil {
		return err
	}
	t.add("until all are up", "%.1f s", took.Seconds())
	used, err := m.usedByPart()
	if err != nil {
		return err
	}
	t.add("  CPU until then", "%s", inSeconds(used, 1))
	if err := sleep(ctx, manySettle); err != nil {
		return err
	}
	return m.watch(ctx, opened, t)
}

// install makes the tree, with the packages.
func (m *many) install(ctx context.Context, home, shell string) error {
	m.node = &node{name: "bench-node", entry: "localhost", home: home}
	if err := m.node.install(ctx, "bench", home, []string{m.name}, []string{m.entry}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(home, "temp/up"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, "conf/shell"), []byte(shell+"\n"), 0o644); err != nil {
		return err
	}
	for i := range m.n {
		name := fmt.Sprintf("p%d", i+1)
		m.names = append(m.names, name)
		parameters, module := "", ""
		if i%oneAddress == 0 {
			parameters = fmt.Sprintf("vip_ip_0=127.9.%d.%d\nvip_prefix_0=32\nvip_netdev_0=lo", i/250, i%250+1)
			module = "\n   . \"modules/vip.$os\""
		}
		text := fmt.Sprintf(manyScript, parameters, module, module, module)
		if err := os.WriteFile(filepath.Join(home, "packages", name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// start starts the lock server and the packages, and returns how long it took until the last was up.
func (m *many) start(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, manyUpLimit)
	defer cancel()
	began := time.Now()
	var err error
	if m.server, err = m.run("dex-lock/dex-server"); err != nil {
		return 0, err
	}
	all := [][]string{m.names}
	if m.processes {
		all = slices.Collect(slices.Chunk(m.names, 1))
	}
	for _, names := range all {
		c, err := m.run("back-to-work", names...)
		if err != nil {
			return 0, err
		}
		m.managers = append(m.managers, c)
	}
	for _, name := range m.names {
		if err := m.awaitRunning(ctx, name); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return time.Since(began), nil
}

// stop halts the packages, then the lock server.
func (m *many) stop() {
	for _, c := range m.managers {
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	late := time.After(manyEnd)
	for _, c := range m.managers {
		select {
		case <-c.ended:
		case <-late:
			fmt.Fprintln(os.Stderr, "bench: packages do not end:", m.home)
			return
		}
	}
	m.server.stop()
	for i := range m.n { // of packages that were not stopped
		if i%oneAddress == 0 {
			_ = exec.Command("ip", "addr", "del", fmt.Sprintf("127.9.%d.%d/32", i/250, i%250+1), "dev", "lo").Run()
		}
	}
}

// parts is what a node's processes are, in the order of the table. Scripts are what managers have started and
// waited for.
var parts = []string{"back-to-work", "scripts", "sh-worker", "deadman", "dex-server"}

// processesByPart finds the node's processes by the program that they run.
func (m *many) processesByPart() (map[string][]int, error) {
	found := map[string][]int{}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		var pid int
		if _, err := fmt.Sscan(p.Name(), &pid); err != nil {
			continue
		}
		exe, _ := os.Readlink(filepath.Join("/proc", p.Name(), "exe"))
		if exe != filepath.Join(m.home, "bin/btw") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		words := strings.Split(string(line), "\x00")
		for _, part := range []string{"sh-worker", "deadman", "dex-server", "back-to-work"} {
			if slices.ContainsFunc(words[:min(2, len(words))], func(w string) bool { return filepath.Base(w) == part }) {
				found[part] = append(found[part], pid)
				break
			}
		}
	}
	return found, nil
}

// usedByPart is the CPU time that each part has used.
func (m *many) usedByPart() (map[string]time.Duration, error) {
	all, err := m.processesByPart()
	if err != nil {
		return nil, err
	}
	used := map[string]time.Duration{}
	for part, pids := range all {
		for _, pid := range pids {
			whole, err := cpuTime(pid)
			if err != nil {
				return nil, err
			}
			own, err := ownTime(pid)
			if err != nil {
				return nil, err
			}
			used[part] += own
			used["scripts"] += whole - own
		}
	}
	return used, nil
}

// watch measures the node for a while.
func (m *many) watch(ctx context.Context, opened *openings, t *table) error {
	before, err := m.usedByPart()
	if err != nil {
		return err
	}
	busyBefore, err := busyTime()
	if err != nil {
		return err
	}
	opened.begin()
	if err := sleep(ctx, m.window); err != nil {
		return err
	}
	late, often := opened.end(m.names)
	after, err := m.usedByPart()
	if err != nil {
		return err
	}
	busy, err := busyTime()
	if err != nil {
		return err
	}
	used := map[string]time.Duration{}
	var sum time.Duration
	for _, part := range parts {
		used[part] = after[part] - before[part]
		sum += used[part]
	}
	minutes := m.window.Minutes()
	t.add("CPU s/min", "%s", inSeconds(used, minutes))
	t.add("  of other work meanwhile", "%.1f", (busy-busyBefore-sum).Seconds()/minutes)
	slices.Sort(late)
	t.add("status later than its pace, longest", "%.2f s", (late[len(late)-1] - manyPace).Seconds())
	t.add("  of one package in a hundred", "%.2f s", (quantile(late, 0.99) - manyPace).Seconds())
	t.add("status a package a minute", "%.1f", float64(often)/float64(m.n)/minutes)
	return m.memory(t)
}

// memory measures the share of memory that each part has.
func (m *many) memory(t *table) error {
	all, err := m.processesByPart()
	if err != nil {
		return err
	}
	var sum float64
	var texts []string
	for _, part := range parts {
		var of float64
		for _, pid := range all[part] {
			_, pss, err := residentSet(pid)
			if err != nil {
				return err
			}
			of += pss
		}
		sum += of
		texts = append(texts, fmt.Sprintf("%s %.0f", part, of))
	}
	t.add("PSS, MB", "%.0f (%s)", sum, strings.Join(texts, ", "))
	return nil
}

func inSeconds(used map[string]time.Duration, minutes float64) string {
	var sum float64
	var texts []string
	for _, part := range parts {
		of := used[part].Seconds() / minutes
		sum += of
		texts = append(texts, fmt.Sprintf("%s %.2f", part, of))
	}
	return fmt.Sprintf("%.2f (%s)", sum, strings.Join(texts, ", "))
}
