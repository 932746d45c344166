package shell

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
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// exec runs what is neither a function nor a builtin of mvdan.cc/sh: the layer's builtins, commands, programs.
func (r *run) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	if r.hasFailed() {
		return r.decline("")
	}
	if name, ok := strings.CutPrefix(args[0], hidden); ok {
		if name == "program" {
			return r.program(ctx, hc, args[1:])
		}
		return r.own(ctx, hc, name, args[1:])
	}
	if r.Commands != nil {
		if command := r.Commands(args[0]); command != nil {
			if err := r.settle(hc.Stdin); err != nil {
				return r.decline(err.Error())
			}
			if status, ok := command(ctx, r.newCall(hc, args)); ok {
				return result(status)
			}
		}
	}
	return r.program(ctx, hc, args)
}

func (r *run) program(ctx context.Context, hc interp.HandlerContext, args []string) error {
	do := r.Exec
	if do == nil {
		do = Exec
	}
	if err := r.settle(hc.Stdin); err != nil {
		return r.decline(err.Error())
	}
	call := r.newCall(hc, args)
	if r.wordsCount(hc) {
		if _, status := call.lookup(args[0]); status != 0 {
			return r.decline("what dash says of " + args[0])
		}
	}
	status, err := do(ctx, call)
	if err != nil {
		return r.fail(err)
	}
	return result(status)
}

// wordsCount: stderr is not the script's own: its text goes to a file, or becomes data. dash's words have numbers of lines in them.
func (r *run) wordsCount(hc interp.HandlerContext) bool {
	f, isFile := hc.Stderr.(*os.File)
	return hc.Stderr != io.Writer(r.errors) && !(isFile && f.Name() == os.DevNull)
}

// complain says what is wrong, if it does not matter in which words.
func (r *run) complain(hc interp.HandlerContext, format string, args ...any) error {
	if r.wordsCount(hc) {
		return r.decline("what dash says where it fails, in a file or as data")
	}
	fmt.Fprintf(hc.Stderr, format+"\n", args...)
	return nil
}

func (r *run) complains(hc interp.HandlerContext, status int, format string, args ...any) error {
	if err := r.complain(hc, format, args...); err != nil {
		return err
	}
	return result(status)
}

func result(status int) error {
	if status &= 0xff; status != 0 {
		return interp.ExitStatus(status)
	}
	return nil
}

// own are the builtins of the layer.
func (r *run) own(ctx context.Context, hc interp.HandlerContext, name string, args []string) error {
	switch name {
	case "decline":
		return r.decline(strings.Join(args, " "))
	case "tried":
		return result(r.hasTried(args[0], hc.LastExitStatus))
	case "set":
		return r.mustBeSet(hc, args)
	case "keep":
		return result(hc.LastExitStatus)
	case "status":
		n, _ := strconv.Atoi(args[0])
		return result(n)
	case "trapped":
		r.mu.Lock()
		r.trapRan = true
		r.mu.Unlock()
		return result(hc.LastExitStatus)
	case "whole":
		return r.whole(args)
	case "case":
		return result(caseNumber(args[0], args[1:]))
	case "is":
		if args[0] == strconv.Itoa(hc.LastExitStatus) {
			return nil
		}
		return result(hc.LastExitStatus)
	case "echo":
		if text := strings.Join(args, " "); strings.Contains(text, `\e`) { // dash learned it in 0.5.11
			return r.decline("echo with \\e")
		}
		return r.print(ctx, hc, echo(args))
	case "printf":
		return r.printf(ctx, hc, args)
	case "len":
		return r.print(ctx, hc, strconv.Itoa(len(args[0])))
	case "strip":
		return r.strip(ctx, hc, args)
	case "arith":
		n, err := arithmetic(args[0], func(v string) string { return hc.Env.Get(v).String() })
		if err != nil {
			return r.decline("arithmetic: " + err.Error())
		}
		return r.print(ctx, hc, strconv.FormatInt(n, 10))
	case "test", "[":
		return r.test(hc, name, args)
	case "pwd":
		return r.pwd(ctx, hc, args)
	case "which", "type", "hash":
		return r.which(ctx, hc, name, args)
	case "list":
		return r.list(ctx, hc, args[0])
	case "kill":
		return r.kill(hc, args)
	case "umask":
		return r.print(ctx, hc, args[0])
	}
	return r.decline(name)
}

// strip is ${x#"text"} and its like: no pattern.
func (r *run) strip(ctx context.Context, hc interp.HandlerContext, args []string) error {
	value := strings.TrimPrefix(args[1], args[2])
	if args[0][0] == '%' {
		value = strings.TrimSuffix(args[1], args[2])
	}
	if strings.HasSuffix(value, "\n") { // $( ) would take it off
		return r.decline("a value that ends with a newline, in ${x" + args[0] + "...}")
	}
	return r.print(ctx, hc, value)
}

// whole: values that some versions of dash would split.
func (r *run) whole(args []string) error {
	for _, a := range args {
		if strings.ContainsAny(a, " \t\n*?[\\") {
			return r.decline("a value without quotes after local or export: " + a)
		}
	}
	return nil
}

// inPipe is how long what is written to a pipe counts as written though its reader has gone: both sides of a pipeline begin
// at once in dash, and its pipe takes what is written before the reader, a process, has ended. Here that is a goroutine.
const inPipe = 30 * time.Millisecond

// tookIt says whether dash's pipe would have taken what was written.
func (r *run) tookIt(w io.Writer) bool {
	first, _ := r.left.LoadOrStore(w, time.Now())
	return time.Since(first.(time.Time)) < inPipe
}

