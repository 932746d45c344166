package shell

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// checker walks a tree and notes, at each statement, why it cannot be run here as dash runs it.
// What it does not know is a finding: it lists what is right, not what is wrong.
type checker struct {
	path    string
	text    []byte
	kind    kind
	funcs   map[string]bool
	whole   []Finding
	byStmt  map[*syntax.Stmt][]Finding
	cur     *syntax.Stmt
	facts   facts
	own     bool                  // the script has a process of its own
	begun   map[*syntax.Stmt]bool // there is a program that it leaves running
	waiting []*syntax.Stmt        // they wait for all of the script's programs
	asksPid bool                  // it has $! in it
	options switches              // that the first line turns on
	guards  map[syntax.Node]bool  // loops with a break or continue that something of their body follows
}

// place is where in a script the checker is.
type place struct {
	fn    bool   // in a function
	sub   bool   // in a subshell of the function, or of the script
	loops []bool // for each loop around, in this shell: nothing of the next outer one follows it
	tail  bool   // nothing of the innermost loop's body is run after this statement, but by its outermost list
	loop  syntax.Node
	cond  bool // in the condition of an if of that loop, or behind a !
	waits bool // the shell waits for what is begun here, at once
}

func newChecker(path string, text []byte, k kind, own bool) *checker {
	return &checker{own: own, path: path, text: text, kind: k, funcs: map[string]bool{}, byStmt: map[*syntax.Stmt][]Finding{}, begun: map[*syntax.Stmt]bool{}, guards: map[syntax.Node]bool{}}
}

func (c *checker) fileFinding(rule, reason string) {
	c.whole = append(c.whole, Finding{c.path, 1, 1, LevelShell, rule, reason})
}

func (c *checker) add(n syntax.Node, rule, reason string) {
	p := n.Pos()
	if !p.IsValid() && c.cur != nil {
		p = c.cur.Pos()
	}
	c.byStmt[c.cur] = append(c.byStmt[c.cur], Finding{c.path, p.Line(), p.Col(), LevelShell, rule, reason})
}

// all are the findings, in the order of the text.
func (c *checker) all() []Finding {
	out := slices.Clone(c.whole)
	for _, f := range c.byStmt {
		out = append(out, f...)
	}
	return sorted(out)
}

func sorted(fs []Finding) []Finding {
	slices.SortFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Rule, b.Rule))
	})
	return slices.Compact(fs)
}

func (c *checker) file(f *syntax.File) {
	if bytes.HasPrefix(c.text, []byte("#!")) {
		line, _, _ := bytes.Cut(c.text[2:], []byte("\n"))
		switch sb := strings.TrimSpace(string(line)); sb {
		case "/bin/sh", "/bin/dash", "/usr/bin/sh", "/usr/bin/dash":
		default:
			if !c.firstLineOptions(sb) {
				c.fileFinding("shebang", "it is a script for "+sb)
			}
		}
	}
	if bytes.ContainsAny(c.text, "\x00\r") {
		c.fileFinding("bytes", "there is a NUL or a CR in it")
	}
	if bytes.HasPrefix(c.text, []byte("\xef\xbb\xbf")) {
		c.fileFinding("bytes", "it begins with a byte order mark")
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.FuncDecl); ok && d.Name != nil {
			c.funcs[d.Name.Value] = true
		}
		return true
	})
	c.asksPid = asksPid(f)
	c.stmts(f.Stmts, place{})
	c.waits()
	if c.facts.bytewise && c.hasWideLetters(f) {
		c.fileFinding("bytes", "letters beyond ASCII, and a pattern with ? or [")
	}
}

// hasWideLetters looks for bytes that dash counts one by one, outside of comments.
func (c *checker) hasWideLetters(f *syntax.File) bool {
	wide := false
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Lit:
			wide = wide || !ascii(n.Value)
		case *syntax.SglQuoted:
			wide = wide || !ascii(n.Value)
		}
		return !wide
	})
	return wide
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// source is the text of a node.
func (c *checker) source(n syntax.Node) string {
	a, b := n.Pos().Offset(), n.End().Offset()
	if a > b || b > uint(len(c.text)) {
		return ""
	}
	return string(c.text[a:b])
}

// stmts checks a list. Only of a loop's outermost list does mvdan.cc/sh stop when break or continue was called.
func (c *checker) stmts(list []*syntax.Stmt, p place) {
	for i, s := range list {
		q := p
		q.tail = p.tail && i == len(list)-1
		q.waits = p.waits || c.waitedFor(list, i, p.sub)
		c.stmt(s, q)
	}
}

func (c *checker) body(loop syntax.Node, list []*syntax.Stmt, p place) {
	p.loops = append(slices.Clone(p.loops), p.tail)
	p.tail, p.loop, p.cond = true, loop, false
	for _, s := range list {
		c.stmt(s, p)
	}
}

func (c *checker) stmt(s *syntax.Stmt, p place) {
	outer := c.cur
	c.cur = s
	defer func() { c.cur = outer }()
	if s.Background || s.Coprocess || s.Disown {
		switch {
		case p.waits:
		case c.begins(s, p.sub):
			c.begun[s] = true
		default:
			c.add(s, "background", "a command in the background")
		}
		p.sub, p.loops, p.waits = true, nil, false
	}
	if s.Negated {
		p.tail, p.cond = false, true
	}
	for _, r := range s.Redirs {
		c.redirect(r, p)
	}
	if b, ok := s.Cmd.(*syntax.Block); ok && len(s.Redirs) > 0 && lostRedirect(b) {
		c.add(s, "redirect", "dash forgets the inner redirection of { (...) >a; } >b")
	}
	if s.Cmd != nil {
		c.command(s, s.Cmd, p)
	}
}

