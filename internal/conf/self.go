package conf

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// Self is the one of servers that is this host: the one that bears the node's name, or whose
// name resolves to an address of this host. ok is false where none does. errs has one error for
// each name that does not resolve: it may be this host's all the same.
func (s Site) Self(servers []Server) (self Server, ok bool, errs []error) {
	host, _ := os.Hostname()
	for _, name := range []string{s.Node, host} { // what conf/node_name says comes first
		for _, server := range servers {
			if strings.EqualFold(server.Entry, name) || strings.EqualFold(server.Host, name) {
				return server, true, nil
			}
		}
	}
	for _, server := range servers {
		local, err := localHost(server.Host)
		if err != nil {
			errs = append(errs, fmt.Errorf("lock server %q: %w", server.Entry, err))
		}
		if local {
			return server, true, nil
		}
	}
	return Server{}, false, errs
}

// OtherNodes is the hosts of cluster_nodes but for this one, by whatever name it stands there.
func (s Site) OtherNodes() ([]string, error) {
	nodes, err := s.ClusterNodes()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot learn this host's name: %w", err)
	}
	return slices.DeleteFunc(nodes, func(n string) bool {
		return SameHost(n, s.Node) || SameHost(n, host) || Server{Host: n}.Loopback()
	}), nil
}

// Aliases is what else this node is called: with its domain, or in other letters, as its host name and
// cluster_nodes have it.
func (s Site) Aliases() (names []string) {
	host, _ := os.Hostname()
	nodes, _ := s.ClusterNodes() // who needs the file says what is wrong with it
	for _, name := range append(nodes, host, short(s.Node)) {
		if SameHost(name, s.Node) && name != s.Node && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// SameHost says whether two names are of one host, as people write them: upper and lower case are the same, and
// one of the names may lack the domain that the other has. (Two domains are two hosts. What the lock servers
// know a node by is another matter: that is compared as it is.)
func SameHost(a, b string) bool {
	return strings.EqualFold(a, b) || strings.EqualFold(a, short(b)) || strings.EqualFold(short(a), b)
}

// short is a name without its domain.
func short(name string) string {
	if net.ParseIP(name) == nil {
		name, _, _ = strings.Cut(name, ".")
	}
	return name
}

// localHost says whether host is, or resolves to, an address of this host.
func localHost(host string) (bool, error) {
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		var err error
		if ips, err = net.LookupIP(host); err != nil {
			return false, err
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, ip := range ips {
		if ip.IsLoopback() {
			return true, nil
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true, nil
			}
		}
	}
	return false, nil
}
