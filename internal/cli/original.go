package cli

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"backtowork/internal/command"
)

// shells are what the original's back-to-work, a shell script, may be run by.
var shells = []string{"sh", "dash", "ash", "bash", "ksh", "ksh93", "mksh"}

// checkOriginal refuses packages that a back-to-work of the original runs here. The two know different locks: ours would
// find the package up though it has not started it, and stop it.
func (s *site) checkOriginal(names []string) error {
	home, err := os.Stat(s.Home)
	if err != nil {
		return err
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, file := range commands {
		line, _ := os.ReadFile(file)
		words := bytes.Split(bytes.TrimSuffix(line, []byte{0}), []byte{0})
		if len(words) < 3 || !slices.Contains(shells, path.Base(string(words[0]))) || path.Base(string(words[1])) != "back-to-work" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		dir, err := os.Stat(filepath.Join(filepath.Dir(file), "cwd"))
		if err != nil || !os.SameFile(dir, home) || pid == os.Getppid() {
			continue
		}
		for _, word := range words[2:] {
			if name := string(word); slices.Contains(names, name) {
				return command.WithHint(fmt.Errorf("a back-to-work of the original runs package %s here (process %d)", name, pid),
					"end those that stand by on other nodes first, then this one: it stops the package; then start it")
			}
		}
	}
	return nil
}
