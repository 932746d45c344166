package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backtowork/internal/clusterkey"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/dial"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"
)

// Version is the version of the program.
var Version = "0.1.0"

// newLog logs to w; with $verbose set, everything.
func newLog(env *command.Env, w io.Writer) *slog.Logger {
	least := journal.Info
	if env.Getenv("verbose") != "" {
		least = journal.Debug
	}
	return journal.To(w).Logger(least)
}

// A site is an installed tree, and what a command needs to talk with its lock servers.
type site struct {
	conf.Site
	env     *command.Env
	repeats journal.Repeats // what is said seldom
	log     *slog.Logger
	servers []conf.Server
	files   *lockclient.Files
}

// openSite finds the tree's parts. It does not read the list of lock servers yet.
func openSite(env *command.Env) (*site, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot learn this host's name: %w", err)
	}
	c, err := conf.Load(env.Home, host)
	if node, lockDir, ok := strings.Cut(env.Getenv(succeeds), "/"); ok {
		c, err = conf.Site{Home: env.Home, Node: node, LockDir: "/" + lockDir}, nil
	}
	if err != nil {
		return nil, err
	}
	return &site{
		Site: c, env: env, log: newLog(env, env.Stderr),
		files: lockclient.NewFiles(filepath.Join(c.LockDir, "temp")),
	}, nil
}

// readServers reads the list of lock servers.
func (s *site) readServers() (err error) {
	s.servers, err = s.LockServers()
	return err
}

// key is the cluster's secret.
func (s *site) key() (*clusterkey.Key, error) {
	k, err := clusterkey.Load(s.KeyFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	err = fmt.Errorf("there is no cluster key: %s is missing", s.KeyFile())
	if s.sole() {
		return nil, command.WithHint(err, "start this host's lock server, which makes one: %s", s.dexCommand("dex-server-init"))
	}
	return nil, command.WithHint(err, "make one with utils/keygen on one host, and copy the file to all hosts")
}

// makeKey does what key does; but if this host is the only lock server, it makes a key where there
// is none.
func (s *site) makeKey() (*clusterkey.Key, error) {
	if s.makesKey() {
		k, err := clusterkey.Create(s.KeyFile())
		if !errors.Is(err, fs.ErrExist) { // else another process was faster
			return k, err
		}
	}
	return s.key()
}

// makesKey says whether this host's lock server makes the key at its start.
func (s *site) makesKey() bool {
	_, err := os.Lstat(s.KeyFile())
	return errors.Is(err, fs.ErrNotExist) && s.sole()
}

// sole says whether this host is the only lock server.
func (s *site) sole() bool {
	if len(s.servers) != 1 {
		return false
	}
	_, self, _ := s.Self(s.servers)
	return self
}

// client makes a client of the lock servers. If the key is changed later, the client uses the new
// one.
func (s *site) client() (*lockclient.Client, error) {
	k, err := s.key()
	if err != nil {
		return nil, err
	}
	go k.Follow(context.Background(), s.KeyFile(), s.log) // it ends with the process, even if the disk hangs
	return s.clientBy(k, s.addresses())
}

// takeServers takes up a changed lock_servers.
func (s *site) takeServers(c *lockclient.Client) {
	servers, err := s.LockServers()
	if err != nil {
		s.again("lock_servers", notTakenUp, "reason", oneLine(err))
		return
	}
	s.repeats.TellOver(s.log, "lock_servers", "lock_servers can be read again, and is taken up")
	s.servers = servers
	c.SetServers(s.addresses())
}

// followServers takes up a changed lock_servers once a minute, until ctx ends.
func (s *site) followServers(ctx context.Context, c *lockclient.Client) {
	for {
		select {
		case <-time.After(serverEvery):
			s.takeServers(c)
		case <-ctx.Done():
			return
		}
	}
}

// addresses is the lock servers, as a client wants them.
func (s *site) addresses() []lockclient.Server {
	var servers []lockclient.Server
	for _, server := range s.servers {
		servers = append(servers, lockclient.Server{Entry: server.Entry, Addr: server.Addr()})
	}
	return servers
}

// openListed is openSite, with the lock servers read.
func openListed(env *command.Env) (*site, error) {
	s, err := openSite(env)
	if err != nil {
		return nil, err
	}
	return s, s.readServers()
}

// openClient opens the site, reads the list of lock servers, and makes a client of them.
func openClient(env *command.Env) (*site, *lockclient.Client, error) {
	s, err := openListed(env)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.client()
	return s, c, err
}

// clientOf is a client for a question or two.
func (s *site) clientOf(servers ...lockclient.Server) (*lockclient.Client, error) {
	k, err := s.key()
	if err != nil {
		return nil, err
	}
	return s.clientBy(k, servers)
}

func (s *site) clientBy(k *clusterkey.Key, servers []lockclient.Server) (*lockclient.Client, error) {
	tls, err := k.Client(s.Node, "http/1.1")
	if err != nil {
		return nil, err
	}
	return lockclient.NewClient(lockclient.Config{
		Servers: servers, TLS: tls, ServerName: k.ServerName, Clock: lease.System(), Log: s.log, Connect: dial.New().Dial,
		Off: rulesOff.Clients,
	}), nil
}

// session is a new session of this node, with a client of its own.
func (s *site) session() (*lockclient.Session, error) {
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	return lockclient.NewSession(c, s.Node, s.files), nil
}

// lockName checks the name of a lock, as a user gave it.
func lockName(name string) error {
	if err := lock.CheckName(name); err != nil {
		return command.UsageError(err.Error())
	}
	return nil
}
