package command

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Option is one that was given, with its value if it takes one.
type Option struct {
	Letter byte
	Value  string
}

// Options takes the options off args as getopt(3) does: several may be written in one word (-fx), a
// value joined or apart (-c3, -c 3), and "--" ends them. accept lists the letters. One colon after
// a letter: it takes a value; two colons: the value may be left out, and must be joined if it is
// given. A "+" in front: the first operand ends the options. long gives some letters a long name
// too.
func Options(args []string, accept string, long map[string]byte) (opts []Option, operands []string, err error) {
	accept, inOrder := strings.CutPrefix(accept, "+")
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return opts, append(operands, args...), nil
		case strings.HasPrefix(arg, "--"):
			if arg, err = short(arg[2:], accept, long); err != nil {
				return nil, nil, err
			}
		case len(arg) < 2 || arg[0] != '-':
			operands = append(operands, arg)
			if inOrder {
				return opts, append(operands, args...), nil
			}
			continue
		}
		for arg = arg[1:]; arg != ""; {
			var o Option
			if o, arg, args, err = nextOption(arg, args, accept); err != nil {
				return nil, nil, err
			}
			opts = append(opts, o)
		}
	}
	return opts, operands, nil
}

// short writes a long option as a short one.
func short(arg, accept string, long map[string]byte) (string, error) {
	name, value, joined := strings.Cut(arg, "=")
	letter, ok := long[name]
	if !ok {
		return "", Usagef("unknown option --%s", name)
	}
	if joined && !strings.Contains(accept, string(letter)+":") {
		return "", Usagef("option --%s takes no value", name)
	}
	return "-" + string(letter) + value, nil
}

// nextOption takes one option off arg, a cluster of them, and its value off arg or args.
func nextOption(arg string, args []string, accept string) (o Option, rest string, more []string, err error) {
	at := strings.IndexByte(accept, arg[0])
	if at < 0 || arg[0] == ':' {
		return o, "", nil, Usagef("unknown option -%c", arg[0])
	}
	o.Letter, rest = arg[0], arg[1:]
	switch takes := accept[at+1:]; {
	case !strings.HasPrefix(takes, ":"):
		return o, rest, args, nil
	case rest != "" || strings.HasPrefix(takes, "::"):
		o.Value = rest
	case len(args) == 0:
		return o, "", nil, Usagef("option -%c needs a value", o.Letter)
	default:
		o.Value, args = args[0], args[1:]
	}
	return o, "", args, nil
}

// Seconds reads a number of seconds; more than time.Duration can hold is "for ever".
func Seconds(s string) (time.Duration, error) {
	number := func(r rune) bool { return r >= '0' && r <= '9' || r == '.' || r == 'e' || r == '-' || r == '+' }
	n, err := strconv.ParseFloat(s, 64)
	if s == "inf" || s == "infinity" {
		n, err = math.Inf(1), nil
	} else if slices.ContainsFunc([]rune(s), func(r rune) bool { return !number(r) }) {
		err = strconv.ErrSyntax
	}
	switch {
	case errors.Is(err, strconv.ErrSyntax) || n < 0:
		return 0, Usagef("not a number of seconds: %q", s)
	case n > math.MaxInt64/float64(time.Second)/2:
		return math.MaxInt64 / 2, nil
	}
	return time.Duration(n * float64(time.Second)), nil
}
