package shell

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// A redirection that cannot be opened: the command is not run, and $? is 2 in dash, but 1 in mvdan.cc/sh; of a special
// builtin, dash ends. So where the command is none, a statement becomes
//
//	{ command < file:__sh_try7 || __sh_tried 7; }
//
// and the handler of files, which sees by the mark what it is opening, notes what it could not open. All other
// redirections that cannot be opened end the run.

const tryMark = ":" + hidden + "try"

var tries atomic.Uint64

// mayFail says whether the statement's redirections may fail.
func mayFail(s *syntax.Stmt) bool {
	files := false
	for _, r := range s.Redirs {
		files = files || opensFile(r)
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		return files && len(cmd.Args) > 0 && !special[commandName(cmd)]
	case *syntax.Subshell, *syntax.Block, *syntax.IfClause, *syntax.WhileClause, *syntax.ForClause, *syntax.CaseClause:
		return files
	}
	return false
}

func opensFile(r *syntax.Redirect) bool {
	switch r.Op {
	case syntax.RdrIn, syntax.RdrOut, syntax.AppOut, syntax.RdrClob:
		return true
	}
	return false
}

// try marks the redirections of a statement, and has its status set where one fails; its command is rewritten already.
func try(s *syntax.Stmt) {
	id := strconv.FormatUint(tries.Add(1), 10)
	inner := &syntax.Stmt{Position: s.Position, Cmd: s.Cmd, Redirs: s.Redirs}
	for _, r := range s.Redirs {
		if opensFile(r) {
			r.Word.Parts = append(r.Word.Parts, &syntax.SglQuoted{Value: tryMark + id})
		}
	}
	s.Redirs = nil
	s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{{Cmd: &syntax.BinaryCmd{Op: syntax.OrStmt, X: inner, Y: calling(lit(hidden+"tried"), lit(id))}}}}
}

// couldNotOpen takes note of a file that cannot be opened; the error is what dash says, but for the line's number.
func (r *run) couldNotOpen(hc interp.HandlerContext, id, path string, flag int, err error) error {
	if r.wordsCount(hc) {
		return r.decline("cannot open " + path + ", and dash's words count")
	}
	r.mu.Lock()
	r.tried[id]++
	r.mu.Unlock()
	verb := "open"
	if flag&os.O_CREATE != 0 {
		verb = "create"
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	why := errno.Error()
	switch {
	case errno == syscall.ENOENT && verb == "create":
		why = "Directory nonexistent"
	case errno == syscall.ENOENT:
		why = "No such file"
	}
	return &fs.PathError{Op: r.Args[0] + ": cannot " + verb, Path: path, Err: errors.New(why)} // another error ends the run
}

// hasTried is the status of a statement that ended with last.
func (r *run) hasTried(id string, last int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tried[id] == 0 {
		return last
	}
	r.tried[id]--
	return 2
}
