package conf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// site writes files below a new home, with a dex-lock directory in it, and loads it.
func site(t *testing.T, host string, files map[string]string) (Site, error) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "back-to-work")
	write(t, home, files)
	if err := os.MkdirAll(filepath.Join(home, "dex-lock/conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Load(home, host)
}

func write(t *testing.T, home string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const serversFile = "dex-lock/conf/lock_servers"

func TestLockServers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text string
		want string // address of each
	}{
		"one":                {"localhost\n", "localhost:4114"},
		"three":              {"h1 h2 h3\n", "h1:4114 h2:4114 h3:4114"},
		"the first line":     {"\n h1 h2\nh3\n\n h4:x", "h1:4114 h2:4114"},
		"tabs and a DOS end": {"h1\th2 h3\r\n", "h1:4114 h2:4114 h3:4114"},
		"comments":           {"# the servers\nh1 h2#h3\nh4\n", "h1:4114 h2:4114"},
		"users of ssh":       {"root@h1 o_p-1@h2 root@10.0.0.3:4115", "h1:4114 h2:4114 10.0.0.3:4115"},
		"ports":              {"h1:1 h1:65535 h2", "h1:1 h1:65535 h2:4114"},
		"upper case":         {"H1 Web-1.Example.ORG", "h1:4114 web-1.example.org:4114"},
		"IPv4":               {"10.0.0.1 10.0.0.1:4115", "10.0.0.1:4114 10.0.0.1:4115"},
		"IPv6":               {"fd00::1 [fd00::2]:4115", "[fd00::1]:4114 [fd00::2]:4115"},
		"underscore":         {"my_host", "my_host:4114"},
		"localhost, port":    {"localhost:5000", "localhost:5000"},
		"loopback only":      {"127.0.0.1:1 127.0.0.1:2 [::1]:3", "127.0.0.1:1 127.0.0.1:2 [::1]:3"},
		"a host 127 dot":     {"127host h2", "127host:4114 h2:4114"},
	} {
		s, err := site(t, "h1", map[string]string{serversFile: row.text})
		if err != nil {
			t.Fatal(err)
		}
		servers, err := s.LockServers()
		var addrs []string
		for _, server := range servers {
			addrs = append(addrs, server.Addr())
		}
		if got := strings.Join(addrs, " "); got != row.want || err != nil {
			t.Errorf("%s: LockServers of %q = %s, %v, want %s", name, row.text, got, err, row.want)
		}
	}
}

func TestLockServersKeepTheirEntries(t *testing.T) {
	t.Parallel()
	s, err := site(t, "h1", map[string]string{serversFile: "H1 [fd00::2]:4115"})
	if err != nil {
		t.Fatal(err)
	}
	servers, err := s.LockServers()
	want := []Server{{"H1", "h1", "4114"}, {"[fd00::2]:4115", "fd00::2", "4115"}}
	if !slices.Equal(servers, want) || err != nil {
		t.Errorf("LockServers = %+v, %v, want %+v", servers, err, want)
	}
}

