package native

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// account is the line of a file like /etc/passwd whose field at is value; nil where there is none, or where
// another source than the file is asked first.
func account(file, database, value string, at int) []string {
	if !filesFirst(database) {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), ":")
		if strings.HasPrefix(fields[0], "+") || strings.HasPrefix(fields[0], "-") {
			return nil
		}
		if len(fields) > 3 && fields[at] == value {
			return fields
		}
	}
	return nil
}

// filesFirst reports whether the files in /etc are the first place where glibc looks, and no daemon answers
// in its place.
func filesFirst(database string) bool {
	if _, err := os.Stat("/var/run/nscd/socket"); err == nil {
		return false
	}
	conf, err := os.ReadFile("/etc/nsswitch.conf")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(conf)) {
		line, _, _ = strings.Cut(line, "#")
		if name, sources, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == database {
			words := strings.Fields(sources)
			return len(words) > 0 && words[0] == "files"
		}
	}
	return false
}

// id prints a number, or a name of /etc/passwd and /etc/group.
func id(ctx context.Context, c *Call) (int, bool) {
	letters, operands := "", c.Args[1:]
	for len(operands) > 0 && strings.HasPrefix(operands[0], "-") {
		letters, operands = letters+operands[0][1:], operands[1:]
	}
	group, named, real := strings.Contains(letters, "g"), strings.Contains(letters, "n"), strings.Contains(letters, "r")
	if len(operands) > 1 || strings.Trim(letters, "ugnr") != "" || strings.Contains(letters, "u") == group {
		return 0, false
	}
	number := 0
	switch {
	case len(operands) == 1:
		fields := account("/etc/passwd", "passwd", operands[0], 0)
		if fields == nil || digits(operands[0]) || strings.HasPrefix(operands[0], "+") {
			return 0, false
		}
		text := fields[2]
		if group {
			text = fields[3]
		}
		if _, err := fmt.Sscan(text, &number); err != nil || !digits(text) {
			return 0, false
		}
	case group && real:
		number = unix.Getgid()
	case group:
		number = unix.Getegid()
	case real:
		number = unix.Getuid()
	default:
		number = unix.Geteuid()
	}
	text := fmt.Sprint(number)
	if named {
		file, database := "/etc/passwd", "passwd"
		if group {
			file, database = "/etc/group", "group"
		}
		fields := account(file, database, text, 2)
		if fields == nil {
			return 0, false
		}
		text = fields[0]
	}
	return c.say(ctx, text+"\n")
}

// getent knows what stands in the files: accounts, groups, hosts by name or address.
func getent(ctx context.Context, c *Call) (int, bool) {
	if len(c.Args) != 3 || c.Args[2] == "" || strings.HasPrefix(c.Args[2], "-") || !ascii([]byte(c.Args[2])) {
		return 0, false
	}
	database, key := c.Args[1], c.Args[2]
	switch database {
	case "passwd", "group":
		at := 0
		if digits(key) {
			at = 2
		}
		fields := account("/etc/"+database, database, key, at)
		want := map[string]int{"passwd": 7, "group": 4}[database]
		if len(fields) != want {
			return 0, false
		}
		return c.say(ctx, strings.Join(fields, ":")+"\n")
	case "ahostsv4":
		addr, name, ok := hostV4(key)
		if !ok {
			return 0, false
		}
		return c.say(ctx, fmt.Sprintf("%-15s STREAM %s\n%-15s DGRAM  \n%-15s RAW    \n", addr, name, addr, addr))
	case "hosts": // for a name glibc asks more than the file
		names := hostNames(key)
		if names == "" {
			return 0, false
		}
		return c.say(ctx, fmt.Sprintf("%-15s %s\n", key, names))
	}
	return 0, false
}

// hostNames is the names of an address that stands in /etc/hosts.
func hostNames(key string) string {
	a, err := netip.ParseAddr(key)
	data, failed := os.ReadFile("/etc/hosts")
	if err != nil || failed != nil || !a.Is4() || a.String() != key || !filesFirst("hosts") {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 && words[0] == key {
			return strings.Join(words[1:], " ")
		}
	}
	return ""
}

// hostV4 is the address of a host that stands once in /etc/hosts, or the address that it is itself.
func hostV4(key string) (addr, name string, ok bool) {
	if a, err := netip.ParseAddr(key); err == nil {
		return key, key, a.Is4() && a.String() == key
	}
	if digits(strings.ReplaceAll(key, ".", "")) || strings.HasPrefix(key, "0x") || strings.HasSuffix(key, ".") || !filesFirst("hosts") {
		return "", "", false
	}
	data, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return "", "", false
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		for i, word := range words {
			if i == 0 || !strings.EqualFold(word, key) {
				continue
			}
			a, err := netip.ParseAddr(words[0])
			if err != nil || !a.Is4() || addr != "" { // several are told in an order of glibc's
				return "", "", false
			}
			addr, name = a.String(), words[1]
			break
		}
	}
	return addr, name, addr != ""
}
