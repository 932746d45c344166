package shell

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// call sees each command before it is run, and says what is run instead: a builtin that mvdan.cc/sh does as dash does, or a
// hidden name, which exec then does. A builtin that changes variables becomes an eval of assignments.
func (r *run) call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	if r.hasFailed() {
		return nil, r.decline("")
	}
	isFunc := r.isFunction(args[0])
	if isFunc || args[0] == mainName {
		return args, r.deeper()
	}
	if args[0] == hidden+"homeless" {
		return []string{"unset", "-v", "HOME"}, nil
	}
	if args[0] == hidden+"begin" {
		return r.begin(hc, args[1:])
	}
	if args[0] == hidden+"run" {
		return r.dynamic(args[1:])
	}
	return r.builtin(ctx, hc, args)
}

// dynamic: a command whose name was expanded is a function or a program, or else not for us. (What CheckAll has not
// followed into the function has traps where they are needed, as all code.)
func (r *run) dynamic(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, r.decline("an expansion without words, as a command")
	}
	isFunc := r.isFunction(args[0])
	if isFunc {
		return args, r.deeper()
	}
	if isBuiltin(args[0]) || args[0] == "" || strings.HasPrefix(args[0], hidden) {
		return nil, r.decline("the command " + args[0] + ", from an expansion")
	}
	return args, nil
}

func (r *run) builtin(ctx context.Context, hc interp.HandlerContext, args []string) ([]string, error) {
	switch args[0] {
	case ":", "true", "false", "break", "continue":
		return args, nil
	case "echo", "printf", "test", "[", "pwd", "kill", "type", "hash":
		return append([]string{hidden + args[0]}, args[1:]...), nil
	case "eval":
		return r.eval(args[1:])
	case ".":
		return r.dot(hc, args[1], args[2:])
	case "return", "exit":
		return r.leave(hc, args)
	case hidden + "return":
		return r.returns(hc, args)
	case hidden + "failed":
		return r.hasFailedCommand(hc)
	case hidden + "shift":
		return r.shift(args[1:])
	case "set":
		return r.set(args[1:])
	case "unset":
		return r.unset(args[1:])
	case "read":
		return r.read(ctx, hc, args[1:])
	case "cd":
		return r.cd(hc, args[1:])
	case "umask":
		return r.umaskBuiltin(hc, args[1:])
	case "trap":
		return r.trap(args[1:])
	case "command":
		return r.command(ctx, hc, args[1:])
	case "wait", hidden + "wait":
		return r.wait(ctx, args)
	case "exec":
		if len(args) == 1 {
			return args, nil
		}
	}
	if isBuiltin(args[0]) {
		return nil, r.decline(args[0])
	}
	return args, nil
}

// withStatus is a command that only has a status.
func withStatus(n int) []string { return []string{hidden + "status", strconv.Itoa(n)} }

// quote is for text that mvdan.cc/sh parses: to it, a backslash in an assignment is one more letter.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }

func (r *run) eval(args []string) ([]string, error) {
	if err := r.deeper(); err != nil {
		return nil, err
	}
	text := strings.Join(args, " ")
	if strings.Trim(text, " \t\n") == "" {
		return []string{"true"}, nil
	}
	e := r.script.evals.of(text, kindEval, r.script.mode)
	if e.decline != "" {
		return nil, r.decline("eval: " + e.decline)
	}
	if err := r.loadFacts(e.facts); err != nil {
		return nil, err
	}
	return []string{"eval", e.text}, r.callsNone(e)
}

// callsNone: code that is made at run time calls no function: CheckAll could not know with what arguments.
func (r *run) callsNone(e evaluated) error {
	r.mu.Lock()
	var called string
	for _, n := range e.names {
		if r.funcs[n] {
			called = n
		}
	}
	r.mu.Unlock()
	if called != "" {
		return r.decline("eval calls the function " + called)
	}
	return nil
}

// dot sources a file. It becomes a call of a function, if it was sourced in an earlier run; else it is text to parse.
func (r *run) dot(hc interp.HandlerContext, file string, params []string) ([]string, error) {
	if err := r.deeper(); err != nil {
		return nil, err
	}
	path, err := r.sourced(hc, file)
	if errors.Is(err, ErrDeclined) {
		return nil, err
	} else if err != nil {
		return []string{"exit", "2"}, r.complain(hc, "%s: .: cannot open %s: %s", r.Args[0], file, reason(err))
	}
	if r.Source == nil {
		return nil, r.decline("nothing can be sourced")
	}
	s, err := r.Source(path)
	if err != nil {
		return nil, r.decline(err.Error())
	}
	if err := r.load(s); err != nil {
		return nil, err
	}
	if name := r.linked[s]; name != "" && !s.params {
		return append([]string{name}, params...), nil
	}
	r.script.link(s)
	name := virtual + strconv.Itoa(len(path)) + path
	text, err := s.rewritten(r.script.mode)
	if err != nil {
		return nil, r.decline(err.Error())
	}
	r.mu.Lock()
	r.texts[name] = text
	r.mu.Unlock()
	return []string{".", name}, nil
}