func TestLockServersFaults(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text string
		want []string // in the error, one line each
	}{
		"empty":                      {"", []string{"no lock server"}},
		"white space":                {" \n\t\n", []string{"no lock server"}},
		"comments only":              {"# h1\n", []string{"no lock server"}},
		"twice":                      {"h1 h2 h1", []string{`"h1" is named twice`}},
		"twice, with a user":         {"h1 root@h1", []string{`"root@h1" is named twice`}},
		"a user and no host":         {"root@", []string{`"" is not a host name`}},
		"no user":                    {"@h1", []string{`"@h1" is not a host name`}},
		"twice in other letters":     {"h1 H1", []string{`"H1" is named twice`}},
		"twice with the port":        {"h1 h1:4114", []string{`"h1:4114" is named twice`}},
		"an address twice":           {"fd00::1 [fd00::1]:4114", []string{"named twice"}},
		"three times":                {"h1 h1 h1", []string{"named twice", "named twice"}},
		"localhost among several":    {"h1 localhost h3", []string{`"localhost" among several`}},
		"localhost with a port":      {"h1 localhost:1", []string{`"localhost:1" among several`}},
		"localhost.localdomain":      {"h1 localhost.localdomain", []string{"among several"}},
		"loopback address":           {"127.0.0.1 h2", []string{`"127.0.0.1" among several`}},
		"loopback address, IPv6":     {"h1 ::1", []string{`"::1" among several`}},
		"loopback address, 127.0.1.": {"h1 127.0.1.1", []string{"among several"}},
		"port 0":                     {"h1:0", []string{`"0" is not a port`}},
		"port 65536":                 {"h1:65536", []string{`"65536" is not a port`}},
		"port of letters":            {"h1:http", []string{`"http" is not a port`}},
		"a signed port":              {"h1:+1", []string{`"+1" is not a port`}},
		"no port":                    {"h1:", []string{`"" is not a port`}},
		"no host":                    {":4114", []string{`"" is not a host name`}},
		"bracket":                    {"[fd00::1", []string{`cannot parse "[fd00::1"`}},
		"bracket without port":       {"[fd00::1]", []string{`cannot parse "[fd00::1]"`}},
		"bad IPv6":                   {"fd00::xyz", []string{`cannot parse "fd00::xyz"`}},
		"a URL":                      {"https://h1/", []string{"cannot parse"}},
		"comma":                      {"h1,h2", []string{`"h1,h2" is not a host name`}},
		"option":                     {"-h1", []string{"is not a host name"}},
		"dot":                        {".h1", []string{"is not a host name"}},
		"control character":          {"h\x1b[m", []string{"is not a host name"}},
		"not ASCII":                  {"hö", []string{"is not a host name"}},
		"too long":                   {strings.Repeat("h", 254), []string{"is not a host name"}},
		"all faults at once":         {"h1 h1 h2:x ,", []string{"named twice", `"x" is not a port`, `"," is not`}},
	} {
		s, err := site(t, "h1", map[string]string{serversFile: row.text})
		if err != nil {
			t.Fatal(err)
		}
		servers, err := s.LockServers()
		if err == nil {
			t.Errorf("%s: LockServers of %q = %+v, want an error", name, row.text, servers)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(row.want) {
			t.Errorf("%s: %d lines, want %d: %v", name, len(lines), len(row.want), err)
			continue
		}
		for i, line := range lines {
			if !strings.Contains(line, row.want[i]) || !strings.Contains(line, serversFile) || strings.Contains(line, "\x1b") {
				t.Errorf("%s: %q, want %q and the file in it", name, line, row.want[i])
			}
		}
	}
}

func TestNoLockServersFile(t *testing.T) {
	t.Parallel()
	s, err := site(t, "h1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if servers, err := s.LockServers(); err == nil || !strings.Contains(err.Error(), "no lock server is named") {
		t.Errorf("LockServers = %v, %v, want that none is named", servers, err)
	}
	if err := os.Mkdir(filepath.Join(s.Home, serversFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if servers, err := s.LockServers(); err == nil || !strings.HasPrefix(err.Error(), "cannot read ") {
		t.Errorf("LockServers of a directory = %v, %v", servers, err)
	}
}

func TestNodeName(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ host, file, want string }{
		{"h1", "", "h1"},
		{"h1.example.org", "", "h1"},
		{"h1", "web-1\n", "web-1"},
		{"h1", "# in the cluster\nweb.1 # this\n", "web.1"},
		{"", "web\n", "web"},
		{"", "", "!"},
		{"h1", "two words\n", "!"},
		{"h1", "a/b\n", "!"},
		{"h1", "..\n", "!"},
		{"h1", "a\x1bb\n", "!"},
		{"h1", "-n\n", "!"},
		{"h1", strings.Repeat("x", 101) + "\n", "!"}, // a lock server would refuse it
	} {
		s, err := site(t, row.host, map[string]string{"conf/node_name": row.file})
		if row.want == "!" {
			if err == nil || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("host %q, conf/node_name %q: Node = %q, %v, want an error", row.host, row.file, s.Node, err)
			}
		} else if s.Node != row.want || err != nil {
			t.Errorf("host %q, conf/node_name %q: Node = %q, %v, want %q", row.host, row.file, s.Node, err, row.want)
		}
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"plain": "x"})
	refused := Shell{Path: "!"}
	for text, want := range map[string]Shell{
		"":                 {},
		"\n":               {},
		"auto\n":           {},
		"/bin/sh\n":        {Path: "/bin/sh"},
		"# why\n/bin/sh\n": {Path: "/bin/sh"},
		"embedded":         {Embedded: true},
		"worker":           refused,
		"sh":               refused,
		"./sh":             refused,
		"/bin/sh -e":       refused,
		"/no/such/shell":   refused,
		dir:                refused,
		dir + "/plain":     refused,
	} {
		s, err := site(t, "h1", map[string]string{"conf/shell": text})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Shell()
		if want == refused {
			if err == nil || !strings.Contains(err.Error(), "conf/shell") {
				t.Errorf("Shell of %q = %v, %v, want an error that names the file", text, got, err)
			}
		} else if got != want || err != nil {
			t.Errorf("Shell of %q = %v, %v, want %v", text, got, err, want)
		}
	}
	s, err := site(t, "h1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Shell(); got != (Shell{}) || err != nil || !got.HasWorker() {
		t.Errorf("Shell without a file = %v, %v", got, err)
	}
}

