package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// cgroupOfAll makes the cgroup in which each key is to have its own; "" where there can be none.
func cgroupOfAll(cfg CommandsConfig) string {
	for _, base := range cgroupBases(cfg.Cgroup) {
		if _, err := os.Stat(filepath.Join(base, "cgroup.controllers")); err != nil {
			continue // of version 1
		}
		c, err := openCgroup(filepath.Join(base, sitesDir, cfg.Name))
		if err != nil {
			continue
		}
		pids, err := c.pids()
		c.shut()
		if err == nil && !slices.Contains(pids, os.Getpid()) { // else this process would be killed too
			return c.path
		}
	}
	return ""
}

// pidsAt is every process in the cgroup, and below; none if it is not there.
func pidsAt(path string) ([]int, error) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil, nil
	}
	if st.Nlink <= 2 { // as of most: there is none below
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if exhausted(err) {
			return nil, fmt.Errorf("cannot list the processes of a cgroup: %w", err)
		}
		return parsePIDs(data), nil
	}
	root, err := os.OpenRoot(path)
	if exhausted(err) {
		return nil, fmt.Errorf("cannot list the processes of a cgroup: %w", err)
	}
	if err != nil {
		return nil, nil
	}
	defer root.Close()
	return pidsOf(root)
}

// killCgroup kills all in the cgroup and below at once, if the kernel can.
func killCgroup(path string) {
	if f, err := os.OpenFile(filepath.Join(path, "cgroup.kill"), os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("1")
		f.Close()
	}
}

// removeEmpty removes the cgroup, and those below it, as far as nothing is in them.
func removeEmpty(path string) {
	if err := os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	var dirs []string
	_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir)
	}
}