// lostRedirect: the group is one subshell, redirected within it. dash keeps one list of redirections for both.
func lostRedirect(b *syntax.Block) bool {
	redirected := false
	for len(b.Stmts) == 1 {
		s := b.Stmts[0]
		redirected = redirected || len(s.Redirs) > 0
		switch cmd := s.Cmd.(type) {
		case *syntax.Subshell:
			return redirected
		case *syntax.Block:
			b = cmd
		default:
			return false
		}
	}
	return false
}

func (c *checker) command(s *syntax.Stmt, cmd syntax.Command, p place) {
	in := func(sub, tail bool) place {
		q := p
		q.tail = p.tail && tail
		if sub {
			q.sub, q.loops, q.tail, q.waits = true, nil, false, false
		}
		return q
	}
	switch cmd := cmd.(type) {
	case *syntax.CallExpr:
		c.call(s, cmd, p)
	case *syntax.DeclClause:
		c.declare(s, cmd, p)
	case *syntax.BinaryCmd:
		c.binary(cmd, in)
	case *syntax.Subshell:
		c.stmts(cmd.Stmts, in(true, false))
	case *syntax.Block:
		c.stmts(cmd.Stmts, p)
	case *syntax.IfClause:
		for ic := cmd; ic != nil; ic = ic.Else {
			cond := in(false, false)
			cond.cond = true
			c.stmts(ic.Cond, cond)
			c.stmts(ic.Then, p)
		}
	case *syntax.WhileClause:
		cond := in(false, false)
		cond.loops = nil
		c.stmts(cmd.Cond, cond)
		c.body(cmd, cmd.Do, p)
	case *syntax.ForClause:
		c.forClause(cmd, p)
	case *syntax.CaseClause:
		c.caseClause(cmd, p)
	case *syntax.FuncDecl:
		c.function(cmd)
	case *syntax.TimeClause:
		c.add(cmd, "time", "time")
	default:
		c.add(cmd, "bash", "not in dash: "+firstWord(c.source(cmd)))
	}
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 20 {
		s = s[:20] + "..."
	}
	return s
}

func (c *checker) binary(b *syntax.BinaryCmd, in func(sub, tail bool) place) {
	switch b.Op {
	case syntax.AndStmt: // after break, the right side would still be run
		c.stmt(b.X, in(false, false))
		c.stmt(b.Y, in(false, true))
	case syntax.OrStmt:
		c.stmt(b.X, in(false, true))
		c.stmt(b.Y, in(false, true))
	case syntax.Pipe:
		c.stmt(b.X, in(true, false))
		c.stmt(b.Y, in(true, false))
	default:
		c.add(b, "bash", "not in dash: "+b.Op.String())
	}
}

func (c *checker) forClause(f *syntax.ForClause, p place) {
	it, ok := f.Loop.(*syntax.WordIter)
	if !ok || f.Select || f.Braces {
		c.add(f, "bash", "not in dash: "+firstWord(c.source(f)))
		return
	}
	c.assigns(it.Name)
	c.facts.plain = append(c.facts.plain, it.Name.Value)
	for _, w := range it.Items {
		c.word(w, inArgs)
	}
	c.body(f, f.Do, p)
}

func (c *checker) caseClause(cc *syntax.CaseClause, p place) {
	if cc.Braces {
		c.add(cc, "bash", "case with braces")
	}
	c.word(cc.Word, inValue)
	for _, it := range cc.Items {
		for _, w := range it.Patterns {
			c.pattern(w.Parts, w)
		}
		if it.Op != syntax.Break {
			c.add(it, "bash", "not in dash: "+it.Op.String())
		}
		c.stmts(it.Stmts, p)
	}
}

func (c *checker) function(f *syntax.FuncDecl) {
	switch name := c.declName(f); {
	case f.RsrvWord || name == "":
		c.add(f, "bash", "function, the word")
	case c.kind != kindFile:
		c.add(f, "function", "a function that is made by eval")
	case isBuiltin(name) || reserved[name]:
		c.add(f, "function", name+" is the name of a builtin, too")
	case !syntax.ValidName(name) || strings.HasPrefix(name, hidden):
		c.add(f, "function", name+" is no name for a function in POSIX")
	}
	c.stmt(f.Body, place{fn: true})
}

func (c *checker) declName(f *syntax.FuncDecl) string {
	if f.Name == nil {
		return ""
	}
	return f.Name.Value
}

// reserved words, which command -v tells of.
var reserved = map[string]bool{
	"!": true, "{": true, "}": true, "case": true, "do": true, "done": true, "elif": true, "else": true, "esac": true,
	"fi": true, "for": true, "if": true, "in": true, "then": true, "until": true, "while": true,
}

// setsParams reports whether the list changes its own positional parameters.
func (c *checker) setsParams(list []*syntax.Stmt) bool {
	found := false
	for _, s := range list {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.FuncDecl:
				return false
			case *syntax.CallExpr:
				if len(n.Args) > 0 {
					name, _ := literal(n.Args[0])
					found = found || name == "shift" || name == "set" && !setsOptions(n)
				}
			}
			return !found
		})
	}
	return found
}
