package native

import (
	"context"
	"io"
	"strings"

	"backtowork/internal/applet"
	"backtowork/internal/command"
)

// arping is ours, for calls that print nothing: is the address in use (-D), and here it is (-U, -A). What the
// status of a plain question says is not the same in all versions of iputils.
func arping(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "DUAqc:w:I:s:", nil)
	if err != nil || len(names) != 1 || strings.Contains(names[0], ":") {
		return 0, false
	}
	given := map[byte]bool{}
	for _, o := range opts {
		given[o.Letter] = true
	}
	if !given['q'] && !discards(c.Stdout) || !given['I'] || !given['c'] && !given['w'] {
		return 0, false
	}
	if given['D'] == (given['U'] || given['A']) {
		return 0, false
	}
	return run(ctx, applet.Commands(), c)
}

// run runs one of our own commands.
func run(ctx context.Context, all []command.Command, c *Call) (int, bool) {
	own := command.Find(all, baseName(c.Args[0]))
	if own == nil {
		return 0, false
	}
	stdin := c.Stdin
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	getenv := func(name string) string {
		v, _ := c.Env(name)
		return v
	}
	env := &command.Env{Name: c.name(), Args: c.Args[1:], Stdin: stdin, Stdout: io.Discard, Stderr: c.Stderr, Getenv: getenv}
	status := own.Main(ctx, env)
	if ctx.Err() != nil {
		status = ended
	}
	return status, true
}