func TestClusterNodes(t *testing.T) {
	t.Parallel()
	s, err := site(t, "h1", map[string]string{"conf/cluster_nodes": "h1 h2 # two\nh3\n"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.ClusterNodes(); !slices.Equal(got, []string{"h1", "h2", "h3"}) || err != nil {
		t.Errorf("ClusterNodes = %q, %v", got, err)
	}
	if s, err = site(t, "h1", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ClusterNodes(); len(got) != 0 || err != nil {
		t.Errorf("ClusterNodes without a file = %q, %v", got, err)
	}
	if got, want := s.KeyFile(), filepath.Join(s.Home, "conf/cluster_key"); got != want {
		t.Errorf("KeyFile = %q, want %q", got, want)
	}
}

// A node is itself by one name, in any letters; whoever else stands in cluster_nodes is another.
func TestOtherNodes(t *testing.T) {
	t.Parallel()
	for node, want := range map[string]string{
		"h1": "H1.example.com h2 h10 10.0.0.1", "H2": "h1 H1.example.com h10 10.0.0.1", "h2.example.com": "h1 H1.example.com h10 10.0.0.1", "10": "h1 H1.example.com h2 h10 10.0.0.1",
	} {
		s, err := site(t, node, map[string]string{"conf/cluster_nodes": "h1 H1.example.com h2 h10 10.0.0.1 localhost 127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		s.Node = node
		if got, err := s.OtherNodes(); err != nil || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("on %s the others are %q, %v, want %s", node, got, err, want)
		}
	}
}

func TestSelf(t *testing.T) {
	t.Parallel()
	const host = "web-9.example.invalid"
	for name, row := range map[string]struct {
		node, servers string
		want          string // its entry; "" for none
	}{
		"by node name":                    {"web-1", "web-0.invalid web-1 web-2.invalid", "web-1"},
		"by node name, with a port":       {"web-1", "web-0.invalid web-1:4115", "web-1:4115"},
		"by node name, any letters":       {"Web-1", "web-0.invalid web-1", "web-1"},
		"by entry":                        {"web-1:4115", "web-0:4115 web-1:4115", "web-1:4115"},
		"the name before an address":      {"web-1", "127.0.0.1:1 web-1", "web-1"},
		"the node name before the host's": {"web-9", host + " web-9", "web-9"},
		"by host name":                    {"web-9", "web-0.invalid " + host, host},
		"by loopback address":             {"other", "127.0.0.1", "127.0.0.1"},
		"by 127.0.1.1":                    {"other", "127.0.1.1", "127.0.1.1"},
		"by IPv6 loopback":                {"other", "[::1]:5", "[::1]:5"},
		"localhost":                       {"other", "localhost", "localhost"},
		"elsewhere":                       {"other", "192.0.2.1 [2001:db8::1]:4114", ""},
	} {
		s := Site{Node: row.node}
		var servers []Server
		for entry := range strings.FieldsSeq(row.servers) {
			server, err := ParseServer(entry)
			if err != nil {
				t.Fatal(err)
			}
			servers = append(servers, server)
		}
		self, ok, errs := s.self(servers, host)
		if self.Entry != row.want || ok != (row.want != "") || errs != nil {
			t.Errorf("%s: Self = %+v, %v, %v, want %q", name, self, ok, errs, row.want)
		}
	}
}

// A name that does not resolve yet may be this host's: it is told, not taken for another's.
func TestSelfWithANameThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	servers := []Server{{"nobody.invalid", "nobody.invalid", Port}, {"192.0.2.1", "192.0.2.1", Port}}
	self, ok, errs := Site{Node: "h1"}.Self(servers)
	if ok || len(errs) != 1 || !strings.Contains(errs[0].Error(), `"nobody.invalid"`) {
		t.Errorf("Self = %+v, %v, %v, want one error that names it", self, ok, errs)
	}
	if self, ok, errs := (Site{Node: "h1"}).self(servers, "nobody.invalid"); ok || len(errs) != 1 {
		t.Errorf("on a host that was called nobody: %+v, %v, %v, want one error", self, ok, errs)
	}
	servers = append(servers, Server{"127.0.0.1", "127.0.0.1", Port})
	if self, ok, _ := (Site{Node: "h1"}).Self(servers); !ok || self.Entry != "127.0.0.1" {
		t.Errorf("Self = %+v, %v, want 127.0.0.1", self, ok)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "localhost.localdomain": true, "127.0.0.1": true, "127.0.1.1": true, "::1": true,
		"h1": false, "localhost1": false, "10.0.0.1": false, "fd00::1": false, "127host": false,
	} {
		if got := (Server{Host: host}).Loopback(); got != want {
			t.Errorf("Loopback of %q = %v, want %v", host, got, want)
		}
	}
}
