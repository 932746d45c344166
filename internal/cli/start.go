package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/failover"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
)

const startUsage = `Usage: service start [--stay] P [Q ...]
       service start [--stay] --hactl

Runs packages on this node in the background, in one process: it waits for their locks, starts
them, watches them, and stops them. service start has ended when that process has begun, or
says why it cannot. Each package begins when it has said its parameters; one that says nonsense
is named and left out (exit status 1), and the others run. It looks for up to three seconds how
each package begins, and says so. What is decided later is in log/back-to-work.P.log, what the
scripts print in log/P.log.

  --stay  for init systems: then stay in the foreground for as long as the packages have a
          back-to-work here, and at TERM, INT or HUP do what service stop does. What runs
          already is not started again. The exit status is 1 where they were not ended in
          good order, but killed
  --hactl the packages are the resource groups of clinit that conf/hactl names, a line each:
          GROUP LEVEL. Where there is no packages/GROUP it is made, as a link to hactl. A group
          whose entries of level test do not pass here is named, and does not stand by

Example: ./service start dummy
`

func serviceStart(ctx context.Context, env *command.Env, args []string) error {
	opts, packages, err := command.Options(args, "sH", map[string]byte{"stay": 's', "hactl": 'H'})
	if err != nil {
		return err
	}
	stays := slices.ContainsFunc(opts, func(o command.Option) bool { return o.Letter == 's' })
	byFile := slices.ContainsFunc(opts, func(o command.Option) bool { return o.Letter == 'H' })
	switch {
	case byFile && len(packages) > 0:
		return command.Usagef("--hactl takes no packages: conf/hactl names them")
	case !byFile && len(packages) == 0:
		return errNoPackage
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	if !byFile {
		return s.startPackages(ctx, packages, stays)
	}
	groups, err := s.hactl()
	if err != nil {
		return err
	}
	may, unfit := s.eligible(ctx, groups)
	if len(may) == 0 {
		return unfit
	}
	if err := s.startPackages(ctx, may, stays); err != nil {
		return err
	}
	return unfit
}

// startPackages starts packages, and stays if asked for.
func (s *site) startPackages(ctx context.Context, packages []string, stays bool) error {
	env := s.env
	if err := s.checkPackages(packages); err != nil { // before anything is written
		return err
	}
	if stays && !slices.ContainsFunc(packages, s.isIdle) {
		fmt.Fprintf(env.Stdout, "back-to-work runs already for %s.\n", strings.Join(packages, ", "))
		return s.stay(ctx, packages)
	}
	err := s.startManager(packages...)
	if err != nil && !errors.As(err, new(partError)) {
		return err
	}
	fmt.Fprintln(env.Stdout, "back-to-work started in background. check logs for status.")
	s.sayBeginnings(ctx, packages, err != nil)
	if stays {
		err = errors.Join(err, s.stay(ctx, packages))
	}
	return err
}

// startManager starts back-to-work in the background, and waits until it has begun, or says why it cannot.
func (s *site) startManager(packages ...string) error {
	p, err := s.start(logPath(s.Home, packages[0]), "back-to-work", packages...)
	if err != nil {
		return err
	}
	err = p.answer("back-to-work")
	if err != nil && !errors.As(err, new(partError)) {
		_ = p.cmd.Wait() // the answer says more
	}
	return err
}

// isIdle says whether nobody runs a package here, nor stops it.
func (s *site) isIdle(name string) bool {
	home := manager.Home(s.Home)
	pid, err := home.ManagerOf(name)
	return err == nil && pid == 0 && !home.HasDeadman(name)
}

// stayEvery is how often stay looks whether packages have a back-to-work.
const stayEvery = time.Second

// stay waits until nobody runs the packages here any more; if ctx ends, it halts them. A back-to-work that was killed
// has another in its place before that is seen: its deadman is there meanwhile.
func (s *site) stay(ctx context.Context, packages []string) error {
	boot, err := lease.BootID()
	if err != nil {
		return err
	}
	for slices.ContainsFunc(packages, func(name string) bool { return !s.isIdle(name) }) {
		select {
		case <-time.After(stayEvery):
		case <-ctx.Done():
			return serviceStop(context.WithoutCancel(ctx), s.env, packages)
		}
	}
	for _, name := range packages {
		if r, err := manager.ReadRecord(manager.Home(s.Home).Notes(name), boot); err != nil || r.Boot != "" { // else it was removed, in good order
			return command.WithHint(fmt.Errorf("back-to-work and its deadman of package %s were killed: it may still run, and nobody watches it", name),
				"service start %s goes on with it, service stop %s halts it", name, name)
		}
	}
	return nil
}

// beginningLimit is how long sayBeginnings looks.
const beginningLimit = 3 * time.Second

// ended is how a package begins that does not.
const ended = "it has ended again"

// sayBeginnings says how each package begins: that it starts, or what it waits for. With partly set it is known why
// some have not begun.
func (s *site) sayBeginnings(ctx context.Context, packages []string, partly bool) {
	ctx, cancel := context.WithTimeout(ctx, beginningLimit)
	defer cancel()
	for _, name := range packages {
		how := s.beginning(ctx, name)
		if how == ended && partly {
			continue
		}
		how = cmp.Or(how, "waiting for its lock")
		fmt.Fprintf(s.env.Stdout, "package %s: %s; log: %s\n", name, how, logPath(s.Home, name))
	}
}

// beginning is how a package begins that was just started. If that is not certain before ctx ends, it is what was seen last.
func (s *site) beginning(ctx context.Context, name string) (how string) {
	const longest = 400 * time.Millisecond
	for wait := 25 * time.Millisecond; ; wait = min(2*wait, longest) {
		is, err := manager.Home(s.Home).Ask(ctx, name, manager.Request{What: manager.State})
		switch doing := failover.PkgState(is.Doing); {
		case err != nil && ctx.Err() == nil && s.isIdle(name):
			return ended
		case err != nil:
		case doing == failover.StandBy:
			var sure bool
			if how, sure = s.waitsFor(ctx, name, how); sure {
				return how
			}
		case doing == failover.Clearing:
			how = "killing what is left of an earlier run, before it stands by"
		case doing == failover.Unknown:
			how = "active: asking for its status"
		default:
			return "active: " + is.Doing
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return how
		}
	}
}

// waitsFor is what a package that stands by waits for, and whether that is sure to stay so for a while. If ctx ends before
// that is known, it is before.
func (s *site) waitsFor(ctx context.Context, name, before string) (how string, sure bool) {
	listed, c, err := openClient(s.env)
	if err != nil {
		return "waiting for the lock servers: " + strings.ReplaceAll(err.Error(), "\n", "; "), false
	}
	defer c.Close()
	statuses := askAll[api.Status](ctx, c, "/v1/server")
	state, err := listed.view(ctx, c, name)
	if ctx.Err() != nil {
		return before, false
	}
	if why := noLeader(statuses); why != "" {
		return "waiting for " + why + listed.ownIsDown(), false
	}
	k := state.Lock
	switch {
	case err != nil:
		return "", false
	case !k.Held() && listed.isOtherCluster(statuses):
		return "waiting: these lock servers are another cluster than before, and nothing that began under that may run any more", false
	case !k.Held():
		return "", false // it asks for it this moment, or leaves it to others first
	case k.Node == s.Node && k.Blocked == "":
		return fmt.Sprintf("standing by: this node's lock of before ends in %d s at most", state.Left/1000+1), false
	case k.Blocked != "":
		return fmt.Sprintf("standing by: %s has it, blocked: %s (service unblock %s there)", k.Node, plain(k.Blocked), name), true
	}
	return fmt.Sprintf("standing by: %s has it", k.Node), true
}

// ownIsDown is what to do about this host's lock server, behind why nobody leads, if it is to run and does not.
func (s *site) ownIsDown() string {
	if _, ok, _ := s.Self(s.servers); !ok || s.stateInUse() {
		return ""
	}
	return "; this host's does not run: " + s.dexCommand("dex-server-init") + " starts it, or says why it cannot"
}

// isOtherCluster says whether the lock servers that answer are in another cluster than the one that this node knows.
func (s *site) isOtherCluster(answers []answer[api.Status]) bool {
	known := s.files.Cluster()
	return known != "" && slices.ContainsFunc(answers, func(a answer[api.Status]) bool { return a.err == nil && a.value.Open && a.value.Cluster != known })
}

// noLeader is why the lock servers have no leader, as far as their answers tell; "" if they have one.
func noLeader(answers []answer[api.Status]) string {
	var silent, reasons, waiting []string
	for _, a := range answers {
		switch {
		case a.err != nil:
			silent = append(silent, a.server)
			reasons = append(reasons, a.server+": "+lockclient.Reason(a.err))
		case a.value.Leader != "":
			return ""
		case a.value.Waiting != "":
			waiting = append(waiting, fmt.Sprintf("%s waits for %s", a.server, a.value.Waiting))
		}
	}
	switch {
	case len(silent) > 0:
		return fmt.Sprintf("lock servers %s (%s)", strings.Join(silent, ", "), strings.Join(reasons, "; "))
	case len(waiting) > 0:
		return "the lock servers: " + strings.Join(waiting, "; ")
	}
	return "the lock servers to choose a leader"
}
