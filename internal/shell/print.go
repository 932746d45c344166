package shell

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// rewritten is the text of the tree that is run, for where mvdan.cc/sh takes only text.
func (s *Script) rewritten(m switches) (string, error) { return printTree(s.form(m)) }

// printTree prints a tree such that it is the same when it is parsed again. What mvdan.cc/sh cannot parse it leaves out, and goes on.
func printTree(list []*syntax.Stmt) (string, error) {
	var b strings.Builder
	if err := syntax.NewPrinter().Print(&b, &syntax.File{Stmts: list}); err != nil {
		return "", err
	}
	f, err := parser().Parse(strings.NewReader(b.String()), "")
	if err != nil {
		return "", err
	}
	if outline(list) != outline(f.Stmts) {
		return "", errors.New("the rewritten script cannot be put in words")
	}
	return b.String(), nil
}

// outline is all of a tree that has a meaning, without positions.
func outline(list []*syntax.Stmt) string {
	var b strings.Builder
	for _, s := range list {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case nil:
				b.WriteByte(')')
				return true
			case *syntax.Comment:
				return false
			case *syntax.Lit:
				if n.Value != "" {
					fmt.Fprintf(&b, "%q", n.Value)
				}
				return false
			case *syntax.SglQuoted:
				fmt.Fprintf(&b, "'%q", n.Value)
				return false
			case *syntax.Stmt:
				fmt.Fprintf(&b, "(stmt %v", n.Negated)
			case *syntax.BinaryCmd:
				fmt.Fprintf(&b, "(%s", n.Op)
			case *syntax.Redirect:
				fmt.Fprintf(&b, "(redirect %s", n.Op)
			case *syntax.ParamExp:
				fmt.Fprintf(&b, "(param %v", n.Length)
				if n.Exp != nil {
					b.WriteString(n.Exp.Op.String())
				}
			case *syntax.WhileClause:
				fmt.Fprintf(&b, "(while %v", n.Until)
			default:
				fmt.Fprintf(&b, "(%T", n)
			}
			return true
		})
	}
	// Texts beside each other are one.
	return strings.ReplaceAll(b.String(), `""`, "")
}
