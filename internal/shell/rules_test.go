package shell

import (
	"os"
	"strings"
	"testing"
)

// TestRules: each rule finds its bad example, and nothing finds its good one.
func TestRules(t *testing.T) {
	for _, r := range Rules() {
		open := func(path string) ([]byte, error) {
			switch path {
			case "/p/bad":
				return []byte(r.Bad), nil
			case "/p/good":
				return []byte(r.Good), nil
			case "/p/broken":
				return []byte("if"), nil
			}
			return nil, os.ErrNotExist
		}
		glob := func(pattern string) []string { return []string{pattern} }
		if r.Name == "dot" { // its good example has an expansion: nothing is there
			glob = func(string) []string { return nil }
		}
		_, found := CheckAll("/p/bad", open, glob)
		has := false
		for _, f := range found {
			has = has || f.Rule == r.Name
			if _, ok := Explain(f.Rule); !ok {
				t.Errorf("%s: no such rule: %s", r.Name, f)
			}
		}
		if !has {
			t.Errorf("%s: not found in %q: %v", r.Name, r.Bad, found)
		}
		if _, found := CheckAll("/p/good", open, glob); len(found) > 0 {
			t.Errorf("%s: in %q: %v", r.Name, r.Good, found)
		}
		if strings.ContainsAny(r.Explain, "\n") || r.Explain == "" {
			t.Errorf("%s: %q is not one line", r.Name, r.Explain)
		}
	}
}

func TestFindingString(t *testing.T) {
	s, err := Parse("p/x", []byte("a=1\necho $$\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "p/x:2:6: shell: $$ is another process's here (pid)"
	if f := s.Check(); len(f) != 1 || f[0].String() != want {
		t.Errorf("%v, not %s", f, want)
	}
}
