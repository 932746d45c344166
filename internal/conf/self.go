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
	return s.self(servers, host)
}

func (s Site) self(servers []Server, host string) (self Server, ok bool, errs []error) {
	names := []string{s.Node}
	if SameHost(s.Node, host) { // else conf/node_name says that it is not so called: it may be a copy of the host that is
		names = append(names, host)
	}
	for _, name := range names {
		for _, server := range servers {
			if strings.EqualFold(server.Entry, name) || strings.EqualFold(server.Host, name) {
				return server, true, nil
			}
		}
	}
	for _, server := range servers {
		if server.Loopback() { // by any name service, or none
			return server, true, nil
		}
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
	_, others, err := s.divide(nodes, host)
	return others, err
}

// divide finds the name by which this host stands in nodes, and the others. A name in full comes before a short one:
// names of other hosts may begin with that. And what conf/node_name says comes before the host name.
func (s Site) divide(nodes []string, host string) (self string, others []string, err error) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return Server{Host: n}.Loopback() })
	here := slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { // but for those of another domain than the node's
		return strings.EqualFold(short(n), short(s.Node)) && !SameHost(n, s.Node)
	})
	mine := called(here, []string{s.Node, host})
	if len(mine) == 0 {
		return "", nodes, nil
	}
	self = mine[0]
	isSelf := func(n string) bool { return strings.EqualFold(n, self) }
	for _, n := range mine {
		if !isSelf(n) {
			return "", nil, fmt.Errorf("conf/cluster_nodes: each of %s may be this host (%s): say in conf/node_name which of them it is",
				strings.Join(mine, " and "), s.Node)
		}
	}
	return self, slices.DeleteFunc(nodes, isSelf), nil
}

// Called is which of names are meant by name: those that equal it, but for upper and lower case, else those that are of
// one host with it by [SameHost]. Where there are several, nobody can tell which is meant. Each is there once.
func Called(names []string, name string) []string { return called(names, []string{name}) }

// called is Called for the first of several names that means any: the first that equals one, else by SameHost.
func called(names, by []string) (meant []string) {
	for _, is := range []func(a, b string) bool{strings.EqualFold, SameHost} {
		for _, name := range by {
			for _, n := range names {
				if is(n, name) && !slices.Contains(meant, n) {
					meant = append(meant, n)
				}
			}
			if len(meant) > 0 {
				return meant
			}
		}
	}
	return nil
}

// Aliases is what else this node is called: with its domain, or in other letters, as its host name and
// cluster_nodes have it. A name of another host there is none.
func (s Site) Aliases() (names []string) {
	host, _ := os.Hostname()
	nodes, _ := s.ClusterNodes() // who needs the file says what is wrong with it
	self, others, err := s.divide(nodes, host)
	if err != nil {
		others = nodes
	}
	for _, name := range []string{self, host, short(s.Node)} {
		other := slices.ContainsFunc(others, func(n string) bool { return strings.EqualFold(n, name) })
		if !other && SameHost(name, s.Node) && name != s.Node && !slices.Contains(names, name) {
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
