package native

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"
)

// say writes a short text to stdout.
func (c *Call) say(ctx context.Context, text string) (int, bool) {
	if err := c.write(ctx, []byte(text)); err != nil {
		return c.unwritten(ctx, err, 1), true
	}
	return 0, true
}

// operands is the arguments where none is an option; a first -- is taken off.
func operands(args []string) ([]string, bool) {
	for i, arg := range args {
		if arg == "--" && i == 0 {
			return args[1:], true
		}
		if len(arg) > 1 && arg[0] == '-' {
			return nil, false
		}
	}
	return args, true
}

// baseName is the last part of a path, as basename has it.
func baseName(path string) string {
	trimmed := strings.TrimRight(path, "/")
	if trimmed == "" && path != "" {
		return "/"
	}
	return trimmed[strings.LastIndexByte(trimmed, '/')+1:]
}

func basename(ctx context.Context, c *Call) (int, bool) {
	names, ok := operands(c.Args[1:])
	if !ok || len(names) < 1 || len(names) > 2 {
		return 0, false
	}
	name := baseName(names[0])
	if len(names) == 2 && name != "/" {
		if rest := strings.TrimSuffix(name, names[1]); rest != "" {
			name = rest
		}
	}
	return c.say(ctx, name+"\n")
}

func dirname(ctx context.Context, c *Call) (int, bool) {
	names, ok := operands(c.Args[1:])
	if !ok || len(names) == 0 {
		return 0, false
	}
	var out strings.Builder
	for _, name := range names {
		trimmed := strings.TrimRight(name, "/")
		dir := strings.TrimRight(trimmed[:strings.LastIndexByte(trimmed, '/')+1], "/")
		switch {
		case dir == "" && strings.HasPrefix(name, "/"):
			dir = "/"
		case dir == "":
			dir = "."
		}
		out.WriteString(dir + "\n")
	}
	return c.say(ctx, out.String())
}

func yes(ctx context.Context, c *Call) (int, bool) { return 0, plainArgs(c) }
func no(ctx context.Context, c *Call) (int, bool)  { return 1, plainArgs(c) }

// plainArgs is false where true and false may be asked for help.
func plainArgs(c *Call) bool { return len(c.Args) != 2 || !strings.HasPrefix(c.Args[1], "--") }

// sleep waits for the sum of what it is given.
func sleep(ctx context.Context, c *Call) (int, bool) {
	var sum time.Duration
	if len(c.Args) == 1 {
		return 0, false
	}
	for _, arg := range c.Args[1:] {
		unit := time.Second
		if arg != "" {
			switch arg[len(arg)-1] {
			case 's':
				arg = arg[:len(arg)-1]
			case 'm':
				arg, unit = arg[:len(arg)-1], time.Minute
			case 'h':
				arg, unit = arg[:len(arg)-1], time.Hour
			case 'd':
				arg, unit = arg[:len(arg)-1], 24*time.Hour
			}
		}
		n, err := strconv.ParseFloat(arg, 64)
		if err != nil || strings.Trim(arg, "0123456789.") != "" || n > 1e6 {
			return 0, false
		}
		sum += time.Duration(n * float64(unit))
	}
	t := time.NewTimer(sum)
	defer t.Stop()
	select {
	case <-t.C:
		return 0, true
	case <-ctx.Done():
		return ended, true
	}
}

// discards reports whether what is written to w goes nowhere.
func discards(w io.Writer) bool { return w == io.Discard || isNullFile(w) }
