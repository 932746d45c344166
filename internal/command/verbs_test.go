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
		_, err := fmt.Fprintln(env.Stdout, args)
		return err
	}
	verbs := []Verb{
		{Name: "halt", Args: "P", Summary: "halts it:\nfor ever", Usage: "Usage: x halt P\n", Run: run},
		{Name: "secret", Summary: "is not listed", Usage: "Usage: x secret\n", Run: run, Hidden: true},
		{Name: "say", Args: "[P ...]", Summary: "says it", Usage: "Usage: x say\n", Run: run},
	}
	c := WithVerbs([]string{"y", "x"}, "Does something.", verbs, "x say p")
	usage := `Usage: x { halt | say }
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
		{"frob --help", "", usage, 2},
		{"say", "[]\n", "", 0},
		{"say a --help", "[a --help]\n", "", 0},
		{"say --help", "Usage: x say\n", "", 0},
		{"halt -h", "Usage: x halt P\n", "", 0},
		{"secret a", "[a]\n", "", 0},
	}
	for _, tt := range tests {
		var out, errs strings.Builder
		env := &Env{Name: "y", Args: strings.Fields(tt.args), Stdout: &out, Stderr: &errs}
		if status := c.Main(t.Context(), env); status != tt.status || out.String() != tt.out || errs.String() != tt.errs {
			t.Errorf("x %s: status %d, it prints\n%s%s", tt.args, status, &out, &errs)
		}
	}
}
