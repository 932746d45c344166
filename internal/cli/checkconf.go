package cli

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/failover"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
	"backtowork/internal/script"
)

// reportEvery is how often a manager tells the servers the checksums of its files.
const reportEvery = time.Minute

// longestReport is less than what a server reads of a request: 16 KiB.
const longestReport = 15 << 10

// mostModules and mostOfModule limit how many modules are read, and how much of each: a manager
// reads them every minute, and the directory may hold anything.
const (
	mostModules  = 500
	mostOfModule = 1 << 20 // bytes
)

// sum is the MD5 of a file, as md5sum prints it. It finds differences, and protects nothing.
func sum(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	digest := md5.Sum(b)
	return hex.EncodeToString(digest[:]), nil
}

// sums returns what this node reports about the files of a package.
func (s *site) sums(name string) (api.Report, error) {
	r := api.Report{Node: s.Node, Package: name, Version: Version}
	var err error
	if r.Servers, err = sum(filepath.Join(s.LockDir, "conf/lock_servers")); err != nil {
		return r, err
	}
	if r.Script, err = sum(filepath.Join(s.Home, "packages", name)); err != nil {
		return r, err
	}
	r.Watchdog, _ = watchdogDevice(s.Home) // back-to-work reports what is wrong with it
	r.Modules, r.AllModules = modules(filepath.Join(s.Home, "packages/modules"))
	return r, nil
}

// modules are the checksums of the modules in dir, by name, and one over all of these. It takes
// all, not those that a package sources: their names are known only when a script runs. What
// editors leave (.x, x~) is no module, nor is what make install puts beside one (x.new).
func modules(dir string) (sums map[string]string, all string) {
	entries, _ := os.ReadDir(dir) // sorted; where there are no modules there is nothing to compare
	sums = map[string]string{}
	digest := md5.New()
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || name[0] == '.' || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".new") {
			continue
		}
		if len(sums) == mostModules {
			break
		}
		sums[name] = moduleSum(path)
		fmt.Fprintf(digest, "%s  %q\n", sums[name], name)
	}
	return sums, hex.EncodeToString(digest.Sum(nil))
}

