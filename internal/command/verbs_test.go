package command

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestVerbs(t *testing.T) {
	t.Parallel()
	run := func(_ context.Context, env *Env, args []string) error {
		if len(args) > 1 {
			return UsageError("too many")
		}
		_, err := fmt.Fprintln(env.Stdout, args)
		return err
	}
	verbs := []Verb{
		{Name: "halt", Args: "P", Summary: "halts it:\nfor ever", Usage: "Usage: y halt P\n", Run: run},
		{Name: "say", Args: "[P ...]", Summary: "says it", Usage: "Usage: y say\n", Run: run},
	}
	c := WithVerbs([]string{"y", "x"}, "Does something.", verbs, "x say p")
	usage := `Usage: y { halt | say }
  Does something.

  halt P        halts it:
                for ever
  say [P ...]   says it

Example: x say p
`
	tests := []struct {
		args, out, errs string
		status          int
	}{
		{"--help", usage, "", 0},
		{"", "", usage, 2},
		{"frob --help", "", "y: no such verb: \"frob\"\n" + usage, 2},
		{"say", "[]\n", "", 0},
		{"say --help", "Usage: y say\n", "", 0},
		{"halt -h", "Usage: y halt P\n", "", 0},
		{"say a", "[a]\n", "", 0},
		{"say a b", "", "y: too many\nUsage: y say\n", 2}, // the verb's usage
	}
	for _, tt := range tests {
		var out, errs strings.Builder
		env := &Env{Name: "y", Args: strings.Fields(tt.args), Stdout: &out, Stderr: &errs}
		if status := c.Main(t.Context(), env); status != tt.status || out.String() != tt.out || errs.String() != tt.errs {
			t.Errorf("y %s: status %d, it prints\n%s%s", tt.args, status, &out, &errs)
		}
	}
	for args, want := range map[string]string{"": "Usage: x {", "halt -h": "Usage: x halt P\n"} { // by its other name
		var out strings.Builder
		c.Main(t.Context(), &Env{Name: "x", Args: strings.Fields(args), Stdout: &out, Stderr: &out})
		if !strings.HasPrefix(out.String(), want) {
			t.Errorf("x %s prints\n%s", args, &out)
		}
	}
}
