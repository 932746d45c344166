package native

import (
	"context"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// test is the program, not the shell's builtin: up to four arguments, as POSIX has them.
func test(_ context.Context, c *Call) (int, bool) {
	args := c.Args[1:]
	if baseName(c.Args[0]) == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return 0, false
		}
		args = args[:len(args)-1]
		if len(args) == 1 && (args[0] == "--help" || args[0] == "--version") {
			return 0, false
		}
	}
	is, ok := c.test(args)
	switch {
	case !ok:
		return 0, false
	case is:
		return 0, true
	}
	return 1, true
}

func (c *Call) test(args []string) (is, ok bool) {
	switch len(args) {
	case 0:
		return false, true
	case 1:
		return args[0] != "", true
	case 2:
		if args[0] == "!" {
			return args[1] == "", true
		}
		return c.unary(args[0], args[1])
	case 3:
		if is, ok := c.binary(args[0], args[1], args[2]); ok {
			return is, true
		}
		if args[0] == "!" {
			is, ok := c.test(args[1:])
			return !is, ok
		}
	case 4:
		if args[0] == "!" {
			is, ok := c.test(args[1:])
			return !is, ok
		}
	}
	return false, false
}

func (c *Call) unary(op, arg string) (is, ok bool) {
	switch op {
	case "-n":
		return arg != "", true
	case "-z":
		return arg == "", true
	case "-r":
		return unix.Faccessat(unix.AT_FDCWD, c.path(arg), unix.R_OK, unix.AT_EACCESS) == nil && arg != "", true
	case "-w":
		return unix.Faccessat(unix.AT_FDCWD, c.path(arg), unix.W_OK, unix.AT_EACCESS) == nil && arg != "", true
	case "-x":
		return executable(c.path(arg)) && arg != "", true
	}
	types := map[string]uint32{
		"-f": unix.S_IFREG, "-d": unix.S_IFDIR, "-h": unix.S_IFLNK, "-L": unix.S_IFLNK, "-p": unix.S_IFIFO,
		"-S": unix.S_IFSOCK, "-b": unix.S_IFBLK, "-c": unix.S_IFCHR, "-e": 0, "-s": 0,
	}
	want, known := types[op]
	if !known {
		return false, false
	}
	var st unix.Stat_t
	look := unix.Stat
	if want == unix.S_IFLNK {
		look = unix.Lstat
	}
	if arg == "" || look(c.path(arg), &st) != nil {
		return false, true
	}
	switch op {
	case "-e":
		return true, true
	case "-s":
		return st.Size > 0, true
	}
	return st.Mode&unix.S_IFMT == want, true
}

func (c *Call) binary(a, op, b string) (is, ok bool) {
	switch op {
	case "=", "==":
		return a == b, true
	case "!=":
		return a != b, true
	case "-ef":
		x, err1 := os.Stat(c.path(a))
		y, err2 := os.Stat(c.path(b))
		return err1 == nil && err2 == nil && os.SameFile(x, y), a != "" && b != ""
	}
	x, err1 := strconv.ParseInt(a, 10, 62)
	y, err2 := strconv.ParseInt(b, 10, 62)
	if err1 != nil || err2 != nil {
		return false, false
	}
	switch op {
	case "-eq":
		return x == y, true
	case "-ne":
		return x != y, true
	case "-lt":
		return x < y, true
	case "-le":
		return x <= y, true
	case "-gt":
		return x > y, true
	case "-ge":
		return x >= y, true
	}
	return false, false
}
