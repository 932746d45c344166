package shell

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) *Script {
	t.Helper()
	s, err := Parse("script", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestEndless: what would never end, or take ever more, ends with an error and leaves nothing behind.
func TestEndless(t *testing.T) {
	before := openFiles(t)
	for name, text := range map[string]string{
		"function":        "f() { f; }; f",
		"function, pipes": "f() { f | f; }; f",
		"eval":            `x='eval "$x"'; eval "$x"`,
		"function, eval":  `f() { eval 'g=1'; f; }; f`,
		"open files":      "n=0; while :; do exec < /dev/null; done",
		"output":          "x=$(cat /dev/zero); exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, text)
			_, err := Run(context.Background(), s, Options{
				Args: []string{"./script"}, Dir: t.TempDir(), Env: testEnv("/"),
				Source: func(string) (*Script, error) { return s, nil },
			})
			if !errors.Is(err, ErrDeclined) {
				t.Errorf("%v", err)
			}
		})
	}
	for range 100 {
		if openFiles(t) <= before+2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d files are open, %d were", openFiles(t), before)
}

// TestSourceRecursion: a file that sources itself.
func TestSourceRecursion(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/self", []byte(". ./self"), 0o644); err != nil {
		t.Fatal(err)
	}
	if o := interpret(t, dir, ". ./self"); o.decline == "" {
		t.Errorf("%+v", o)
	}
}

// TestDeadline: the end of the context ends a run, with an error and never a status.
func TestDeadline(t *testing.T) {
	for name, text := range map[string]string{
		"loop":     "while :; do :; done",
		"program":  "sleep 100",
		"pipe":     "sleep 100 | { read x; }",
		"read":     "read x",
		"in $( )":  "x=$(while :; do :; done); exit 0",
		"function": "f() { until false; do true; done; }; f; exit 0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			status, err := Run(ctx, mustParse(t, text), Options{Args: []string{"x"}, Dir: "/", Env: testEnv("/"), Stdin: r})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("status %d, %v", status, err)
			}
		})
	}
}

// TestHungOpen: a pipe whose other side nobody opens does not keep a run from ending; a file that is sourced is never one.
func TestHungOpen(t *testing.T) {
	for text, want := range map[string]error{
		"read x < pipe; exit 0":       context.DeadlineExceeded,
		"echo x > pipe; exit 0":       context.DeadlineExceeded,
		"x=$(cat < pipe); exit 0":     context.DeadlineExceeded,
		". ./pipe; exit 0":            ErrDeclined,
		"PATH=.; . pipe; echo no":     nil, // dash does not find it
		"echo x >> pipe | true; true": context.DeadlineExceeded,
	} {
		dir := t.TempDir()
		if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		_, err := Run(ctx, mustParse(t, text), Options{
			Args: []string{"x"}, Dir: dir, Env: testEnv(dir), Source: readScript,
		})
		cancel()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, not %v", text, err, want)
		}
		if f, err := os.OpenFile(dir+"/pipe", os.O_RDWR, 0); err == nil { // who waits goes on
			f.Close()
		}
	}
}

// TestHungFile: what is sourced and is no file, or is no script's length, is said so; nobody waits for it.
func TestHungFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/long", make([]byte, longestFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"pipe": "is no file", ".": "is no file", "long": "is longer than"} {
		if err := os.WriteFile(dir+"/main", []byte(". ./"+file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, findings := CheckAll(dir+"/main", ReadFile, Glob)
		if len(findings) != 1 || !strings.Contains(findings[0].Reason, want) {
			t.Errorf("%s: %v", file, findings)
		}
		if _, err := ReadFile(filepath.Join(dir, file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestNesting: no text, however deep, is too much for the stack that a worker has.
func TestNesting(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(32 << 20))
	for _, unit := range []string{
		"(", "{ ", "$(", "`", "((", "$((", "$((-", "- ", "${x:-", "\"$(", "if ", "while ", "for x in a; do ", "case a in a) ", "! ", "time ", "elif ", "if a; then ", "x=", "a[", "f() ", "f() {", "[[ ! ", "<(", "@(", "(a|",
	} {
		for _, begin := range []string{"", ": $((", "if a; then b; "} {
			for _, n := range []int{mostRun, mostNest / len(strings.Trim(unit, "abcdefhijklmnoprstuvwxyz $-!\";|)")+"("), (longestFile - 100) / len(unit)} {
				text := begin + strings.Repeat(unit, n)
				if s, err := Parse("x", []byte(text)); err == nil {
					s.form(0)
				}
				evaluate(text, kindEval, allModes)
			}
		}
	}
	for _, many := range []string{"x=1\n", "a ? 1 : ", "1**", "a=", "-1+", "1+-"} {
		if s, err := Parse("x", []byte(": $(("+strings.Repeat(many, 4_000)+"1))")); err == nil {
			s.form(allModes)
		}
	}
}

// TestManyStars: a pattern does not take longer than its text times its length.
func TestManyStars(t *testing.T) {
	if match(strings.Repeat("a*", 30)+"b", strings.Repeat("a", 2000)) {
		t.Error("a pattern that does not fit fits")
	}
}

// TestPanic: a panic of a command is an error of the run.
func TestPanic(t *testing.T) {
	_, err := Run(context.Background(), mustParse(t, "boom"), Options{
		Args: []string{"x"}, Dir: "/",
		Commands: func(string) Command {
			return func(context.Context, *Call) (int, bool) { panic("boom") }
		},
	})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
}

// TestFilesAreClosed: also those of exec, which last as long as the script.
func TestFilesAreClosed(t *testing.T) {
	dir := t.TempDir()
	before := openFiles(t)
	for range 20 {
		if o := interpret(t, dir, "exec >>f 2>>g </dev/null; echo a; read x; { echo b; } > h; cat < h > /dev/null"); o.decline != "" {
			t.Fatal(o.decline)
		}
	}
	if after := openFiles(t); after > before+2 {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

// TestManyAtOnce: one script, many runs at a time; for the race detector.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/lib", []byte("g() { eval \"echo g \\$1\"; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	libText, err := os.ReadFile(dir + "/lib")
	if err != nil {
		t.Fatal(err)
	}
	lib, err := Parse(dir+"/lib", libText)
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, "f() { local x; x=$1; while read -r y; do echo \"$x $y $((x + 1))\"; done <<E\na\nb\nE\n}\n. ./lib\nf 1 | { cat; g 2; }; [ $(f 3 | wc -l) = 2 ]")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				r, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				status, err := Run(context.Background(), s, Options{
					Args: []string{"./script"}, Dir: dir, Env: testEnv(dir), Stdout: w, Umask: 0o022,
					Source: func(string) (*Script, error) { return lib, nil },
				})
				w.Close()
				b := make([]byte, 100)
				n, _ := r.Read(b)
				r.Close()
				if err != nil || status != 0 || string(b[:n]) != "1 a 2\n1 b 2\ng 2\n" {
					t.Errorf("%d, %v, %q", status, err, b[:n])
				}
			}
		})
	}
	wg.Wait()
}
