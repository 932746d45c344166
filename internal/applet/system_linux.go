package applet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// allProcesses is every process of this machine that can be seen, in order of pid.
func allProcesses() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err == nil && len(dirs) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read /proc: %w", err)
	}
	var all []process
	for _, dir := range dirs {
		p := process{}
		if p.pid, err = strconv.Atoi(filepath.Base(dir)); err != nil {
			continue
		}
		if p.read(dir) { // else it has just ended
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b process) int { return a.pid - b.pid })
	return all, nil
}

func (p *process) read(dir string) bool {
	stat, err1 := os.ReadFile(dir + "/stat")
	status, err2 := os.ReadFile(dir + "/status")
	line, err3 := os.ReadFile(dir + "/cmdline")
	if err1 != nil || err2 != nil || err3 != nil || !p.parseStat(string(stat)) {
		return false
	}
	p.parseCommand(line)
	_, uids, _ := strings.Cut(string(status), "\nUid:")
	_, err := fmt.Sscan(uids, &p.realUser, &p.user)
	return err == nil
}
