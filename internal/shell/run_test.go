package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// capture runs a script and returns what it wrote.
func capture(t *testing.T, text string, o Options) (string, int, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o.Args, o.Stdout = append([]string{"./script"}, o.Args...), f
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	status, err := Run(context.Background(), mustParse(t, text), o)
	b, err2 := os.ReadFile(f.Name())
	if err2 != nil {
		t.Fatal(err2)
	}
	return string(b), status, err
}

// TestCommands: a command stands in for a program; where it declines, the program is run, with the same call.
func TestCommands(t *testing.T) {
	var calls []string
	note := func(how string, c *Call) {
		x, _ := c.Env("X")
		_, hidden := c.Env("y")
		env := c.Environ()
		slices.Sort(env)
		calls = append(calls, fmt.Sprintf("%s %q X=%s %v %d %04o", how, c.Args, x, hidden, len(env), c.Umask))
	}
	out, status, err := capture(t, "export X=1; y=2; mine a \"b c\"; X=3 other; umask 077; $(mine) x; echo $?; nosuch", Options{
		Umask: 0o022,
		Commands: func(name string) Command {
			if name != "mine" && name != "other" {
				return nil
			}
			return func(_ context.Context, c *Call) (int, bool) {
				note("command", c)
				if name == "other" {
					return 0, false
				}
				io.WriteString(c.Stdout, "mine\n")
				return 4, true
			}
		},
		Exec: func(_ context.Context, c *Call) (int, error) {
			note("exec", c)
			return 5, nil
		},
	})
	want := []string{
		`command ["mine" "a" "b c"] X=1 false 2 0022`,
		`command ["other"] X=3 false 2 0022`,
		`exec ["other"] X=3 false 2 0022`,
		`command ["mine"] X=1 false 2 0077`,
	}
	// $(mine) is the command mine, from an expansion.
	want = append(want, `command ["mine" "x"] X=1 false 2 0077`, `exec ["nosuch"] X=1 false 2 0077`)
	if !slices.Equal(calls, want) {
		t.Errorf("calls:\n%s\nnot:\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
	if out != "mine\nmine\n4\n" || status != 5 || err != nil {
		t.Errorf("%q, %d, %v", out, status, err)
	}
}

// TestExecFails: where no program can be run at all, the run cannot go on, and has no status.
func TestExecFails(t *testing.T) {
	broken := errors.New("no more processes")
	_, _, err := capture(t, "x=$(prog) || echo no; exit 0", Options{Exec: func(context.Context, *Call) (int, error) { return 0, broken }})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestTraps: what is declined ends the run where it is come to, also where CheckAll had left it out.
func TestTraps(t *testing.T) {
	const text = "case $1 in status) echo up ;; stop) echo $$ ;; esac"
	s := mustParse(t, text)
	if f := s.Check("status", "echo"); len(f) > 0 {
		t.Error(f)
	}
	if f := s.Check("stop"); len(f) != 1 || f[0].Rule != "pid" {
		t.Error(f)
	}
	if out, status, err := capture(t, text, Options{Args: []string{"status"}}); out != "up\n" || status != 0 || err != nil {
		t.Errorf("%q, %d, %v", out, status, err)
	}
	if _, _, err := capture(t, text, Options{Args: []string{"stop"}}); !errors.Is(err, ErrDeclined) {
		t.Error(err)
	}
	// In a subshell, a pipe, a substitution: no other status hides it.
	for _, inner := range []string{"(echo $$)", "echo $$ | cat", "x=$(echo $$)", "echo $(echo $$)", "if echo $$; then :; fi", "{ echo $$; } || exit 0", "eval 'echo $$'", "trap 'echo $$' EXIT"} {
		if out, status, err := capture(t, inner+"; echo on; exit 0", Options{}); !errors.Is(err, ErrDeclined) {
			t.Errorf("%s: %q, %d, %v", inner, out, status, err)
		}
	}
}

// TestSetting: what the launcher gives is what the script has.
func TestSetting(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	const text = `echo "$0 $# $1 $A ${HOME-none}"; pwd; : > new`
	out, _, err := capture(t, text, Options{Args: []string{"a b"}, Env: []string{"A=1", "x.y=2", "PWD=" + link}, Dir: dir, Umask: 0o027})
	if want := "./script 1 a b 1 none\n" + link + "\n"; out != want || err != nil {
		t.Errorf("%q, not %q (%v)", out, want, err)
	}
	if fi, err := os.Stat(dir + "/new"); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", fi, err)
	}
	out, _, err = capture(t, "pwd", Options{Env: []string{"PWD=/"}, Dir: link})
	if real, _ := filepath.EvalSymlinks(dir); out != real+"\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// TestWideLetters: where patterns count bytes, letters beyond ASCII are for the real shell, from wherever they come.
func TestWideLetters(t *testing.T) {
	count := "case $x in ?) echo 1 ;; *) echo n ;; esac"
	for name, text := range map[string]string{
		"argument":     "x=$1; " + count,
		"environment":  "x=$A; " + count,
		"read":         "printf '\\303\\244\\n' | { read x; " + count + "; }",
		"substitution": "x=$(printf '\\303\\244'); " + count,
	} {
		o := Options{}
		switch name {
		case "argument":
			o.Args = []string{"ä"}
		case "environment":
			o.Env = []string{"A=ä"}
		}
		if out, _, err := capture(t, text, o); !errors.Is(err, ErrDeclined) {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	if out, _, err := capture(t, "x=ä; case $x in *ä) echo y ;; esac; echo ${#x}", Options{}); out != "y\n2\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}
