package conf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shipped is what dex-lock/conf/lock_servers says until somebody writes to it.
const shipped = "localhost"

// errNoLockDir is said in the original's words.
//
//lint:ignore ST1005 the original's words
var errNoLockDir = errors.New("back-to-work need dex-lock to run. install it and configure its location.")

// findLockDir is the directory that conf/lock_path names; without it ./dex-lock or ../dex-lock
// (the original's place): the one that is used, else the first that is there. If both are used
// it does not guess: commands that go by one of them have other locks than those that go by the other.
func findLockDir(home, named string) (string, error) {
	if named == "" {
		return oneOf(lockDirs(home, "dex-lock", "../dex-lock"), used)
	}
	dir, err := oneOf(lockDirs(home, named), isThere)
	if errors.Is(err, errNoLockDir) {
		return "", fmt.Errorf("%w (conf/lock_path names %q, which is no directory)", errNoLockDir, named)
	}
	return dir, err
}

// lockDirs is the directories that the paths mean, seen from home. If home is a symbolic link, ../dex-lock
// may be beside the link or beside the directory that it leads to. Both are looked at, so that it does not
// matter by which path home is called.
func lockDirs(home string, paths ...string) (dirs []string) {
	homes := []string{home}
	if real, err := filepath.EvalSymlinks(home); err == nil {
		homes = append(homes, real)
	}
	for _, path := range paths {
		for _, h := range homes {
			dir := path
			if !filepath.IsAbs(path) {
				dir = filepath.Join(h, path)
			}
			if isDir(dir) && !slices.ContainsFunc(dirs, func(d string) bool { return sameDir(d, dir) }) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// oneOf is the only one of dirs that is used; the first, where none is.
func oneOf(dirs []string, used func(dir string) (bool, error)) (string, error) {
	var all []string
	for _, dir := range dirs {
		yes, err := used(dir)
		if err != nil {
			return "", err
		}
		if yes {
			all = append(all, dir)
		}
	}
	switch {
	case len(all) > 1:
		return "", fmt.Errorf("cannot tell which lock directory is meant: %q and %q are both in use, or configured; "+
			"write the absolute path of one of them to conf/lock_path, on every node", all[0], all[1])
	case len(all) == 1:
		return all[0], nil
	case len(dirs) > 0:
		return dirs[0], nil
	}
	return "", errNoLockDir
}

// used says whether somebody has written to the list of lock servers in dir, or a lock server
// was run there. A directory that `make install` has just made is not used.
func used(dir string) (bool, error) {
	for _, trace := range []string{"state", "cluster_id"} {
		if _, err := os.Lstat(filepath.Join(dir, trace)); err == nil {
			return true, nil
		}
	}
	servers, err := words(filepath.Join(dir, "conf/lock_servers"))
	list := strings.Join(servers, " ")
	return list != "" && list != shipped, err
}

func isThere(string) (bool, error) { return true, nil }

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sameDir says whether two paths lead to one directory.
func sameDir(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}
