package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/lock"
)

// hactlScript is the shipped package that a package of conf/hactl is a link to.
const hactlScript = "hactl"

// hactlLimit is how long the question whether a group may run here may take.
const hactlLimit = 3 * time.Minute

// hactl is the groups of conf/hactl, in its order: lines "GROUP LEVEL", comments, empty lines.
func (s *site) hactl() (groups []string, err error) {
	const file = "conf/hactl"
	text, err := os.ReadFile(filepath.Join(s.Home, file))
	if err != nil {
		return nil, command.WithHint(fmt.Errorf("cannot read %s: %w", file, command.Reason(err)), "it has a line for each resource group of clinit: GROUP LEVEL")
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		switch {
		case len(words) != 2:
			return nil, fmt.Errorf("%s:%d: a line is GROUP LEVEL, not %q", file, n, strings.TrimSpace(line))
		case lock.CheckName(words[0]) != nil || words[0] == hactlScript:
			return nil, fmt.Errorf("%s:%d: %q cannot be the name of a package", file, n, words[0])
		case slices.Contains(groups, words[0]):
			return nil, fmt.Errorf("%s:%d: group %q is there twice", file, n, words[0])
		}
		groups = append(groups, words[0])
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%s has no line GROUP LEVEL", file)
	}
	return groups, nil
}

// eligible makes the packages of groups, where there are none of the names, and returns those that may run here: of each
// that does not run here already the script is asked, with the action test. The others are named, and the exit status is 1.
func (s *site) eligible(ctx context.Context, groups []string) (may []string, err error) {
	var refused []error
	for _, group := range groups {
		path := filepath.Join(s.Home, "packages", group)
		if err := os.Symlink(hactlScript, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("cannot make the package of group %q: %w", group, err)
		}
		if s.isIdle(group) {
			if why := s.tryGroup(ctx, path); why != nil {
				refused = append(refused, fmt.Errorf("group %s does not stand by here: %w", group, why))
				continue
			}
		}
		may = append(may, group)
	}
	if len(may) == 0 {
		return nil, errors.Join(refused...)
	}
	for _, err := range refused {
		fmt.Fprintf(s.env.Stderr, "%s: %v\n", s.env.Name, err)
	}
	if len(refused) > 0 {
		err = command.Status(1)
	}
	return may, err
}

// tryGroup has a package's script say whether its group may run here.
func (s *site) tryGroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, hactlLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "test")
	cmd.Env, cmd.WaitDelay = environ(), time.Second
	if said, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		if last := lines[len(lines)-1]; last != "" {
			return errors.New(last)
		}
		return err
	}
	return nil
}
