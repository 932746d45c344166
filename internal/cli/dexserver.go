package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"backtowork/internal/api"
	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/dial"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/lockserver"
	"backtowork/internal/lockserver/store"

	"golang.org/x/sys/unix"
)

const dexServerUsage = `Usage: dex-server [--status | --stop [--force] | --force-new-cluster]

Runs this host's lock server in the foreground, until INT or TERM. It listens on
the port that dex-lock/conf/lock_servers gives this host (4114 if none), keeps its
state in dex-lock/state, and needs the cluster's key in conf/cluster_key.
back-to-work, dex-init and dex-server-init start it in the background by themselves.
HUP makes it read lock_servers again: the cluster follows that, one server at a time.

With one of these options it runs no server:
  --status  says how this host's lock server is; the exit status is 1 if it does not
            run, or knows no leader
  --stop    stops it, and waits until it has ended; dex-server-init starts it again
            (so a new version of the program is taken up: on one host after the
            other). Refused while a lock is held and the others are no majority:
            what runs would be stopped. With --force it is not refused
  --force-new-cluster
            when most lock servers are lost for good: makes a new cluster of this
            server alone, from what it knows, after it has asked you

Example: dex-lock/dex-server --status
`

func dexServer(ctx context.Context, env *command.Env) error {
	if aside, ok := besideServer[strings.Join(env.Args, " ")]; ok {
		s, self, err := serverSite(env)
		if err != nil {
			return err
		}
		return aside(ctx, s, self)
	}
	force := len(env.Args) == 1 && env.Args[0] == "--force-new-cluster"
	if len(env.Args) > 0 && !force {
		return command.UsageError("dex-server takes --status, --stop, --stop --force, --force-new-cluster, or no arguments")
	}
	outlivePipe()
	if !force {
		out := output(env, env.Stderr)
		defer out.Close()
		inner := *env // the server never waits for its log, which may be on a disk that hangs
		inner.Stderr = out
		env = &inner
	}
	hup, retire := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Ignore(syscall.SIGHUP) // also for the processes that it starts: a terminal that closes is no reason to stop voting
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(retire, syscall.SIGUSR1)
	passes := env.Getenv(passing) != ""
	for {
		s, self, err := serverSite(env)
		if err != nil {
			return err
		}
		if force {
			return s.forceNewCluster(ctx, self)
		}
		server, err := s.openServer(ctx, self, passes, false)
		if err != nil {
			return err
		}
		_ = os.Remove(s.stoppedFile()) // where there is none, or it cannot be: who reads it only waits for a user
		err = s.runServer(ctx, server, hup, retire)
		passes = passes && server.Passing() // who was told to stay stays, also where it begins again
		switch {
		case errors.Is(err, lockserver.ErrAgain):
			s.log.Info(err.Error())
		case errors.Is(err, lockserver.ErrLeft), errors.Is(err, lockserver.ErrRetired):
			s.log.Info(err.Error())
			return nil
		default:
			return err
		}
	}
}

// openServer opens this host's lock server. passes says that it may end with the last package of this host.
func (s *site) openServer(ctx context.Context, self conf.Server, passes, forcing bool) (*lockserver.Server, error) {
	state := filepath.Join(s.LockDir, "state")
	if s.stateInUse() {
		end := "--stop"
		if forcing { // most of the others are gone: else it is not done
			end = "--stop --force"
		}
		return nil, command.WithHint(fmt.Errorf("it runs already: another process uses %s", state), "dex-server --status shows it, dex-server %s ends it", end)
	}
	if err := checkState(ctx, state); err != nil {
		return nil, err
	}
	s.warnUnread()
	key, err := s.makeKey()
	if err != nil {
		return nil, err
	}
	go key.Follow(ctx, s.KeyFile(), s.log) // not waited for: a disk that hangs must not keep the server from ending
	var nodes neighbours
	if err := nodes.read(s, self); err != nil {
		return nil, err
	}
	go nodes.follow(ctx, s, self) // not waited for, either
	return lockserver.Open(lockserver.Config{
		Entry: self.Entry, List: entries(s.servers), Nodes: nodes.entries, Private: self.Loopback(), Passing: passes,
		Dir: state, Mark: s.markFile(), Version: Version, Forcing: forcing,
		Key: key, Network: tcp{self, dial.New()}, Clock: lease.System(), Log: s.log,
		Fatal: func(err error) { die(s.env.Stderr, s.env.Name, err) }, Trial: lockserver.Trial{Off: rulesOff.Servers},
	})
}

