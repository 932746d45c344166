package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findHome is the directory that the command belongs to: $BTW_HOME, or the first directory
// with packages/ in it on the way from the command as called, link by link, to the binary.
// (A link in /usr/local/bin must not make /usr/local/bin the home.)
func findHome(arg0, override string) (string, error) {
	if override != "" {
		return filepath.Abs(override)
	}
	if !strings.Contains(arg0, "/") {
		if p, err := exec.LookPath(arg0); err == nil {
			arg0 = p
		}
	}
	path, err := filepath.Abs(arg0)
	if err != nil {
		return "", fmt.Errorf("cannot find my own directory: %w", err)
	}
	for range 40 { // as many links as the kernel follows
		if home, ok := homeAround(filepath.Dir(path)); ok {
			return home, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find my own directory: %w", err)
	}
	return filepath.Dir(filepath.Dir(exe)), nil
}

// homeAround is dir, or its parent where dir is one of the places inside a home.
func homeAround(dir string) (string, bool) {
	switch filepath.Base(dir) {
	case "bin", "utils", "dex-lock":
		if isDir(filepath.Join(filepath.Dir(dir), "packages")) {
			return filepath.Dir(dir), true
		}
	}
	return dir, isDir(filepath.Join(dir, "packages"))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
