package script

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the package's part of the cgroup tree. What a kill needs is opened beforehand.
type tree struct {
	base, path string
	act        *cgroup // what actions run in
	svc        *cgroup // what a successful start left
}

type cgroup struct {
	path string
	held atomic.Pointer[held]

	killed  atomic.Bool // the cgroup was killed since entry was made
	mu      sync.Mutex
	entries *os.Root // nil, but for a test: where entry is instead
	entry   string   // where scripts are started: ".", or a cgroup below it
}

var entriesMade atomic.Int64 // by this process, in any cgroup

// held are the files of a cgroup that are kept open.
type held struct {
	root *os.Root
	kill *os.File // nil before Linux 5.14
	info fs.FileInfo
}

// findTree makes the package's cgroups; nil where there can be none.
func findTree(cfg Config) *tree {
	sub := filepath.Join(siteDir(cfg.Home, cfg.Node), cfg.Name)
	for _, base := range cgroupBases(cfg.Cgroup) {
		// Another manager that ends may remove a directory that we have just made.
		for range 10 {
			t, err := openTree(base, filepath.Join(base, sub))
			if err == nil {
				return t
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
				break
			}
		}
	}
	return nil
}

// cgroupBases is the cgroup2 directories that a configuration names: all that are mounted for "", none for "none".
func cgroupBases(cgroup string) []string {
	switch cgroup {
	case "none":
		return nil
	case "":
		data, _ := os.ReadFile("/proc/self/mountinfo")
		return cgroupMounts(string(data))
	}
	return []string{cgroup}
}

// cgroupMounts takes the mount points of cgroup2 out of mountinfo.
func cgroupMounts(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		head, tail, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(head); strings.HasPrefix(tail, "cgroup2 ") && len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	return points
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func openTree(base, path string) (_ *tree, err error) {
	// Elsewhere, or in a cgroup of version 1, nothing may be made.
	if _, err := os.Stat(filepath.Join(base, "cgroup.controllers")); err != nil {
		return nil, fmt.Errorf("cannot use %q: not a cgroup2 directory", base)
	}
	t := &tree{base: base, path: path}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.act, err = openCgroup(filepath.Join(path, "act")); err != nil {
		return nil, err
	}
	if t.svc, err = openCgroup(filepath.Join(path, "svc")); err != nil {
		return nil, err
	}
	for _, c := range []*cgroup{t.act, t.svc} {
		pids, err := c.pids()
		if err != nil {
			return nil, err
		}
		if slices.Contains(pids, os.Getpid()) {
			return nil, fmt.Errorf("cannot use cgroup %q: it would kill this process too", path)
		}
	}
	return t, nil
}

func openCgroup(path string) (*cgroup, error) {
	c := &cgroup{path: path}
	return c, c.open()
}

// open makes the cgroup, if it is not there, and opens it.
func (c *cgroup) open() error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(c.path, 0o755)
	fresh := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	h := &held{}
	if h.root, err = os.OpenRoot(c.path); err != nil {
		return err
	}
	procs, err := h.root.OpenFile("cgroup.procs", os.O_RDWR, 0)
	if err == nil {
		procs.Close()
		h.info, err = h.root.Stat(".")
	}
	if err != nil {
		h.root.Close()
		return err
	}
	h.kill, _ = h.root.OpenFile("cgroup.kill", os.O_WRONLY, 0)
	c.entry = "."
	c.killed.Store(!fresh) // by an earlier manager, perhaps
	c.held.Store(h)
	return nil
}

// now returns the open files of c. If somebody removed the cgroup (it was empty then), they are
// those of the one that another process made in its place. If there is none and toBeMade is set,
// now makes it.
func (c *cgroup) now(toBeMade bool) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held.Load()
	info, err := os.Stat(c.path) // opens nothing: the file table may be full
	gone := errors.Is(err, fs.ErrNotExist)
	if gone && toBeMade || err == nil && !os.SameFile(info, h.info) {
		_ = c.open() // the old files stay open for those who use them, until nobody does
	}
	return c.held.Load()
}

// pids is every process in c and in the cgroups that its processes have made below it.
func (c *cgroup) pids() ([]int, error) { return pidsOf(c.now(false).root) }

