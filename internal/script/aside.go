package script

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// sitesDir is the directory, below a cgroup2 mount, for all that is ours.
const sitesDir = "back-to-work"

// siteDir is the directory, below a cgroup2 mount, for all that belongs to one home on one node.
func siteDir(home, node string) string {
	sum := sha256.Sum256([]byte(home + "\x00" + node))
	return filepath.Join(sitesDir, hex.EncodeToString(sum[:8]))
}

// Aside moves a process into a cgroup of its own called name, so that who ends the cgroup of
// the process that started it does not end it too. Without cgroup v2 there is nothing to do.
func Aside(home, node, name string, pid int) error {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("cannot find the cgroups: %w", err)
	}
	var errs []error
	for _, base := range cgroupMounts(string(mountinfo)) {
		tidyAside(base, name)
		dir := filepath.Join(base, siteDir(home, node), name)
		var err error
		for range 3 { // another that tidies may remove what was just made
			if err = os.MkdirAll(dir, 0o755); err == nil {
				err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
			}
			if err == nil {
				return nil
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tidyAside removes what earlier processes of that name left: cgroups in which nothing runs.
func tidyAside(base, name string) {
	dirs, err := fs.Glob(os.DirFS(base), path.Join(sitesDir, "*", name)) // base may have brackets in it
	if err != nil {
		return
	}
	for _, dir := range dirs {
		dir = filepath.Join(base, dir)
		if os.Remove(dir) == nil { // fails where something runs
			_ = os.Remove(filepath.Dir(dir))
		}
	}
}
