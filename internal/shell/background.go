package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Two kinds of commands in the background are done here as dash does them.
//
// What the next statement waits for, "for x in a b; do f $x & done; wait", is run by goroutines: none can outlive the
// shell that has begun it, since nothing in between can end that, and nobody has asked for its process id.
//
// A program in a script that has a process of its own (Options.Own) is a child of that, which lives on after it.

// waitedFor says whether list[i] is of the first kind. In a subshell nobody else sees $!.
func (c *checker) waitedFor(list []*syntax.Stmt, i int, sub bool) bool {
	if i+1 == len(list) {
		return false
	}
	next := list[i+1]
	ce, ok := next.Cmd.(*syntax.CallExpr)
	if !ok || commandName(ce) != "wait" || len(ce.Args) > 1 || next.Background || next.Negated || len(next.Redirs) > 0 {
		return false
	}
	if c.asksPid && (!sub || slices.ContainsFunc(list, func(s *syntax.Stmt) bool { return asksPid(s) })) {
		return false
	}
	return c.onlyBegins(list[i])
}

// asksPid says whether there is $! in it.
func asksPid(n syntax.Node) (asks bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil && p.Param.Value == "!" {
			asks = true
		}
		return !asks
	})
	return asks
}

// onlyBegins: s has commands in the background, and else only what cannot end the shell.
func (c *checker) onlyBegins(s *syntax.Stmt) bool {
	if s.Background {
		return !s.Negated && !s.Coprocess && !s.Disown
	}
	all := func(list []*syntax.Stmt) bool {
		for _, s := range list {
			if !c.onlyBegins(s) {
				return false
			}
		}
		return true
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.ForClause:
		return all(cmd.Do)
	case *syntax.IfClause:
		for ic := cmd; ic != nil; ic = ic.Else {
			if !all(ic.Cond) || !all(ic.Then) {
				return false
			}
		}
		return true
	case *syntax.BinaryCmd:
		return (cmd.Op == syntax.AndStmt || cmd.Op == syntax.OrStmt) && c.onlyBegins(cmd.X) && c.onlyBegins(cmd.Y)
	case *syntax.CallExpr:
		switch commandName(cmd) {
		case "[", "test", ":", "true", "false", "echo", "printf":
			return true
		}
		return len(cmd.Args) == 0
	}
	return false
}

// begins says whether s is of the second kind: in the script's own shell, since a substitution would wait for its output.
func (c *checker) begins(s *syntax.Stmt, sub bool) bool {
	ce, ok := s.Cmd.(*syntax.CallExpr)
	if !c.own || sub || !ok || s.Negated || s.Coprocess || s.Disown || len(ce.Args) == 0 {
		return false
	}
	name := commandName(ce) // "" of an expansion: what that is shows later
	if name == "command" || isBuiltin(name) || c.funcs[name] || strings.HasPrefix(name, hidden) {
		return false
	}
	plain := true
	syntax.Walk(s, func(n syntax.Node) bool { // what a subshell assigns is lost
		if p, ok := n.(*syntax.ParamExp); ok && p.Exp != nil && (p.Exp.Op == syntax.AssignUnset || p.Exp.Op == syntax.AssignUnsetOrNull) {
			plain = false
		}
		return plain
	})
	return plain
}

// Variables that stand for $! and $$.
const (
	lastPid = hidden + "pid"
	ownPid  = hidden + "self"
)

// begin rewrites a command in the background of the second kind:
//
//	__sh_begin program ... </dev/null >x
func (w *rewriter) begin(s *syntax.Stmt, p surroundings) {
	ce := s.Cmd.(*syntax.CallExpr)
	w.redirects(s, p)
	w.call(s, ce, p)
	ce.Args = append([]*syntax.Word{lit(hidden + "begin")}, ce.Args...)
	s.Background = false
}

// fromNull: what is in the background reads nothing.
func fromNull() *syntax.Redirect { return &syntax.Redirect{Op: syntax.RdrIn, Word: lit("/dev/null")} }

// jobs are the programs that the script has begun in the background.
type jobs struct {
	mu  sync.Mutex
	all map[int]*job // by pid
}

type job struct {
	ended  chan struct{}
	status int
}

// begin starts a program, and says what sets $!.
func (r *run) begin(hc interp.HandlerContext, args []string) ([]string, error) {
	if args[0] == hidden+"run" {
		args = args[1:]
	}
	if !r.Own {
		return nil, r.decline("a command in the background")
	}
	isFunc := r.isFunction(args[0])
	if isFunc {
		return nil, r.decline("the function " + args[0] + " in the background")
	}
	args, err := r.dynamic(args)
	if err != nil {
		return nil, err
	}
	call := r.newCall(hc, args)
	if _, status := call.lookup(args[0]); status != 0 && r.wordsCount(hc) {
		return nil, r.decline("what dash says of " + args[0])
	}
	for _, w := range []io.Writer{call.Stdout, call.Stderr} {
		if _, ok := w.(*os.File); !ok { // in a substitution, after all
			return nil, r.decline("a command in the background writes to a substitution: " + args[0])
		}
	}
	cmd, err := call.start()
	if err != nil {
		return nil, r.decline(err.Error())
	}
	j := &job{ended: make(chan struct{})}
	r.jobs.mu.Lock()
	if r.jobs.all == nil {
		r.jobs.all = map[int]*job{}
	}
	r.jobs.all[cmd.Process.Pid] = j
	r.jobs.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
			j.status = 128 + int(ws.Signal())
		} else {
			j.status = ws.ExitStatus()
		}
		close(j.ended)
	}()
	return []string{"eval", fmt.Sprintf("%s=%d", lastPid, cmd.Process.Pid)}, nil
}

// start begins the program of a call, or what ends as a shell does that cannot become it.
func (c *Call) start() (*exec.Cmd, error) {
	path, status := c.lookup(c.Args[0])
	args := c.Args
	switch status {
	case 0:
	case 126:
		path, args = "/bin/sh", []string{"sh", "-c", `echo "$0: Permission denied" >&2; exit 126`, c.Args[0]}
	default:
		path, args = "/bin/sh", []string{"sh", "-c", `echo "$0: not found" >&2; exit 127`, c.Args[0]}
	}
	cmd := c.command(context.Background(), path, args)
	err := cmd.Start()
	if err == nil {
		return cmd, nil
	}
	cmd = c.command(context.Background(), "/bin/sh", append([]string{"sh", "-c", `exec "$0" "$@"`}, args...)) // it says why
	return cmd, cmd.Start()
}

// waits: a wait for all that waits for what the script leaves running, too.
func (c *checker) waits() {
	for _, s := range c.waiting {
		if len(c.begun) > 0 {
			c.cur = s
			c.add(s, "background", "wait for all processes")
		}
	}
}

// wait waits for the given programs, and has the status of the last. Without any it waits for what goroutines do; in
// a subshell (it is no hidden name there) that is all.
func (r *run) wait(ctx context.Context, args []string) ([]string, error) {
	r.jobs.mu.Lock()
	running := len(r.jobs.all)
	r.jobs.mu.Unlock()
	switch {
	case len(args) > 1:
	case args[0] != "wait" && running > 0:
		return nil, r.decline("wait for all processes")
	default:
		return []string{"wait"}, nil
	}
	status := 0
	for _, a := range args[1:] {
		pid, _ := strconv.Atoi(a)
		r.jobs.mu.Lock()
		j := r.jobs.all[pid]
		r.jobs.mu.Unlock()
		if j == nil {
			return nil, r.decline("wait for a process that is none of the script's")
		}
		select {
		case <-j.ended:
			status = j.status
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return withStatus(status), nil
}
