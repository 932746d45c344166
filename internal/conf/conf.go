// Package conf reads the files in conf/ and dex-lock/conf/. It checks what they say, and
// prints nothing: every fault is an error that names the file.
package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"backtowork/internal/lock"
)

// Port is where lock servers listen, unless conf/lock_servers says otherwise.
const Port = "4114"

// A Site is one installed tree, on one host.
type Site struct {
	Home    string // packages/, conf/, log/, temp/ stand in it
	LockDir string // dex-lock: conf/, state/, temp/ stand in it
	Node    string // what this host is called in the cluster: conf/node_name, or its host name up to the first dot
}

// Load reads where things are. host is the host's name.
func Load(home, host string) (Site, error) {
	s := Site{Home: home}
	path, err := lines(filepath.Join(home, "conf/lock_path"))
	if err != nil {
		return s, err
	}
	lockDir := ""
	if len(path) > 0 { // the whole first line, as in the original: a path may have blanks in it
		lockDir = path[0]
	}
	if s.LockDir, err = findLockDir(home, lockDir); err != nil {
		return s, err
	}
	name, err := oneWord(filepath.Join(home, "conf/node_name"))
	if err != nil {
		return s, err
	}
	if name == "" {
		name, _, _ = strings.Cut(host, ".")
	}
	if lock.CheckName(name) != nil {
		return s, fmt.Errorf("%s: cannot use %q as the name of this node", filepath.Join(home, "conf/node_name"), name)
	}
	s.Node = name
	return s, nil
}

// ClusterNodes is the hosts of the cluster by conf/cluster_nodes: none if there is no such file.
func (s Site) ClusterNodes() ([]string, error) {
	return words(filepath.Join(s.Home, "conf/cluster_nodes"))
}

// A Shell is what runs package scripts that are for sh.
type Shell struct {
	Path     string // of the shell; "" is sh
	Embedded bool   // start and stop by the embedded shell
}

// HasWorker says whether a worker may answer for scripts, beside sh: not where another shell is asked for.
func (sh Shell) HasWorker() bool { return sh.Path == "" }

// Shell is what conf/shell says.
func (s Site) Shell() (Shell, error) {
	path := filepath.Join(s.Home, "conf/shell")
	shell, err := oneWord(path)
	switch {
	case err != nil:
		return Shell{}, err
	case shell == "" || shell == "auto":
		return Shell{}, nil
	case shell == "embedded":
		return Shell{Embedded: true}, nil
	case !filepath.IsAbs(shell):
		return Shell{}, fmt.Errorf("%s: cannot use %q: say auto, embedded, or the absolute path of a shell", path, shell)
	}
	if info, err := os.Stat(shell); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return Shell{}, fmt.Errorf("%s: cannot use %q: it is not an executable file", path, shell)
	}
	return Shell{Path: shell}, nil
}

// KeyFile is the path of the cluster's secret.
func (s Site) KeyFile() string { return filepath.Join(s.Home, "conf/cluster_key") }

// A Server is one lock server, as conf/lock_servers names it.
type Server struct {
	Entry string // as written: the server's name in the cluster
	Host  string
	Port  string
}

// Addr is where the server listens.
func (s Server) Addr() string { return net.JoinHostPort(s.Host, s.Port) }

// Loopback says whether the server's name means a different host on each host, as localhost does.
func (s Server) Loopback() bool {
	ip := net.ParseIP(s.Host)
	return s.Host == "localhost" || strings.HasPrefix(s.Host, "localhost.") || ip != nil && ip.IsLoopback()
}

// LockServers is the lock servers by the first line of dex-lock/conf/lock_servers, which is all that the original
// reads of it; [Site.Unread] names others. Its errors name every fault.
func (s Site) LockServers() ([]Server, error) {
	path := s.serversFile()
	list, err := lines(path)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no lock server is named there", path)
	}
	var servers []Server
	var faults []error
	for _, e := range strings.Fields(list[0]) {
		server, err := ParseServer(e)
		if err == nil && slices.ContainsFunc(servers, func(o Server) bool { return o.Addr() == server.Addr() }) {
			err = fmt.Errorf("%q is named twice", e)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
		servers = append(servers, server)
	}
	return servers, errors.Join(append(faults, mixed(path, servers))...)
}

func (s Site) serversFile() string { return filepath.Join(s.LockDir, "conf/lock_servers") }

// Unread says which lines of lock_servers and lock_path nobody reads, because a line stands before them.
func (s Site) Unread() (warnings []string) {
	for _, path := range []string{s.serversFile(), filepath.Join(s.Home, "conf/lock_path")} {
		list, _ := lines(path) // who needs the file says what is wrong with it
		for _, line := range list[min(1, len(list)):] {
			warnings = append(warnings, fmt.Sprintf("%s: only the first line counts: %q is not read", path, line))
		}
	}
	return warnings
}

// mixed refuses a list in which some names mean a different host on every host. (All of them
// may: then the whole cluster is on this host, for a trial.)
func mixed(path string, servers []Server) error {
	i := slices.IndexFunc(servers, Server.Loopback)
	if i < 0 || len(servers) == 1 {
		return nil
	}
	if servers[i].Host == "localhost" || slices.ContainsFunc(servers, func(s Server) bool { return !s.Loopback() }) {
		return fmt.Errorf("%s: %q among several servers means another host on every host; write its name", path, servers[i].Entry)
	}
	return nil
}

// ParseServer reads an entry of lock_servers: host, host:port or [address]:port. USER@ before that is left out: the
// original needs it to reach the host.
func ParseServer(entry string) (Server, error) {
	if user, rest, ok := strings.Cut(entry, "@"); ok && hostName(user) {
		entry = rest
	}
	host, port := entry, Port
	if strings.HasPrefix(entry, "[") || strings.Count(entry, ":") == 1 {
		var err error
		if host, port, err = net.SplitHostPort(entry); err != nil {
			return Server{}, fmt.Errorf("cannot parse %q: say host, host:port or [address]:port", entry)
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Server{}, fmt.Errorf("cannot parse %q: %q is not a port", entry, port)
	}
	ip := net.ParseIP(host)
	if ip == nil && !hostName(host) {
		return Server{}, fmt.Errorf("cannot parse %q: %q is not a host name", entry, host)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip != nil { // in one spelling, so that twice the same is seen
		host = ip.String()
	}
	return Server{entry, host, strconv.FormatUint(n, 10)}, nil
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '-' || s[0] == '.' {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

// words is every word of the file at path, comments (#) left out; none if there is no such file.
func words(path string) (all []string, err error) {
	list, err := lines(path)
	for _, line := range list {
		all = append(all, strings.Fields(line)...)
	}
	return all, err
}

// lines is the lines of the file at path that say something, without comments (#) and the blanks around them; none
// if there is no such file.
func lines(path string) (all []string, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read %s: %w", path, reason(err))
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all, nil
}

// reason is err without the path, which stands in the message already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// oneWord is the only word of the file at path; "" if there is no such file.
func oneWord(path string) (string, error) {
	all, err := words(path)
	if err != nil || len(all) == 0 {
		return "", err
	}
	if len(all) > 1 {
		return "", fmt.Errorf("%s: one word is wanted there, not %d", path, len(all))
	}
	return all[0], nil
}
