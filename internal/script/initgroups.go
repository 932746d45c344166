package script

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// groupXattr is where the cgroup of a command says of which group of clinit it is: for who has to kill that and
// does not know the file. A cgroup lives as long as anything in it, whatever that has made of its environment.
const groupXattr = "clinit_group"

// An initGroup is a resource group of clinit that is a package's. Its processes are the children of the daemon, and
// neither in the package's cgroup nor marked with its session.
type initGroup struct{ socket, name string }

// splitUnits takes the groups of clinit, which are SOCKET:GROUP, out of names: no unit has a slash in its name.
func splitUnits(names []string) (units []string, groups []initGroup) {
	for _, name := range names {
		i := strings.LastIndexByte(name, ':')
		if !strings.HasPrefix(name, "/") || i < 0 {
			units = append(units, name)
			continue
		}
		groups = append(groups, initGroup{name[:i], name[i+1:]})
	}
	return units, groups
}

// DaemonName is the name by which the daemon of clinit that listens on a socket marks its processes.
func DaemonName(socket string) string {
	return fmt.Sprintf("clinit-%x", sha256.Sum256([]byte(filepath.Clean(socket))))[:23]
}

// HaltFile is the file that says that a group is not to run: its package was killed. A daemon looks for it before it
// begins anything of the group, and halts that; it stays over the daemon's own death, and needs no answer of one that hangs.
func HaltFile(socket, group string) string { return filepath.Join(socket+".halted", group) }

// marks are what the environments of the group's processes have.
func (g initGroup) marks() [][]byte {
	return [][]byte{mark(ownerMark, DaemonName(g.socket)), mark("GROUP", g.name)}
}

// cgroups are those of the group's entries.
func (g initGroup) cgroups() (dirs []string) {
	for _, base := range cgroupBases("") {
		entries, _ := os.ReadDir(filepath.Join(base, sitesDir, DaemonName(g.socket)))
		for _, e := range entries {
			if dir := filepath.Join(base, sitesDir, DaemonName(g.socket), e.Name()); e.IsDir() && groupOf(dir) == g.name {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// groupPIDs is every process in the cgroups of groups.
func groupPIDs(groups []initGroup) (pids []int, err error) {
	for _, g := range groups {
		for _, dir := range g.cgroups() {
			more, err := pidsAt(dir)
			if err != nil {
				return nil, err
			}
			pids = append(pids, more...)
		}
	}
	return pids, nil
}

// haltLimit is how long the note that a group is halted may take. It is in memory, in /run, unless somebody has moved it.
const haltLimit = 200 * time.Millisecond

// halt has the daemon begin nothing of the group any more. Where the socket's directory is not there no daemon can be.
func (g initGroup) halt() error {
	done := make(chan error, 1)
	go func() { // not waited for, if the disk hangs
		path := HaltFile(g.socket, g.name)
		err := os.Mkdir(filepath.Dir(path), 0o755)
		if errors.Is(err, fs.ErrNotExist) {
			done <- nil
			return
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if err == nil {
			err = f.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("cannot have clinit leave group %s halted: %w", g.name, err)
		}
		return nil
	case <-time.After(haltLimit):
		return fmt.Errorf("cannot have clinit leave group %s halted: the disk of %s hangs", g.name, g.socket)
	}
}

// haltGroups does so for all groups of the package.
func (r *Runner) haltGroups() (err error) {
	for _, g := range r.initGroups() {
		err = errors.Join(err, g.halt())
	}
	return err
}

// killGroups kills what is in the cgroups of the package's groups.
func (r *Runner) killGroups() {
	for _, g := range r.initGroups() {
		for _, dir := range g.cgroups() {
			killCgroup(dir)
		}
	}
}

func (r *Runner) initGroups() []initGroup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.groups
}

// ofGroup says whether an environment is that of a process of one of groups.
func ofGroup(env []byte, groups []initGroup) bool {
	for _, g := range groups {
		all := true
		for _, m := range g.marks() {
			all = all && bytes.Contains(env, m)
		}
		if all {
			return true
		}
	}
	return false
}
