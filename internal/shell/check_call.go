package shell

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// special are the builtins that dash calls special: assignments before them stay, and their errors end it.
var special = map[string]bool{
	"break": true, ":": true, "continue": true, ".": true, "eval": true, "exec": true, "exit": true, "export": true,
	"readonly": true, "return": true, "set": true, "shift": true, "times": true, "trap": true, "unset": true,
}

// isBuiltin: of mvdan.cc/sh, or of dash.
func isBuiltin(name string) bool { return interp.IsBuiltin(name) || name == "chdir" || name == "local" }

// commandName is the literal first word of a call, or "" when it is expanded.
func commandName(ce *syntax.CallExpr) string {
	if len(ce.Args) == 0 {
		return ""
	}
	if ce.Args[0].Lit() == "[" {
		return "["
	}
	name, _ := literal(ce.Args[0])
	return name
}

func (c *checker) call(s *syntax.Stmt, ce *syntax.CallExpr, p place) {
	name := commandName(ce)
	for _, w := range ce.Args {
		c.word(w, inArgs)
	}
	c.assignments(ce, name)
	if len(ce.Args) == 0 {
		c.assignStatus(ce)
		return
	}
	if name == "" {
		if _, ok := literal(ce.Args[0]); ok {
			c.add(ce, "builtin", "a command without a name")
		}
		return
	}
	if c.kind == kindEval && c.funcs[name] {
		c.add(ce, "function", "a function that is made by eval")
	}
	c.named(s, ce, name, ce.Args[1:], p)
}

func (c *checker) assignments(ce *syntax.CallExpr, name string) {
	for i, a := range ce.Assigns {
		if a.Append || a.Array != nil || a.Index != nil || a.Name == nil {
			c.add(a, "bash", "not in dash: "+firstWord(c.source(a)))
			continue
		}
		if a.Name.Value == "IFS" {
			if name != "read" {
				c.add(a, "ifs", "IFS is set, but not for one read")
			}
		} else {
			c.assigns(a.Name)
		}
		c.word(a.Value, inValue)
		if len(ce.Args) == 0 {
			continue
		}
		if special[name] {
			c.add(a, "assign-special", "an assignment before "+name+" stays")
		}
		for _, b := range ce.Assigns[:i] {
			if a.Value != nil && strings.Contains(c.source(a.Value), b.Name.Value) {
				c.add(a, "assign-special", "an assignment that uses the one before it")
			}
		}
	}
}

// assignStatus: the status of x=$(command) is the command's; the arithmetic beside it would hide that.
func (c *checker) assignStatus(ce *syntax.CallExpr) {
	commands, layer := false, false
	for _, a := range ce.Assigns {
		syntax.Walk(a, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.CmdSubst:
				commands = true
				return false
			case *syntax.ArithmExp:
				layer = true
			case *syntax.ParamExp:
				layer = layer || n.Length || n.Exp != nil && n.Exp.Word != nil && strips(n.Exp.Op) && quotedPattern(n) != nil
			}
			return true
		})
	}
	if commands && layer {
		c.add(ce, "arith", "arithmetic or a length, beside a command whose status counts")
	}
}

// named checks what is known of a command by its name.
func (c *checker) named(s *syntax.Stmt, ce *syntax.CallExpr, name string, args []*syntax.Word, p place) {
	lits := make([]string, len(args))
	known := make([]bool, len(args))
	for i, a := range args {
		lits[i], known[i] = literal(a)
	}
	first := ""
	if len(lits) > 0 && known[0] {
		first = lits[0]
	}
	switch name {
	case "echo", "printf", "test", "[", "true", "false", ":", "pwd", "kill", "umask", "hash", "eval":
		if name == "eval" {
			c.evalText(ce, lits, known)
		}
	case "type", "cd":
	case "exit", "shift":
		if len(args) > 1 {
			c.add(ce, "builtin", name+" with several arguments")
		}
		if name == "exit" && c.kind == kindTrap {
			c.add(ce, "trap", "exit in a trap")
		}
	case "return":
		if c.kind != kindFile || len(args) > 1 {
			c.add(ce, "builtin", "return from eval or a trap, or with several arguments")
		}
	case "break", "continue":
		c.loopEnd(ce, name, lits, p)
	case "wait":
		switch {
		case len(args) > 0 && (!c.own || p.sub):
			c.add(ce, "background", "wait for a process")
		case len(args) == 0 && !p.sub:
			c.waiting = append(c.waiting, c.cur)
		}
	case ".":
		c.dot(ce, args)
	case "exec":
		if len(args) > 0 {
			c.add(ce, "exec", "exec with a command")
		}
	case "set":
		c.set(ce, args, first)
	case "trap":
		c.trap(ce, lits, known, p)
	case "unset", "read":
		c.variables(ce, name, lits, known)
	case "command":
		c.commandBuiltin(s, ce, args, first, p)
	default:
		c.otherName(ce, name)
	}
}

