package native

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"backtowork/internal/command"
)

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	device    uint64
	dir, from string
}

// mounts is all of them, in their order.
func mounts() ([]mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mount
	for line := range bytes.Lines(data) {
		before, after, ok := strings.Cut(string(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		var major, minor uint32
		if !ok || len(head) < 6 || len(tail) < 2 {
			return nil, fmt.Errorf("cannot read %q", line)
		}
		if _, err := fmt.Sscanf(head[2], "%d:%d", &major, &minor); err != nil {
			return nil, err
		}
		all = append(all, mount{unix.Mkdev(major, minor), unescape(head[4]), unescape(tail[1])})
	}
	return all, nil
}

// unescape makes \040 a space.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// mountpoint says whether a directory is one.
func mountpoint(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "q", map[string]byte{"quiet": 'q'})
	if err != nil || len(names) != 1 || names[0] == "" {
		return 0, false
	}
	quiet, name := len(opts) > 0, names[0]
	r := &result{}
	if _, err := os.Stat(c.path(name)); err != nil {
		if !quiet {
			r.say(c, "%s: %s", name, reason(err))
		}
		r.status = 1
		return c.finish(ctx, r, 1)
	}
	real, err := filepath.EvalSymlinks(c.path(name))
	if err != nil {
		return 0, false
	}
	is, err := isMounted(filepath.Clean(real))
	if err != nil {
		return 0, false
	}
	text := name + " is not a mountpoint\n"
	r.status = 32
	if is {
		text, r.status = name+" is a mountpoint\n", 0
	}
	if !quiet {
		r.out.WriteString(text)
	}
	return c.finish(ctx, r, 1)
}

// isMounted reports whether something is mounted on dir.
func isMounted(dir string) (bool, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(data) {
		for range 4 { // it is the fifth word
			_, line, _ = bytes.Cut(line, []byte(" "))
		}
		on, _, _ := bytes.Cut(line, []byte(" "))
		if string(on) == dir || bytes.IndexByte(on, '\\') >= 0 && unescape(string(on)) == dir {
			return true, err
		}
	}
	return false, err
}

// diskFree is df for one file, in blocks of 1024.
func diskFree(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "Pk", map[string]byte{"portability": 'P'})
	if err != nil || len(names) != 1 || names[0] == "" {
		return 0, false
	}
	posix := false
	for _, o := range opts {
		posix = posix || o.Letter == 'P'
	}
	m, fs, ok := c.mountOf(names[0])
	if !ok {
		return 0, false
	}
	kilo := func(blocks uint64) uint64 { return (blocks*uint64(fs.Frsize) + 1023) / 1024 }
	size, used, free := fs.Blocks, fs.Blocks-fs.Bfree, fs.Bavail
	share := "-"
	if used+free > 0 {
		share = strconv.FormatUint((used*100+used+free-1)/(used+free), 10) + "%"
	}
	head := []string{"Filesystem", "1K-blocks", "Used", "Available", "Use%", "Mounted on"}
	if posix {
		head[1], head[4] = "1024-blocks", "Capacity"
	}
	row := []string{m.from, fmt.Sprint(kilo(size)), fmt.Sprint(kilo(used)), fmt.Sprint(kilo(free)), share, m.dir}
	widths := []int{14, 5, 5, 5, 4, 0}
	for i := range widths {
		widths[i] = max(widths[i], len(head[i]), len(row[i]))
	}
	var out strings.Builder
	for _, cells := range [][]string{head, row} {
		fmt.Fprintf(&out, "%-*s %*s %*s %*s %*s %s\n", widths[0], cells[0], widths[1], cells[1], widths[2], cells[2], widths[3],
			cells[3], widths[4], cells[4], cells[5])
	}
	return c.say(ctx, out.String())
}

// mountOf is the mount that a file is on; false where it is not plain which one df would name.
func (c *Call) mountOf(name string) (m mount, fs unix.Statfs_t, ok bool) {
	real, err := filepath.EvalSymlinks(c.path(name))
	if err != nil {
		return m, fs, false
	}
	real = filepath.Clean(real)
	info, err := os.Stat(real)
	all, failed := mounts()
	if err != nil || failed != nil || !info.IsDir() && !info.Mode().IsRegular() {
		return m, fs, false
	}
	for _, other := range all {
		if (real == other.dir || other.dir == "/" || strings.HasPrefix(real, other.dir+"/")) && len(other.dir) >= len(m.dir) {
			m = other
		}
	}
	var st unix.Stat_t
	if unix.Stat(real, &st) != nil || st.Dev != m.device || unix.Statfs(m.dir, &fs) != nil || !printable([]byte(m.dir+m.from)) {
		return m, fs, false
	}
	if fs.Bfree > fs.Blocks || int64(fs.Bavail) < 0 || strings.HasPrefix(m.from, "/dev/disk/") || strings.HasPrefix(m.from, "/dev/mapper/") {
		return m, fs, false
	}
	return m, fs, true
}

// fuser knows -s with -m: whether a process uses the file system. What it would print it leaves to fuser.
func fuser(ctx context.Context, c *Call) (int, bool) {
	opts, names, err := command.Options(c.Args[1:], "sm", map[string]byte{"silent": 's', "mount": 'm'})
	letters := ""
	for _, o := range opts {
		letters += string(o.Letter)
	}
	silent := strings.Contains(letters, "s")
	if err != nil || len(names) != 1 || !strings.Contains(letters, "m") || !silent && (!discards(c.Stdout) || !discards(c.Stderr)) {
		return 0, false
	}
	var st, own unix.Stat_t
	path := c.path(names[0])
	if names[0] == "" || unix.Stat(path, &st) != nil || unix.Stat(c.Dir, &own) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, false
	}
	if own.Dev == st.Dev { // the shell that calls it would be there, and we are not that
		return 0, false
	}
	pids, err := pidNumbers()
	if err != nil {
		return 0, false
	}
	r := &result{status: 1}
	for _, pid := range pids {
		if uses(pid, st.Dev, r) {
			r.status = 0
			break
		}
	}
	return c.finish(ctx, r, 1)
}

// uses reports whether a process has something open on the device, or is in it.
func uses(pid int, device uint64, r *result) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	var st unix.Stat_t
	for _, link := range []string{"cwd", "exe", "root"} {
		if unix.Stat(dir+link, &st) == nil && st.Dev == device {
			return true
		}
	}
	fds, _ := os.ReadDir(dir + "fd") // one that we may not look at has nothing for fuser either
	for _, fd := range fds {
		err := unix.Stat(dir+"fd/"+fd.Name(), &st)
		if err == nil && st.Dev == device {
			return true
		}
		if err != nil && err != unix.ENOENT {
			fmt.Fprintf(&r.err, "Cannot stat file %sfd/%s: %s\n", dir, fd.Name(), reason(err))
		}
	}
	maps, _ := os.ReadFile(dir + "maps")
	for line := range bytes.Lines(maps) {
		fields := strings.Fields(string(line))
		var major, minor uint32
		if len(fields) < 5 {
			continue
		}
		if _, err := fmt.Sscanf(fields[3], "%x:%x", &major, &minor); err == nil && unix.Mkdev(major, minor) == device {
			return true
		}
	}
	return false
}
