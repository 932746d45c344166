package script

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Texts is the files that a package consists of, as paths below its home: its script, if that is for a
// shell, and the modules that it sources, as far as its text tells.
func Texts(home, name string) (paths []string, err error) {
	script := filepath.Join("packages", name)
	first, err := readFirstLine(filepath.Join(home, script))
	if err != nil {
		return nil, err
	}
	if first.binary {
		return nil, nil
	}
	paths = []string{script}
	for i := 0; i < len(paths); i++ { // modules may source others
		for _, pattern := range Sourced(readText(filepath.Join(home, paths[i]))) {
			found, _ := filepath.Glob(filepath.Join(escape.Replace(home), "packages/modules", pattern))
			for _, path := range found {
				path = filepath.Join("packages/modules", filepath.Base(path))
				if !slices.Contains(paths, path) && len(paths) < mostTexts {
					paths = append(paths, path)
				}
			}
		}
	}
	return paths, nil
}

const (
	mostTexts   = 200
	longestText = 1 << 20
)

// readText is the text of a file: nothing of what cannot be read, or is no script's length.
func readText(path string) []byte {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > longestText {
		return nil
	}
	text, _ := os.ReadFile(path)
	return text
}

var (
	sourceCommand = regexp.MustCompile(`(?m)(?:^|[;&|{()]|\b(?:then|else|do))[ \t]*(?:\.|source)[ \t]+["']?[^ \t"';&|]*modules/((?:\$\([^)]*\)|` + "`[^`]*`" + `|[^ \t\r\n"';&|)])+)`)
	systemName    = regexp.MustCompile("\\$\\{?(?:os|OS|uname)\\}?|\\$\\(uname(?: -s)?\\)|`uname(?: -s)?`")
	anyVariable   = regexp.MustCompile(`\$\{[^}]*\}|\$\([^)]*\)|\$\w+`)
)

// Sourced is the names of the modules that a script's text sources, as patterns for Glob: of variables only the system's
// name is known, by the names that it commonly has.
func Sourced(text []byte) (patterns []string) {
	system := map[string]string{"linux": "Linux", "freebsd": "FreeBSD", "openbsd": "OpenBSD", "darwin": "Darwin"}[runtime.GOOS]
	for _, found := range sourceCommand.FindAllSubmatch(text, -1) {
		pattern := systemName.ReplaceAllString(string(found[1]), system)
		patterns = append(patterns, anyVariable.ReplaceAllString(pattern, "*"))
	}
	return patterns
}

// CheckLineEnds refuses a package of which a file has DOS line ends: a shell takes the CR for a part of
// each word at the end of a line, and finds that out in the middle of a start, or of a stop.
func CheckLineEnds(home, name string) error {
	paths, err := Texts(home, name)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if hasDOSLines(readText(filepath.Join(home, path))) {
			return fmt.Errorf("%s has DOS line ends (CR LF)", path)
		}
	}
	return nil
}

// hasDOSLines says whether the first line, or most lines, end with CR LF. A few may be meant so, as in a
// text that the script sends; and what is read by another interpreter than a shell may do with it.
func hasDOSLines(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		return true
	}
	first := parseFirstLine(line)
	return (first.interpreter == "" || first.isShell()) && 2*bytes.Count(text, []byte("\r\n")) > bytes.Count(text, []byte("\n"))
}

// ForSh says whether the package's script is one for sh, so that conf/shell says what runs it.
func ForSh(home, name string) (bool, error) {
	first, err := readFirstLine(filepath.Join(home, "packages", name))
	return err == nil && first.forSh(), err
}

// SyntaxChecks is the commands that check the syntax of a package's files, and run nothing of them: by
// the shell that its script is run by. There are none if that is no shell, or not known. shell is
// that of conf/shell.
func SyntaxChecks(home, name, shell string) (commands [][]string, err error) {
	paths, err := Texts(home, name)
	if err != nil || len(paths) == 0 {
		return nil, err
	}
	first, err := readFirstLine(filepath.Join(home, paths[0]))
	if err != nil {
		return nil, err
	}
	reads, _, ok := first.command(shell)
	if !ok {
		return nil, nil
	}
	for _, path := range paths {
		commands = append(commands, append(slices.Clone(reads), "-n", path))
	}
	return commands, nil
}

// Sets is the first of names that a text of the package gives a value, and the file that does; "" where none does. A name
// that ends in _ stands for all that begin so. Where people only print the value at its name, that counts too.
func (r *Runner) Sets(names []string) (file, name string) {
	paths, _ := Texts(r.cfg.Home, r.cfg.Name)
	for _, path := range paths {
		text := comment.ReplaceAll(readText(filepath.Join(r.cfg.Home, path)), nil)
		for _, name := range names {
			word := regexp.QuoteMeta(name)
			if strings.HasSuffix(name, "_") {
				word += `[^\s"'=)|]*`
			}
			if regexp.MustCompile(`(?:^|[^\w$])` + word + `(?:\s*[:+]?=|["']?\s*\)\s*(?:echo|printf)\b)`).Match(text) {
				return path, name
			}
		}
	}
	return "", ""
}

var comment = regexp.MustCompile(`(?m)^[ \t]*#.*$`)
