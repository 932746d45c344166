package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// aCall is a call of a script that stands in dir.
func aCall(dir string, stdin io.Reader, stdout io.Writer, args ...string) *Call {
	return &Call{
		Args: args, Env: environment(plainEnv), Environ: func() []string { return plainEnv }, Dir: dir,
		Stdin: stdin, Stdout: stdout, Stderr: io.Discard, Umask: 0o022,
	}
}

// TestShippedForms: what modules and packages call in status, and in echo, is taken.
func TestShippedForms(t *testing.T) {
	aNetwork(t, "ip link set lo up\nip addr add 10.0.2.12/24 dev lo")
	dir := t.TempDir()
	for _, args := range [][]string{
		{"uname"},
		{"uname", "-n"},
		{"ip", "-4", "addr", "show", "to", "10.0.2.12/32"},
		{"ip", "-4", "addr", "show", "to", "10.0.2.0/24"},
		{"ip", "-6", "addr", "show", "to", "2001:db8::12/128"},
		{"ip", "link", "show", "dev", "lo"},
		{"ip", "link", "show", "dev", "nosuch0"},
		{"rm", "-f", dir + "/linux-test.maintenance"},
		{"sleep", "0"},
	} {
		if !agree(t, dir, "", plainEnv, args...) {
			t.Errorf("%q is not taken", args)
		}
	}
}

// TestFiles makes and removes files, each way in a directory of its own, and compares what is there then.
func TestFiles(t *testing.T) {
	for _, line := range []string{
		"touch new", "touch new abc", "touch -c nothere", "touch sub", "touch nodir/x", "touch link fifo", "touch dangling", "touch 'a b'", "touch abc/x",
		"rm abc", "rm -f abc", "rm -f nothere", "rm nothere", "rm -f", "rm link", "rm dangling fifo abc", "rm -f abc nothere numbers", "rm -- abc", "rm nothere abc",
		"rm -f abc/x", "rm -f nodir/x", "- rm sub", "- rm -rf sub", "- rm -i abc", "- rm", "- touch -t 202001010000 abc", "- touch", "- rm -f abc sub", "- rm -f sub/", "- rm -f ''",
		"- touch -",
	} {
		t.Run(line, func(t *testing.T) {
			args := words(strings.TrimLeft(line, "- "))
			usual(t, args[0])
			here, there := theTree(t), theTree(t)
			got, taken := ours(t, here, "", plainEnv, args...)
			if taken == (line[0] == '-') {
				t.Fatalf("taken is %v", taken)
			}
			if taken {
				if want := theirs(t, there, "", plainEnv, args...); got.status != want.status || got.stdout != want.stdout || got.stderr != want.stderr {
					t.Errorf("status %d, %q; they %d, %q", got.status, got.stderr, want.status, want.stderr)
				}
			}
			if a, b := listing(t, here), listing(t, there); a != b {
				t.Errorf("ours:\n%stheirs:\n%s", a, b)
			}
		})
	}
}

// listing is the names and modes in a directory, and which of them were touched just now.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != dir {
			fmt.Fprintln(&out, strings.TrimPrefix(path, dir), info.Mode(), time.Since(info.ModTime()) < time.Hour)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestTouchUmask: a file gets the mode of the call's umask, or the call is left to the real program.
func TestTouchUmask(t *testing.T) {
	usual(t, "touch")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := t.TempDir()
	for _, umask := range []int{0, 0o022, 0o077} {
		c := aCall(dir, nil, io.Discard, "touch", fmt.Sprint(umask))
		c.Umask = umask
		if _, ok := twins.Run(t.Context(), c); !ok {
			t.Fatalf("umask %o is not taken", umask)
		}
		info, err := os.Stat(dir + "/" + fmt.Sprint(umask))
		if err != nil || int(info.Mode()) != 0o666&^umask {
			t.Errorf("umask %o: %v, %v", umask, info.Mode(), err)
		}
	}
	syscall.Umask(0o077)
	c := aCall(dir, nil, io.Discard, "touch", "other")
	if _, ok := twins.Run(t.Context(), c); ok {
		t.Error("the process's own umask hides more than the call's, and it is taken")
	}
}

