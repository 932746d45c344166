package cli

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/lockclient"
	"backtowork/internal/manager"
)

// What a manager wrote before its host was booted is told while the lock is still blocked by that
// host, and not when another node has it.
func TestStatusLineBlocked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		role, htsp string
		want       bool
	}{
		{"active", "h1 3 7 -invalid-", true},
		{"active", "-invalid- 0 0 -invalid-", true}, // it is just being written
		{"stand-by", "h1 3 7 -invalid-", true},
		{"stand-by", "h2 4 1 h1", false},
		{"stand-by", "-invalid- 3 8 h1", false},
	}
	for _, tt := range tests {
		home := t.TempDir()
		write := func(path, text string) {
			t.Helper()
			path = filepath.Join(home, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("temp/lockdir_p/role", tt.role)
		write("temp/lockdir_p/pkg_state", "")
		write("temp/lockdir_p/blocked", "its status is 0, not 1")
		write("files/p_htsp", tt.htsp)
		s := &site{Site: conf.Site{Home: home, Node: "h1"}, files: lockclient.NewFiles(filepath.Join(home, "files"))}
		if line := s.statusLine("p", 7); strings.Contains(line, ` blocked="its status is 0, not 1";`) != tt.want {
			t.Errorf("role %s, htsp %s: %s", tt.role, tt.htsp, line)
		}
	}
}

// The whole name must fit; a name may be said as it is, too.
func TestWantedNames(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, name, want string }{
		{"", "dummy", "yes"},
		{"dummy", "dummy", "yes"},
		{"dummy", "dummy2", "no"},
		{"dummy.*", "dummy2", "yes"},
		{"a|dummy", "dummy2", "no"},
		{"a|dummy", "dummy", "yes"},
		{"c++", "c++", "yes"},
		{"c++", "c", "bad"},
		{"[", "dummy", "bad"},
		{"web.1", "web.1", "yes"},
		{"*/", "", "bad"},
	} {
		wanted, err := wantedNames(strings.Fields(row.args), func(name string) bool { return name == row.name })
		got := "bad"
		if err == nil {
			got = map[bool]string{true: "yes", false: "no"}[wanted(row.name)]
		}
		if got != row.want {
			t.Errorf("status %s of %s: %s, want %s", row.args, row.name, got, row.want)
		}
	}
}

// What a node that is cut off says of the lock is old: for how long it has heard nothing is said beside it. A manager that
// hangs says nothing, and an older one knows nothing of it.
func TestSilence(t *testing.T) {
	t.Parallel()
	home := manager.Home(t.TempDir())
	dir, err := home.Take("p", false)
	if err != nil {
		t.Fatal(err)
	}
	var silent atomic.Int32
	dir.Serve(func(manager.Request) manager.Answer {
		if silent.Load() < 0 {
			return manager.Answer{Waits: "another cluster"}
		}
		return manager.Answer{Silent: int(silent.Load())}
	})
	var said strings.Builder
	s := &site{Site: conf.Site{Home: string(home)}, env: &command.Env{Stdout: &said}}
	if got := s.silence(t.Context(), "p"); got != "" {
		t.Errorf("of servers that answer it says %q", got)
	}
	silent.Store(37)
	if got := s.silence(t.Context(), "p"); got != " lock_servers_silent=37s;" {
		t.Errorf("of servers that are silent it says %q", got)
	}
	silent.Store(-1)
	if got := s.silence(t.Context(), "p"); got != ` waits_for="another cluster";` {
		t.Errorf("of another cluster it says %q", got)
	}
	silent.Store(37)
	s.sayStale(t.Context(), "h1", "p")
	if s.sayStale(t.Context(), "", "p"); said.String() != "unknown now: no lock server that answers has a leader, and what is above may have changed since. lock_servers_silent=37s;\n" {
		t.Errorf("dex-show says %q", said.String())
	}
	dir.Remove()
	if got := s.silence(t.Context(), "p"); got != "" {
		t.Errorf("without a manager it says %q", got)
	}
}
