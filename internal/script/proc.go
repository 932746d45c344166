package script

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Process is a process of the package.
type Process struct {
	PID     int
	Command string
}

// proc is what /proc/PID/stat says of a process. Pid and start together name it for good.
type proc struct {
	pid, ppid, pgrp int
	start           uint64 // ticks since boot
	env             uint64 // where its environment is, another place after each exec; 0 if that is not shown
	zombie          bool
	ours            bool // its name is one that our programs may have
}

// mayBeAside says whether p may run beside packages: such a process leads a group, or has a name of
// ours. Only of these the environment is read; to read it of all takes so long that a chain of
// forks could get away.
func (p proc) mayBeAside() bool { return p.pgrp == p.pid || p.ours }

// ourNames are what our programs may be called. A program that was started from memory is "exe".
var ourNames = []string{"exe", "btw", "back-to-work", "deadman", "dex-server", "watchdog"}

// processes is every process of this machine that can be seen, by pid.
func processes() (map[int]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	procs := make(map[int]proc, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		switch p, err := readProc(pid); {
		case err == nil:
			procs[pid] = p
		case exhausted(err):
			return nil, fmt.Errorf("cannot list processes: %w", err)
		}
	}
	return procs, nil
}

// exhausted says whether err means that this process lacks something (files, memory), not that the
// other process has gone. A list with gaps would look like an end, so then there must be no list.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// readProc reads one process; it is an error if there is none.
func readProc(pid int) (proc, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, err
	}
	return parseStat(pid, data)
}

// parseStat takes the fields after the command, which may itself have blanks and brackets.
func parseStat(pid int, data []byte) (proc, error) {
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return proc{}, fmt.Errorf("cannot read the state of process %d", pid)
	}
	num := func(i int) int {
		n, _ := strconv.Atoi(string(fields[i]))
		return n
	}
	start, _ := strconv.ParseUint(string(fields[19]), 10, 64)
	var env uint64
	if len(fields) > 47 {
		env, _ = strconv.ParseUint(string(fields[47]), 10, 64)
	}
	state := fields[0][0]
	return proc{
		pid: pid, ppid: num(1), pgrp: num(2), start: start, env: env,
		// A process whose first thread has ended looks like a zombie, but the others run on.
		zombie: state == 'X' || state == 'Z' && num(17) <= 1,
		ours:   slices.Contains(ourNames, commOf(data)),
	}, nil
}

// commOf is the command in /proc/PID/stat.
func commOf(data []byte) string {
	_, rest, _ := bytes.Cut(data, []byte("("))
	return string(rest[:max(0, bytes.LastIndexByte(rest, ')'))])
}

// environ is the environment that process pid was started with, a NUL before and after every
// variable; empty if it cannot be read.
func environ(pid int) ([]byte, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	switch {
	case exhausted(err):
		return nil, fmt.Errorf("cannot read the environment of process %d: %w", pid, err)
	case err != nil || len(data) == 0:
		return nil, nil
	}
	return append(append([]byte{0}, data...), 0), nil
}

// owns says whether process pid has the marks of t, or of one of its groups.
func (t target) owns(pid int) (bool, error) {
	if len(t.groups) == 0 {
		return marked(pid, t.marks)
	}
	ok, err := marked(pid, t.marks)
	if ok || err != nil {
		return ok, err
	}
	env, err := environ(pid)
	return ofGroup(env, t.groups), err
}

// command is the command line of process pid, on one short line.
func command(pid int) string {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	line := string(bytes.ReplaceAll(bytes.TrimRight(data, "\x00"), []byte{0}, []byte{' '}))
	if line == "" {
		data, _ = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		line = "[" + strings.TrimSpace(string(data)) + "]"
	}
	line = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, line)
	if runes := []rune(line); len(runes) > 200 {
		line = string(runes[:197]) + "..."
	}
	return line
}

// InWords is processes as a person is told of them.
func InWords(of []Process) string {
	var words []string
	for _, p := range of {
		words = append(words, fmt.Sprintf("%s (pid %d)", p.Command, p.PID))
	}
	return strings.Join(words, ", ")
}

func pause(d time.Duration) { <-time.After(d) }

func list(found map[int]proc) []Process {
	var l []Process
	for _, pid := range slices.Sorted(maps.Keys(found)) {
		l = append(l, Process{PID: pid, Command: command(pid)})
	}
	return l
}