// TestProcesses looks for processes that the test has started.
func TestProcesses(t *testing.T) {
	for _, name := range []string{"pgrep", "pkill", "pidof", "ps", "kill"} {
		usual(t, name)
	}
	dir := t.TempDir()
	program := fmt.Sprintf("sl%d", os.Getpid())
	if err := exec.Command("cp", "/bin/sleep", dir+"/"+program).Run(); err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, seconds := range []string{"1001", "1002", "1003"} {
		cmd := exec.Command(dir+"/"+program, seconds)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
		pids = append(pids, strconv.Itoa(cmd.Process.Pid))
	}
	for _, args := range [][]string{
		{"pgrep", program},
		{"pgrep", "-x", program},
		{"pgrep", "-l", program},
		{"pgrep", "-a", program},
		{"pgrep", "-c", program},
		{"pgrep", "-f", program + " 100[12]"},
		{"pgrep", "-fa", program + " 1002"},
		{"pgrep", "-u", "root", program},
		{"pgrep", "-u", "0", "-x", program},
		{"pgrep", "-P", strconv.Itoa(os.Getpid()), program},
		{"pgrep", "-U", "12345", program},
		{"pgrep", "-xf", program},
		{"pidof", program},
		{"ps", "-p", pids[0]},
		{"ps", "-p", pids[1], "-o", "args="},
		{"ps", "-o", "comm=", "-p", pids[1]},
		{"ps", "-p", pids[2], "-o", "pid="},
		{"ps", "-p", pids[2], "-o", "ppid="},
		{"kill", "-0", pids[0]},
		{"kill", "-0", pids[0], pids[1]},
		{"pkill", "-0", program},
		{"pkill", "-x", "-f", "nothing of this"},
	} {
		if !agree(t, dir, "", plainEnv, args...) && args[1] != "-n" && args[1] != "-f" && args[1] != "-fa" && args[1] != "-a" && args[1] != "-xf" && args[2] != "-f" {
			t.Errorf("%q is not taken", args)
		}
	}
	if got, ok := ours(t, dir, "", plainEnv, "pkill", "-KILL", "-x", program); !ok || got.status != 0 {
		t.Errorf("pkill: taken %v, status %d", ok, got.status)
	}
}

// TestContextEnds: whatever a command waits for, the end of the context ends it.
func TestContextEnds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	blocked, _ := io.Pipe()
	full, fullEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	defer fullEnd.Close()
	for _, c := range []*Call{
		aCall("/", nil, io.Discard, "sleep", "1000"),
		aCall("/", r, io.Discard, "grep", "x"),
		aCall("/", blocked, io.Discard, "sed", "s/x/y/"),
		aCall("/", r, io.Discard, "cat"),
		aCall("/", strings.NewReader(strings.Repeat("0123456789", 100000)), fullEnd, "tr", "0", "1"),
	} {
		usual(t, c.Args[0])
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		status, ok := twins.Run(ctx, c)
		cancel()
		if !ok || status != ended {
			t.Errorf("%q: status %d, taken %v", c.Args, status, ok)
		}
	}
	// stdin can be read again after that.
	if _, err := w.WriteString("x\n"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status, ok := twins.Run(t.Context(), aCall("/", r, &out, "head", "-1")); !ok || status != 0 || out.String() != "x\n" {
		t.Errorf("status %d, taken %v, %q", status, ok, out.String())
	}
}

// TestEnough: grep -q and head end before their input does.
func TestEnough(t *testing.T) {
	for _, args := range [][]string{{"grep", "-q", "b"}, {"head", "-2"}, {"grep", "-m1", "b"}, {"head", "-c", "3"}} {
		usual(t, args[0])
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString("a\nb\n"); err != nil {
			t.Fatal(err)
		}
		if status, ok := twins.Run(t.Context(), aCall("/", r, io.Discard, args...)); !ok || status != 0 {
			t.Errorf("%q: status %d, taken %v", args, status, ok)
		}
		w.Close()
		r.Close()
	}
}

// TestHandedOver: what cannot be done exactly once stdin was read is done by the real program.
func TestHandedOver(t *testing.T) {
	usual(t, "grep")
	large := strings.Repeat("0123456789 line\n", 100000)
	for _, stdin := range []string{"caf\xe9\nabc\n", "a\x00b\nline\n", large, large + "é"} {
		for _, args := range [][]string{{"grep", "line"}, {"grep", "-c", "é"}, {"sed", "-n", "$p"}, {"tr", "0", "x"}, {"wc", "-w"}, {"head", "-1"}, {"cat"}, {"tail", "-1"}} {
			agree(t, "/", stdin, utf8Env, args...)
			agree(t, "/", stdin, plainEnv, args...)
		}
	}
	set := New()
	if _, ok := set.Run(t.Context(), aCall("/", strings.NewReader("é\n"), io.Discard, "grep", "x")); !ok || set.Counts()["grep"] != (Count{Taken: 1, Handed: 1}) {
		t.Errorf("taken %v, counts %v", ok, set.Counts())
	}
	// The rest of stdin that the real program did not want stays where it is.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString("é\n"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	status, ok := twins.Run(t.Context(), aCall("/", r, &out, "grep", "-m1", "."))
	if !ok || status != 0 || out.Len() == 0 {
		t.Errorf("status %d, taken %v, %q", status, ok, out.String())
	}
}

