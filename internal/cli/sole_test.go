package cli

import (
	"os"
	"path/filepath"
	"testing"

	"backtowork/internal/conf"
)

// One lock server is worth a warning where other hosts depend on it too.
func TestSoleServerWarning(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		nodes   string
		servers int
		want    string
	}{
		"one, and no list of nodes":      {"", 1, ""},
		"one, for this host":             {"n1", 1, ""},
		"one, for this host, two names":  {"n1 localhost N1", 1, ""},
		"one, for several":               {"n1 n2", 1, oneServer},
		"three":                          {"n1 n2 n3", 3, ""},
		"none":                           {"n1 n2", 0, ""},
		"one, for others than this host": {"n2", 1, oneServer},
	} {
		home := t.TempDir()
		if err := os.MkdirAll(filepath.Join(home, "conf"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, "conf/cluster_nodes"), []byte(row.nodes+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := &site{Site: conf.Site{Home: home, Node: "n1"}, servers: make([]conf.Server, row.servers)}
		if got := s.soleServerWarning(); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
