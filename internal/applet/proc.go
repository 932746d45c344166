package applet

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A process is what /proc says of one.
type process struct {
	pid, parent    int
	name, line     string // the name, at most 15 characters; the command line
	user, realUser int
	start          uint64 // in ticks since boot
}

// processes is what the search finds, in order of pid.
func (s *search) processes() ([]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	not := map[int]bool{os.Getpid(): true}
	if s.ignoreAncestors {
		not = lineage(all, os.Getpid())
	}
	found := slices.DeleteFunc(all, func(p process) bool { return not[p.pid] || s.fits(p) == s.inverse })
	if len(found) > 1 && (s.newest || s.oldest) {
		byStart := func(a, b process) int {
			if a.start != b.start {
				return int(min(max(int64(a.start)-int64(b.start), -1), 1))
			}
			return a.pid - b.pid
		}
		one := slices.MinFunc(found, byStart)
		if s.newest {
			one = slices.MaxFunc(found, byStart)
		}
		found = []process{one}
	}
	return found, nil
}

func (s *search) fits(p process) bool {
	among := func(ids []int, id int) bool { return ids == nil || slices.Contains(ids, id) }
	return among(s.users, p.user) && among(s.realUsers, p.realUser) && among(s.parents, p.parent) &&
		(s.pattern == nil || s.pattern.MatchString(p.line) || s.named && s.pattern.MatchString(p.name))
}

// lineage is pid, its parent, and so on.
func lineage(all []process, pid int) map[int]bool {
	parents := map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.parent
	}
	line := map[int]bool{}
	for ; pid != 0 && !line[pid]; pid = parents[pid] {
		line[pid] = true
	}
	return line
}

// parseStat reads "PID (NAME) STATE PARENT ...": the name may have anything in it, also
// parentheses; the start is the 22nd field.
func (p *process) parseStat(stat string) bool {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return false
	}
	p.name = oneLine(stat[open+1 : end])
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return false
	}
	var err1, err2 error
	p.parent, err1 = strconv.Atoi(fields[1])
	p.start, err2 = strconv.ParseUint(fields[19], 10, 64)
	return err1 == nil && err2 == nil
}

// parseCommand reads the arguments, which end in NUL each. A kernel thread and a zombie
// have none.
func (p *process) parseCommand(args []byte) {
	p.line = oneLine(string(bytes.ReplaceAll(bytes.TrimRight(args, "\x00"), []byte{0}, []byte{' '})))
	if p.line == "" {
		p.line = p.name
	}
}

// oneLine makes ^ and $ of a pattern mean the ends of the whole, and each process one line.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
