package conf

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// fuzzSite is a site of which one file, called name, says text.
func fuzzSite(t *testing.T, name string, text []byte) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, dir := range []string{"conf", "dex-lock/conf"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

// wantNamed wants every fault to name the file, in a line without control characters.
func wantNamed(t *testing.T, err error, path string) {
	t.Helper()
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.Contains(line, path) || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q does not name %s, or is no line to print", line, path)
		}
	}
}

// FuzzLockServers reads a lock_servers: what is accepted can be dialled, is nobody twice, and is
// the same when it is written again from what was read.
func FuzzLockServers(f *testing.F) {
	for _, s := range []string{
		"localhost\n", "a b c", "a:1 b:65535 # c\n[::1]:4114\n", "127.0.0.1:1 127.0.0.1:2", "A a", "::1", "fe80::1%eth0", "a:0", ":1", "[", "a..b",
		"1.2.3.4:5 01.2.3.4:5", "host:+4114 host:4114", "::1 0:0:0:0:0:0:0:1", "\x00", "localhost a", "a:4114 a", "a. a", "a:1 a:01",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		home := fuzzSite(t, "dex-lock/conf/lock_servers", text)
		s, err := Load(home, "n1")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(home, "dex-lock/conf/lock_servers")
		servers, err := s.LockServers()
		if err != nil {
			wantNamed(t, err, path)
			return
		}
		if len(servers) == 0 {
			t.Fatal("no server, and no error")
		}
		var lines []string
		dialled := map[string]string{}
		for _, server := range servers {
			lines = append(lines, server.Entry)
			host, port, err := net.SplitHostPort(server.Addr())
			if err != nil || host != server.Host || port != server.Port {
				t.Errorf("Addr of %+v = %q: %v", server, server.Addr(), err)
			}
			addr := canonical(t, host, port)
			if other, twice := dialled[addr]; twice {
				t.Errorf("%q and %q are the same server", other, server.Entry)
			}
			dialled[addr] = server.Entry
			if server.Loopback() && len(servers) > 1 && server.Host == "localhost" {
				t.Error("localhost among several")
			}
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, " ")+" # x\nelse\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := s.LockServers(); err != nil || !slices.Equal(again, servers) {
			t.Errorf("%+v, written and read again: %+v, %v", servers, again, err)
		}
	})
}

// canonical is the one spelling of an address; its port must be a number that a socket can have.
func canonical(t *testing.T, host, port string) string {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		t.Errorf("port %q is accepted", port)
	}
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(strings.TrimSuffix(host, "."), strconv.Itoa(n))
}

// FuzzClusterNodes reads a cluster_nodes: words without spaces and comments, and the same again.
func FuzzClusterNodes(f *testing.F) {
	for _, s := range []string{"", "a b\n c # d\n", "#", "a#b", "\x00 \xff", "a\r\nb\r\n", "a\u00a0b\u2028c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		home := fuzzSite(t, "conf/cluster_nodes", text)
		s := Site{Home: home}
		nodes, err := s.ClusterNodes()
		if err != nil {
			wantNamed(t, err, filepath.Join(home, "conf/cluster_nodes"))
			return
		}
		for _, node := range nodes {
			if node == "" || strings.ContainsFunc(node, unicode.IsSpace) || strings.Contains(node, "#") {
				t.Errorf("a node is called %q", node)
			}
		}
		again := Site{Home: fuzzSite(t, "conf/cluster_nodes", []byte(strings.Join(nodes, "\n")))}
		if got, err := again.ClusterNodes(); err != nil || !slices.Equal(got, nodes) {
			t.Errorf("%q, written and read again: %q, %v", nodes, got, err)
		}
	})
}

// FuzzOneWord reads the files that say one word: node_name, lock_path and shell.
func FuzzOneWord(f *testing.F) {
	for _, s := range []string{"", "n1\n", "a b", "../x", ".hidden", "-n", "/bin/sh", "auto", "embedded", "dex-lock", "/", "..", "/\x00", "n\x1b[31m", "\xff", "#", "/no/such\u202e"} {
		f.Add([]byte(s), "host.example.org")
	}
	f.Add([]byte{}, "")
	f.Add([]byte{}, "..")
	f.Fuzz(func(t *testing.T, text []byte, host string) {
		home := fuzzSite(t, "conf/node_name", text)
		s, err := Load(home, host)
		switch {
		case err != nil:
			wantNamed(t, err, filepath.Join(home, "conf/node_name"))
		case s.Node == "" || strings.ContainsAny(s.Node, "/ \n\x00") || s.Node[0] == '.' || filepath.Base(s.Node) != s.Node:
			t.Errorf("the node is called %q", s.Node)
		}

		home = fuzzSite(t, "conf/lock_path", text)
		if s, err = Load(home, "n1"); err != nil {
			wantNamed(t, err, "conf/lock_path")
		} else if !isDir(s.LockDir) {
			t.Errorf("the lock directory is %q, which is none", s.LockDir)
		}

		home = fuzzSite(t, "conf/shell", text)
		shell, err := Site{Home: home}.Shell()
		if err != nil {
			wantNamed(t, err, filepath.Join(home, "conf/shell"))
		} else if shell.Path != "" {
			if info, err := os.Stat(shell.Path); err != nil || info.IsDir() || !filepath.IsAbs(shell.Path) {
				t.Errorf("the shell is %v: %v", shell, err)
			}
		}
	})
}
