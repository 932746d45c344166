package cli

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
	"backtowork/internal/script"
)

// reportEvery is how often a manager tells the servers the checksums of its files.
const reportEvery = time.Minute

// sum is the MD5 of a file, as md5sum prints it. It finds differences, and protects nothing.
func sum(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	digest := md5.Sum(b)
	return hex.EncodeToString(digest[:]), nil
}

// report is what this node has to say about a package.
func (s *site) report(name string) (lock.Report, error) {
	r := lock.Report{Node: s.Node, Package: name}
	var err error
	if r.Servers, err = sum(filepath.Join(s.LockDir, "conf/lock_servers")); err != nil {
		return r, err
	}
	r.Script, err = sum(filepath.Join(s.Home, "packages", name))
	return r, err
}

// reportAll tells the servers about all packages of the group, again and again until ctx ends.
func (g *group) reportAll(ctx context.Context, c *lockclient.Client) {
	for {
		for _, m := range g.members {
			if r, err := g.report(m.name); err == nil { // else a file is missing: it has no sum to tell
				c.Tell(ctx, "/v1/reports", r)
			}
		}
		select {
		case <-time.After(reportEvery):
		case <-ctx.Done():
			return
		}
	}
}

func serviceCheckConf(ctx context.Context, env *Env, packages []string) error {
	if len(packages) == 0 {
		return errNoPackage
	}
	if len(packages) > 1 {
		return usageError("check-conf takes one package")
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
	if err := s.readServers(); err != nil {
		return err
	}
	nodes, err := s.gather(ctx, name)
	if err != nil {
		return err
	}
	same := s.showSums("md5 checksum of lock servers configuration", nodes, func(r lock.Report) string { return r.Servers })
	fmt.Fprintln(env.Stdout)
	title := fmt.Sprintf("md5 checksum of package %s configuration", name)
	if !s.showSums(title, nodes, func(r lock.Report) string { return r.Script }) || !same {
		return fmt.Errorf("the nodes differ")
	}
	return nil
}

// gather is what all nodes have to say about a package: this node's files, and the reports
// of the others' managers. A node of conf/cluster_nodes that has not reported has no sums.
func (s *site) gather(ctx context.Context, name string) (map[string]lock.Report, error) {
	nodes := map[string]lock.Report{}
	known, err := s.ClusterNodes()
	if err != nil {
		return nil, err
	}
	for _, node := range known {
		nodes[node] = lock.Report{Node: node}
	}
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	for _, server := range s.servers {
		var reports []lock.Report
		if err := c.Get(ctx, server.Entry, "/v1/reports/"+name, &reports); err != nil {
			fmt.Fprintf(s.env.Stderr, "%s: lock server %s: %s\n", s.env.Name, server.Entry, lockclient.Reason(err))
			continue
		}
		for _, r := range reports {
			nodes[r.Node] = r
		}
	}
	own, err := s.report(name)
	nodes[s.Node] = own
	return nodes, err
}

// showSums prints a line for each node, and says whether those that are known are the same.
func (s *site) showSums(title string, nodes map[string]lock.Report, sumOf func(lock.Report) string) (same bool) {
	fmt.Fprintln(s.env.Stdout, title)
	var names, sums []string
	for node := range nodes {
		names = append(names, node)
	}
	slices.Sort(names)
	for _, node := range names {
		line := sumOf(nodes[node])
		if line == "" {
			line = "not known: back-to-work does not run this package there"
		} else {
			sums = append(sums, line)
		}
		fmt.Fprintf(s.env.Stdout, "%s %s\n", node, line)
	}
	slices.Sort(sums)
	return len(slices.Compact(sums)) <= 1
}
