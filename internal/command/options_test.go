package cli

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ accept, args, want string }{
		{"ab:c::", "", "[] []"},
		{"ab:c::", "x y", "[] [x y]"},
		{"ab:c::", "-a x -a", "[a= a=] [x]"},
		{"ab:c::", "-ab 1 x", "[a= b=1] [x]"},
		{"ab:c::", "-ab1 -b=2", "[a= b=1 b==2] []"},
		{"ab:c::", "-c x -c4 -ac", "[c= c=4 a= c=] [x]"},
		{"ab:c::", "-a -- -a --", "[a=] [-a --]"},
		{"ab:c::", "- -a", "[a=] [-]"},
		{"+ab:c::", "-a x -a", "[a=] [x -a]"},
		{"ab:c::", "--all --bytes=3 --bytes 4 --cut=5 --cut x", "[a= b=3 b=4 c=5 c=] [x]"},
		{"ab:c::", "-d", "unknown option -d"},
		{"ab:c::", "-:", "unknown option -:"},
		{"+a", "-+", "unknown option -+"},
		{"ab:c::", "-b", "option -b needs a value"},
		{"ab:c::", "--none", "unknown option --none"},
		{"ab:c::", "--all=3", "option --all takes no value"},
	} {
		var args []string
		if row.args != "" {
			args = split(row.args)
		}
		opts, operands, err := options(args, row.accept, map[string]byte{"all": 'a', "bytes": 'b', "cut": 'c'})
		list := []string{}
		for _, o := range opts {
			list = append(list, fmt.Sprintf("%c=%s", o.letter, o.value))
		}
		got := fmt.Sprintf("%v %v", list, operands)
		if err != nil {
			got = err.Error()
			if usage := usageError(""); !errors.As(err, &usage) {
				t.Errorf("options(%q, %q): error of type %T, want a usageError", row.args, row.accept, err)
			}
		}
		if got != row.want {
			t.Errorf("options(%q, %q) = %s, want %s", row.args, row.accept, got, row.want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args string
		want time.Duration // -1 for an error
	}{
		{"1", time.Second},
		{"0", 0},
		{".5", 500 * time.Millisecond},
		{"1.25s", 1250 * time.Millisecond},
		{"1m 2h 3d 4", 74*time.Hour + time.Minute + 4*time.Second},
		{"1e1", 10 * time.Second},
		{"infinity", math.MaxInt64 / 2},
		{"infd", math.MaxInt64},
		{"1e300d", math.MaxInt64},
		{"", -1},
		{"x", -1},
		{"s", -1},
		{"-1", -1},
		{"1w", -1},
		{"1_0", -1},
		{"0x10", -1},
		{"nan", -1},
		{"1 x", -1},
		{"1ss", -1},
	} {
		got, err := duration(split(row.args))
		if (err != nil) != (row.want < 0) || err == nil && got != row.want {
			t.Errorf("duration(%q) = %v, %v, want %v", row.args, got, err, row.want)
		}
	}
}
