package shell

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// call is a simple command, whose words are expanded.
func (q *quick) call(ce *syntax.CallExpr, args []string) {
	if len(args) == 0 {
		if len(ce.Args) > 0 {
			q.leave("an expansion without words, as a command")
		}
		q.assign(ce.Assigns)
		return
	}
	name := args[0]
	if !isLiteral(ce.Args[0]) && commandName(ce) == "" && (q.isFunction(name) || isBuiltin(name) || name == "" || strings.HasPrefix(name, hidden)) {
		q.leave("the command " + name + ", from an expansion")
	}
	switch {
	case len(ce.Assigns) == 0 && q.isFunction(name):
		q.function(q.funcs[name], args[1:])
	case name == "read":
		q.read(ce.Assigns, args[1:])
	case !isBuiltin(name):
		q.observe(ce.Assigns, args)
	case len(ce.Assigns) > 0:
		q.leave("an assignment before " + name)
	default:
		q.builtin(name, args[1:])
	}
}

// isLiteral: a word that is what it says.
func isLiteral(w *syntax.Word) bool {
	l, ok := w.Parts[0].(*syntax.Lit)
	return ok && len(w.Parts) == 1 && (l.Value == "[" || !strings.ContainsAny(l.Value, `\*?[~{`))
}

func (q *quick) isFunction(name string) bool {
	_, is := q.funcs[name]
	return is
}

func (q *quick) assign(list []*syntax.Assign) {
	q.subst = -1
	for _, a := range list {
		if a.Name == nil || a.Append || a.Array != nil || a.Index != nil {
			q.leave("an assignment")
		}
		q.set(a.Name.Value, q.value(a.Value))
	}
	q.status = max(q.subst, 0)
}

// inside runs f, a function or a sourced file: return ends it, and no break goes beyond it.
func (q *quick) inside(tree *quickTree, f func()) {
	was := q.tree
	if q.depth++; q.depth > quickDepth {
		q.leave("calls within calls, too deep")
	}
	q.tree = tree
	f()
	q.tree = was
	q.depth--
	switch q.flow {
	case returns:
		q.flow = goesOn
	case breaks, continues:
		q.leave("break in a function")
	}
}

func (q *quick) function(f quickFunc, args []string) {
	if q.tree.isEval {
		q.leave("a function that eval calls")
	}
	q.shareInput()
	params := q.params
	q.params = args
	q.inside(f.tree, func() { q.stmt(f.body) })
	q.params = params
}

func (q *quick) builtin(name string, args []string) {
	switch name {
	case ":", "true":
		q.status = 0
	case "false":
		q.status = 1
	case "echo":
		q.echo(args)
	case "printf":
		text, err := printf(args)
		if err != nil {
			q.leave("printf")
		}
		q.print(text)
		q.status = 0
	case "test", "[":
		q.test(name, args)
	case "eval":
		q.eval(args)
	case ".":
		q.dot(args)
	case "return", "exit":
		q.end(name, args)
	case "break", "continue":
		q.loopEnd(name, args)
	case "set":
		if len(args) == 0 || args[0] != "--" {
			q.leave("set")
		}
		q.params, q.status = slices.Clone(args[1:]), 0
	case "shift":
		q.shift(args)
	case "unset":
		q.unset(args)
	case "cd":
		q.cd(args)
	case "command":
		q.which(args)
	default:
		q.leave(name)
	}
}