func pidsOf(root *os.Root) ([]int, error) {
	var pids []int
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case exhausted(err):
			return err
		case err != nil || !d.IsDir():
			return nil // gone
		}
		data, err := root.ReadFile(filepath.Join(path, "cgroup.procs"))
		if exhausted(err) {
			return err
		}
		pids = append(pids, parsePIDs(data)...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes of a cgroup: %w", err)
	}
	return pids, nil
}

// parsePIDs takes the processes out of a cgroup.procs; 0 is one of another namespace.
func parsePIDs(procs []byte) (pids []int) {
	for field := range strings.FieldsSeq(string(procs)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pids is every process in t.
func (t *tree) pids() ([]int, error) {
	act, err := t.act.pids()
	if err != nil {
		return nil, err
	}
	svc, err := t.svc.pids()
	return append(act, svc...), err
}

func (c *cgroup) add(pid int) error {
	return c.now(true).root.WriteFile("cgroup.procs", []byte(strconv.Itoa(pid)), 0)
}

// enter opens the directory that a script is to be started in. Since Linux 6.14 a process that is
// started straight into a cgroup that was ever killed is killed too (the kernel compares the
// cgroup's count of kills with that of the parent's cgroup). So after each kill it is a new
// cgroup below c: every look at c and every kill of c covers it.
func (c *cgroup) enter() (*os.File, error) {
	root := c.now(true).root
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries != nil {
		root = c.entries
	}
	if !c.killed.Load() {
		if dir, err := root.Open(c.entry); err == nil {
			return dir, nil
		}
	}
	c.tidy(root)
	c.entry = fmt.Sprintf("entry-%d-%d", os.Getpid(), entriesMade.Add(1))
	c.killed.Store(false)
	if err := root.Mkdir(c.entry, 0o755); err != nil {
		c.killed.Store(true)
		return nil, err
	}
	return root.Open(c.entry)
}

// tidy removes the entries below root that are empty.
func (c *cgroup) tidy(root *os.Root) {
	dirs, _ := fs.Glob(root.FS(), "entry-*")
	for _, dir := range dirs {
		_ = root.Remove(dir)
	}
}

// killAll sends SIGKILL to all in c and below at once; nothing can fork itself out of it.
func (c *cgroup) killAll() {
	if kill := c.now(false).kill; kill != nil {
		c.killed.Store(true)
		_, _ = kill.WriteAt([]byte("1"), 0)
		c.killed.Store(true) // of an entry that was made in between too
	}
}

func (c *cgroup) close() {
	if c == nil || c.held.Load() == nil {
		return
	}
	c.tidy(c.held.Load().root)
	c.shut()
}

// shut closes what is open of c.
func (c *cgroup) shut() {
	h := c.held.Load()
	h.root.Close()
	if h.kill != nil {
		h.kill.Close()
	}
}

// close removes what is empty; other packages of this home may still be in the upper directories.
func (t *tree) close() {
	t.act.close()
	t.svc.close()
	for _, path := range []string{filepath.Join(t.path, "act"), filepath.Join(t.path, "svc")} {
		_ = os.Remove(path)
	}
	for path := t.path; path != t.base; path = filepath.Dir(path) {
		_ = os.Remove(path)
	}
}

// Settle is called after a successful start: what it left running is the service now, and is no
// longer killed with an action.
func (r *Runner) Settle() error {
	if !r.inTree() {
		// Remember them while they can be told by their environment.
		if _, err := r.findAll(); err != nil {
			return err
		}
	}
	if r.tree == nil {
		return nil
	}
	failed := errors.New("it forks without end")
	for end := now() + time.Second; ; {
		pids, err := r.tree.act.pids() // this comes first: what an action starts later is not in the list
		if err != nil {
			return err
		}
		busy, err := r.busy(nil)
		if err != nil {
			return err
		}
		left := 0
		for _, pid := range pids {
			if _, ok := busy[pid]; ok {
				continue
			}
			if other, err := aside(pid, r.marks); other || err != nil {
				if err != nil {
					return err
				}
				continue // a manager leaves the cgroup by itself
			}
			left++
			if err := r.tree.svc.add(pid); err != nil && !errors.Is(err, unix.ESRCH) {
				failed = err
			}
		}
		if left == 0 {
			return nil
		}
		if now() > end {
			return fmt.Errorf("cannot keep apart what package %q left running: %w", r.cfg.Name, failed)
		}
	}
}
