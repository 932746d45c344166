package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dex-lock is where conf/lock_path says, or in the home, or beside it.
func TestLockDir(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	for name, row := range map[string]struct {
		lockPath string
		dirs     []string
		want     string // below the directory of the home; "" for none
	}{
		"in the home":            {"", []string{"home/dex-lock", "dex-lock"}, "home/dex-lock"},
		"beside it":              {"", []string{"dex-lock"}, "dex-lock"},
		"nowhere":                {"", nil, ""},
		"empty lock_path":        {"\n", []string{"home/dex-lock"}, "home/dex-lock"},
		"lock_path wins":         {"../other\n", []string{"home/dex-lock", "dex-lock", "other"}, "other"},
		"lock_path is wrong":     {"../other\n", []string{"home/dex-lock"}, ""},
		"lock_path, a blank":     {" ../the locks \n", []string{"home/dex-lock", "the locks"}, "the locks"},
		"lock_path, two lines":   {"../other\n../third\n", []string{"other", "third"}, "other"},
		"lock_path is absolute":  {elsewhere, []string{"home/dex-lock"}, elsewhere},
		"lock_path to no place":  {"/nowhere/at/all", []string{"home/dex-lock"}, ""},
		"lock_path is commented": {"# /x\n", []string{"home/dex-lock"}, "home/dex-lock"},
	} {
		top := t.TempDir()
		home := filepath.Join(top, "home")
		write(t, home, map[string]string{"conf/lock_path": row.lockPath})
		for _, dir := range row.dirs {
			if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		want := row.want
		if want != "" && !filepath.IsAbs(want) {
			want = filepath.Join(top, want)
		}
		s, err := Load(home, "h1")
		if got := s.LockDir; (err == nil) != (want != "") || err == nil && filepath.Clean(got) != want {
			t.Errorf("%s: LockDir = %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "home"), "h1"); err == nil ||
		err.Error() != "back-to-work need dex-lock to run. install it and configure its location." {
		t.Errorf("Load without dex-lock: %v", err)
	}
}

func TestLockDirThatIsAFile(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write(t, home, map[string]string{"dex-lock": ""})
	if s, err := Load(home, "h1"); err == nil {
		t.Errorf("LockDir = %q, which is a file", s.LockDir)
	}
}

// Of ./dex-lock and ../dex-lock the one counts that somebody has configured, or run: not the one that
// `make install` has made. Where both are, nobody guesses. A home that is a link is the same home.
func TestLockDirOfTwo(t *testing.T) {
	t.Parallel()
	const (
		own, site = "btw/dex-lock", "dex-lock"
		servers   = "/conf/lock_servers"
		listed    = "h1 h2 h3\n"
	)
	for name, row := range map[string]struct {
		files map[string]string // below the directory of the home
		link  string            // what the home is called by, if not btw: a link to it
		want  string            // "" where it is refused
	}{
		"ours as shipped, the site's":             {map[string]string{own + servers: "localhost\n", site + servers: listed}, "", site},
		"ours without a list, the site's":         {map[string]string{own + "/dex-show": "", site + servers: listed}, "", site},
		"ours with an empty list, the site's":     {map[string]string{own + servers: "# none\n", site + servers: listed}, "", site},
		"ours as shipped, the site's not filled":  {map[string]string{own + servers: "localhost\n", site + "/dex-show": ""}, "", own},
		"both as shipped":                         {map[string]string{own + servers: "localhost\n", site + servers: "localhost\n"}, "", own},
		"ours as shipped, the site's was run":     {map[string]string{own + servers: "localhost\n", site + servers: "localhost\n", site + "/state/raft.db": ""}, "", site},
		"ours as shipped, the site's lost its db": {map[string]string{own + servers: "localhost\n", site + "/cluster_id": "x"}, "", site},
		"ours configured, the site's as shipped":  {map[string]string{own + servers: listed, site + servers: "localhost\n"}, "", own},
		"ours was tried, the site's not filled":   {map[string]string{own + servers: "localhost\n", own + "/state/raft.db": "", site + "/dex-show": ""}, "", own},
		"ours was tried, the site's":              {map[string]string{own + servers: "localhost\n", own + "/state/raft.db": "", site + servers: listed}, "", ""},
		"ours was tried and lost, the site's":     {map[string]string{own + servers: "localhost\n", own + "/cluster_id": "", site + servers: listed}, "", ""},
		"both configured":                         {map[string]string{own + servers: listed, site + servers: listed}, "", ""},
		"another port is configured":              {map[string]string{own + servers: "localhost:5000\n", site + servers: listed}, "", ""},
		"both, and lock_path":                     {map[string]string{own + servers: listed, site + servers: listed, "btw/conf/lock_path": "../dex-lock"}, "", site},
		"both, and lock_path to ours":             {map[string]string{own + servers: listed, site + servers: listed, "btw/conf/lock_path": "dex-lock"}, "", own},
		"by a link, the site's beside the home":   {map[string]string{own + servers: "localhost\n", site + servers: listed}, "links/home", site},
		"by a link, the site's beside the link":   {map[string]string{own + servers: "localhost\n", "links/dex-lock/conf/lock_servers": listed}, "links/home", "links/dex-lock"},
		"by a link, one beside each":              {map[string]string{site + servers: listed, "links/dex-lock/conf/lock_servers": listed}, "links/home", ""},
		"by a link, ours":                         {map[string]string{own + servers: listed}, "links/home", own},
		"by a link, lock_path":                    {map[string]string{"locks/dex-show": "", "btw/conf/lock_path": "../locks"}, "links/home", "locks"},
		"by a link, lock_path to one beside each": {map[string]string{"locks/dex-show": "", "links/locks/dex-show": "", "btw/conf/lock_path": "../locks"}, "links/home", ""},
	} {
		top := t.TempDir()
		write(t, top, map[string]string{"btw/packages/p": "", "links/x": ""})
		write(t, top, row.files)
		home := filepath.Join(top, "btw")
		if row.link != "" {
			home = filepath.Join(top, row.link)
			if err := os.Symlink("../btw", home); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Load(home, "h1")
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%s: LockDir = %q, want a refusal", name, s.LockDir)
		case row.want == "" && (strings.Count(err.Error(), top) != 2 || !strings.Contains(err.Error(), "conf/lock_path")):
			t.Errorf("%s: %v, want both paths, and what decides", name, err)
		case row.want != "" && (err != nil || !sameDir(s.LockDir, filepath.Join(top, row.want))):
			t.Errorf("%s: LockDir = %q, %v, want %s", name, s.LockDir, err, row.want)
		}
	}
}

// A link to the site's directory, in the place of ours, is no second one.
func TestLockDirByLink(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	home := filepath.Join(top, "btw")
	write(t, top, map[string]string{"btw/packages/p": "", "dex-lock/conf/lock_servers": "h1 h2 h3\n"})
	if err := os.Symlink("../dex-lock", filepath.Join(home, "dex-lock")); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(home, "h1"); err != nil || s.LockDir != filepath.Join(home, "dex-lock") {
		t.Errorf("LockDir = %q, %v", s.LockDir, err)
	}
}

// A list that cannot be read may be anything: nobody goes by the other directory then.
func TestLockDirThatCannotBeRead(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	write(t, top, map[string]string{"btw/dex-lock/conf/lock_servers": "localhost\n", "dex-lock/conf/lock_servers/x": ""})
	if s, err := Load(filepath.Join(top, "btw"), "h1"); err == nil || !strings.Contains(err.Error(), "/dex-lock/conf/lock_servers") {
		t.Errorf("LockDir = %q, %v", s.LockDir, err)
	}
}
