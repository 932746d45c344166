package lock

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"dummy", "a", "linux-test", "web-1", "a.b", "a_b", "UPPER", "0", "ä", "日本", "a-", "a.", "a:b", strings.Repeat("x", 100),
	} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".hidden", "-x", "--help", "a/b", "/", "../a", "a\\b", "a b", " a", "a\t", "a\nb", "a\rb", "a\x00b", "a\x7f", "a\x1b[m",
		"a\u00a0b", "a\u200bb", "a\u2028b", "a\u202eb", "a\xff", "a\ufffd", strings.Repeat("x", 101),
	} {
		if err := CheckName(name); err == nil {
			t.Errorf("CheckName(%q) finds nothing wrong", name)
		} else if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Errorf("CheckName(%q) = %q: not one clean line", name, err)
		}
	}
}
