package applet

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
)

const selection = `  -f          match the whole command line: so it is in any case, as in the original, but
              that -x alone also takes a name (15 characters)
  -x          match all of it
  -n, -o      only the newest, only the oldest
  -u USER,... effective user, a name or a number
  -U USER,... real user
  -P PID,...  parent process
  -A          leave out this command's parent, its parent, and so on
  -c          print how many match
PATTERN is an extended regular expression.`

var pgrepUsage = `Usage: pgrep [-fxvnoclaA] [-d STRING] [-u USER] [-U USER] [-P PID] [PATTERN]

Prints the processes that match everything given, never itself. Exit status 0 when
there is one, 1 when there is none.
` + selection + `
  -v          the processes that do not match
  -a          print the command line behind the process id: so it is in any case
  -l          print the name instead
  -d STRING   print STRING between them instead of a new line

Example: pgrep -x -u root sshd | { read -r pid line && echo "$pid" ; }
`

var pkillUsage = `Usage: pkill [-SIGNAL | -s SIGNAL] [-fxnocA] [-u USER] [-U USER] [-P PID] [PATTERN]

Sends a signal, else TERM, to the processes that match everything given, never to
itself. Exit status 0 when one got it, 1 when none did.
  -s SIGNAL   a name or a number; also --signal SIGNAL
` + selection + `

Example: pkill -HUP -x syslogd
`

// A search is what to look for, and what to print of it.
type search struct {
	pattern          *regexp.Regexp // nil matches all
	empty            bool           // a pattern was given, and is ""
	full, inverse    bool
	named            bool // the name fits too
	newest, oldest   bool
	count            bool
	name             bool // to be printed, not the command line
	ignoreAncestors  bool
	separator        string
	users, realUsers []int
	parents          []int
	signal           syscall.Signal
}

// pgrep prints processes.
func pgrep(_ context.Context, env *command.Env) error {
	s, err := parsePgrep(env.Args)
	if err != nil {
		return err
	}
	found, err := s.processes()
	if err != nil {
		return command.Failed(env, 3, err)
	}
	switch {
	case s.count:
		fmt.Fprintln(env.Stdout, len(found))
	case len(found) > 0:
		var lines []string
		for _, p := range found {
			lines = append(lines, s.show(p))
		}
		fmt.Fprintln(env.Stdout, strings.Join(lines, s.separator))
	}
	return someOrNone(len(found))
}

// pkill sends a signal to processes.
func pkill(_ context.Context, env *command.Env) error {
	s, err := parsePkill(env.Args)
	if err != nil {
		return err
	}
	found, err := s.processes()
	if err != nil {
		return command.Failed(env, 3, err)
	}
	sent := 0
	for _, p := range found {
		switch err := syscall.Kill(p.pid, s.signal); {
		case err == nil:
			sent++
		case !errors.Is(err, syscall.ESRCH): // else it has just ended
			fmt.Fprintf(env.Stderr, "%s: cannot signal process %d: %v\n", env.Name, p.pid, err)
		}
	}
	if s.count {
		fmt.Fprintln(env.Stdout, sent)
	}
	return someOrNone(sent)
}

func someOrNone(n int) error {
	if n == 0 {
		return command.Status(1)
	}
	return nil
}

// show is the line for a process.
func (s *search) show(p process) string {
	if s.name {
		return fmt.Sprint(p.pid, " ", p.name)
	}
	return fmt.Sprint(p.pid, " ", p.line)
}

func parsePgrep(args []string) (*search, error) { return parseSearch(args, "fxvnoclaAd:u:U:P:") }

// parsePkill refuses arguments that would reach every process by mistake, such as an unset
// variable.
func parsePkill(args []string) (*search, error) {
	name, args := takeSignal(args)
	s, err := parseSearch(args, "fxnocAs:u:U:P:")
	if err != nil {
		return nil, err
	}
	if s.empty {
		return nil, command.UsageError("the pattern is empty: it would match every process")
	}
	if name != "" {
		s.signal, _ = signalNumber(name)
	}
	return s, nil
}

// takeSignal takes the first -SIGNAL off args.
func takeSignal(args []string) (name string, rest []string) {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if name, ok := strings.CutPrefix(arg, "-"); ok {
			if _, ok := signalNumber(name); ok {
				return name, slices.Concat(args[:i], args[i+1:])
			}
		}
	}
	return "", args
}

// signalNumber is the signal called TERM, SIGTERM, or 15.
func signalNumber(name string) (syscall.Signal, bool) {
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		return syscall.Signal(n), n <= 64
	}
	n := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
	return n, n != 0
}

// parseSearch reads the arguments of both commands.
func parseSearch(args []string, accept string) (*search, error) {
	opts, operands, err := command.Options(args, accept, map[string]byte{
		"full": 'f', "exact": 'x', "inverse": 'v', "newest": 'n', "oldest": 'o', "count": 'c', "list-name": 'l', "list-full": 'a',
		"delimiter": 'd', "euid": 'u', "uid": 'U', "parent": 'P', "signal": 's', "ignore-ancestors": 'A',
	})
	if err != nil {
		return nil, err
	}
	s := &search{separator: "\n", signal: syscall.SIGTERM}
	exact, criteria := false, false
	for _, o := range opts {
		if o.Letter == 'x' {
			exact = true
		} else if err := s.set(o); err != nil {
			return nil, err
		}
		criteria = criteria || strings.IndexByte("uUP", o.Letter) >= 0
	}
	s.named = exact && !s.full
	switch {
	case len(operands) > 1:
		return nil, command.UsageError("one pattern only")
	case len(operands) == 0 && !criteria:
		return nil, command.UsageError("what to look for? a pattern is missing")
	case s.newest && s.oldest:
		return nil, command.UsageError("-n and -o exclude each other")
	case s.inverse && (s.newest || s.oldest):
		return nil, command.UsageError("-v goes with neither -n nor -o")
	case len(operands) == 1:
		return s, s.match(operands[0], exact)
	}
	return s, nil
}

func (s *search) set(o command.Option) (err error) {
	switch o.Letter {
	case 'f':
		s.full = true
	case 'v':
		s.inverse = true
	case 'n':
		s.newest = true
	case 'o':
		s.oldest = true
	case 'c':
		s.count = true
	case 'l':
		s.name = true
	case 'a':
		s.name = false
	case 'A':
		s.ignoreAncestors = true
	case 'd':
		s.separator = o.Value
	case 'u':
		s.users, err = list(o, s.users, userID)
	case 'U':
		s.realUsers, err = list(o, s.realUsers, userID)
	case 'P':
		s.parents, err = list(o, s.parents, strconv.Atoi)
	case 's':
		var ok bool
		if s.signal, ok = signalNumber(o.Value); !ok {
			err = command.Usagef("not a signal: %q", o.Value)
		}
	}
	return err
}

// list reads the numbers of an option like -P 1,2.
func list(o command.Option, ids []int, read func(string) (int, error)) ([]int, error) {
	for word := range strings.SplitSeq(o.Value, ",") {
		id, err := read(word)
		if err != nil || id < 0 {
			return nil, command.Usagef("option -%c: there is no %q", o.Letter, word)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func userID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

func (s *search) match(pattern string, exact bool) (err error) {
	s.empty = pattern == ""
	if exact {
		pattern = "^(" + pattern + ")$"
	}
	if s.pattern, err = regexp.CompilePOSIX(pattern); err != nil {
		return command.Usagef("not an extended regular expression: %q", pattern)
	}
	return nil
}