func (q *quick) echo(args []string) {
	for _, a := range args {
		if strings.Contains(a, `\`) && strings.Contains(strings.Join(args, " "), `\e`) {
			q.leave(`echo with \e`)
		}
	}
	q.print(echo(args))
	q.status = 0
}

func (q *quick) test(name string, args []string) {
	if name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			q.leave("missing ]")
		}
		args = args[:len(args)-1]
	}
	if len(args) == 2 && (args[0] == "-n" || args[0] == "-z") { // most are of this kind
		q.status = number01((args[1] == "") == (args[0] == "-n"))
		return
	}
	t := &tester{hc: interp.HandlerContext{Dir: q.dir}}
	is, err := t.all(args)
	if err != nil || t.unknown != "" {
		q.leave("test")
	}
	q.status = number01(!is)
}

func (q *quick) eval(args []string) {
	text := strings.Join(args, " ")
	if strings.TrimSpace(text) == "" {
		q.status = 0
		return
	}
	tree := q.r.script.quick.eval(text)
	if tree == nil {
		q.leave("eval")
	}
	q.shareInput()
	was := q.tree
	q.tree = tree
	q.stmts(tree.stmts)
	q.tree = was
}

func (q *quick) dot(args []string) {
	if len(args) != 1 || !strings.Contains(args[0], "/") || q.r.Source == nil {
		q.leave(".")
	}
	path := absolute(q.dir, args[0])
	var st unix.Stat_t
	if hostFile(path) || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS) != nil {
		q.leave("cannot source")
	}
	s, err := q.r.Source(path)
	if err != nil || len(s.decl) > 0 {
		q.leave("cannot source")
	}
	q.shareInput()
	tree := s.quickTree()
	q.status = 0
	q.inside(tree, func() { q.stmts(tree.stmts) })
}

// end is return and exit.
func (q *quick) end(name string, args []string) {
	switch {
	case len(args) == 1 && number(args[0]):
		n, _ := strconv.Atoi(args[0])
		if n > 0xff && name == "return" { // $? is that, in dash
			q.leave("return beyond 255")
		}
		q.status = n & 0xff
	case len(args) > 0:
		q.leave(name)
	}
	q.flow = returns
	if name == "exit" {
		q.flow = exits
	}
}

func (q *quick) loopEnd(name string, args []string) {
	q.levels = 1
	if len(args) > 0 {
		if len(args) > 1 || !number(args[0]) || args[0] == "0" {
			q.leave(name)
		}
		q.levels, _ = strconv.Atoi(args[0])
	}
	q.flow, q.status = breaks, 0
	if name == "continue" {
		q.flow = continues
	}
}

func (q *quick) shift(args []string) {
	n := 1
	if len(args) > 0 {
		if len(args) > 1 || !number(args[0]) {
			q.leave("shift")
		}
		n, _ = strconv.Atoi(args[0])
	}
	if n > len(q.params) {
		q.leave("shift by more than there are")
	}
	q.params, q.status = q.params[n:], 0
}

func (q *quick) unset(args []string) {
	for _, a := range args {
		if !mayset(a) {
			q.leave("unset " + a)
		}
		q.ownVars()
		delete(q.vars, a)
	}
	q.status = 0
}

func (q *quick) cd(args []string) {
	if len(args) != 1 || args[0] == "" || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], "//") {
		q.leave("cd")
	}
	path := filepath.Clean(absolute(q.dir, args[0]))
	if hostFile(path) || unix.Faccessat(unix.AT_FDCWD, path+"/.", unix.X_OK, unix.AT_EACCESS) != nil { // only a directory has a .
		q.leave("cannot cd")
	}
	q.store("OLDPWD", variable{value: q.dir, exported: true})
	q.store("PWD", variable{value: path, exported: true})
	q.dir, q.status = path, 0
}

// which is command -v.
func (q *quick) which(args []string) {
	if len(args) != 2 || args[0] != "-v" || args[1] == "" || q.isFunction(args[1]) {
		q.leave("command")
	}
	name := args[1]
	if reserved[name] || slices.Contains(dashBuiltins, name) {
		q.print(name + "\n")
		q.status = 0
		return
	}
	if strings.Contains(name, "/") {
		q.leave("command -v of a path")
	}
	search := q.vars["PATH"].value
	if slices.ContainsFunc(strings.Split(search, ":"), func(d string) bool { return !filepath.IsAbs(d) }) {
		q.leave("a relative PATH")
	}
	path, status := lookup(q.dir, search, name)
	if q.status = 127; status == 0 {
		q.status = 0
		q.print(path + "\n")
	}
}

// observe runs a command that changes nothing.
func (q *quick) observe(assigns []*syntax.Assign, args []string) {
	if !observers[args[0]] || q.r.Commands == nil || q.isFunction(args[0]) {
		q.leave("the program " + args[0])
	}
	command := q.r.Commands(args[0])
	if command == nil {
		q.leave("the program " + args[0])
	}
	vars := q.vars
	if len(assigns) > 0 { // which are its own
		status := q.status
		q.subshell(func() {
			q.assign(assigns)
			for _, a := range assigns {
				q.store(a.Name.Value, variable{q.vars[a.Name.Value].value, true, true})
			}
			vars = q.vars
		})
		q.status = status
	}
	in := &guarded{in: q.in}
	c := &Call{
		Args: args, Dir: q.dir, Stdin: in, Stdout: q.out, Stderr: q.err, Umask: q.r.Umask,
		Env: func(name string) (string, bool) {
			v := vars[name]
			return v.value, v.exported
		},
		Environ: func() []string {
			env := make([]string, 0, len(vars))
			for name, v := range vars {
				if v.exported {
					env = append(env, name+"="+v.value)
				}
			}
			return env
		},
	}
	status, ok := command(q.ctx, c)
	if !ok || in.refused || q.ctx.Err() != nil {
		q.leave("the program " + args[0])
	}
	q.status = status & 0xff
}
