package conf

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSameHost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"h1", "h1", true},
		{"H1", "h1", true},
		{"h1.example.com", "h1", true},
		{"h1", "H1.Example.com", true},
		{"h1.a", "h1.b", false},
		{"h1", "h10", false},
		{"h1", "h2", false},
		{"h1.example.com", "h1.example", false},
		{"h1", "", false},
		{"10.0.0.1", "10", false},
		{"10.0.0.1", "10.0.0.2", false},
		{"3db", "3DB.example.com", true},
	} {
		if got := SameHost(row.a, row.b); got != row.same || SameHost(row.b, row.a) != row.same {
			t.Errorf("SameHost(%q, %q) = %v", row.a, row.b, got)
		}
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	s, err := site(t, "web-1", map[string]string{"conf/cluster_nodes": "WEB-1.Example.com web-2.example.com web-11\n"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"WEB-1.Example.com"}
	if host, err := os.Hostname(); err == nil && strings.HasPrefix(strings.ToLower(host), "web-1.") {
		want = append(want, host)
	}
	if got := s.Aliases(); !slices.Equal(got, want) {
		t.Errorf("Aliases = %q, want %q", got, want)
	}
}

// Hosts whose short names are one are two hosts: what a name in full says comes first, and where none does nobody guesses.
func TestDivide(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ node, host, nodes, self, others, err string }{
		{"vm.paris", "vm", "vm.paris vm.london", "vm.paris", "vm.london", ""},
		{"vm.london", "vm", "vm.paris VM.London", "VM.London", "vm.paris", ""},
		{"vm.paris", "vm", "vm vm.london", "vm", "vm.london", ""},
		{"vm.paris", "vm", "vm.london h1", "", "vm.london h1", ""},
		{"vm", "vm.paris", "vm.paris vm.london", "vm.paris", "vm.london", ""},
		{"vm", "vm", "vm vm.london", "vm", "vm.london", ""},
		{"vm", "vm", "vm.london h1", "vm.london", "h1", ""},
		{"alpha", "vm", "vm h1 localhost", "vm", "h1", ""},
		{"alpha", "vm", "vm.paris h1", "vm.paris", "h1", ""},
		{"alpha", "vm", "alpha vm", "alpha", "vm", ""},
		{"vm", "vm", "vm.Paris vm.paris h1", "vm.Paris", "h1", ""},
		{"h3", "h3", "h1 h2", "", "h1 h2", ""},
		{"h1", "h1", "", "", "", ""},
		{"vm", "vm", "vm.paris h1 vm.london", "", "", "conf/cluster_nodes: each of vm.paris and vm.london may be this host (vm): say in conf/node_name which of them it is"},
		{"alpha", "vm", "vm.paris vm.london", "", "", "conf/cluster_nodes: each of vm.paris and vm.london may be this host (alpha): say in conf/node_name which of them it is"},
	} {
		self, others, err := Site{Node: row.node}.divide(strings.Fields(row.nodes), row.host)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if self != row.self || !slices.Equal(others, strings.Fields(row.others)) || said != row.err {
			t.Errorf("%s (host name %s) in %q: %q, others %q, %q", row.node, row.host, row.nodes, self, others, said)
		}
	}
}
