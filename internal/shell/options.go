package shell

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// set -e and set -u are not those of mvdan.cc/sh, which forgets in a subshell that its status is looked at, has no
// such rule for what is sourced, and ends with 1 where dash ends with 2. Where a script, or a file that it sources, turns one on,
// its tree has the checks in it, and a variable says whether it is on: subshells have a copy of that.
//
//	a                __sh_set "$#" x 1; a || __sh_failed
//	if f a; then     if __sh_tested=1 f a; then
//	. file           __sh_tested= . file: dash forgets it there
//	$(a)             $(__sh_tested=; a), and there
//
// In dash it is simple commands, pipelines and subshells that end the shell when they fail, unless they, or what they are in, or
// the call of the function that they are in, is a condition.

// switches are the options of a run that may be turned on.
type switches uint8

const (
	errexit switches = 1 << iota
	nounset
	allModes = errexit | nounset
)

const testedVar = hidden + "tested"

var shellOption = map[rune]struct {
	mode     switches
	variable string
}{
	'e': {errexit, hidden + "errexit"},
	'u': {nounset, hidden + "nounset"},
}

// shellOptions reads an argument of set: -e, +e, -eu.
func shellOptions(arg string) (m switches, on, ok bool) {
	if len(arg) < 2 || arg[0] != '-' && arg[0] != '+' {
		return 0, false, false
	}
	for _, letter := range arg[1:] {
		o, known := shellOption[letter]
		if !known {
			return 0, false, false
		}
		m |= o.mode
	}
	return m, arg[0] == '-', true
}

// set: positional parameters, and options.
func (c *checker) set(ce *syntax.CallExpr, args []*syntax.Word, first string) {
	m, on, ok := shellOptions(first)
	switch {
	case len(args) == 0:
		c.add(ce, "set", "set, which lists all variables")
	case first == "--" || first == "+x":
	case ok && len(args) == 1:
		if on {
			c.facts.mode |= m
		}
	case strings.HasPrefix(first, "-") || strings.HasPrefix(first, "+"):
		c.add(ce, "set", "set "+first)
	}
}

// setsOptions: a call of set that leaves the positional parameters as they are.
func setsOptions(ce *syntax.CallExpr) bool {
	if len(ce.Args) != 2 {
		return false
	}
	arg, _ := literal(ce.Args[1])
	_, _, ok := shellOptions(arg)
	return ok || arg == "+x"
}

// firstLineOptions takes note of those in #!/bin/sh -e.
func (c *checker) firstLineOptions(line string) bool {
	shell, arg, _ := strings.Cut(line, " ")
	m, on, ok := shellOptions(strings.TrimSpace(arg))
	if !ok || !on || !slices.Contains([]string{"/bin/sh", "/bin/dash", "/usr/bin/sh", "/usr/bin/dash"}, shell) {
		return false
	}
	c.options = m
	c.facts.mode |= m
	return true
}

// setOptions is set -e and its like.
func (r *run) setOptions(arg string) ([]string, error) {
	m, on, ok := shellOptions(arg)
	if !ok || on && m&^r.script.mode != 0 {
		return nil, r.decline("set " + arg)
	}
	text := "true"
	for _, o := range shellOption {
		switch {
		case m&o.mode == 0:
		case on:
			text += "; " + o.variable + "=1"
		default:
			text += "; " + o.variable + "="
		}
	}
	return []string{"eval", text}, nil
}

func isOn(hc interp.HandlerContext, option rune) bool {
	return hc.Env.Get(shellOption[option].variable).String() != ""
}

// condition is what a condition there is surrounded by.
func (p surroundings) condition() surroundings {
	p.tested = true
	return p
}

// failureCounts: set -e ends the shell when the statement fails.
func (w *rewriter) failureCounts(s *syntax.Stmt, p surroundings) bool {
	if w.mode&errexit == 0 || p.tested || p.stage || s.Negated || s.Background {
		return false
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.Subshell:
		return true
	case *syntax.BinaryCmd:
		return cmd.Op == syntax.Pipe
	case *syntax.CallExpr:
		if len(cmd.Args) == 0 {
			return touchesStatus(cmd) && !strings.HasPrefix(cmd.Assigns[0].Name.Value, hidden) // keep
		}
		switch name := commandName(cmd); name {
		case ":", "true", "exit", "return", "break", "continue", "set", "shift":
			return false
		default:
			return !strings.HasPrefix(name, hidden)
		}
	}
	return false
}

func (w *rewriter) checkFailure(s *syntax.Stmt) {
	inner := *s
	*s = syntax.Stmt{Position: s.Position, Cmd: &syntax.BinaryCmd{Op: syntax.OrStmt, X: &inner, Y: calling(lit(hidden + "failed"))}}
}

