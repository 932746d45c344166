package native

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"backtowork/internal/command"
)

// A search is what pgrep and pkill look for.
type search struct {
	re                        *compiled
	full, inverse, exact      bool
	newest, oldest            bool
	count, name, line         bool
	users, realUsers, parents []int
}

var pgrepLong = map[string]byte{
	"full": 'f', "exact": 'x', "newest": 'n', "oldest": 'o', "count": 'c', "list-name": 'l', "list-full": 'a',
	"euid": 'u', "uid": 'U', "parent": 'P', "inverse": 'v',
}

func pgrep(ctx context.Context, c *Call) (int, bool) {
	s, ok := parseSearch(c.Args[1:], "fxvnoclau:U:P:")
	if !ok {
		return 0, false
	}
	found, ok := s.processes()
	if !ok {
		return 0, false
	}
	r := &result{}
	if len(found) == 0 {
		r.status = 1
	}
	if s.count {
		fmt.Fprintln(&r.out, len(found))
		return c.finish(ctx, r, 1)
	}
	for _, p := range found {
		switch {
		case s.line:
			fmt.Fprintln(&r.out, p.pid, p.line)
		case s.name:
			fmt.Fprintln(&r.out, p.pid, p.name)
		default:
			fmt.Fprintln(&r.out, p.pid)
		}
	}
	return c.finish(ctx, r, 1)
}

func pkill(_ context.Context, c *Call) (int, bool) {
	args, signal := c.Args[1:], syscall.SIGTERM
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if n, ok := signalNumber(args[0][1:]); ok {
			signal, args = n, args[1:]
		}
	}
	s, ok := parseSearch(args, "fxnou:U:P:")
	if !ok {
		return 0, false
	}
	found, ok := s.processes()
	if !ok || slices.ContainsFunc(found, func(p process) bool { return p.pid == os.Getpid() }) {
		return 0, false
	}
	killed := 0
	for _, p := range found {
		switch err := syscall.Kill(p.pid, signal); err {
		case nil:
			killed++
		case syscall.ESRCH: // it has just ended
		default:
			fmt.Fprintf(c.Stderr, "%s: killing pid %d failed: %s\n", c.name(), p.pid, reason(err))
		}
	}
	if killed == 0 {
		return 1, true
	}
	return 0, true
}

func parseSearch(args []string, accept string) (*search, bool) {
	opts, operands, err := command.Options(args, accept, pgrepLong)
	if err != nil || len(operands) > 1 {
		return nil, false
	}
	s := &search{}
	for _, o := range opts {
		if !s.set(o) {
			return nil, false
		}
	}
	if s.newest && s.oldest || s.inverse && (s.newest || s.oldest) {
		return nil, false
	}
	if len(operands) == 0 {
		return s, s.users != nil || s.realUsers != nil || s.parents != nil
	}
	pattern := operands[0]
	if pattern == "" || len(pattern) > 15 && !s.full {
		return nil, false
	}
	if s.exact {
		pattern = "^(" + pattern + ")$"
	}
	s.re = compile(pattern, true, false, false)
	return s, s.re != nil
}

func (s *search) set(o command.Option) (ok bool) {
	ok = true
	switch o.Letter {
	case 'f':
		s.full = true
	case 'x':
		s.exact = true
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
		s.line = true
	case 'u':
		s.users, ok = userList(o.Value)
	case 'U':
		s.realUsers, ok = userList(o.Value)
	case 'P':
		s.parents, ok = pidList(strings.Split(o.Value, ","))
		ok = ok && !slices.Contains(s.parents, 0)
	}
	return ok
}

func userList(text string) (ids []int, ok bool) {
	for word := range strings.SplitSeq(text, ",") {
		id, err := strconv.Atoi(word)
		if err != nil {
			fields := account("/etc/passwd", "passwd", word, 0)
			if fields == nil {
				return nil, false
			}
			id, err = strconv.Atoi(fields[2])
		}
		if err != nil || id < 0 {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// processes is what the search finds, in order of pid. Unlike the real program this process does not leave
// itself out: it is not what was called. It is false where a process is such that procps may see it otherwise.
func (s *search) processes() (found []process, ok bool) {
	pids, err := pidNumbers()
	if err != nil {
		return nil, false
	}
	for _, pid := range pids {
		p, alive := readProcess(pid)
		if !alive || (s.full || s.line) && !p.command() || (s.users != nil || s.realUsers != nil) && !p.owners() {
			continue
		}
		if !printable([]byte(p.name)) || s.full && !printable([]byte(p.line)) {
			return nil, false
		}
		if s.fits(p) != s.inverse {
			if s.line && !printable([]byte(p.line)) {
				return nil, false
			}
			found = append(found, p)
		}
	}
	if len(found) > 1 && (s.newest || s.oldest) {
		byStart := func(a, b process) int { return int(min(max(int64(a.start)-int64(b.start), -1), 1)) }
		one, last := slices.MinFunc(found, byStart), slices.MaxFunc(found, byStart)
		if s.newest {
			one = last
		}
		same := 0
		for _, p := range found {
			if p.start == one.start {
				same++
			}
		}
		return []process{one}, same == 1 // of several begun in one tick it is procps that knows which it prints
	}
	return found, true
}

func (s *search) fits(p process) bool {
	among := func(ids []int, id int) bool { return ids == nil || slices.Contains(ids, id) }
	subject := p.name
	if s.full {
		subject = p.line
	}
	return among(s.users, p.user) && among(s.realUsers, p.realUser) && among(s.parents, p.parent) &&
		(s.re == nil || s.re.MatchString(subject))
}
