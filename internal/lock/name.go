package lock

import (
	"errors"
	"fmt"
	"unicode"
)

// CheckName says why name cannot be the name of a lock, a package or a node: they are names of files and
// cgroups, words in log lines, in the environment of scripts and in a shell's command line.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > 100:
		return fmt.Errorf("the name has %d characters, 100 are the most", len(name))
	case name[0] == '.' || name[0] == '-':
		return fmt.Errorf("the name %q begins with %q", name, name[0])
	}
	for _, r := range name {
		if r == '/' || r == '\\' || unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("the name %q has the character %q in it", name, r)
		}
	}
	return nil
}