// passTested has a function know that its call is in a condition.
func (w *rewriter) passTested(ce *syntax.CallExpr, p surroundings) {
	if w.mode&errexit == 0 {
		return
	}
	tested := &syntax.Assign{Name: &syntax.Lit{Value: testedVar}}
	switch name := commandName(ce); {
	case name == ".":
	case !p.tested || name != "eval" && isBuiltin(name):
		return
	default:
		tested.Value = lit("1")
	}
	ce.Assigns = append(ce.Assigns, tested)
}

// untest is what a list begins with that dash runs as if nobody looked at its status.
func (w *rewriter) untest(list []*syntax.Stmt) []*syntax.Stmt {
	ce, isCall := list[0].Cmd.(*syntax.CallExpr)
	switch {
	case w.mode&errexit == 0, isCall && strings.HasPrefix(commandName(ce), hidden): // keep
		return nil
	case readsStatus(list):
		return []*syntax.Stmt{assigning(testedVar, word(keep()))}
	}
	return []*syntax.Stmt{assigning(testedVar, nil)}
}

// untestAll is untest of a statement in the background.
func (w *rewriter) untestAll(s *syntax.Stmt) {
	if w.mode&errexit != 0 && s.Cmd != nil {
		s.Cmd = &syntax.Block{Stmts: []*syntax.Stmt{assigning(testedVar, word(keep())), {Cmd: s.Cmd}}}
	}
}

// mustEnd: set -e is on, and nobody looks at what fails now.
func (r *run) mustEnd(hc interp.HandlerContext) (bool, error) {
	if !isOn(hc, 'e') || hc.Env.Get(testedVar).String() != "" {
		return false, nil
	}
	r.mu.Lock()
	trapped := r.trapRan
	r.mu.Unlock()
	if trapped {
		return false, r.decline("what fails in a trap, under set -e")
	}
	return true, nil
}

// hasFailedCommand is what follows a command that failed.
func (r *run) hasFailedCommand(hc interp.HandlerContext) ([]string, error) {
	ends, err := r.mustEnd(hc)
	if err != nil || !ends {
		return withStatus(hc.LastExitStatus), err
	}
	return []string{"exit", strconv.Itoa(hc.LastExitStatus)}, nil
}

// returns is return, where the status that it gives would be that of a command which failed.
func (r *run) returns(hc interp.HandlerContext, args []string) ([]string, error) {
	args, err := r.leave(hc, append([]string{"return"}, args[1:]...))
	if err != nil || args[1] == "0" {
		return args, err
	}
	if ends, err := r.mustEnd(hc); err != nil || !ends {
		return args, err
	}
	return []string{"exit", args[1]}, nil
}

// tries says whether redirections of a statement that cannot be opened are done here; under set -e, not those of a compound one.
func (w *rewriter) tries(s *syntax.Stmt) bool {
	_, isCall := s.Cmd.(*syntax.CallExpr)
	return mayFail(s) && (isCall || w.mode&errexit == 0)
}

// mustBeSet are the parameters that the statement expands itself, each as a word.
func (w *rewriter) mustBeSet(s *syntax.Stmt) (names []*syntax.Word) {
	if w.mode&nounset == 0 {
		return nil
	}
	seen := map[string]bool{}
	look := func(n syntax.Node) {
		syntax.Walk(n, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.CmdSubst:
				return false
			case *syntax.ParamExp:
				name := n.Param.Value
				plain := n.Exp == nil || strips(n.Exp.Op)
				if plain && !seen[name] && !strings.Contains("@*#?$!-0", name) {
					seen[name] = true
					names = append(names, lit(name))
				}
			}
			return true
		})
	}
	for _, r := range s.Redirs {
		look(r)
	}
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		if !strings.HasPrefix(commandName(cmd), hidden) {
			look(cmd)
		}
	case *syntax.DeclClause:
		look(cmd)
	case *syntax.CaseClause:
		look(cmd.Word)
		for _, it := range cmd.Items {
			for _, p := range it.Patterns {
				look(p)
			}
		}
	case *syntax.ForClause:
		look(cmd.Loop)
	}
	return names
}

func (w *rewriter) checkSet(s *syntax.Stmt, names []*syntax.Word) {
	if len(names) == 0 {
		return
	}
	inner := *s
	inner.Background = false
	args := append([]*syntax.Word{lit(hidden + "set"), word(quoted(param("#")))}, names...)
	*s = syntax.Stmt{Position: s.Position, Background: s.Background, Cmd: &syntax.Block{Stmts: []*syntax.Stmt{calling(args...), &inner}}}
}

// mustBeSet declines to expand what is not set, under set -u: dash ends there.
func (r *run) mustBeSet(hc interp.HandlerContext, args []string) error {
	if isOn(hc, 'u') {
		have, _ := strconv.Atoi(args[0])
		for _, name := range args[1:] {
			n, err := strconv.Atoi(name)
			if err == nil && n > have || err != nil && !hc.Env.Get(name).IsSet() {
				return r.decline(name + " is not set, under set -u")
			}
		}
	}
	return result(hc.LastExitStatus)
}