// markFile says that this host's lock server was in a cluster.
func (s *site) markFile() string { return filepath.Join(s.LockDir, "cluster_id") }

// runServer runs the server, which reads lock_servers again at each hup, and ends when it can at retire.
func (s *site) runServer(ctx context.Context, server *lockserver.Server, hup, retire <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-retire:
			go server.Retire(ctx)
		case <-hup:
			server.Stay()
			servers, err := s.LockServers()
			if err != nil {
				s.log.Warn(notTakenUp, "reason", oneLine(err))
				continue
			}
			server.Reload(entries(servers))
		}
	}
}

// forceNewCluster makes a new cluster of this server alone, if the admin says so.
func (s *site) forceNewCluster(ctx context.Context, self conf.Server) (err error) {
	if err := s.stillLed(ctx, self); err != nil {
		return err
	}
	server, err := s.openServer(ctx, self, false, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	const word = "new cluster"
	others := slices.DeleteFunc(entries(s.servers), func(entry string) bool { return entry == self.Entry })
	fmt.Fprintf(s.env.Stdout, "This makes a new cluster of the lock server %s alone. It knows %s.\n", self.Entry, server.Knows())
	if len(others) > 0 {
		fmt.Fprintf(s.env.Stdout, "Locks that %s gave without it are not known then, and may be given twice.\n"+
			"Go on only if their state is lost for good, and no package runs under such a lock.\n", strings.Join(others, ", "))
	}
	fmt.Fprintf(s.env.Stdout, "Type %q to go on: ", word)
	said, err := bufio.NewReader(s.env.Stdin).ReadString('\n')
	if strings.TrimSpace(said) != word {
		return errors.Join(errors.New("given up: nothing was changed"), ignoreEOF(err))
	}
	cluster, err := server.ForceNewCluster()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.env.Stdout, "cluster: %s\nnext: %s", cluster, s.dexCommand("dex-server-init"))
	if len(others) > 0 {
		fmt.Fprintf(s.env.Stdout, " here, then %s --join on %s", s.dexCommand("dex-server-init"), strings.Join(others, ", "))
	}
	fmt.Fprintln(s.env.Stdout)
	return nil
}

// stillLed refuses a forced new cluster while the other servers have a leader: then they work
// without this server, and take it in again by themselves.
func (s *site) stillLed(ctx context.Context, self conf.Server) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, server := range s.servers {
		var status api.Status
		if server.Entry == self.Entry || c.Get(ctx, server.Entry, "/v1/server", &status) != nil || status.Leader == "" {
			continue
		}
		return fmt.Errorf("the lock servers work without this one: %s says that %s leads; start this one, and they take it in again",
			server.Entry, status.Leader)
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// openServerSite is openSite on a host that is one of the lock servers.
func openServerSite(env *command.Env) (*site, conf.Server, error) {
	s, err := openListed(env)
	if err != nil {
		return nil, conf.Server{}, err
	}
	self, ok, errs := s.Self(s.servers)
	if ok {
		return s, self, s.notAlone(self)
	}
	errs = append(errs, fmt.Errorf("this host (%s) is not one of the lock servers: %s", s.Node, strings.Join(entries(s.servers), " ")))
	return s, self, command.WithHint(errors.Join(errs...),
		"if it is to be one: name it in %s, or say in conf/node_name which of them it is; %s shows those that there are", filepath.Join(s.LockDir, "conf/lock_servers"), s.dexCommand("dex-servers"))
}

// removedSelf is this host's lock server, if it was in a cluster and lock_servers does not name it
// any more: the others may need it until they have let it go.
func (s *site) removedSelf() (conf.Server, bool) {
	if s == nil || len(s.servers) == 0 {
		return conf.Server{}, false
	}
	if _, err := os.Stat(s.markFile()); err != nil {
		return conf.Server{}, false
	}
	entry, err := lockserver.EntryIn(filepath.Join(s.LockDir, "state"))
	if err != nil {
		return conf.Server{}, false
	}
	self, err := conf.ParseServer(entry)
	return self, err == nil && !self.Loopback()
}

// lastWords is how long a process that must end at once may take to say why.
const lastWords = 300 * time.Millisecond

// die ends the process at once: a lock server that cannot trust its disk must not go on. The log
// may be on that disk, so the process does not wait for it longer than lastWords; the message may
// be lost.
func die(to io.Writer, name string, err error) {
	out, ok := to.(*journal.Async)
	if !ok {
		out = journal.NewAsync(to)
	}
	journal.To(out).By(name).Plain(journal.Error, err.Error())
	out.Flush(lastWords)
	os.Exit(1)
}

// checkState checks the server's state before anything is written. A child process checks the
// database, because a damaged file may crash its reader.
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
	err = store.CheckInChild(ctx, "/proc/self/exe", path) // this version, whatever has become of the file
	if errors.Is(err, store.ErrDamaged) {
		return command.WithHint(err, "look after the disk, and move the file away: then the server comes back as a new one, if most of the others are there")
	}
	return err
}

