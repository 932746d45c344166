package shell

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// test is test and [. It reads its arguments as dash does, by what they look like, not by how many there are.
func (r *run) test(hc interp.HandlerContext, name string, args []string) error {
	if name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return r.complains(hc, 2, "[: missing ]")
		}
		args = args[:len(args)-1]
	}
	t := &tester{hc: hc}
	is, err := t.all(args)
	switch {
	case t.unknown != "":
		return r.decline(t.unknown)
	case err != nil:
		return r.complains(hc, 2, "%s: %v", name, err)
	case is:
		return nil
	}
	return result(1)
}

type tester struct {
	hc      interp.HandlerContext
	args    []string
	at      int
	unknown string // why it is not for us
}

type testError string

func (e testError) Error() string { return string(e) }

func (t *tester) all(args []string) (is bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(testError)
			if !ok {
				panic(p)
			}
			err = e
		}
	}()
	negated := false
	for {
		if len(args) < 2 {
			return (len(args) == 1 && args[0] != "") != negated, nil
		}
		switch {
		case len(args) == 3 && isBinary(args[1]):
			t.args = args
			return t.binary(args[0], args[1], args[2]) != negated, nil
		case len(args) == 3 || len(args) == 4:
			if args[0] == "(" && args[len(args)-1] == ")" {
				args = args[1 : len(args)-1]
			} else if args[0] == "!" {
				negated = !negated
				args = args[1:]
				continue
			}
		}
		break
	}
	t.args = args
	is = t.or() != negated
	if t.at < len(t.args) {
		panic(testError(t.args[t.at] + ": unexpected operator"))
	}
	return is, nil
}

func isBinary(s string) bool {
	switch s {
	case "=", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func isUnary(s string) bool {
	return len(s) == 2 && s[0] == '-' && strings.IndexByte("rwxefdcbpugktshzLnOGS", s[1]) >= 0
}

func (t *tester) arg(i int) (string, bool) {
	if t.at+i < len(t.args) {
		return t.args[t.at+i], true
	}
	return "", false
}

// operator is what stands there, unless it can only be an operand.
func (t *tester) operator() string {
	s, ok := t.arg(0)
	if !ok {
		return ""
	}
	next, more := t.arg(1)
	_, evenMore := t.arg(2)
	switch {
	case isUnary(s) || s == "!":
		if s != "!" && (!more || evenMore && isBinary(next)) {
			return ""
		}
		return s
	case s == "(" && more, s == ")", s == "-a", s == "-o", isBinary(s):
		return s
	}
	return ""
}

func (t *tester) or() bool {
	is := t.and()
	for t.at < len(t.args) && t.operator() == "-o" {
		t.at++
		is = t.and() || is
	}
	return is
}

func (t *tester) and() bool {
	is := t.not()
	for t.at < len(t.args) && t.operator() == "-a" {
		t.at++
		is = t.not() && is
	}
	return is
}

func (t *tester) not() bool {
	if t.at < len(t.args) && t.operator() == "!" {
		if _, more := t.arg(1); more {
			t.at++
			return !t.not()
		}
	}
	return t.primary()
}

func (t *tester) primary() bool {
	s, ok := t.arg(0)
	if !ok {
		panic(testError("argument expected"))
	}
	op := t.operator()
	next, more := t.arg(1)
	switch {
	case more && isBinary(next) && (op == "" || isBinary(op) || op == "-a" || op == "-o"):
		right, ok := t.arg(2)
		if !ok {
			panic(testError(next + ": argument expected"))
		}
		t.at += 3
		return t.binary(s, next, right)
	case op == "(":
		t.at++
		is := t.or()
		if s, ok := t.arg(0); !ok || s != ")" {
			panic(testError("closing paren expected"))
		}
		t.at++
		return is
	case isUnary(op):
		t.at += 2
		return t.unary(op, next)
	case op == ")" || op == "!":
		t.unknown = "test: " + strings.Join(t.args, " ")
	}
	t.at++
	return s != ""
}

func (t *tester) number(s string) int64 {
	n, err := strconv.ParseInt(strings.Trim(s, " \t\n\v\f\r"), 10, 64)
	if err != nil {
		panic(testError("Illegal number: " + s))
	}
	return n
}

func (t *tester) binary(a, op, b string) bool {
	switch op {
	case "=":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case ">":
		return a > b
	case "-nt", "-ot", "-ef":
		return t.files(a, op, b)
	}
	n, m := t.number(a), t.number(b)
	switch op {
	case "-eq":
		return n == m
	case "-ne":
		return n != m
	case "-lt":
		return n < m
	case "-le":
		return n <= m
	case "-gt":
		return n > m
	}
	return n >= m
}

func (t *tester) files(a, op, b string) bool {
	x, err := os.Stat(t.path(a))
	y, err2 := os.Stat(t.path(b))
	if a == "" || b == "" || err != nil || err2 != nil {
		return false
	}
	switch op {
	case "-ef":
		return os.SameFile(x, y)
	case "-nt":
		return x.ModTime().After(y.ModTime())
	}
	return x.ModTime().Before(y.ModTime())
}

func (t *tester) path(s string) string {
	if s == "" {
		return ""
	}
	p := absolute(t.hc.Dir, s)
	if hostFile(p) {
		t.unknown = "test, of " + s
	}
	return p
}

func (t *tester) unary(op, s string) bool {
	switch op {
	case "-n":
		return s != ""
	case "-z":
		return s == ""
	case "-t":
		t.unknown = "test -t"
		return false
	}
	p := t.path(s)
	if p == "" {
		return false
	}
	access := func(mode uint32) bool { return unix.Faccessat(unix.AT_FDCWD, p, mode, unix.AT_EACCESS) == nil }
	switch op {
	case "-r":
		return access(unix.R_OK)
	case "-w":
		return access(unix.W_OK)
	case "-x":
		return access(unix.X_OK)
	}
	var st unix.Stat_t
	if op == "-h" || op == "-L" {
		return unix.Lstat(p, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
	}
	return unix.Stat(p, &st) == nil && mode(op, &st)
}

func mode(op string, st *unix.Stat_t) bool {
	switch op {
	case "-e":
		return true
	case "-s":
		return st.Size > 0
	case "-u":
		return st.Mode&unix.S_ISUID != 0
	case "-g":
		return st.Mode&unix.S_ISGID != 0
	case "-k":
		return st.Mode&unix.S_ISVTX != 0
	case "-O":
		return int(st.Uid) == os.Geteuid()
	case "-G":
		return int(st.Gid) == os.Getegid()
	}
	types := map[string]uint32{
		"-f": unix.S_IFREG, "-d": unix.S_IFDIR, "-c": unix.S_IFCHR, "-b": unix.S_IFBLK, "-p": unix.S_IFIFO, "-S": unix.S_IFSOCK,
	}
	return uint32(st.Mode)&unix.S_IFMT == types[op]
}
