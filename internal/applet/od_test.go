package applet

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"backtowork/internal/command"
)

func split(s string) []string { return strings.Split(s, " ") }

// run runs a command on an input, and returns its exit status and what it printed.
func run(t *testing.T, stdin []byte, name string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = command.Find(Commands(), name).Main(t.Context(), &command.Env{
		Name: name, Args: args, Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &err, Getenv: os.Getenv, Home: t.TempDir(),
	})
	return status, out.String(), err.String()
}

// odInputs is inputs with every byte, lines that repeat, and ends within a number.
func odInputs() map[string][]byte {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	zeros := make([]byte, 100)
	return map[string][]byte{
		"empty": nil, "one": {0xff}, "text": []byte("hello\n\x00\tworld\x7f\x80\xffabc"), "every": every, "zeros": zeros,
		"mixed": append(append(append([]byte{}, zeros...), every...), zeros[:49]...),
	}
}

// The real od is the judge.
func TestODTwin(t *testing.T) {
	t.Parallel()
	real, err := exec.LookPath("od")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, args := range []string{
		"-v", "-a", "-b", "-c", "-d", "-i", "-l", "-o", "-s", "-x", "-cx", "-xc", "-A n -t x1", "-An -tx1 -v", "-A d -t x1", "-A x -t x1", "-A o -c",
		"-t x1", "-t x2", "-t x4", "-t x8", "-t x", "-t u1", "-t u2", "-t u4", "-t u8", "-t u", "-t d1", "-t d2", "-t d4", "-t d8", "-t d",
		"-t o1", "-t o2", "-t o4", "-t o8", "-t o", "-t a", "-t c", "-t xC", "-t uS", "-t dI", "-t oL", "-t x1x2", "-t x1x2x4x8", "-t x1 -t c", "-t acd2",
		"-t d4u1", "-A x -t x4z1", "-j 3 -t x1", "-N 5 -t x1", "-j 3 -N 5 -t x1", "-N 0 -c", "-j 0x10 -c", "-j 010 -c", "-N 1b -c", "-N 1K -c",
		"-w4 -t x1", "-w -t x1", "-w5 -c", "-w24 -t x8c", "--address-radix=n --format=x1 --read-bytes=4 --skip-bytes 1", "-N 20 --width=8 --output-duplicates",
		"-A n -t u4 -N 4", "-A n -N 2 -t u2", "-An -vtu1 -w1", "-j 1000 -c", "-j x", "-A q", "-t q", "-t x3", "-N -1",
	} {
		for name, input := range odInputs() {
			cmd := exec.Command(real, split(args)...)
			cmd.Env = []string{"LC_ALL=C"}
			cmd.Stdin = bytes.NewReader(input)
			want, err := cmd.Output()
			status, got, stderr := run(t, input, "od", split(args)...)
			if got != string(want) || (status == 0) != (err == nil) || (status == 0) != (stderr == "") {
				t.Errorf("od %s, input %s: status %d, stderr %q, stdout\n%s\nwant (%v)\n%s", args, name, status, stderr, got, err, want)
			}
		}
	}
}

func TestODFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two, none := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "none")
	for file, text := range map[string]string{one: "12345", two: "6789"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		args   []string
		want   string
		status int
	}{
		{[]string{"-c", one, two}, "0000000   1   2   3   4   5   6   7   8   9\n0000011\n", 0},
		{[]string{"-An", "-c", "-j6", one, two}, "   7   8   9\n", 0},
		{[]string{"-An", "-c", one, "-", two}, "   1   2   3   4   5   i   n   6   7   8   9\n", 0},
		{[]string{"-An", "-c", none, two}, "   6   7   8   9\n", 1},
		{[]string{"-c", none}, "", 1},
		{[]string{"-c", dir}, "0000000\n", 1},
		{[]string{"-j9", "-c", one}, "", 1},
		{[]string{"-w3", "-x", one}, "", 2},
		{[]string{"-w0", "-x", one}, "", 2},
	} {
		status, got, stderr := run(t, []byte("in"), "od", row.args...)
		if got != row.want || status != row.status || (stderr == "") != (status == 0) {
			t.Errorf("od %q: status %d, stderr %q, stdout %q, want %d, %q", row.args, status, stderr, got, row.status, row.want)
		}
	}
}

// What follows the bytes of -N in a pipe is for the next command.
func TestODReadsNoMore(t *testing.T) {
	t.Parallel()
	in := bytes.NewReader([]byte("abcdefgh"))
	status := command.Find(Commands(), "od").Main(t.Context(), &command.Env{Name: "od", Args: split("-j 1 -N 3"), Stdin: in, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}})
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	if in.Len() != 4 {
		t.Errorf("od -j 1 -N 3 left %d of 8 bytes, want 4", in.Len())
	}
}
