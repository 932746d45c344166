package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// outcome is how a script ended.
type outcome struct {
	out     string
	status  int
	decline string // why it was not run here
	quick   bool   // without mvdan.cc/sh
}

func (o outcome) same(p outcome) bool { return o.out == p.out && o.status == p.status }

// A setting is where a script is run, by both.
type setting struct {
	dir    string
	env    []string
	args   []string // with $0
	source func(string) (*Script, error)
	slow   bool // by mvdan.cc/sh alone
}

func testEnv(dir string) []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + dir, "LC_ALL=C", "PWD=" + dir}
}

func inDir(dir string, args []string) setting {
	return setting{dir: dir, env: testEnv(dir), args: append([]string{"./script"}, args...), source: readScript}
}

func readScript(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// interpret runs a script here, if Check finds nothing.
func interpret(t testing.TB, dir, script string, args ...string) outcome {
	t.Helper()
	return inDir(dir, args).text(t, script)
}

func (s setting) text(t testing.TB, text string) outcome {
	t.Helper()
	script, err := Parse(filepath.Join(s.dir, "script"), []byte(text))
	if err != nil {
		return outcome{decline: err.Error()}
	}
	if f := script.Check(); len(f) > 0 {
		return outcome{decline: f[0].String()}
	}
	o := s.interpret(t, script)
	o.quick = script.quick.taken > 0
	return o
}

func (s setting) interpret(t testing.TB, script *Script) outcome {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r)
		r.Close()
		out <- string(b)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	status, err := Run(ctx, script, Options{
		Args: s.args, Env: s.env, Dir: s.dir, Stdin: null, Stdout: w, Stderr: null, Umask: 0o022,
		Source: s.source, Own: script.own, Slow: s.slow, Commands: s.commands(),
	})
	w.Close()
	o := outcome{out: <-out, status: status}
	if err != nil {
		if !errors.Is(err, ErrDeclined) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", script.text, err)
		}
		o.decline = err.Error()
	}
	return o
}

// commands are, for the quick evaluator, the real programs, which read stdin only if they are known to.
func (s setting) commands() func(string) Command {
	if s.slow {
		return nil
	}
	return func(name string) Command {
		if !observers[name] {
			return nil
		}
		return func(ctx context.Context, c *Call) (int, bool) {
			if _, is := c.Stdin.(*guarded); !is { // by mvdan.cc/sh
				return 0, false
			}
			its := *c
			its.Stdin = nil
			if slices.Contains([]string{"cat", "grep", "sed", "tr", "cut", "wc", "head", "tail", "sort"}, name) {
				text, err := io.ReadAll(c.Stdin)
				if err != nil {
					return 0, false
				}
				its.Stdin = bytes.NewReader(text)
			}
			status, err := Exec(ctx, &its)
			return status, err == nil
		}
	}
}

// dash runs a script, as if it were the file "script".
func dash(t testing.TB, dir, script string, args ...string) outcome {
	t.Helper()
	return inDir(dir, args).dash(t, script)
}

// dash runs the text, or the file that $0 names.
func (s setting) dash(t testing.TB, text string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	args := s.args
	if text != "" {
		args = append([]string{"-c", text}, args...)
	}
	cmd := exec.CommandContext(ctx, "dash", args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("dash: %v", err)
	}
	return outcome{out: out.String(), status: cmd.ProcessState.ExitCode()}
}

func needDash(t testing.TB) {
	if _, err := exec.LookPath("dash"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dash is not installed")
		}
		if os.Getenv("CI") != "" { // .ci/run installs it
			t.Fatal("dash is not installed")
		}
		t.Skip("dash is not installed")
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
