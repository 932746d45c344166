package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"backtowork/internal/deadman"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

// recordNote is the note in lockdir_P that says what there is to go on with, or to stop, where
// manager and deadman were killed at once.
const recordNote = "record"

// A record is that note.
type record struct {
	Boot string       `json:"boot"` // of this host: its clocks count from then
	Mark string       `json:"mark"` // in the environment of all processes of the package
	Word deadman.Word `json:"word"`
}

// A former is an earlier manager of a package on this node, which may still have had the lock when it died.
type former struct {
	lockclient.Former
	word deadman.Word // its last
}

// readRecord is what an earlier manager has left; the zero record if nothing, or nothing of this boot.
func readRecord(home, name string) (r record, err error) {
	b, err := os.ReadFile(filepath.Join(lockDirPath(home, name), recordNote))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("cannot read what an earlier back-to-work has left: %w", err)
	}
	boot, err := lease.BootID()
	if err != nil {
		return record{}, err
	}
	if json.Unmarshal(b, &r) != nil || r.Boot != boot {
		return record{}, nil // what ran is gone with the boot; a note cut short is of a host that crashed
	}
	return r, nil
}

// note is r as it stands on the disk.
func (r record) note() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // it is words and numbers
	}
	return string(b) + "\n"
}

// remember keeps a word for a manager that may have to go on with the package, and the mark: a
// daemon that was overlooked is known by it.
func (m *member) remember(w deadman.Word) {
	m.dir.notes.Put(recordNote, record{m.boot, m.mark, w}.note())
}

// deadmanFile is the file in lockdir_P that a deadman keeps locked.
const deadmanFile = "deadman"

// takeDeadmanFile makes this process the package's deadman. An earlier one that ends this moment
// is waited for.
func takeDeadmanFile(home, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(lockDirPath(home, name), deadmanFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot make the state files: %w", err)
	}
	const untilItEnds = 50 // tries, a second
	if flockPatiently(f, untilItEnds) != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another deadman guards package %s", name)
	}
	return f, writePID(f)
}

// isGuarded says whether a deadman may act on the package.
func isGuarded(home, name string) bool {
	f, err := os.Open(filepath.Join(lockDirPath(home, name), deadmanFile))
	if err != nil {
		return false // there is none
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