func (c *checker) otherName(ce *syntax.CallExpr, name string) {
	switch {
	case name == "alias" || name == "unalias":
		c.add(ce, "alias", name)
	case strings.HasPrefix(name, hidden):
		c.add(ce, "name", name+" is a name that is used here")
	case isBuiltin(name):
		c.add(ce, "builtin", name+" is not done here")
	}
}

// evalText checks what eval is given, when that is known; else that is done when it is run.
func (c *checker) evalText(ce *syntax.CallExpr, lits []string, known []bool) {
	for _, k := range known {
		if !k {
			return
		}
	}
	if e := evaluate(strings.Join(lits, " "), kindEval, 0); e.decline != "" {
		c.add(ce, "builtin", "eval: "+e.decline)
	}
}

// loopEnd checks break and continue.
func (c *checker) loopEnd(ce *syntax.CallExpr, name string, lits []string, p place) {
	n := 1
	if len(lits) > 0 {
		n, _ = strconv.Atoi(lits[0])
	}
	if len(lits) > 1 || n < 1 || n > len(p.loops) {
		c.add(ce, "break", name+" outside of so many loops, or in a loop's condition")
		return
	}
	if n == 1 && !p.tail && !p.cond {
		c.guards[p.loop] = true
		return
	}
	tail := p.tail
	for _, t := range p.loops[len(p.loops)-n+1:] {
		tail = tail && t
	}
	if !tail {
		c.add(ce, "break", name+" in a condition, or of several loops where something follows it")
	}
}

func (c *checker) dot(ce *syntax.CallExpr, args []*syntax.Word) {
	if len(args) != 1 || c.kind != kindFile {
		c.add(ce, "dot", ". with other arguments than a file, or in eval")
		return
	}
	if _, ok := dotPattern(args[0]); !ok {
		c.add(ce, "dot", "it cannot be told which file is sourced: "+firstWord(c.source(args[0])))
	}
}

// dotPattern is a pattern that matches each file that the word can be: every expansion is a *.
func dotPattern(w *syntax.Word) (string, bool) {
	var b strings.Builder
	var add func(ps []syntax.WordPart) bool
	add = func(ps []syntax.WordPart) bool {
		for _, p := range ps {
			switch p := p.(type) {
			case *syntax.Lit:
				if strings.ContainsAny(p.Value, "\\*?[~") {
					return false
				}
				b.WriteString(p.Value)
			case *syntax.SglQuoted:
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				if !add(p.Parts) {
					return false
				}
			case *syntax.ParamExp:
				if b.Len() == 0 && ownDirectory(p) {
					b.WriteByte('.') // CheckAll looks from there
					continue
				}
				b.WriteByte('*')
			default:
				b.WriteByte('*')
			}
		}
		return true
	}
	ok := add(w.Parts)
	// An expansion may hold slashes: the directory must be known, or the pattern tells nothing.
	return b.String(), ok && !strings.HasPrefix(b.String(), "*") && b.Len() > 0
}

func (c *checker) trap(ce *syntax.CallExpr, lits []string, known []bool, p place) {
	if len(lits) == 3 && lits[0] == "--" {
		lits, known = lits[1:], known[1:]
	}
	if len(lits) > 1 && !slices.Contains(known, false) && defaultSignals(lits) {
		return
	}
	if len(lits) != 2 || p.sub || c.kind != kindFile || !known[1] || lits[1] != "EXIT" && lits[1] != "0" {
		c.add(ce, "trap", "a trap, but not one of EXIT in the script's own shell")
		return
	}
	if known[0] && lits[0] != "-" {
		if e := evaluate(lits[0], kindTrap, 0); e.decline != "" {
			c.add(ce, "trap", "its action: "+e.decline)
		}
	}
}