// neighbours is the other hosts of cluster_nodes, as this host's lock server knows them.
type neighbours struct {
	now  atomic.Pointer[[]string]
	last []string // that were read
}

// read reads cluster_nodes. A server that only this host reaches has no neighbours. One that the file does not name
// any more is none only when it is not named the next time either: the file may be being written.
func (n *neighbours) read(s *site, self conf.Server) error {
	others, err := s.OtherNodes()
	if err != nil {
		return err
	}
	var all []string
	for _, node := range others {
		entry := node
		if self.Port != conf.Port {
			entry = net.JoinHostPort(node, self.Port)
		}
		if !self.Loopback() && node != self.Host {
			all = append(all, entry)
		}
	}
	wanted := slices.Clone(all)
	if was := n.now.Load(); was != nil && !slices.Equal(all, n.last) {
		for _, entry := range *was {
			if !slices.Contains(all, entry) {
				wanted = append(wanted, entry)
			}
		}
	}
	n.last = all
	n.now.Store(&wanted)
	return nil
}

// follow reads it again and again, until ctx ends.
func (n *neighbours) follow(ctx context.Context, s *site, self conf.Server) {
	for {
		select {
		case <-time.After(nodesEvery):
			_ = n.read(s, self) // if it cannot be read now, the neighbours stay as last read
		case <-ctx.Done():
			return
		}
	}
}

func (n *neighbours) entries() []string { return *n.now.Load() }

// nodesEvery is how often a lock server reads cluster_nodes.
const nodesEvery = 10 * time.Second

func entries(servers []conf.Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Entry)
	}
	return all
}

// tcp is the network of real lock servers.
type tcp struct {
	self   conf.Server
	dialer *dial.Dialer
}

var _ lockserver.Connector = tcp{}

// Listen listens on all addresses, or only on the loopback where that is the server's name.
func (t tcp) Listen() (net.Listener, error) {
	host := ""
	if t.self.Loopback() {
		host = t.self.Host
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, t.self.Port))
	if host == "localhost" && errors.As(err, new(*net.DNSError)) { // a host without /etc/hosts does not know it
		l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", t.self.Port))
	}
	if holder, ok := portHolderOf(t.self.Port); ok && errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is in use: %w", t.self.Port, holder)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is in use by another program, or another lock server", t.self.Port)
	}
	return l, err
}

// Dial connects to another lock server, which may be one that lock_servers does not name any more.
func (t tcp) Dial(ctx context.Context, entry string) (net.Conn, error) {
	return t.Connect(ctx, entry, nil)
}

// Connect does what Dial does; prove turns the raw connection into the wanted one.
func (t tcp) Connect(ctx context.Context, entry string, prove dial.Prove) (net.Conn, error) {
	server, err := conf.ParseServer(entry)
	if err != nil {
		return nil, err
	}
	return t.dialer.Dial(ctx, server.Addr(), prove)
}
