package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/clusterkey"
	"backtowork/internal/conf"
	"backtowork/internal/lease"
	"backtowork/internal/lockclient"
)

const (
	startLimit = 20 * time.Second // until the package runs
	stopLimit  = 10 * time.Second // until a process has ended after TERM
	lookPause  = 10 * time.Millisecond
)

// A cluster is three nodes on the loopback. The package runs on the first, whose lock server
// leads: the node that has the most to do.
type cluster struct {
	nodes [3]*node
	pkg   string // the name of the package
}

// A node is an installed tree, and what runs of it.
type node struct {
	name    string
	entry   string // of its lock server in lock_servers
	home    string
	server  *child
	manager *child
}

// newCluster installs the trees, each in a directory of its own inside dir.
func newCluster(ctx context.Context, dir string) (*cluster, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c := &cluster{pkg: fmt.Sprintf("bench-%d", os.Getpid())}
	var names, entries []string
	for i := range c.nodes {
		name := fmt.Sprintf("127.0.0.%d", i+1)
		c.nodes[i] = &node{name: name, entry: net.JoinHostPort(name, port), home: filepath.Join(dir, name)}
		names, entries = append(names, name), append(entries, c.nodes[i].entry)
	}
	for _, n := range c.nodes {
		if err := n.install(ctx, c.pkg, c.nodes[0].home, names, entries); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// install makes the node's tree. The key comes from the tree at first.
func (n *node) install(ctx context.Context, pkg, first string, names, entries []string) error {
	script, err := packageScript()
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "make", "-s", "install", "DESTDIR=", "PREFIX="+n.home).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot install: %w\n%s", err, out)
	}
	keyFile := "conf/cluster_key"
	if n.home == first {
		if _, err := clusterkey.Create(filepath.Join(n.home, keyFile)); err != nil {
			return err
		}
	}
	key, err := os.ReadFile(filepath.Join(first, keyFile))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		keyFile:                      key,
		"conf/node_name":             []byte(n.name + "\n"),
		"conf/cluster_nodes":         []byte(strings.Join(names, " ") + "\n"),
		"dex-lock/conf/lock_servers": []byte(strings.Join(entries, " ") + "\n"),
		"packages/" + pkg:            script,
	} {
		mode := os.FileMode(0o600)
		if strings.HasPrefix(name, "packages/") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(n.home, name), text, mode); err != nil {
			return err
		}
	}
	return nil
}

// packageScript is dummy at pace 4.
func packageScript() ([]byte, error) {
	script, err := os.ReadFile("packages/dummy")
	if err != nil {
		return nil, fmt.Errorf("cannot find the checkout: %w", err)
	}
	pace := regexp.MustCompile(`(?m)^pace=\d+`)
	if !pace.Match(script) {
		return nil, errors.New("cannot change the pace of packages/dummy")
	}
	return pace.ReplaceAll(script, []byte("pace=4")), nil
}

// start starts all servers, then the managers, first that of the node that leads.
func (c *cluster) start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, n := range c.nodes {
		if n.server, err = n.run("dex-lock/dex-server"); err != nil {
			return err
		}
	}
	if err := c.awaitLeader(ctx); err != nil {
		return err
	}
	for i, n := range c.nodes {
		if n.manager, err = n.run("back-to-work", c.pkg); err != nil {
			return err
		}
		if i == 0 {
			err = n.awaitRunning(ctx, c.pkg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitLeader waits until one of the servers leads, and makes its node the first.
func (c *cluster) awaitLeader(ctx context.Context) error {
	client, err := c.nodes[0].client()
	if err != nil {
		return err
	}
	defer client.Close()
	return await(ctx, "no lock server leads", func() bool {
		for i, server := range client.Servers {
			var status api.Status
			if client.Get(ctx, server.Entry, "/v1/server", &status) == nil && status.Open {
				c.nodes[0], c.nodes[i] = c.nodes[i], c.nodes[0]
				return true
			}
		}
		return false
	})
}

// awaitRunning waits until the package runs on the node.
func (n *node) awaitRunning(ctx context.Context, pkg string) error {
	path := filepath.Join(n.home, "temp/lockdir_"+pkg, "pkg_state")
	return await(ctx, "the package does not run", func() bool {
		state, _ := os.ReadFile(path)
		return string(bytes.TrimSpace(state)) == "running"
	})
}

// await waits until done returns true. If ctx ends before that, the error is the text otherwise.
func await(ctx context.Context, otherwise string, done func() bool) error {
	for !done() {
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return errors.New(otherwise)
		}
	}
	return nil
}

// stop ends all processes. The managers end first, because they need the servers to give back their
// locks.
func (c *cluster) stop() {
	c.stopManagers()
	stopAll(c.nodes[:], func(n *node) *child { return n.server })
}

func (c *cluster) stopManagers() {
	stopAll(c.nodes[:], func(n *node) *child { return n.manager })
	for _, n := range c.nodes {
		_ = os.Remove(filepath.Join(n.home, "temp", c.pkg+".up")) // a package that was killed leaves this file
	}
}

func stopAll(nodes []*node, of func(*node) *child) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(of(n).stop)
	}
	wg.Wait()
}

// contestant is the lock servers, used by programs of the first node.
func (c *cluster) contestant(exe string) *contestant {
	servers := map[string]*child{}
	for _, n := range c.nodes {
		servers[n.entry] = n.server
	}
	return &contestant{"btw", []string{exe, driveCommand, c.nodes[0].home}, servers, false}
}

// client is a client of the servers as a command of the node would have it.
func (n *node) client() (*lockclient.Client, error) {
	site, err := conf.Load(n.home, n.name)
	if err != nil {
		return nil, err
	}
	servers, err := site.LockServers()
	if err != nil {
		return nil, err
	}
	key, err := clusterkey.Load(site.KeyFile())
	if err != nil {
		return nil, err
	}
	tls, err := key.Client(site.Node, "http/1.1")
	if err != nil {
		return nil, err
	}
	cfg := lockclient.Config{TLS: tls, Clock: lease.System(), Log: quiet}
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, lockclient.Server{Entry: s.Entry, Addr: s.Addr()})
	}
	return lockclient.NewClient(cfg), nil
}

// A child is a process that this one ends.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// run starts a command of the node's tree, with its output in log/bench.log.
func (n *node) run(name string, args ...string) (*child, error) {
	return startChild(filepath.Join(n.home, "log/bench.log"), filepath.Join(n.home, name), args...)
}

// startChild starts a command, with its output at the end of a file.
func startChild(output, path string, args ...string) (*child, error) {
	log, err := os.OpenFile(output, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr, err = apart(syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &child{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	return p, nil
}

// environment returns this process's environment without the variables that change what a command
// does.
func environment() []string {
	env := []string{}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "BTW_") && !strings.HasPrefix(kv, "ETCD") && !strings.HasPrefix(kv, "verbose=") {
			env = append(env, kv)
		}
	}
	return env
}

// stop ends the process, and waits for that.
func (p *child) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
