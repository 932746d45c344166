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
	s, err := site(t, "web-1", map[string]string{"conf/cluster_nodes": "WEB-1.Example.com web-2.example.com web-1 web-11\n"})
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
