package script

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// KillUnfinished kills the actions that an earlier process began and for which nobody waits any
// more. With cgroups it kills all that is not the service. Without them an action cannot be told
// from the service: then it kills everything if starting says that one of them was a start, else
// nothing.
func (r *Runner) KillUnfinished(starting bool) error {
	if r.tree == nil {
		if !starting {
			return nil
		}
		_, err := r.KillAll(0)
		return err
	}
	var errs []error
	for _, t := range r.trees() {
		look := func() (map[int]proc, error) {
			pids, err := t.act.pids()
			if err != nil || len(pids) == 0 {
				return nil, err
			}
			return r.find(target{pids: pids})
		}
		_, err := sweep(nil, 0, look, t.act.killAll)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// trees returns all the cgroup trees in which processes of the package may be.
func (r *Runner) trees() []*tree {
	if r.tree == nil {
		return r.also
	}
	return append([]*tree{r.tree}, r.also...)
}

// findAlso opens the other cgroups that cfg.Also names, if they are there and look as this program
// makes them.
func findAlso(cfg Config, own *tree) (trees []*tree) {
	mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
	for _, path := range cfg.Also {
		if path == "" || own != nil && path == own.path || !isDir(path) {
			continue
		}
		for _, base := range append(cgroupMounts(string(mountinfo)), cfg.Cgroup) {
			below, inside := strings.CutPrefix(path, filepath.Join(base, sitesDir)+"/")
			if base == "" || !inside || strings.Contains(below, "..") {
				continue
			}
			if t, err := openTree(base, path); err == nil {
				trees = append(trees, t)
				break
			}
		}
	}
	return trees
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// SetUnits says which units of systemd belong to the package: their processes were started by
// systemd, and are neither in the package's cgroup nor do they descend from its script. Likewise groups of clinit, as
// SOCKET:GROUP.
func (r *Runner) SetUnits(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.units, r.groups = splitUnits(names)
}

// unitDepth is how deep units stand in the tree: system.slice/a.slice/b.slice/NAME.service.
const unitDepth = 4

// unitPIDs is every process in the cgroups of units, by cgroup v2 and by systemd's own hierarchy.
func unitPIDs(units []string) (pids []int) {
	if len(units) == 0 {
		return nil
	}
	mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
	points := append(cgroupMounts(string(mountinfo)), "/sys/fs/cgroup/systemd")
	for _, point := range points {
		for _, unit := range units {
			if !strings.Contains(unit, ".") {
				unit += ".service"
			}
			pids = append(pids, pidsBelow(point, unit, unitDepth)...)
		}
	}
	return pids
}

// pidsBelow is every process in cgroups called name, and below them, at most depth levels below dir.
func pidsBelow(dir, name string, depth int) (pids []int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !e.IsDir():
		case e.Name() == name:
			pids = append(pids, pidsIn(path)...)
		case depth > 1:
			pids = append(pids, pidsBelow(path, name, depth-1)...)
		}
	}
	return pids
}

func pidsIn(dir string) (pids []int) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil // gone
		}
		procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		pids = append(pids, parsePIDs(procs)...)
		return nil
	})
	return pids
}
