package applet

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"backtowork/internal/command"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	tail := " 7 3 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0"
	for _, row := range []struct {
		stat string
		want string // "" for not one
	}{
		{"12 (sh) S" + tail, "sh 7 4242"},
		{"12 (a) b (c) d) S" + tail, "a) b (c) d 7 4242"},
		{"12 (a\nb) S" + tail, "a b 7 4242"},
		{"12 () S" + tail, " 7 4242"},
		{"12 (sh) S 7 3", ""},
		{"12 sh S" + tail, ""},
		{"", ""},
	} {
		var p process
		got := ""
		if p.parseStat(row.stat) {
			got = fmt.Sprint(p.name, " ", p.parent, " ", p.start)
		}
		if got != row.want {
			t.Errorf("parseStat(%q) = %q, want %q", row.stat, got, row.want)
		}
	}
}

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"a\x00b c\x00": "a b c", "": "name", "\x00": "name", "title\x00\x00\x00": "title", "sh\x00-c\x00one\ntwo\x00": "sh -c one two",
	} {
		p := process{name: "name"}
		if p.parseCommand([]byte(args)); p.line != want {
			t.Errorf("parseCommand(%q) = %q, want %q", args, p.line, want)
		}
	}
}

func TestSearchFits(t *testing.T) {
	t.Parallel()
	p := process{pid: 5, parent: 4, name: "httpd", line: "/usr/sbin/httpd -k start", user: 33, realUser: 0}
	for args, want := range map[string]bool{
		"http":                 true,
		"^http$":               false,
		"-x h(t|x)+pd":         true,
		"-x http":              false,
		"-x http|d":            false, // all of it, not all of an alternative
		"-x httpd|d":           true,
		"sbin":                 true, // -f is implied
		"-f sbin":              true,
		"-x .*start":           true,
		"-fx httpd":            false,
		"-fx sbin":             false,
		"-fx .*start":          true,
		"-u 33 http":           true,
		"-u 0 http":            false,
		"-u 0,33 http":         true,
		"-u root http":         false,
		"-U root http":         true,
		"-U 33":                false,
		"-P 4":                 true,
		"-P 1,4 x":             false,
		"-P 5":                 false,
		"http[[:alpha:]]{1,2}": true,
	} {
		s, err := parsePgrep(split(args))
		if err != nil {
			t.Errorf("parsePgrep(%q): %v", args, err)
			continue
		}
		if got := s.fits(p); got != want {
			t.Errorf("%q fits %v = %v, want %v", args, p, got, want)
		}
	}
}

func TestTakeSignal(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args, rest string
		want       syscall.Signal // -1 for none
	}{
		{"-HUP -f x", "-f x", syscall.SIGHUP},
		{"-f -9 x", "-f x", syscall.SIGKILL},
		{"-SIGUSR1 x", "x", syscall.SIGUSR1},
		{"-0 x", "x", 0},
		{"-f x", "-f x", -1},
		{"-65 x", "-65 x", -1},
		{"-- -HUP", "-- -HUP", -1},
		{"-HUP -INT x", "-INT x", syscall.SIGHUP},
	} {
		name, rest := takeSignal(split(row.args))
		got, ok := signalNumber(name)
		if !ok {
			got = -1
		}
		if got != row.want || strings.Join(rest, " ") != row.rest {
			t.Errorf("takeSignal(%q) = %v, %q, want %v, %q", row.args, got, rest, row.want, row.rest)
		}
	}
}

func TestPgrepErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []string{
		"", "a b", "(", "\\d", "-n -o a", "-v -n a", "-u no-such-user a", "-P x a", "-P -1 a", "-Z a", "-s 1 a", "-c",
	} {
		var args []string
		if row != "" {
			args = split(row)
		}
		status, stdout, stderr := run(t, nil, "pgrep", args...)
		if status != 2 || stdout != "" || strings.Count(stderr, "\n") != 2 || !strings.HasPrefix(stderr, "pgrep: ") {
			t.Errorf("pgrep %s: status %d, stdout %q, stderr %q, want 2 and one line with the usage", row, status, stdout, stderr)
		}
	}
}

// Only the arguments are looked at: no test in this process may run pkill, for a fault in
// it could send the signal to every process of the machine.
func TestParsePkill(t *testing.T) {
	t.Parallel()
	for _, row := range [][]string{
		{},
		{""},
		{"-f", ""},
		{"-x", ""},
		{"-fx", "-u", "root", ""},
		{"-HUP"},
		{"-v", "a"},
		{"--inverse", "a"},
		{"-s", "NONE", "a"},
		{"-NONE", "a"},
		{"-65", "a"},
		{"-l", "a"},
		{"a", "b"},
		{"("},
	} {
		var usage command.UsageError
		if s, err := parsePkill(row); !errors.As(err, &usage) {
			t.Errorf("parsePkill(%q) = %+v, %v, want a command.UsageError", row, s, err)
		}
	}
	for args, want := range map[string]syscall.Signal{
		"-f a": syscall.SIGTERM, "-HUP -f a": syscall.SIGHUP, "-f a -9": syscall.SIGKILL, "-s USR1 a": syscall.SIGUSR1,
		"--signal SIGUSR1 a": syscall.SIGUSR1, "-s 0 a": 0, "-KILL -u root": syscall.SIGKILL,
	} {
		if s, err := parsePkill(split(args)); err != nil || s.signal != want {
			t.Errorf("parsePkill(%q) = %+v, %v, want signal %v", args, s, err, want)
		}
	}
}

// The test's own process: it is what a search is made by, and so never found.
func TestNotItself(t *testing.T) {
	t.Parallel()
	all, err := allProcesses()
	if err != nil {
		t.Fatal(err)
	}
	self := slices.IndexFunc(all, func(p process) bool { return p.pid == os.Getpid() })
	if self < 0 || all[self].parent != os.Getppid() || all[self].user != os.Geteuid() || all[self].line == "" {
		t.Errorf("allProcesses() says of this one %v", all[max(self, 0)])
	}
	_, stdout, _ := run(t, nil, "pgrep", "-P", strconv.Itoa(os.Getppid()))
	if slices.Contains(strings.Fields(stdout), strconv.Itoa(os.Getpid())) {
		t.Error("pgrep found itself")
	}
	parent := strconv.Itoa(os.Getppid())
	for args, want := range map[string]bool{"-f": true, "-fA": false} {
		_, stdout, _ := run(t, nil, "pgrep", args, ".")
		if slices.Contains(strings.Fields(stdout), parent) != want {
			t.Errorf("pgrep %s finds its parent: %v, want %v", args, !want, want)
		}
	}
}
