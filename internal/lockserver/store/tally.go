package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A FileID tells a file from a copy of it, even at the same path.
type FileID struct {
	Inode uint64 `json:"inode"`
	Born  int64  `json:"born"` // nanoseconds, as the file system counts; 0 where it does not
}

// Same says whether both are of one file, as far as the file system told.
func (f FileID) Same(o FileID) bool {
	return f.Inode == o.Inode && (f.Born == o.Born || f.Born == 0 || o.Born == 0)
}

// A store's tally is a small file, not among the state, that says how often the store was written.
// It is written after the store, and not synced; so after a crash it may be behind. It is never
// ahead, unless the store is an old copy of itself, put back in place (rule 12).

// ReadTally is the count of writes in the file at path. Its error is a reason alone, without the path.
func ReadTally(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, errors.New(reason(err))
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// CountIn keeps the tally in the file at path from now on, until Close.
func (s *Store) CountIn(path string) error {
	if err := WriteFile(path, tallyOf(s.Writes())); err != nil { // the file, and its place, are durable
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot write %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally = f
	return nil
}

// tallyOf is what a tally says, always as many bytes.
func tallyOf(writes uint64) []byte { return fmt.Appendf(nil, "%020d\n", writes) }

// count writes the tally. The caller holds s.mu.
func (s *Store) count() error {
	if s.tally == nil {
		return nil
	}
	_, err := s.tally.WriteAt(tallyOf(s.state.writes), 0)
	return err
}

// Writes is how often the store was written since it was made.
func (s *Store) Writes() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.writes
}
