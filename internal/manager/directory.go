package manager

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/notes"
)

// Dirs is where the directories of the packages of this node stand.
type Dirs interface {
	// Take makes this process the package's manager on this node, and takes over what a dead one has left.
	// goesOn says that the package runs already: then a disk that cannot be written is no reason to refuse.
	// The error is a [RunsError] where there is a manager already.
	Take(name string, goesOn bool) (Dir, error)
	// Guard makes this process the package's deadman, until the closer is closed.
	LockAsDeadman(name string) (io.Closer, error)
	// HasDeadman says whether a deadman may act on the package.
	HasDeadman(name string) bool
	// Notes is the notes of the package, for a process that is not its manager.
	Notes(name string) *notes.Dir
}

// A Dir is the directory of a package that this process runs.
type Dir interface {
	Notes() *notes.Dir
	Serve(answer func(Request) Answer) // answers users from now on
	Leave()                            // gives the directory up as it stands: another process goes on with the package
	Remove()                           // gives the directory up, and removes it
}

// A Home is where back-to-work is installed: its temp has a lockdir_P for each package P, with role and
// pkg_state of a package that a manager runs here; pid, which that manager keeps locked for as long as it
// lives; deadman, which its deadman does; and ask, a socket on which users ask for something.
type Home string

// DirPrefix begins the name of each package's directory.
const DirPrefix = "lockdir_"

const (
	pidFile     = "pid"
	deadmanFile = "deadman"
)

// Path is the directory of a package.
func (h Home) Path(name string) string { return filepath.Join(string(h), "temp", DirPrefix+name) }

// Notes is the notes in the directory of a package.
func (h Home) Notes(name string) *notes.Dir { return notes.In(h.Path(name)) }

// A RunsError is of a package that has a manager already, in the original's words.
type RunsError string

func (p RunsError) Error() string {
	return fmt.Sprintf("back-to-work is already running for package %s.", string(p))
}

// A lockDir is a directory that this process has taken.
type lockDir struct {
	path  string
	pid   *os.File
	ask   net.Listener // nil where nobody can ask
	notes *notes.Dir
	open  sync.WaitGroup // requests that are being answered
}

// Take makes this process the package's manager on this node.
func (h Home) Take(name string, goesOn bool) (Dir, error) {
	d, err := h.take(name, goesOn)
	if err != nil {
		return nil, err
	}
	d.ask, err = listen(d.path, string(h), name)
	if err != nil && !goesOn {
		return nil, errors.Join(fmt.Errorf("cannot make the socket for requests: %w", err), d.pid.Close())
	}
	return d, nil
}

func (h Home) take(name string, goesOn bool) (*lockDir, error) {
	dir := h.Path(name)
	path := filepath.Join(dir, pidFile)
	for range 100 {
		f, err := openToLock(path, goesOn)
		if os.IsNotExist(err) {
			continue // removed this moment
		}
		if err != nil {
			return nil, fmt.Errorf("cannot make the state files: %w", err)
		}
		if err := FlockPatiently(f, Briefly); err != nil {
			_ = f.Close()
			return nil, RunsError(name)
		}
		if !same(f, path) { // removed between open and flock
			_ = f.Close()
			continue
		}
		if err := writePID(f); err != nil && !goesOn {
			return nil, errors.Join(err, f.Close())
		}
		return &lockDir{path: dir, pid: f, notes: notes.In(dir)}, nil
	}
	return nil, fmt.Errorf("cannot take %s: it comes and goes", dir)
}

// openToLock opens the file at path, and makes it, with its directory, if there is none. With readOnly a file
// that cannot be written will do: on a disk that cannot be written any more it can be locked all the same.
func openToLock(path string, readOnly bool) (*os.File, error) {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err != nil && !readOnly {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil && readOnly {
		return os.Open(path)
	}
	return f, err
}

// writePID makes this process's id the first line of f, which others read at any time.
func writePID(f *os.File) error {
	line := fmt.Appendln(nil, os.Getpid())
	if _, err := f.WriteAt(line, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(line)))
}

// Briefly is so many tries to lock a file that a status command which looks at it is done before the last.
const Briefly = 10

// FlockPatiently locks f, unless another has it locked for longer than the moment that a
// status command takes to look: so many tries, 20 ms apart.
func FlockPatiently(f *os.File, tries int) (err error) {
	for range tries {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// same says whether f is still the file at path.
func same(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// Notes is the notes in the directory.
func (d *lockDir) Notes() *notes.Dir { return d.notes }

// Serve answers what users ask.
func (d *lockDir) Serve(answer func(Request) Answer) {
	if d.ask != nil {
		d.open.Go(func() { serve(d.ask, &d.open, answer) }) // it ends with the listener
	}
}

// Leave gives the directory up as it stands: another process goes on with the package.
func (d *lockDir) Leave() {
	if d.ask != nil {
		_ = d.ask.Close()
		d.finish()
	}
	_ = d.pid.Close()
}

// finish waits until who has asked is answered, but not long: who asks may be slow.
func (d *lockDir) finish() {
	const limit = 200 * time.Millisecond
	answered := make(chan struct{})
	go func() {
		d.open.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(limit):
	}
}

// Remove removes the directory, and only then unlocks it: who comes next makes a new one.
func (d *lockDir) Remove() {
	_ = d.notes.Sync() // a note that comes late would make the directory anew
	aside := filepath.Join(filepath.Dir(d.path), fmt.Sprintf(".gone-%d-%s", os.Getpid(), filepath.Base(d.path)))
	if os.Rename(d.path, aside) != nil { // at once, for who looks meanwhile
		aside = d.path
	}
	_ = os.RemoveAll(aside)
	d.Leave()
}

// ManagerOf is the process that runs the package here, 0 if none does.
func (h Home) ManagerOf(name string) (pid int, err error) {
	f, err := os.Open(filepath.Join(h.Path(name), pidFile))
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

// LockAsDeadman makes this process the package's deadman. It waits for an earlier one that is about to end. The lock
// is what counts: the process id in the file is for people.
func (h Home) LockAsDeadman(name string) (io.Closer, error) {
	f, err := openToLock(filepath.Join(h.Path(name), deadmanFile), true)
	if err != nil {
		return nil, fmt.Errorf("cannot make the state files: %w", err)
	}
	const untilItEnds = 50 // tries, a second
	if FlockPatiently(f, untilItEnds) != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another deadman guards package %s", name)
	}
	_ = writePID(f)
	return f, nil
}

// HasDeadman says whether a deadman may act on the package.
func (h Home) HasDeadman(name string) bool {
	f, err := os.Open(filepath.Join(h.Path(name), deadmanFile))
	if err != nil {
		return false // there is none
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