// broken is a stdout that cannot be written.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

// TestBrokenStdout: nobody reads it, or the disk is full.
func TestBrokenStdout(t *testing.T) {
	dir := theTree(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, line := range []string{"cat abc", "grep foo abc", "sed p abc", "cut -c1 abc", "head abc", "tail abc", "wc -l abc", "uname", "basename a", "date +%Y", "ls abc", "stat -c %s abc"} {
		args := words(line)
		usual(t, args[0])
		c := aCall(dir, nil, full, args...)
		status, ok := twins.Run(t.Context(), c)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Dir, cmd.Env = full, dir, plainEnv
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || !ok || exit.ExitCode() != status {
			t.Errorf("%q on a full disk: status %d, taken %v; they %v", args, status, ok, err)
		}
		if status, ok := twins.Run(t.Context(), aCall(dir, nil, broken{syscall.EPIPE}, args...)); !ok || status != noReader {
			t.Errorf("%q without a reader: status %d, taken %v", args, status, ok)
		}
	}
}

// TestStdinOfPlainFile: the place in a file that is stdin is left where the real program leaves it.
func TestStdinOfPlainFile(t *testing.T) {
	dir := theTree(t)
	for _, line := range []string{"head -2", "head -c 2", "head -n 0", "grep -q 3", "grep -m1 3", "grep -l 3", "grep -qv 3", "sed -n 1p", "sed 2q", "tail -1", "tail -n 0", "tail -c 3", "tail -n +3", "tail -c +3", "cat", "wc -l", "wc -c", "head -n 0", "head -c 0", "head -n 99", "head -c 99", "cut -c1", "tr 1 2", "grep -c 1"} {
		args := words(line)
		usual(t, args[0])
		file := ""
		place := func(run func(f *os.File) bool) int64 {
			f, err := os.Open(dir + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Seek(2, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if !run(f) {
				return -1
			}
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		var out, theirOut bytes.Buffer
		for _, name := range []string{"numbers", "latin"} {
			file = name
			out.Reset()
			theirOut.Reset()
			got := place(func(f *os.File) bool {
				_, ok := twins.Run(t.Context(), aCall(dir, f, &out, args...))
				return ok
			})
			if got < 0 {
				continue
			}
			want := place(func(f *os.File) bool {
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Stdin, cmd.Stdout, cmd.Env = f, &theirOut, plainEnv
				_ = cmd.Run() // its status is another test's
				return cmd.ProcessState != nil
			})
			if got != want || out.String() != theirOut.String() {
				t.Errorf("%q < %s leaves %d, and they %d; %q, %q", args, name, got, want, out.String(), theirOut.String())
			}
		}
	}
}

// TestOwnOutput: a file that stdout goes to is not read.
func TestOwnOutput(t *testing.T) {
	dir := theTree(t)
	f, err := os.OpenFile(dir+"/abc", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, line := range []string{"cat abc", "grep a abc", "sed p numbers abc"} {
		if _, ok := twins.Run(t.Context(), aCall(dir, nil, f, words(line)...)); ok {
			t.Errorf("%q > abc is taken", line)
		}
	}
}

// TestManyAtOnce: one Set serves all scripts of a worker.
func TestManyAtOnce(t *testing.T) {
	usual(t, "grep")
	set := New()
	dir := theTree(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for _, line := range []string{"grep -c foo abc", "sed -n 's/fo*/x/p' abc", "uname", "ip -o addr show dev lo", "tr a b", "basename a/b", "grep '[" + strconv.Itoa(i) + "]'"} {
				var out bytes.Buffer
				if _, ok := set.Run(t.Context(), aCall(dir, strings.NewReader("abc\n"), &out, words(line)...)); !ok && !strings.HasPrefix(line, "ip") {
					t.Errorf("%q is not taken", line)
				}
			}
		})
	}
	all.Wait()
	if n := set.Counts()["grep"]; n.Taken != 16 {
		t.Errorf("counts: %v", set.Counts())
	}
}