// defaultSignals: trap - TERM, where no trap of a signal can have been set.
func defaultSignals(args []string) bool {
	return args[0] == "-" && !slices.ContainsFunc(args[1:], func(s string) bool { n, known := signals[s]; return !known || n == 0 })
}

// variables checks the names that read and unset are given.
func (c *checker) variables(ce *syntax.CallExpr, name string, lits []string, known []bool) {
	i := 0
	for i < len(lits) && known[i] && strings.HasPrefix(lits[i], "-") {
		switch {
		case name == "read" && lits[i] == "-r", name == "unset" && (lits[i] == "-v" || lits[i] == "-f"):
		default:
			c.add(ce, "builtin", name+" "+lits[i])
			return
		}
		i++
	}
	if i == len(lits) {
		c.add(ce, "builtin", name+" without a name")
	}
	for ; i < len(lits); i++ {
		if known[i] && !mayset(lits[i]) {
			c.add(ce, "name", name+" "+lits[i])
		}
	}
}

// mayset: the layer may set, or unset, a variable of that name.
func mayset(name string) bool {
	switch name {
	case "PPID", "PWD", "OLDPWD", "PATH", "HOME":
		return false
	}
	return syntax.ValidName(name) && !foreign[name] && !strings.HasPrefix(name, hidden)
}

func (c *checker) commandBuiltin(s *syntax.Stmt, ce *syntax.CallExpr, args []*syntax.Word, first string, p place) {
	switch {
	case first == "-v" && len(args) == 2:
	case first == "" || strings.HasPrefix(first, "-") || special[first] || first == "command":
		c.add(ce, "builtin", "command, with an option or a special builtin")
	default:
		c.named(s, ce, first, args[1:], p)
	}
}

// declare checks export, readonly, local: mvdan.cc/sh parses them as a kind of their own.
func (c *checker) declare(s *syntax.Stmt, d *syntax.DeclClause, p place) {
	v := d.Variant.Value
	switch {
	case listing(d):
		return
	case v == "readonly":
		c.add(d, "readonly", "readonly")
	case v == "local" && (!p.fn || p.sub || c.kind != kindFile):
		c.add(d, "local", "local outside a function's own shell")
	case v != "local" && v != "export":
		c.add(d, "bash", "not in dash: "+v)
	case len(d.Args) == 0:
		c.add(d, "builtin", v+" without a name")
	}
	for _, a := range d.Args {
		if a.Name == nil || a.Append || a.Array != nil || a.Index != nil {
			c.add(d, "builtin", v+" with options, or names that are expanded")
			continue
		}
		c.assigns(a.Name)
		c.word(a.Value, inValue)
		if v == "export" {
			c.facts.exports = append(c.facts.exports, a.Name.Value)
		}
		if a.Value != nil && !unsplit(a.Value) && !splitsByData(a.Value) {
			c.add(d, "local", "an expansion without quotes after "+v)
		}
	}
}

// listing: export -p or readonly -p.
func listing(d *syntax.DeclClause) bool {
	if d.Variant.Value != "export" && d.Variant.Value != "readonly" || len(d.Args) != 1 {
		return false
	}
	a := d.Args[0]
	return a.Name == nil && a.Value != nil && a.Value.Lit() == "-p"
}

// splitsByData: the parts that are not quoted are parameters: only what they hold can make several words of it. Some versions of
// dash then do, others do not.
func splitsByData(w *syntax.Word) bool {
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "*?[") {
				return false
			}
		case *syntax.ParamExp:
			if p.Param == nil || p.Length || touchesStatus(p) || p.Param.Value == "@" || p.Param.Value == "*" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// unsplit: no part of the word could become several.
func unsplit(w *syntax.Word) bool {
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "*?[") {
				return false
			}
		case *syntax.SglQuoted, *syntax.DblQuoted:
		default:
			return false
		}
	}
	return true
}
