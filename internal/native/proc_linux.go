package native

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A process is what /proc says of one.
type process struct {
	pid, parent    int
	name, line     string // the name, at most 15 characters; the command line, in one line
	args           []byte // as /proc has them
	state          byte
	tty            int
	user, realUser int
	ticks          uint64 // of processor time
	start          uint64 // in ticks since boot
}

// pidNumbers is the number of every process, in order.
func pidNumbers() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all, nil
}

// readProcess is false when there is none by that number.
func readProcess(pid int) (p process, ok bool) {
	p.pid = pid
	stat, err := os.ReadFile(p.file("stat"))
	return p, err == nil && p.parseStat(string(stat))
}

func (p *process) file(name string) string { return "/proc/" + strconv.Itoa(p.pid) + "/" + name }

// command reads the command line, and writes it as procps does.
func (p *process) command() (ok bool) {
	var err error
	if p.args, err = os.ReadFile(p.file("cmdline")); err != nil {
		return false
	}
	p.line = string(bytes.ReplaceAll(bytes.TrimRight(p.args, "\x00"), []byte{0}, []byte{' '}))
	if p.line == "" {
		p.line = "[" + p.name + "]"
		if p.state == 'Z' {
			p.line += " <defunct>"
		}
	}
	p.line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, p.line)
	return true
}

// owners reads whose the process is.
func (p *process) owners() bool {
	status, err := os.ReadFile(p.file("status"))
	if err != nil {
		return false
	}
	_, uids, _ := strings.Cut(string(status), "\nUid:")
	_, err = fmt.Sscan(uids, &p.realUser, &p.user)
	return err == nil
}

// parseStat reads "PID (NAME) STATE PARENT ...": the name may have anything in it.
func (p *process) parseStat(stat string) bool {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return false
	}
	p.name = stat[open+1 : end]
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return false
	}
	p.state = fields[0][0]
	user, err1 := strconv.ParseUint(fields[11], 10, 64)
	system, err2 := strconv.ParseUint(fields[12], 10, 64)
	p.ticks = user + system
	var err3, err4, err5 error
	p.parent, err3 = strconv.Atoi(fields[1])
	p.tty, err4 = strconv.Atoi(fields[4])
	p.start, err5 = strconv.ParseUint(fields[19], 10, 64)
	return err1 == nil && err2 == nil && err3 == nil && err4 == nil && err5 == nil
}

// pidList reads the numbers of processes.
func pidList(args []string) (pids []int, ok bool) {
	for _, arg := range args {
		pid, err := strconv.Atoi(arg)
		if err != nil || !digits(arg) || pid > 1<<22 {
			return nil, false
		}
		pids = append(pids, pid)
	}
	return pids, true
}

// pidof prints the processes of a program, the newest number first. A process that is only in some respects
// one of it (by its name, or by its first argument) is left to pidof.
func pidof(ctx context.Context, c *Call) (int, bool) {
	names := c.Args[1:]
	if len(names) != 1 || names[0] == "" || names[0][0] == '-' || strings.ContainsAny(names[0], "/ ") {
		return 0, false
	}
	name := names[0]
	pids, err := pidNumbers()
	if err != nil {
		return 0, false
	}
	var found []string
	for _, pid := range slices.Backward(pids) {
		p, ok := readProcess(pid)
		if !ok || !p.command() {
			continue
		}
		first, second, _ := bytes.Cut(p.args, []byte{0})
		second, _, _ = bytes.Cut(second, []byte{0})
		byName := p.name == name[:min(len(name), 15)]
		byArg := len(p.args) > 0 && baseName(string(first)) == name
		switch {
		case !byName && !byArg && baseName(string(second)) != name:
		case byName && byArg && p.state != 'Z' && p.state != 'D':
			found = append(found, strconv.Itoa(pid))
		default:
			return 0, false
		}
	}
	if len(found) == 0 {
		return 1, true
	}
	return c.say(ctx, strings.Join(found, " ")+"\n")
}

// ps knows -p with one process, and -o with one column without a head.
func ps(ctx context.Context, c *Call) (int, bool) {
	pid, column, ok := psArgs(c.Args[1:])
	if !ok {
		return 0, false
	}
	p, alive := readProcess(pid)
	alive = alive && p.command()
	if alive && (p.state == 'Z' || p.tty != 0) && !discards(c.Stdout) || !ascii([]byte(p.name+p.line)) {
		return 0, false
	}
	limit, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return 0, false
	}
	width := 0
	if n, err := strconv.Atoi(strings.TrimSpace(string(limit))); err == nil {
		width = len(strconv.Itoa(n - 1))
	}
	text := map[string]string{"comm=": p.name, "args=": p.line, "cmd=": p.line, "command=": p.line}[column]
	switch column {
	case "pid=":
		text = fmt.Sprintf("%*d", width, pid)
	case "ppid=":
		text = fmt.Sprintf("%*d", width, p.parent)
	case "":
		s := p.ticks / 100
		text = fmt.Sprintf("%*d ?        %02d:%02d:%02d %s", width, pid, s/3600, s/60%60, s%60, p.name)
		if s >= 24*3600 {
			return 0, false
		}
	}
	r := &result{}
	if column == "" {
		fmt.Fprintf(&r.out, "%*s TTY          TIME CMD\n", width, "PID")
	}
	if alive {
		r.out.WriteString(text + "\n")
	} else {
		r.status = 1
	}
	return c.finish(ctx, r, 1)
}

// psArgs is the process and the column of -o, if that is given.
func psArgs(args []string) (pid int, column string, ok bool) {
	for i := 0; i < len(args); i++ {
		value := func() string {
			if len(args[i]) > 2 {
				return args[i][2:]
			}
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch {
		case strings.HasPrefix(args[i], "-p") && pid == 0:
			pids, ok := pidList([]string{value()})
			if !ok || pids[0] == 0 {
				return 0, "", false
			}
			pid = pids[0]
		case strings.HasPrefix(args[i], "-o") && column == "":
			column = value()
			if !slices.Contains([]string{"comm=", "args=", "cmd=", "command=", "pid=", "ppid="}, column) {
				return 0, "", false
			}
		default:
			return 0, "", false
		}
	}
	return pid, column, pid != 0
}
