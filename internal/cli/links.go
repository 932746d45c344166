package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// mendLinks sees to it that the commands in the lock directory are there. As they are shipped, they are
// links to a place beside that directory: in one that was moved, and is named in conf/lock_path, they lead
// nowhere. What leads somewhere, or led to something that is not ours, is left alone.
func (s *site) mendLinks() {
	for _, pattern := range []string{"dex-*", "utils/*"} {
		names, _ := fs.Glob(os.DirFS(s.LockDir), pattern)
		for _, name := range names {
			if err := s.mendLink(filepath.Join(s.LockDir, name)); err != nil {
				s.log.Warn("a command of the lock directory leads nowhere", "reason", err)
			}
		}
	}
}

func (s *site) mendLink(path string) error {
	target, err := os.Readlink(path)
	if err != nil || !slices.Contains([]string{"btw", "launch"}, filepath.Base(target)) {
		return nil // it is no link of ours
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	to := filepath.Join(s.Home, "utils/launch")
	if _, err := os.Stat(to); err != nil { // an installed tree has none
		to = filepath.Join(s.Home, "bin/btw")
	}
	aside := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(to, aside); err != nil {
		return err
	}
	if err := os.Rename(aside, path); err != nil {
		_ = os.Remove(aside)
		return err
	}
	s.log.Info("a command of a lock directory that was moved led nowhere: mended", "command", path, "to", to)
	return nil
}
