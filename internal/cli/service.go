package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/manager"
)

const serviceUsage = `Usage: btwctl { start | stop | status | check-conf | simulate | upgrade | unblock | clear }
  Main script to init, start or stop the package monitor service.

  start P [Q ...]   run packages in the background, in one process; the output
                    goes to log/back-to-work.P.log
  stop P [Q ...]    halt packages on this node, and wait until that is done
  status [REGEX]    one line for each package that runs here
  check-conf P      what differs between the nodes, how long a failover takes, and by
                    how much two nodes cannot overlap
  simulate P        what failovers cost with its parameters, on a cluster in memory; see
                    service simulate --help
  upgrade [P ...]   have back-to-work here become this program; packages run on
  unblock P         a package that could not be shown to be down keeps its lock: once
                    it was stopped by hand, look again, and let other nodes have it.
                    Only for a node that is OFF for certain, whether it has the lock or must
                    be powered off before others start: --node-is-down NODE; that is not
                    believed of a node that the lock servers hear
  clear P           forget that the package failed here: try again now

Example: ./service start dummy
`

func service(ctx context.Context, env *command.Env) error {
	verbs := map[string]func(context.Context, *command.Env, []string) error{
		"start": serviceStart, "stop": serviceStop, "status": serviceStatus, "check-conf": serviceCheckConf,
		"simulate": serviceSimulate,
		"upgrade":  serviceUpgrade, "unblock": serviceUnblock, "clear": serviceClear,
	}
	if len(env.Args) == 0 || verbs[env.Args[0]] == nil {
		fmt.Fprint(env.Stderr, serviceUsage)
		return command.Status(2)
	}
	return verbs[env.Args[0]](ctx, env, env.Args[1:])
}

//lint:ignore ST1005 the original's words
var errNoPackage = errors.New("you need to specify a package name.")

func serviceStart(_ context.Context, env *command.Env, packages []string) error {
	if len(packages) == 0 {
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	if err := s.checkPackages(packages); err != nil { // before anything is written
		return err
	}
	if err := s.startManager(packages...); err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "back-to-work started in background. check logs for status.")
	return nil
}

// startManager starts back-to-work in the background, and waits until it has begun, or says why it cannot.
func (s *site) startManager(packages ...string) error {
	p, err := s.start(logPath(s.Home, packages[0]), "back-to-work", packages...)
	if err != nil {
		return err
	}
	if err := p.answer("back-to-work"); err != nil {
		_ = p.cmd.Wait() // the answer says more
		return err
	}
	return nil
}