// moduleSum is the MD5 of a module; of one that cannot be read it is a word that says so.
func moduleSum(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unreadable"
	}
	defer f.Close()
	digest := md5.New()
	if _, err := io.Copy(digest, io.LimitReader(f, mostOfModule)); err != nil {
		return "unreadable"
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// report is what the manager on this node has to say about one of its packages.
func (s *site) report(name string, p failover.Params, seen looked) (api.Report, error) {
	r, err := s.sums(name)
	r.Params = p.Values()
	seen.tell(&r)
	return fitted(r), err
}

// fitted returns r without the parts that make it too long for one request.
func fitted(r api.Report) api.Report {
	tooLong := func() bool {
		b, err := json.Marshal(r)
		return err != nil || len(b) > longestReport
	}
	if tooLong() {
		r.Modules, r.Cut = nil, true
	}
	if tooLong() {
		r.Params = nil
	}
	return r
}

const checkConfUsage = `Usage: service check-conf P

Compares the package's script, its parameters, the modules and the list of lock servers on all
nodes: what back-to-work there tells the lock servers, or, before it is started, what check-conf
there has told them in the last three minutes. Then it says what the parameters come to: how long
a failover takes at worst, and by how much two nodes cannot overlap (not where this host is the
only node, and the only lock server). The script's own shell checks its syntax (sh -n), and that
of the modules that it sources. The exit status is 1 if the nodes differ, if one of
conf/cluster_nodes has told nothing, if the margin is not positive, or if the syntax is wrong. It
asks the script for its status, and does nothing else to the package.

Example: ./service check-conf dummy
`

func serviceCheckConf(ctx context.Context, env *command.Env, packages []string) error {
	if len(packages) == 0 {
		return errNoPackage
	}
	if len(packages) > 1 {
		return command.UsageError("check-conf takes one package")
	}
	s, err := openSite(env)
	if err != nil {
		return err
	}
	name := packages[0]
	if err := lockName(name); err != nil {
		return err
	}
	if err := script.Check(s.Home, name); err != nil {
		return err
	}
	if err := checkLineEnds(s.Home, name); err != nil {
		return err
	}
	if err := s.readServers(); err != nil {
		return err
	}
	s.warnUnread()
	wrong, err := s.checkSyntax(ctx, name)
	if err != nil {
		return err
	}
	v, err := s.gather(ctx, name)
	if err != nil {
		return err
	}
	v.showSums("md5 checksum of lock servers configuration", func(r api.Report) string { return r.Servers })
	v.showSums(fmt.Sprintf("\nmd5 checksum of package %s configuration", name), func(r api.Report) string { return r.Script })
	v.showSums("\nmd5 checksum of all modules", func(r api.Report) string { return r.AllModules })
	p, took, up, err := s.consult(ctx, name)
	if err != nil {
		return errors.Join(append(wrong, manager.AboutPackage(name, err))...)
	}
	v.own.Params = p.Values()
	if s.isIdle(name) { // else back-to-work tells what it lives by
		s.look(ctx, name).tell(&v.own)
		v.client.Tell(ctx, "/v1/reports", fitted(v.own))
	}
	same := v.showParams()
	v.alone = s.isAlone(v)
	safe := v.showNumbers(p, took, s.resettable())
	if up && !s.killable(name, p) {
		v.showWarnings([]string{failover.NotKillable})
	}
	v.showWarnings(unitDoubts(ctx, p.KillUnits))
	v.showWarnings(slices.Concat(s.missingModules(name), s.moduleDoubts(ctx, name), s.ownAddresses(ctx, name, p)))
	return errors.Join(append(wrong, v.faults(name, same, safe)...)...)
}

// faults is why check-conf does not say that all is well.
func (v *view) faults(name string, same, safe bool) (faults []error) {
	if !same {
		faults = append(faults, errors.New("the nodes differ, as said above"))
	}
	if unknown := v.unknown(); len(unknown) > 0 {
		faults = append(faults, command.WithHint(fmt.Errorf("not compared with %s: nothing is known of the package there", strings.Join(unknown, ", ")),
			"service check-conf %s there, then again here", name))
	}
	if !safe {
		faults = append(faults, errors.New("the no-overlap margin is not positive"))
	}
	return faults
}

// gather collects what all nodes know about a package: this node's files, and the reports of the
// managers on the others. A node of conf/cluster_nodes that has not reported has no sums.
func (s *site) gather(ctx context.Context, name string) (*view, error) {
	v := &view{out: s.env.Stdout, nodes: map[string]api.Report{}}
	known, err := s.ClusterNodes()
	if err != nil {
		return nil, err
	}
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	v.client = c
	for _, server := range s.servers {
		var reports []api.Report
		if err := c.Get(ctx, server.Entry, "/v1/reports/"+name, &reports); err != nil {
			fmt.Fprintf(s.env.Stderr, "%s: lock server %s: %s\n", s.env.Name, server.Entry, lockclient.Reason(err))
			continue
		}
		v.answered = true
		for _, r := range reports {
			if was, ok := v.nodes[r.Node]; !ok || was.Age == 0 || r.Age < was.Age { // the newest, if servers differ
				v.nodes[r.Node] = r
			}
		}
		var status api.Status
		if err := c.Get(ctx, server.Entry, "/v1/server", &status); err == nil && status.Waiting != "" {
			fmt.Fprintf(s.env.Stderr, "%s: lock server %s waits for %s\n", s.env.Name, server.Entry, status.Waiting)
		}
	}
	if !s.isIdle(name) {
		v.manager = v.nodes[s.Node].Params
	}
	v.own, err = s.sums(name)
	v.nodes[s.Node] = v.own
	v.expect(known)
	return v, err
}

// expect adds those of the hosts in conf/cluster_nodes that are not known yet. One that is known stands there by any of
// its names, but a node stands for one host only.
func (v *view) expect(known []string) {
	var short []string
	left := slices.Collect(maps.Keys(v.nodes))
	for _, node := range known {
		if called := conf.Called(left, node); len(called) > 0 && strings.EqualFold(called[0], node) {
			left = slices.DeleteFunc(left, func(name string) bool { return strings.EqualFold(name, node) })
		} else {
			short = append(short, node)
		}
	}
	for _, node := range short {
		called := conf.Called(left, node)
		if len(called) == 0 {
			v.nodes[node] = api.Report{Node: node}
			continue
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == called[0] })
	}
}

