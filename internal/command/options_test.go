package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"
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
			args = strings.Split(row.args, " ")
		}
		opts, operands, err := Options(args, row.accept, map[string]byte{"all": 'a', "bytes": 'b', "cut": 'c'})
		list := []string{}
		for _, o := range opts {
			list = append(list, fmt.Sprintf("%c=%s", o.Letter, o.Value))
		}
		got := fmt.Sprintf("%v %v", list, operands)
		if err != nil {
			got = err.Error()
			if usage := UsageError(""); !errors.As(err, &usage) {
				t.Errorf("Options(%q, %q): error of type %T, want a UsageError", row.args, row.accept, err)
			}
		}
		if got != row.want {
			t.Errorf("Options(%q, %q) = %s, want %s", row.args, row.accept, got, row.want)
		}
	}
}
