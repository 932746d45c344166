package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

const statusUsage = `Usage: service status [-v] [REGEX]

Prints a line for each package that runs here, active or stand-by; only for those whose whole
name REGEX matches, if it is given:
  package=P; pid=PID; role=active; pkg_state=running; lock_holder=NODE;
Where it is so, the line goes on with why the lock is blocked (blocked="..."), how often the
package failed here in a row (failures=N; until it has run for timeout), when it is tried again
(tries_again_in=Ns), and for how long no majority of the lock servers has answered
(lock_servers_silent=Ns): lock_holder is that old. After dex-server-init --join or dex-server
--force-new-cluster it says for how long the new cluster is not asked yet (waits_for="..."). With -v
it goes on with how the status is answered, by a worker or by the shell, and why (status_by="...";
see set-shell).

Example: ./service status 'web.*'
`

func serviceStatus(ctx context.Context, env *command.Env, args []string) error {
	options, args, err := command.Options(args, "v", nil)
	switch {
	case err != nil:
		return err
	case len(args) > 1:
		return command.UsageError("status takes one regular expression")
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	names, err := s.running()
	if err != nil {
		return err
	}
	wanted, err := wantedNames(args, func(name string) bool {
		return slices.Contains(names, name) || script.Check(s.Home, name) == nil
	})
	if err != nil {
		return err
	}
	if names = slices.DeleteFunc(names, func(name string) bool { return !wanted(name) }); len(names) == 0 {
		return s.sayNone(args)
	}
	lines := make([]string, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if pid, err := manager.Home(s.Home).ManagerOf(name); err == nil && pid != 0 { // else it has ended this moment
				line := s.statusLine(name, pid)
				is := s.state(ctx, name)
				lines[i] = line + silentFor(is)
				if len(options) > 0 {
					lines[i] += askedBy(is)
				}
				lines[i] += "\n"
			}
		})
	}
	all.Wait()
	_, err = fmt.Fprint(env.Stdout, strings.Join(lines, ""))
	return err
}

// sayNone says that there is nothing to show: on stderr, for scripts read stdout.
func (s *site) sayNone(args []string) error {
	what := "runs here"
	if len(args) > 0 {
		what = fmt.Sprintf("called %q runs here", args[0])
	}
	_, err := fmt.Fprintf(s.env.Stderr, "%s: no package %s\n", s.env.Name, what)
	return err
}

// statusLimit is how long a manager may take to say how it is: it may hang.
const statusLimit = time.Second

// wantedNames returns whether a package is one of those that args ask for: the whole name must fit. A name that is
// known may be said as it is, also if it has characters of regular expressions in it, as c++ has.
func wantedNames(args []string, known func(name string) bool) (func(name string) bool, error) {
	if len(args) == 0 {
		return func(string) bool { return true }, nil
	}
	text := args[0]
	fits, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil && !known(text) {
		return nil, command.Usagef("cannot use %q: %v", text, err)
	}
	return func(name string) bool { return name == text || fits != nil && fits.MatchString(name) }, nil
}

// running is the packages that have a manager here.
func (s *site) running() (names []string, err error) {
	// In the directory: the home's own path may have brackets in it.
	dirs, err := fs.Glob(os.DirFS(filepath.Join(s.Home, "temp")), manager.DirPrefix+"*")
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		name := strings.TrimPrefix(dir, manager.DirPrefix)
		if pid, err := manager.Home(s.Home).ManagerOf(name); err == nil && pid != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s *site) statusLine(name string, pid int) string {
	dir := manager.Home(s.Home).Notes(name)
	role, err1 := dir.Read("role")
	state, err2 := dir.Read("pkg_state")
	holder, err3 := s.files.HTSP(name)
	if errors.Join(err1, err2, err3) != nil {
		holder[0] = "" // not written yet
	}
	line := fmt.Sprintf("package=%s; pid=%d; role=%s; pkg_state=%s; lock_holder=%s;", name, pid, role, state, holder[0])
	// What an earlier manager wrote before this host was booted counts while the lock is still this node's.
	if why, err := dir.Read("blocked"); err == nil && why != "" && (role == "active" || holder[0] == s.Node) {
		line += fmt.Sprintf(" blocked=%q;", why)
	}
	return line + s.failures(name, state)
}

// failures is how often a package failed here in a row, and when this node tries again.
func (s *site) failures(name, state string) (line string) {
	path := filepath.Join(manager.Home(s.Home).Path(name), "failures")
	text, err1 := os.ReadFile(path)
	info, err2 := os.Stat(path)
	var count, pause int
	if n, _ := fmt.Sscan(string(text), &count, &pause); errors.Join(err1, err2) != nil || n < 2 {
		return ""
	}
	line = fmt.Sprintf(" failures=%d;", count)
	if left := pause - int(time.Since(info.ModTime()).Seconds()); state == "failed" && left > 0 {
		line += fmt.Sprintf(" tries_again_in=%ds;", left)
	}
	return line
}
