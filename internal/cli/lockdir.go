package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/failover"
	"backtowork/internal/notes"
)

// A lockDir is temp/lockdir_P: role and pkg_state of a package that a manager runs here, and
// pid, which that manager keeps locked for as long as it lives.
type lockDir struct {
	path  string
	pid   *os.File
	notes *notes.Dir
	gone  atomic.Bool // what stands in the directory is the next manager's
}

const lockDirPrefix = "lockdir_"

func lockDirPath(home, name string) string { return filepath.Join(home, "temp", lockDirPrefix+name) }

// takeLockDir makes this process the package's manager on this node. What a dead one left is
// taken over.
// The notes called forgotten are for a manager that is no more.
func takeLockDir(home, name string, forgotten ...string) (*lockDir, error) {
	dir := lockDirPath(home, name)
	path := filepath.Join(dir, "pid")
	for range 100 {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make the state files: %w", err)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if os.IsNotExist(err) {
			continue // removed this moment
		}
		if err != nil {
			return nil, fmt.Errorf("cannot make the state files: %w", err)
		}
		if err := flockPatiently(f, briefly); err != nil {
			_ = f.Close()
			return nil, alreadyRuns(name)
		}
		if !same(f, path) { // removed between open and flock
			_ = f.Close()
			continue
		}
		if err := writePID(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		for _, note := range forgotten {
			if err := os.Remove(filepath.Join(dir, note)); err != nil && !os.IsNotExist(err) {
				return nil, errors.Join(err, f.Close()) // it was meant for an earlier manager
			}
		}
		return &lockDir{path: dir, pid: f, notes: notes.In(dir)}, nil
	}
	return nil, fmt.Errorf("cannot take %s: it comes and goes", dir)
}

// writePID makes this process's id the first line of f, which others read at any time.
func writePID(f *os.File) error {
	line := fmt.Appendln(nil, os.Getpid())
	if _, err := f.WriteAt(line, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(line)))
}

// alreadyRuns is an error in the original's words.
type alreadyRuns string

func (p alreadyRuns) Error() string {
	return fmt.Sprintf("back-to-work is already running for package %s.", string(p))
}

// briefly is how often it is tried to lock a file that a status command may be looking at.
const briefly = 10

// flockPatiently locks f, unless another has it locked for longer than the moment that a
// status command takes to look.
func flockPatiently(f *os.File, tries int) (err error) {
	for range tries {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// haltSignal tells a manager to look which of its packages are asked for something: there is a
// file of that name in lockdir_P.
const haltSignal = syscall.SIGUSR2

// What a manager can be asked for.
const (
	haltNote    = "halt"
	unblockNote = string(failover.Look)
	clearNote   = string(failover.Forget)
	upgradeNote = "upgrade" // the program to become
)

// allNotes are what a manager that is started by hand does not do for an earlier one.
var allNotes = []string{haltNote, unblockNote, clearNote, upgradeNote}

// versionNote is what a manager writes when it begins: the version of its program.
const versionNote = "version"

// askManager asks the manager pid for something, for one package of those that it may run.
func askManager(home, name string, pid int, what, text string) error {
	// Not by a note: a directory that is gone, since the manager ended, must stay so.
	err := os.WriteFile(filepath.Join(lockDirPath(home, name), what), []byte(text+"\n"), 0o644)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cannot ask for %s of package %s: %w", what, name, err)
	}
	if pid != 0 {
		_ = syscall.Kill(pid, haltSignal) // it may have ended this moment
	}
	return nil
}

// asked says whether the package was asked for that, once for each time, and with what text.
func (d *lockDir) asked(what string) (text string, ok bool) {
	if d.gone.Load() {
		return "", false
	}
	path := filepath.Join(d.path, what)
	b, err := os.ReadFile(path)
	if err != nil || os.Remove(path) != nil {
		return "", false
	}
	return strings.TrimSpace(string(b)), true
}

// same says whether f is still the file at path.
func same(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// leave ends it, for a process that others go on for: what stands in the directory stays.
func (d *lockDir) leave() {
	d.gone.Store(true)
	_ = d.pid.Close()
}

// remove ends it. The directory goes before the lock: who comes next makes a new one.
func (d *lockDir) remove() {
	d.gone.Store(true)
	_ = d.notes.Sync() // a note that comes late would make the directory anew
	aside := filepath.Join(filepath.Dir(d.path), fmt.Sprintf(".gone-%d-%s", os.Getpid(), filepath.Base(d.path)))
	if os.Rename(d.path, aside) != nil { // at once, for who looks meanwhile
		aside = d.path
	}
	_ = os.RemoveAll(aside)
	_ = d.pid.Close()
}

// managerOf is the process that runs the package here, 0 if none does.
func managerOf(home, name string) (pid int, err error) {
	f, err := os.Open(filepath.Join(lockDirPath(home, name), "pid"))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0, nil // its manager is dead
	}
	var b [32]byte
	n, err := f.Read(b[:])
	if err != nil {
		return 0, fmt.Errorf("cannot read who runs package %s: %w", name, err)
	}
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}
