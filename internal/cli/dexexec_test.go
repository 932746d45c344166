package cli

import (
	"errors"
	"slices"
	"testing"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/lock"
)

func TestParseExec(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args          []string
		timeout, stop time.Duration
		wait          time.Duration
		command       []string
	}{
		{[]string{"L", "--", "a", "-t", "b"}, 25 * time.Second, 5 * time.Second, -1, []string{"a", "-t", "b"}},
		{[]string{"-t", "3", "-w0", "--", "L", "--", "a"}, 2 * time.Second, time.Second, 0, []string{"a"}},
		{[]string{"-t", "5", "-w", "1.5", "L", "--", "a", "--"}, 3300 * time.Millisecond, 1700 * time.Millisecond, 1500 * time.Millisecond, []string{"a", "--"}},
	} {
		x, err := parseExec(&command.Env{Args: row.args})
		if err != nil || x.times != (lock.Times{Timeout: row.timeout, Stop: row.stop}) || x.wait != row.wait || x.lock != "L" || !slices.Equal(x.command, row.command) {
			t.Errorf("parseExec(%q) = %+v, %v", row.args, x, err)
		}
	}
	for _, args := range [][]string{
		{},
		{"L"},
		{"L", "a"},
		{"L", "--"},
		{"L", "a", "--"},
		{"-t", "2.99", "L", "--", "a"},
		{"-t", "1e7", "L", "--", "a"},
		{"-t", "-3", "L", "--", "a"},
		{"-w", "x", "L", "--", "a"},
		{"-x", "L", "--", "a"},
		{"a/b", "--", "a"},
		{"-t"},
	} {
		var usage command.UsageError
		if x, err := parseExec(&command.Env{Args: args}); !errors.As(err, &usage) {
			t.Errorf("parseExec(%q) = %+v, %v, want a usage error", args, x, err)
		}
	}
}
