package clusterkey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// How writeFile treats a file that is there.
const (
	createOnly = false
	replace    = true
)

// writeFile makes the file at path say data, whole or not at all, and durably: a crash leaves
// the old file or the new one. Only its owner can read the file. If it replaces another file, it
// has the owner of that one.
func writeFile(path string, data []byte, over bool) error {
	if over {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // a link stays a link
		}
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it took path's place
	_, err = f.Write(data)
	err = errors.Join(err, keepOwner(f, path), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if over {
		err = os.Rename(f.Name(), path)
	} else {
		err = os.Link(f.Name(), path) // fails if path is there
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// keepOwner gives f the owner of the file at path, if there is one.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid()) {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
