package conf

import (
	"strings"
	"testing"
)

// As the original, we go by the first lines of these files; what stands below is not passed over in silence.
func TestUnread(t *testing.T) {
	t.Parallel()
	s, err := site(t, "h1", map[string]string{serversFile: "# ours\nh1\nh2\n\nh3 h4\n", "conf/lock_path": "dex-lock\n../other\n"})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(s.Unread(), "\n")
	for _, want := range []string{`/dex-lock/conf/lock_servers: only the first line counts: "h2" is`, `"h3 h4" is`, `/conf/lock_path: only the first line counts: "../other" is`} {
		if !strings.Contains(got, want) || strings.Count(got, "\n") != 2 {
			t.Errorf("Unread = %s, want %s", got, want)
		}
	}
	if s, err := site(t, "h1", map[string]string{serversFile: "h1 h2\n#h3\n"}); err != nil || s.Unread() != nil {
		t.Errorf("Unread = %q, %v", s.Unread(), err)
	}
}
