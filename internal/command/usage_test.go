package command

import (
	"strings"
	"testing"
)

func TestUsageParts(t *testing.T) {
	t.Parallel()
	usage := `Usage: x [-t T] [-o json] [--all | LOCK] -- COMMAND

Does -invalid- things (--node-is-down NODE), or Ctrl-C.
  -q, -v  quiet (- if not)

  --all   all

Example: x --not-this -z
`
	synopsis, text, example := Parts(usage)
	if synopsis != "x [-t T] [-o json] [--all | LOCK] -- COMMAND" || example != "x --not-this -z" ||
		!strings.HasPrefix(text, "Does -invalid-") || !strings.HasSuffix(text, "  --all   all") {
		t.Errorf("%q, %q, %q", synopsis, text, example)
	}
	if got := strings.Join(OptionsOf(usage), " "); got != "-t -o --all --node-is-down -q -v" {
		t.Errorf("its options are %s", got)
	}
}
