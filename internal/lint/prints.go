package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// printing are commands that print to stdout, and the switches with which they do not.
var printing = map[string]string{
	"echo": "", "printf": "", "print": "u", "cat": "", "ps": "", "head": "", "tail": "", "ls": "", "df": "", "date": "", "netstat": "", "ss": "",
	"awk": "", "sort": "", "cut": "", "tr": "", "wc": "", "uname": "", "hostname": "", "id": "", "ping": "", "lsof": "",
	"grep": "q", "egrep": "q", "fgrep": "q", "pgrep": "q", "pidof": "q", "mountpoint": "q", "curl": "o",
}

func statusPrints(s *script, at finder) {
	p := printer{s: s, at: at, seen: map[*syntax.FuncDecl]bool{}}
	steps := s.steps("status")
	stmts := make([]*syntax.Stmt, len(steps))
	for i, step := range steps {
		stmts[i] = step.stmt
	}
	p.list(stmts)
}

// A printer looks for what prints to the stdout of a status that finds all well.
type printer struct {
	s    *script
	at   finder
	seen map[*syntax.FuncDecl]bool
}

// list looks at statements. Plain commands before exit 1, or another number, or return, say why the package is not up.
func (p *printer) list(stmts []*syntax.Stmt) {
	fails := make([]bool, len(stmts)+1)
	for i := len(stmts) - 1; i >= 0; i-- {
		call, ok := stmts[i].Cmd.(*syntax.CallExpr)
		fails[i] = ok && fails[i+1]
		if name := p.s.command(stmts[i]); name == "exit" || name == "return" {
			status := ""
			if len(call.Args) > 1 {
				status = literal(call.Args[1])
			}
			fails[i] = status != "" && status != "0"
		}
	}
	for i, stmt := range stmts {
		if !fails[i] {
			p.stmt(stmt)
		}
	}
}

func (p *printer) stmt(stmt *syntax.Stmt) {
	if stmt.Background || slices.ContainsFunc(stmt.Redirs, func(r *syntax.Redirect) bool {
		return r.Op != syntax.RdrIn && r.Hdoc == nil && r.Op != syntax.WordHdoc && (r.N == nil || r.N.Value == "1")
	}) {
		return
	}
	switch x := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		p.call(x)
	case *syntax.BinaryCmd:
		switch x.Op {
		case syntax.AndStmt:
			p.stmt(x.X)
			p.stmt(x.Y)
		case syntax.OrStmt: // what comes then is for what went wrong
			p.stmt(x.X)
		default:
			p.stmt(x.Y)
		}
	case *syntax.Block:
		p.list(x.Stmts)
	case *syntax.Subshell:
		p.list(x.Stmts)
	case *syntax.IfClause:
		for ; x != nil; x = x.Else {
			p.list(x.Cond)
			p.list(x.Then)
		}
	case *syntax.WhileClause:
		p.list(x.Cond)
		p.list(x.Do)
	case *syntax.ForClause:
		p.list(x.Do)
	case *syntax.CaseClause:
		for _, item := range x.Items {
			p.list(item.Stmts)
		}
	}
}

func (p *printer) call(call *syntax.CallExpr) {
	words := unwrap(call.Args)
	if len(words) == 0 {
		return
	}
	name := literal(words[0])
	if fn := p.s.funcs[name]; fn != nil {
		if !p.seen[fn] {
			p.seen[fn] = true
			p.stmt(fn.Body)
		}
		return
	}
	args := make([]string, 0, len(words))
	for _, w := range words[1:] {
		args = append(args, literal(w))
	}
	quiet, prints := printing[path.Base(name)]
	prints = prints && !slices.ContainsFunc(args, func(a string) bool {
		return quiet != "" && isSwitch(a, quiet) || a == "--quiet" || a == "--silent" || a == "--output"
	})
	switch path.Base(name) {
	case "ip":
		prints = slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix("show", a) && a != "" || a == "list" || a == "get" })
	case "systemctl", "service", "pg_ctl", "drbdadm":
		prints = slices.ContainsFunc(args, func(a string) bool { return slices.Contains([]string{"status", "role", "cstate", "dstate"}, a) })
	case "mount", "exportfs":
		prints = len(args) == 0
	}
	if prints {
		p.at(words[0].Pos(), "status prints what %s says, each time that it runs", name)
	}
}
