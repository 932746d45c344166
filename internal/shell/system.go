package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// cd goes where dash would: by names, without looking at links, unless told -P.
func (r *run) cd(hc interp.HandlerContext, args []string) ([]string, error) {
	physical := false
	for len(args) > 0 && (args[0] == "-P" || args[0] == "-L" || args[0] == "--") {
		if args[0] == "--" {
			args = args[1:]
			break
		}
		physical, args = args[0] == "-P", args[1:]
	}
	to := hc.Env.Get("HOME").String()
	if len(args) > 0 {
		to = args[0]
	}
	back := to == "-"
	if back {
		to = hc.Env.Get("OLDPWD").String()
	}
	if len(args) > 1 || to == "" || hostFile(absolute(hc.Dir, to)) || strings.HasPrefix(to, "-") || strings.HasPrefix(to, "//") {
		return nil, r.decline("cd " + strings.Join(args, " "))
	}
	path := absolute(hc.Dir, to)
	if physical {
		p, err := filepath.EvalSymlinks(path)
		if err != nil {
			return r.cannotCD(hc, to)
		}
		path = p
	}
	path = filepath.Clean(path)
	fi, err := os.Stat(path)
	if err != nil || !fi.IsDir() || unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) != nil {
		return r.cannotCD(hc, to)
	}
	if back {
		fmt.Fprintln(r.writer(hc.Stdout), path)
	}
	return []string{"cd", path}, nil
}

func (r *run) cannotCD(hc interp.HandlerContext, to string) ([]string, error) {
	return withStatus(2), r.complain(hc, "%s: cd: can't cd to %s", r.Args[0], to)
}

func (r *run) pwd(ctx context.Context, hc interp.HandlerContext, args []string) error {
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == "-L":
		return r.print(ctx, hc, hc.Dir+"\n")
	case len(args) == 1 && args[0] == "-P":
		dir, err := filepath.EvalSymlinks(hc.Dir)
		if err != nil {
			return r.decline("pwd: " + err.Error())
		}
		return r.print(ctx, hc, dir+"\n")
	}
	return r.decline("pwd " + strings.Join(args, " "))
}

// dashBuiltins are those that dash says to have.
var dashBuiltins = strings.Fields(". : [ alias bg break cd chdir command continue echo eval exec exit export false fg getopts hash jobs " +
	"kill local printf pwd read readonly return set shift test times trap true type ulimit umask unalias unset wait")

// which is command -v; type and hash, where only their status is wanted.
func (r *run) which(ctx context.Context, hc interp.HandlerContext, how string, args []string) error {
	if how == "hash" && (len(args) == 0 || args[0] == "-r") {
		return r.decline("hash without names")
	}
	if f, ok := hc.Stdout.(*os.File); how == "type" && (!ok || f.Name() != os.DevNull) {
		return r.decline("type, whose text depends on what was run before")
	}
	status := 0
	for _, name := range args {
		isFunc := r.isFunction(name)
		if isFunc || name == "" {
			return r.decline(how + " of a function")
		}
		text := name
		if !reserved[name] && !slices.Contains(dashBuiltins, name) {
			path, found := r.find(hc, name)
			if text = path; !found {
				status = 127
				continue
			}
		}
		if how == "which" {
			if err := r.print(ctx, hc, text+"\n"); err != nil {
				return err
			}
		}
	}
	if how == "hash" && status != 0 {
		return r.complains(hc, 1, "%s: hash: not found", r.Args[0])
	}
	return result(status)
}

func (r *run) find(hc interp.HandlerContext, name string) (string, bool) {
	if strings.Contains(name, "/") {
		_, err := os.Stat(absolute(hc.Dir, name))
		return name, err == nil
	}
	search := hc.Env.Get("PATH").String()
	path, status := lookup(hc.Dir, search, name)
	for _, d := range strings.Split(search, ":") {
		if status == 0 && !filepath.IsAbs(d) {
			_ = r.decline("command -v, and PATH has the directory " + strconv.Quote(d))
		}
	}
	return path, status == 0
}

// list is export -p; nothing is ever read-only here.
func (r *run) list(ctx context.Context, hc interp.HandlerContext, what string) error {
	if what != "export" {
		return nil
	}
	var lines []string
	for name, v := range hc.Env.Each {
		if v.Exported && !v.IsSet() && !hc.Env.Get(name).IsSet() {
			return r.decline("export -p, with a name that has no value")
		}
	}
	for _, kv := range environ(hc) {
		name, value, _ := strings.Cut(kv, "=")
		lines = append(lines, "export "+name+"="+quote(value)+"\n")
	}
	slices.Sort(lines)
	return r.print(ctx, hc, strings.Join(lines, ""))
}

var signals = map[string]syscall.Signal{
	"0": 0, "1": 1, "2": 2, "9": 9, "15": 15, "HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "STOP": 19,
}

// kill signals other processes by their number, never a group, and never this process.
func (r *run) kill(hc interp.HandlerContext, args []string) error {
	text := "kill " + strings.Join(args, " ")
	signal := syscall.SIGTERM
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "--" {
		name := args[0][1:]
		if name == "s" && len(args) > 1 {
			name, args = args[1], args[1:]
		}
		s, ok := signals[name]
		if !ok {
			return r.decline(text)
		}
		signal, args = s, args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	status := 0
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		if err != nil || !number(a) || pid <= 1 || pid == os.Getpid() || pid == os.Getppid() {
			return r.decline(text)
		}
		if err := unix.Kill(pid, signal); err != nil {
			if err := r.complain(hc, "%s: kill: %v", r.Args[0], err); err != nil {
				return err
			}
			status = 1
		}
	}
	if len(args) == 0 {
		return r.decline(text)
	}
	return result(status)
}

const umaskVar = hidden + "umask"

// umask is the script's own; it is kept in a variable, as subshells have their own.
func (r *run) umask(hc interp.HandlerContext) int {
	v := hc.Env.Get(umaskVar)
	if !v.IsSet() {
		return r.Umask
	}
	n, err := strconv.ParseUint(v.String(), 8, 16)
	if err != nil {
		return r.Umask
	}
	return int(n)
}

func (r *run) umaskBuiltin(hc interp.HandlerContext, args []string) ([]string, error) {
	m := r.umask(hc)
	switch {
	case len(args) == 0:
		return []string{hidden + "umask", fmt.Sprintf("%04o\n", m)}, nil
	case len(args) == 1 && args[0] == "-S":
		var who []string
		for i, w := range []string{"u", "g", "o"} {
			s := ""
			for j, p := range []string{"r", "w", "x"} {
				if m>>(6-3*i)&(4>>j) == 0 {
					s += p
				}
			}
			who = append(who, w+"="+s)
		}
		return []string{hidden + "umask", strings.Join(who, ",") + "\n"}, nil
	case len(args) == 1:
		if n, err := strconv.ParseUint(args[0], 8, 16); err == nil && n <= 0o777 {
			return []string{"eval", fmt.Sprintf("%s=%04o", umaskVar, n)}, nil
		}
	}
	return nil, r.decline("umask " + strings.Join(args, " "))
}