func (r *run) sourced(hc interp.HandlerContext, file string) (string, error) {
	if strings.Contains(file, "/") {
		path := absolute(hc.Dir, file)
		fi, err := os.Stat(path)
		if err == nil && (!fi.Mode().IsRegular() || hostFile(path)) {
			return "", r.decline(path + " is sourced, but no file")
		} else if err != nil {
			return "", err
		}
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		return path, f.Close()
	}
	for _, dir := range strings.Split(hc.Env.Get("PATH").String(), ":") {
		path := filepath.Join(absolute(hc.Dir, dir), file)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fs.ErrNotExist
}

// reason is what the system says, without the name.
func reason(err error) string {
	if pe, ok := err.(*fs.PathError); ok {
		err = pe.Err
	}
	if err == syscall.ENOENT || err == fs.ErrNotExist {
		return "No such file"
	}
	return err.Error()
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return dir + "/" + path
}

func number(s string) bool {
	return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == ""
}

func (r *run) leave(hc interp.HandlerContext, args []string) ([]string, error) {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	switch {
	case len(args) == 1:
		return []string{args[0], strconv.Itoa(hc.LastExitStatus)}, nil
	case len(args) == 2 && number(args[1]):
		n, _ := strconv.Atoi(args[1])
		if args[0] == "return" && n > 0xff { // $? is that, in dash
			break
		}
		return []string{args[0], strconv.Itoa(n & 0xff)}, nil
	}
	return nil, r.decline(strings.Join(args, " "))
}

func (r *run) shift(args []string) ([]string, error) {
	n := 1
	if len(args) > 1 {
		if len(args) > 2 || !number(args[1]) {
			return nil, r.decline("shift " + strings.Join(args[1:], " "))
		}
		n, _ = strconv.Atoi(args[1])
	}
	if have, _ := strconv.Atoi(args[0]); n > have {
		return nil, r.decline("shift by more than there are")
	}
	return []string{"shift", strconv.Itoa(n)}, nil
}

func (r *run) set(args []string) ([]string, error) {
	switch {
	case len(args) == 0:
	case args[0] == "--":
		return append([]string{"set"}, args...), nil
	case args[0] == "+x" && len(args) == 1:
		return []string{"true"}, nil
	case len(args) == 1 && strings.HasPrefix(args[0], "-"), len(args) == 1 && strings.HasPrefix(args[0], "+"):
		return r.setOptions(args[0])
	case !strings.HasPrefix(args[0], "-") && !strings.HasPrefix(args[0], "+"):
		return append([]string{"set", "--"}, args...), nil
	}
	return nil, r.decline("set " + strings.Join(args, " "))
}

func (r *run) unset(args []string) ([]string, error) {
	flag := "-v"
	if len(args) > 0 && (args[0] == "-v" || args[0] == "-f") {
		flag, args = args[0], args[1:]
	}
	for _, a := range args {
		if flag == "-v" && !mayset(a) || flag == "-f" && !syntax.ValidName(a) {
			return nil, r.decline("unset " + a)
		}
	}
	if len(args) == 0 {
		return []string{"true"}, nil
	}
	return append([]string{"unset", flag}, args...), nil
}

// trap allows one trap in a run, and notes when it is run (trapped): one that was set where a function was called in a
// subshell never is, in mvdan.cc/sh, and that cannot be seen here.
func (r *run) trap(args []string) ([]string, error) {
	if len(args) == 3 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) > 1 && defaultSignals(args) {
		return []string{"true"}, nil
	}
	if len(args) != 2 || args[1] != "EXIT" && args[1] != "0" {
		return nil, r.decline("trap " + strings.Join(args, " "))
	}
	r.mu.Lock()
	before := r.trapSet
	r.trapSet = r.trapSet || args[0] != "-" && args[0] != ""
	r.mu.Unlock()
	if before {
		return nil, r.decline("a second trap")
	}
	if args[0] == "-" || args[0] == "" {
		return []string{"true"}, nil
	}
	e := r.script.evals.of(args[0], kindTrap, r.script.mode)
	if e.decline != "" {
		return nil, r.decline("trap: " + e.decline)
	}
	return []string{"trap", "--", hidden + "trapped\n" + e.text, "EXIT"}, r.loadFacts(e.facts)
}

// command: the name is no function then.
func (r *run) command(ctx context.Context, hc interp.HandlerContext, args []string) ([]string, error) {
	switch {
	case len(args) == 2 && args[0] == "-v":
		return []string{hidden + "which", args[1]}, nil
	case len(args) == 0 || strings.HasPrefix(args[0], "-") || special[args[0]] || args[0] == "command":
		return nil, r.decline("command " + strings.Join(args, " "))
	}
	isFunc := r.isFunction(args[0])
	if isFunc {
		return append([]string{hidden + "program"}, args...), nil
	}
	return r.builtin(ctx, hc, args)
}
