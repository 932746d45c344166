package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/conf"
	"backtowork/internal/lease"
	"backtowork/internal/lockserver"

	"golang.org/x/sys/unix"
)

const dexServerUsage = `Usage: dex-server

Runs this host's lock server in the foreground, until INT or TERM. It listens on
the port that dex-lock/conf/lock_servers gives this host (4114 if none), keeps its
state in dex-lock/state, and needs the cluster's key in conf/cluster_key.
back-to-work, dex-init and dex-server-init start it in the background by themselves.

Example: dex-lock/dex-server
`

func dexServer(ctx context.Context, env *Env) error {
	if len(env.Args) > 0 {
		return usageError("dex-server takes no arguments")
	}
	outlivePipe()
	signal.Ignore(syscall.SIGHUP) // a terminal that closes is no reason to stop voting
	s, self, err := openServerSite(env)
	if err != nil {
		return err
	}
	state := filepath.Join(s.LockDir, "state")
	if s.stateInUse() {
		return fmt.Errorf("it runs already: another process uses %s", state)
	}
	if err := checkState(ctx, state); err != nil {
		return err
	}
	key, err := s.makeKey()
	if err != nil {
		return err
	}
	cfg := lockserver.Config{
		Entry: self.Entry, List: entries(s.servers), Private: self.Loopback(),
		Dir: state, Mark: filepath.Join(s.LockDir, "cluster_id"), Version: Version,
		Key: key, Network: tcp{self, s.servers, newResolver()}, Clock: lease.System(), Log: s.log,
		Fatal: func(err error) { die(env, err) },
	}
	server, err := lockserver.Open(cfg)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

// openServerSite is openSite on a host that is one of the lock servers.
func openServerSite(env *Env) (*site, conf.Server, error) {
	s, err := openSite(env)
	if err != nil {
		return nil, conf.Server{}, err
	}
	if err := s.readServers(); err != nil {
		return nil, conf.Server{}, err
	}
	self, ok, errs := s.Self(s.servers)
	if ok {
		return s, self, s.notAlone(self)
	}
	errs = append(errs, fmt.Errorf("this host (%s) is not one of the lock servers: %s", s.Node, strings.Join(entries(s.servers), " ")))
	return nil, self, withHint(errors.Join(errs...),
		"name it in %s, or say in conf/node_name which of them it is", filepath.Join(s.LockDir, "conf/lock_servers"))
}

// die ends the process at once: a lock server that cannot trust its disk must not go on.
func die(env *Env, err error) {
	fmt.Fprintf(env.Stderr, "%s %s: %v\n", date(time.Now()), env.Name, err)
	os.Exit(1)
}

// checkState looks at the server's state before anything is written: at the database in a
// child process, which a damaged file may crash.
func checkState(ctx context.Context, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case os.IsNotExist(err):
		return nil
	case err == nil && !info.IsDir():
		err = syscall.ENOTDIR
	case err == nil:
		err = unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("cannot use the state directory %s: %w", dir, err)
	}
	path := filepath.Join(dir, "raft.db")
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return lockserver.CheckInChild(ctx, exe, path)
}

// notAlone refuses a lock server of its own to a node of a cluster: each node would be the
// holder of every lock.
func (s *site) notAlone(self conf.Server) error {
	nodes, err := s.ClusterNodes()
	if err != nil || !self.Loopback() || len(s.servers) > 1 {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(nodes, func(n string) bool { return n != s.Node && n != host && n != "localhost" })
	if i < 0 {
		return nil
	}
	return withHint(fmt.Errorf("lock_servers names only %s, but conf/cluster_nodes names %s too", self.Entry, nodes[i]),
		"write the same list of lock servers to %s on every node", filepath.Join(s.LockDir, "conf/lock_servers"))
}

func entries(servers []conf.Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Entry)
	}
	return all
}

// tcp is the network of real lock servers.
type tcp struct {
	self     conf.Server
	servers  []conf.Server
	resolver *resolver
}

// Listen listens on all addresses, or only on the loopback where that is the server's name.
func (t tcp) Listen() (net.Listener, error) {
	host := ""
	if t.self.Loopback() {
		host = t.self.Host
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, t.self.Port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is in use by another program, or another lock server", t.self.Port)
	}
	return l, err
}

// Dial connects to another lock server.
func (t tcp) Dial(ctx context.Context, entry string) (net.Conn, error) {
	i := slices.IndexFunc(t.servers, func(s conf.Server) bool { return s.Entry == entry })
	if i < 0 {
		return nil, fmt.Errorf("%q is not one of the lock servers", entry)
	}
	return t.resolver.dial(ctx, t.servers[i].Addr())
}
