package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// twins is one Set for all tests: its counts are printed at the end.
var twins = New()

func TestMain(m *testing.M) {
	status := m.Run()
	if testing.Verbose() {
		counts := twins.Counts()
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			n := counts[name]
			fmt.Printf("%-11s taken %6d, not taken %6d, handed over %6d\n", name, n.Taken, n.Left, n.Handed)
		}
	}
	os.Exit(status)
}

// said is what came of a call.
type said struct {
	stdout, stderr string
	status         int
}

func environment(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, v := range slices.Backward(env) {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

var (
	plainEnv = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C", "HOME=/"}
	utf8Env  = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8", "HOME=/"}
)

// ours runs a call; ok is false if it is not taken.
func ours(t testing.TB, dir, stdin string, env []string, args ...string) (got said, ok bool) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	in := strings.NewReader(stdin)
	c := &Call{
		Args: args, Env: environment(env), Environ: func() []string { return env }, Dir: dir,
		Stdin: in, Stdout: &stdout, Stderr: &stderr, Umask: 0o022,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	status, ok := twins.Run(ctx, c)
	if !ok && (in.Len() != len(stdin) || stdout.Len() > 0 || stderr.Len() > 0) {
		t.Errorf("%q is not taken, but something was read or written: %q %q", args, stdout.String(), stderr.String())
	}
	return said{stdout.String(), stderr.String(), status}, ok
}

// theirs runs the real program.
func theirs(t testing.TB, dir, stdin string, env []string, args ...string) said {
	t.Helper()
	path := ""
	for _, d := range systemDirs {
		if _, err := os.Stat(d + "/" + args[0]); err == nil {
			path = d + "/" + args[0]
			break
		}
	}
	cmd := &exec.Cmd{Path: path, Args: args, Env: env, Dir: dir, Stdin: strings.NewReader(stdin), WaitDelay: time.Second}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("%q: %v", args, err)
	}
	return said{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// agree runs a call both ways and compares. It reports whether the call was taken.
func agree(t testing.TB, dir, stdin string, env []string, args ...string) (taken bool) {
	t.Helper()
	got, ok := ours(t, dir, stdin, env, args...)
	if !ok {
		return false
	}
	want := theirs(t, dir, stdin, env, args...)
	if got.stdout != want.stdout || got.status != want.status || (got.stderr == "") != (want.stderr == "") {
		t.Errorf("%q < %.1000q:\n  ours   %.1000q, status %d, stderr %.300q\n  theirs %.1000q, status %d, stderr %.300q", args, stdin, got.stdout, got.status,
			got.stderr, want.stdout, want.status, want.stderr)
	}
	return true
}

// usual skips a test where this machine's program is not the one that we stand for.
func usual(t testing.TB, name string) {
	t.Helper()
	c := &Call{Args: []string{name}, Env: environment(plainEnv), Environ: func() []string { return plainEnv }, Dir: "/"}
	if _, ok := twins.fits(context.Background(), c, name, table[name]); !ok || !Knows(name) {
		skip(t, "%s of this machine is another one, or is not there", name)
	}
}

// skip skips a test for want of something, but in CI, which has all: .ci/run installs it.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// words cuts a line of a table into arguments: spaces part them, quotes hold them together.
func words(line string) (args []string) {
	var word strings.Builder
	quote, some := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, some = r, true
		case r == ' ':
			if some {
				args = append(args, word.String())
				word.Reset()
				some = false
			}
		default:
			word.WriteRune(r)
			some = true
		}
	}
	if some {
		args = append(args, word.String())
	}
	return args
}

// theTree makes a directory with files of many kinds.
func theTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "abc": "abc\nABC\nfoo bar\n\nfoo.bar\n10.0.2.12/24\n", "nonl": "last\nno new line", "passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2::/bin:\nnone\n",
		"latin": "caf\xe9\nabc\n", "utf8": "café\nabc\n", "nul": "a\x00b\nabc\n", "a b": "space\n", "tabs": "a\tb\tc\n\t\t\nx\n", ".hidden": "h\n",
		"numbers": "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", "big": strings.Repeat("0123456789 line\n", 100000),
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Mkdir(dir+"/sub", 0o750), os.WriteFile(dir+"/sub/x", nil, 0o600), os.Symlink("abc", dir+"/link"), os.Symlink("nowhere", dir+"/dangling"),
		os.Symlink("sub", dir+"/subs"), syscall.Mkfifo(dir+"/fifo", 0o644), os.Chmod(dir+"/numbers", 0o751),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTwins holds each line of the tables, on each input, against the real program. A line that begins
// with "-" must not be taken; a line with "?" may be either.
func TestTwins(t *testing.T) {
	dir := theTree(t)
	for _, text := range slices.Concat(textTables, systemTables) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			must, line := line[0], strings.TrimSpace(strings.TrimLeft(line, "-?"))
			args := words(line)
			t.Run(line, func(t *testing.T) {
				usual(t, args[0])
				inputs := twinInputs
				if !slices.Contains(readers, args[0]) {
					inputs = inputs[:1]
				}
				for i, stdin := range inputs {
					taken := agree(t, dir, stdin, [][]string{plainEnv, utf8Env}[i%2], args...)
					if must != '?' && taken != (must != '-') {
						t.Errorf("%q < %q: taken is %v", args, stdin, taken)
					}
				}
			})
		}
	}
}

// readers are the commands that read stdin.
var readers = []string{"cat", "cut", "grep", "head", "sed", "tail", "tr", "wc"}

var twinInputs = []string{"", "abc\nfoo bar\n", "no new line", "a:b:c\n::\nx\n", "foo\nfoo.bar\nFOO\n10.0.2.12/24 dev eth0\n\n", "caf\xe9 \x00\nfoo\n", "café foo\nabc\n"}
