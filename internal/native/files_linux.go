package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
)

// touch makes files, or sets their times to now.
func touch(_ context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "c", map[string]byte{"no-create": 'c'})
	if err != nil || len(names) == 0 || slices.Contains(names, "-") || len(opts) == 0 && !c.canUmask(names) {
		return 0, false
	}
	status := 0
	for _, name := range names {
		path, made := c.path(name), error(nil)
		if len(opts) == 0 {
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, uint32(0o666&^c.Umask))
			if err == nil {
				unix.Close(fd)
			}
			made = err
		}
		err := unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0)
		if err == nil || errors.Is(err, unix.ENOENT) && len(opts) > 0 {
			continue
		}
		what := "setting times of"
		if made != nil && !errors.Is(made, unix.EISDIR) && !errors.Is(made, unix.EPERM) {
			what, err = "cannot touch", made
		}
		fmt.Fprintf(c.Stderr, "%s: %s '%s': %s\n", c.name(), what, name, reason(err))
		status = 1
	}
	return status, true
}

// canUmask reports whether files made here can get the mode that the call's umask would give them: this
// process has one umask for all its calls, and where a directory has a default ACL the umask does not count.
func (c *Call) canUmask(names []string) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, text, _ := strings.Cut(string(status), "\nUmask:\t")
	text, _, _ = strings.Cut(text, "\n")
	own, err := strconv.ParseInt(text, 8, 32)
	if err != nil || int(own)&^c.Umask != 0 {
		return false
	}
	if int(own) == c.Umask {
		return true
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		n, err := unix.Getxattr(filepath.Dir(c.path(name)), "system.posix_acl_default", nil)
		return n > 0 || err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP && err != unix.ENOENT && err != unix.ENOTDIR
	})
}

// rm removes files, no directories.
func rm(_ context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "f", map[string]byte{"force": 'f'})
	force := len(opts) > 0
	if err != nil || !force && (len(names) == 0 || onTerminal(c.Stdin)) {
		return 0, false
	}
	for _, name := range names {
		info, err := os.Lstat(c.path(name))
		if err == nil && info.IsDir() || name == "" || strings.HasSuffix(name, "/") {
			return 0, false
		}
	}
	status := 0
	for _, name := range names {
		err := unix.Unlink(c.path(name))
		if err == nil || force && (err == unix.ENOENT || err == unix.ENOTDIR) {
			continue
		}
		fmt.Fprintf(c.Stderr, "%s: cannot remove '%s': %s\n", c.name(), name, reason(err))
		status = 1
	}
	return status, true
}

// ls prints the name of one file, or the names in one directory.
func ls(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "d1aA", map[string]byte{"directory": 'd', "all": 'a', "almost-all": 'A'})
	if err != nil || len(names) > 1 || onTerminal(c.Stdout) {
		return 0, false
	}
	self, hidden, dots := false, false, false
	for _, o := range opts {
		self = self || o.Letter == 'd'
		hidden = hidden || o.Letter == 'a' || o.Letter == 'A'
		dots = dots || o.Letter == 'a'
	}
	name := "."
	if len(names) == 1 {
		name = names[0]
	}
	info, err := os.Stat(c.path(name))
	if err != nil || self {
		info, err = os.Lstat(c.path(name))
	}
	if err != nil || name == "" {
		fmt.Fprintf(c.Stderr, "%s: cannot access '%s': %s\n", c.name(), name, reason(err))
		return 2, true
	}
	if self || !info.IsDir() {
		r := &result{}
		r.out.WriteString(name + "\n")
		return c.finish(ctx, r, 2)
	}
	entries, err := os.ReadDir(c.path(name))
	if err != nil {
		return 0, false
	}
	var all []string
	if dots {
		all = []string{".", ".."}
	}
	for _, e := range entries {
		if hidden || e.Name()[0] != '.' {
			all = append(all, e.Name())
		}
	}
	slices.Sort(all)
	r := &result{}
	for _, name := range all {
		r.out.WriteString(name + "\n")
	}
	return c.finish(ctx, r, 2)
}

// stat prints a file by a format of simple directives.
func stat(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "c:L", map[string]byte{"format": 'c', "dereference": 'L'})
	format, given, follow := "", false, false
	for _, o := range opts {
		if o.Letter == 'c' {
			format, given = o.Value, true
		} else {
			follow = true
		}
	}
	if err != nil || !given || len(names) == 0 || slices.Contains(names, "-") {
		return 0, false
	}
	var r result
	for _, name := range names {
		var st unix.Stat_t
		look := unix.Lstat
		if follow {
			look = unix.Stat
		}
		if err := look(c.path(name), &st); err != nil {
			r.say(c, "cannot statx '%s': %s", name, reason(err))
			r.status = 1
			continue
		}
		text, ok := statText(format, name, &st)
		if !ok {
			return 0, false
		}
		r.out.WriteString(text + "\n")
	}
	// Where no file could be looked at, the format was not either.
	if _, ok := statText(format, "", &unix.Stat_t{Mode: unix.S_IFREG}); !ok {
		return 0, false
	}
	return c.finish(ctx, &r, 1)
}

func statText(format, name string, st *unix.Stat_t) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) {
			return "", false
		}
		var v any
		switch format[i] {
		case '%':
			v = "%"
		case 'n':
			v = name
		case 's':
			v = st.Size
		case 'a':
			v = strconv.FormatUint(uint64(st.Mode&0o7777), 8)
		case 'u':
			v = st.Uid
		case 'g':
			v = st.Gid
		case 'h':
			v = st.Nlink
		case 'i':
			v = st.Ino
		case 'b':
			v = st.Blocks
		case 'X':
			v = st.Atim.Sec
		case 'Y':
			v = st.Mtim.Sec
		case 'Z':
			v = st.Ctim.Sec
		case 'F':
			v = fileType(st)
		case 'U', 'G':
			file, database, id := "/etc/passwd", "passwd", st.Uid
			if format[i] == 'G' {
				file, database, id = "/etc/group", "group", st.Gid
			}
			fields := account(file, database, strconv.FormatUint(uint64(id), 10), 2)
			if fields == nil {
				return "", false
			}
			v = fields[0]
		default:
			return "", false
		}
		fmt.Fprint(&out, v)
	}
	return out.String(), true
}

func fileType(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size == 0 {
			return "regular empty file"
		}
		return "regular file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "character special file"
	case unix.S_IFBLK:
		return "block special file"
	}
	return "weird file"
}

// dateWords are the directives of date that are one of Go's.
var dateWords = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January",
	'y': "06", 'e': "_2", 'I': "03", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'z': "-0700",
	'Z': "MST", 'j': "002", 'r': "03:04:05 PM", 'X': "15:04:05", 'x': "01/02/06", 'c': "Mon Jan _2 15:04:05 2006",
}

// date prints the time, by a format if one is given.
func date(ctx context.Context, c *Call) (int, bool) {
	args := c.Args[1:]
	var zone *time.Location
	if len(args) > 0 && (args[0] == "-u" || args[0] == "--utc") {
		zone, args = time.UTC, args[1:]
	} else if zone = c.zone(); zone == nil {
		return 0, false
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	if len(args) > 1 || len(args) == 1 && !strings.HasPrefix(args[0], "+") {
		return 0, false
	}
	if len(args) == 1 {
		format = args[0][1:]
	}
	text, ok := dateText(format, time.Now().In(zone))
	if !ok {
		return 0, false
	}
	return c.say(ctx, text+"\n")
}