// print writes to stdout. Whose reader has gone is ended, as by SIGPIPE.
func (r *run) print(ctx context.Context, hc interp.HandlerContext, text string) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(r.writer(hc.Stdout), text)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE) && r.tookIt(hc.Stdout):
		return nil
	case errors.Is(err, syscall.EPIPE):
		return hc.Builtin(ctx, []string{"exit", "141"})
	case r.hasFailed():
		return r.decline("")
	}
	return r.decline("cannot write: " + err.Error())
}

// writer is where a command writes: a file as it is; what is caught by $( ) with a lock, as a pipeline writes from two sides.
func (r *run) writer(w io.Writer) io.Writer {
	switch w := w.(type) {
	case *os.File:
		return w
	case *errorStream:
		return w.f
	}
	return &caught{r, w}
}

type caught struct {
	r *run
	w io.Writer
}

var caughtLock sync.Mutex

func (c *caught) Write(p []byte) (int, error) {
	if err := c.r.saw(string(p)); err != nil {
		return 0, err
	}
	caughtLock.Lock()
	defer caughtLock.Unlock()
	if c.r.caught += len(p); c.r.caught > maxCaught {
		return 0, c.r.decline("too much output in $( )")
	}
	return c.w.Write(p)
}

func (r *run) newCall(hc interp.HandlerContext, args []string) *Call {
	return &Call{
		Args: args,
		Env: func(name string) (string, bool) {
			v := hc.Env.Get(name)
			return v.String(), v.IsSet() && (v.Exported || name == "PWD" || name == "OLDPWD")
		},
		Environ: func() []string { return environ(hc) },
		Dir:     hc.Dir,
		Stdin:   hc.Stdin,
		Stdout:  r.writer(hc.Stdout),
		Stderr:  r.writer(hc.Stderr),
		Umask:   r.umask(hc),
	}
}

func environ(hc interp.HandlerContext) []string {
	values := map[string]string{}
	for name, v := range hc.Env.Each {
		if v.IsSet() && (v.Exported || name == "PWD" || name == "OLDPWD") && !strings.HasPrefix(name, hidden) {
			values[name] = v.String()
		} else {
			delete(values, name)
		}
	}
	env := make([]string, 0, len(values))
	for name, v := range values {
		env = append(env, name+"="+v)
	}
	return env
}

// Exec runs the program of a call, found as dash finds it, and waits for it.
func Exec(ctx context.Context, c *Call) (int, error) { return ExecWith(ctx, c, nil) }

// ExecWith is Exec of a program that begins as attr says.
func ExecWith(ctx context.Context, c *Call, attr *syscall.SysProcAttr) (int, error) {
	say := func(status int, format string, args ...any) (int, error) {
		fmt.Fprintf(c.Stderr, format+"\n", args...)
		return status, nil
	}
	path, status := c.lookup(c.Args[0])
	if status == 126 {
		return say(126, "%s: Permission denied", c.Args[0])
	} else if status != 0 {
		return say(127, "%s: not found", c.Args[0])
	}
	cmd := c.command(ctx, path, c.Args)
	cmd.SysProcAttr = attr
	err := cmd.Run()
	switch {
	case errors.Is(err, syscall.ENOEXEC): // a script without #!
		if !isText(absolute(c.Dir, path)) {
			return say(126, "%s: %v", c.Args[0], syscall.ENOEXEC)
		}
		cmd = c.command(ctx, "/bin/sh", append([]string{"/bin/sh", path}, c.Args[1:]...))
		cmd.SysProcAttr = attr
		err = cmd.Run()
	case errors.Is(err, syscall.ENOENT):
		if _, err := os.Stat(c.Dir); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrDeclined, err)
		}
		return say(127, "%s: not found", c.Args[0])
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.E2BIG):
		return say(126, "%s: %v", c.Args[0], errors.Unwrap(err))
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if cmd.ProcessState == nil {
		return 0, err
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// isText: what is no program is a script only if there is no NUL at its beginning.
func isText(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 256)
	n, _ := f.Read(b)
	return !bytes.Contains(b[:n], []byte{0})
}

// command: a child has its umask from a shell between, where it is not that of this process.
func (c *Call) command(ctx context.Context, path string, args []string) *exec.Cmd {
	if c.Umask != processUmask() {
		args = append([]string{"/bin/sh", "-c", fmt.Sprintf(`umask %04o; exec "$0" "$@"`, c.Umask), path}, args[1:]...)
		path = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args, cmd.Dir, cmd.Env = args, c.Dir, c.Environ()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.WaitDelay = 2 * time.Second
	if ctx.Done() != nil {
		cmd.WaitDelay = 0 // who has a deadline kills all of it
	}
	return cmd
}

// processUmask is that of this process. It can only be read by setting it, so that is done once.
var processUmask = sync.OnceValue(func() int {
	m := unix.Umask(0o077)
	unix.Umask(m)
	return m
})

// lookup finds a program: its path and 0, or 126 or 127.
func (c *Call) lookup(name string) (string, int) {
	path, _ := c.Env("PATH")
	return lookup(c.Dir, path, name)
}

func lookup(dir, path, name string) (string, int) {
	if name == "" {
		return "", 127
	}
	if strings.Contains(name, "/") {
		p := absolute(dir, name)
		if _, err := os.Stat(p); err != nil {
			if errors.Is(err, syscall.EACCES) {
				return "", 126
			}
			return "", 127
		}
		if !executable(p) {
			return "", 126
		}
		return name, 0
	}
	status := 127
	for _, d := range strings.Split(path, ":") {
		p := filepath.Join(absolute(dir, d), name)
		if executable(p) {
			if d == "" || !filepath.IsAbs(d) {
				return p, 0
			}
			return strings.TrimSuffix(d, "/") + "/" + name, 0
		}
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() {
			status = 126
		}
	}
	return "", status
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}