func serviceStop(ctx context.Context, env *command.Env, packages []string) error {
	if len(packages) == 0 {
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	if err := packageNames(packages); err != nil {
		return err
	}
	home := manager.Home(s.Home)
	for _, name := range packages {
		pid, err := home.ManagerOf(name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(s.Home, "packages", name)); errors.Is(err, fs.ErrNotExist) && pid == 0 && !home.Guarded(name) {
			// Most likely a slip of the finger, and the package that was meant goes on running.
			return command.WithHint(fmt.Errorf("package %q not found", name), "service status shows what runs here")
		}
	}
	abandoned, err := s.abandoned(ctx, packages)
	if err != nil {
		return err
	}
	fmt.Fprint(env.Stdout, "sending TERM signal and waiting for package to halt.")
	errs := make([]error, len(packages))
	var all sync.WaitGroup
	for i, name := range packages { // each, while the others halt
		all.Go(func() { errs[i] = halt(ctx, home, name, env.Stdout, i == 0) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(env.Stdout)
		return err
	}
	for _, name := range abandoned {
		if err := s.lookHere(ctx, name); err != nil {
			fmt.Fprintln(env.Stdout)
			return err
		}
	}
	fmt.Fprintln(env.Stdout, " done.")
	return nil
}

// isClearing says whether the package's manager here kills what an earlier one has left.
func (s *site) isClearing(ctx context.Context, name string) bool {
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	is, err := manager.Home(s.Home).Ask(limited, name, manager.Request{What: manager.State})
	return err == nil && is.Doing == string(failover.Clearing)
}

// abandoned is those packages that run here with nobody to stop them, since manager and deadman were both killed: a
// manager is started for each, which goes on with it, or kills what is left, and can be halted. Those that are being
// killed so belong to them.
func (s *site) abandoned(ctx context.Context, packages []string) (names []string, err error) {
	home := manager.Home(s.Home)
	boot, err := lease.BootID()
	if err != nil {
		return nil, err
	}
	for _, name := range packages {
		if pid, err := home.ManagerOf(name); pid != 0 || err != nil || home.Guarded(name) {
			if s.isClearing(ctx, name) {
				names = append(names, name)
			}
			continue
		}
		r, err := manager.ReadRecord(home.Notes(name), boot)
		if err != nil {
			return nil, err
		}
		if r.Word.Session == "" || r.Word.Phase == deadman.Free {
			continue
		}
		fmt.Fprintf(s.env.Stderr, "%s: back-to-work and its deadman of package %s were killed: starting it, to halt the package.\n", s.env.Name, name)
		if err := s.startManager(name); err != nil {
			return nil, command.WithHint(fmt.Errorf("package %s may run here, and cannot be halted: %w", name, err), "stop it by hand; another node may start it")
		}
		names = append(names, name)
	}
	return names, ctx.Err()
}

// halt asks whoever runs the package to halt it, until nobody does: where its manager has just died, the
// next one is to halt. With dots there is one a second.
func halt(ctx context.Context, home manager.Home, name string, out io.Writer, dots bool) error {
	var asked toldToHalt
	for i := 1; ; i++ {
		pid, err := home.ManagerOf(name)
		if pid == 0 && !home.Guarded(name) || err != nil {
			return err
		}
		if pid != 0 {
			if err := asked.ask(ctx, home, name, pid, i%10 == 0); err != nil {
				return err
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return command.WithHint(fmt.Errorf("package %s is still halting (process %d)", name, pid), "see %s", logPath(string(home), name))
		}
		if dots && i%10 == 0 {
			fmt.Fprint(out, ".")
		}
	}
}

// A toldToHalt is who has said that it will halt a package.
type toldToHalt struct {
	pid int
	run string
}

// ask asks process pid, unless it was. Once it was, looks has it looked whether the process has become another
// program, as by an upgrade that was under way: that may not have heard.
func (t *toldToHalt) ask(ctx context.Context, home manager.Home, name string, pid int, looks bool) error {
	if pid == t.pid {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if !looks {
			return nil
		}
		if is, err := home.Ask(limited, name, manager.Request{What: manager.State}); err != nil || is.Run == t.run {
			return nil // or it does not answer now: it is looked at again
		}
	}
	a, err := home.Ask(ctx, name, manager.Request{What: manager.Halt})
	switch {
	case err == nil:
		*t = toldToHalt{pid, a.Run}
	case !errors.Is(err, manager.ErrNobody) && ctx.Err() == nil:
		return err
	}
	return nil
}

func serviceStatus(_ context.Context, env *command.Env, args []string) error {
	if len(args) > 1 {
		return command.UsageError("status takes one regular expression")
	}
	wanted, err := regexp.Compile(strings.Join(args, ""))
	if err != nil {
		return command.Usagef("cannot use %q: %v", args[0], err)
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	names, err := s.running()
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, err := manager.Home(s.Home).ManagerOf(name)
		if err != nil || pid == 0 || !wanted.MatchString(name) {
			continue // it has ended, or ends this moment
		}
		fmt.Fprintln(env.Stdout, s.statusLine(name, pid))
	}
	return nil
}

// running is the packages that have a manager here.
func (s *site) running() (names []string, err error) {
	dirs, err := filepath.Glob(filepath.Join(s.Home, "temp", manager.DirPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		name := strings.TrimPrefix(filepath.Base(dir), manager.DirPrefix)
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