// isAlone says whether no other node can ask for a lock: the only lock server is this host's, and either no other host can
// reach it, or cluster_nodes names this one only and no other has told anything.
func (s *site) isAlone(v *view) bool {
	if !s.sole() || len(v.nodes) != 1 {
		return false
	}
	nodes, err := s.ClusterNodes()
	return err == nil && (s.servers[0].Loopback() || len(nodes) > 0)
}

// killable says whether anything of a package that is up on this node can be found, and so be killed.
func (s *site) killable(name string, p failover.Params) bool {
	runner, err := s.finder(name)
	if err != nil {
		return true // not known
	}
	defer func() { _ = runner.Close() }()
	runner.SetUnits(p.Units())
	left, err := runner.Alive()
	return len(left) > 0 || err != nil
}

// consult asks the package's script on this node for its parameters, whether the package is up, and
// how long a status takes. A manager may run the package meanwhile; consult does not disturb it.
func (s *site) consult(ctx context.Context, name string) (p failover.Params, took time.Duration, up bool, err error) {
	r, err := s.asker(name)
	if err != nil {
		return p, 0, false, err
	}
	defer r.Close()
	if p, err = failover.ReadParams(ctx, r, s.Node); err != nil {
		return p, 0, false, err
	}
	began := time.Now()
	status, err := r.Start("status", 0, "")
	if err != nil {
		return p, 0, false, err
	}
	limit := time.NewTimer(p.Timeout)
	defer limit.Stop()
	select {
	case <-status.Done():
	case <-limit.C:
		status.Kill(0)
	case <-ctx.Done():
		status.Kill(0)
		return p, 0, false, context.Cause(ctx)
	}
	return p, time.Since(began), status.Status() == 0, nil
}

// asker runs the package's script to ask it something, beside a manager that may run it.
func (s *site) asker(name string) (*script.Runner, error) {
	shell, err := s.Shell()
	if err != nil {
		return nil, err
	}
	return script.New(script.Config{
		Home: s.Home, Name: name, Node: s.Node, Aliases: s.Aliases(), Lock: name, LockDir: s.LockDir,
		Session: lockclient.NewID(), Shell: shell.Path, Environ: environ(), Cgroup: "none",
	})
}

// A view is what is known of a package on all nodes.
type view struct {
	out     io.Writer
	client  *lockclient.Client
	own     api.Report            // of this node, as its files are now
	manager map[string]string     // the parameters that the manager on this node lives by, if one runs
	nodes   map[string]api.Report // this one too

	answered bool // a lock server did
	alone    bool // no other node can run the package
}

// showSums prints a line for each node.
func (v *view) showSums(title string, sumOf func(api.Report) string) {
	fmt.Fprintln(v.out, title)
	for _, node := range slices.Sorted(maps.Keys(v.nodes)) {
		r := v.nodes[node]
		line := sumOf(r)
		switch {
		case line != "":
			line = plain(line)
		case r.Script == "":
			line = "not known: neither back-to-work nor check-conf there has told of it"
		default:
			line = "not known: an older version of back-to-work runs there"
		}
		fmt.Fprintf(v.out, "%s %s\n", node, line)
	}
}

// unknown is the nodes that have told nothing.
func (v *view) unknown() (nodes []string) {
	for _, node := range slices.Sorted(maps.Keys(v.nodes)) {
		if v.nodes[node].Script == "" {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
