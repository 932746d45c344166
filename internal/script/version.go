package script

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sources are the files that a package's script and modules source, but for modules.
type sources struct {
	of       string   // version that they were found in
	patterns []string // of their paths, absolute
}

// Version returns a text that changes whenever the script, a module, or another file that these source does. A script that cannot be
// run is an error; so is a look at the files that takes too long, as on a disk that hangs: no second one is begun then.
func (r *Runner) Version(within time.Duration) (version string, err error) {
	hangs := fmt.Errorf("cannot look at the files of %s: that takes longer than %v", r.path(), within)
	over := time.NewTimer(within)
	defer over.Stop()
	select {
	case r.looks <- struct{}{}:
	case <-over.C:
		return "", hangs
	}
	done := make(chan struct{})
	var found string
	var fault error
	go func() {
		defer close(done)
		found, fault = r.version()
		<-r.looks
	}()
	select {
	case <-done:
		return found, fault
	case <-over.C:
		return "", hangs
	}
}

func (r *Runner) version() (string, error) {
	packages := filepath.Join(r.cfg.Home, "packages")
	modules, _ := filepath.Glob(filepath.Join(escape.Replace(packages), "modules", "*"))
	script := filepath.Join(packages, r.cfg.Name)
	if err := runnable(script); err != nil {
		return "", fmt.Errorf("cannot run %s: %w", r.path(), err)
	}
	own := stamp(append([]string{script}, modules...))
	if version := own + stamp(r.sources.files(r.cfg.Home)); version == r.sources.of {
		return version, nil
	}
	r.sources.patterns = sourcedElsewhere(r.cfg.Home, r.cfg.Name)
	r.sources.of = own + stamp(r.sources.files(r.cfg.Home))
	return r.sources.of, nil
}

// stamp is another text when one of the files at paths is another, or was changed, be its time put back.
func stamp(paths []string) string {
	sum := sha256.New()
	for _, path := range paths {
		var is unix.Stat_t
		if unix.Stat(path, &is) == nil {
			fmt.Fprintln(sum, path, is.Dev, is.Ino, is.Size, is.Mtim, is.Ctim)
		}
	}
	return string(sum.Sum(nil))
}

// files are those that there are. Outside the home only what is on the same file system, or that of /, is looked at: while this process
// waited for another that hangs, a script that waits for the same file could not be killed.
func (s sources) files(home string) (paths []string) {
	for _, pattern := range s.patterns {
		if !strings.HasPrefix(pattern, escape.Replace(home)+"/") && (hasMeta(filepath.Dir(pattern)) || !isNear(home, filepath.Dir(pattern))) {
			continue
		}
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			if isNear(home, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

func hasMeta(path string) bool { return strings.ContainsAny(path, `*?[\\`) }

// sourcedElsewhere is what else the files of a package source than modules, as patterns for files.
func sourcedElsewhere(home, name string) (patterns []string) {
	texts, _ := Texts(home, name)
	for i := range texts {
		texts[i] = filepath.Join(home, texts[i])
	}
	for i := 0; i < len(texts) && i < mostTexts; i++ {
		for _, pattern := range elsewhere(readText(texts[i]), home) {
			if slices.Contains(patterns, pattern) {
				continue
			}
			patterns = append(patterns, pattern)
			texts = append(texts, sources{patterns: []string{pattern}}.files(home)...)
		}
	}
	return patterns
}

var (
	anySource    = regexp.MustCompile(`(?m)(?:^|[;&|{()!]|\b(?:then|else|do|if|elif|while|until))[ \t]*(?:\.|source)[ \t]+((?:"[^"\n]*"|'[^'\n]*'|\$\([^)\n]*\)|` + "`[^`\n]*`" + `|\$\{[^}\n]*\}|[^ \t\r\n"'` + "`" + `;&|)])+)`)
	ownDirectory = regexp.MustCompile(`^"?(?:\$\{0%/\*\}|\$\(dirname "?\$0"?\)|` + "`dirname \"?\\$0\"?`" + `)`)
	quotes       = strings.NewReplacer(`"`, "", "'", "", `\`, "")
)

// elsewhere is what a text sources that is no module. Of names from here it is not known in which directory the script is then.
func elsewhere(text []byte, home string) (patterns []string) {
	home = escape.Replace(home)
	for _, found := range anySource.FindAllSubmatch(comment.ReplaceAll(bytes.ReplaceAll(text, []byte("\\\n"), nil), nil), -1) {
		name := ownDirectory.ReplaceAllString(string(found[1]), "packages")
		name = quotes.Replace(anyVariable.ReplaceAllString(name, "*"))
		name = backquotes.ReplaceAllString(name, "*")
		switch {
		case name == "" || strings.HasPrefix(name, "*"): // it may be anything
		case filepath.IsAbs(name):
			patterns = append(patterns, filepath.Clean(name))
		default:
			for _, dir := range []string{"", "packages"} {
				if path := filepath.Join(home, dir, name); filepath.Dir(path) != filepath.Join(home, "packages/modules") {
					patterns = append(patterns, path)
				}
			}
		}
	}
	return patterns
}

var backquotes = regexp.MustCompile("`[^`]*`")
