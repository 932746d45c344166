package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (c *checker) redirect(r *syntax.Redirect, p place) {
	n := ""
	if r.N != nil {
		n = r.N.Value
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		c.hereDocument(r, n)
		return
	case syntax.RdrIn:
		if n != "" && n != "0" {
			c.add(r, "fd", "a file opened for reading as "+n)
		}
	case syntax.RdrOut, syntax.AppOut, syntax.RdrClob:
		if n != "" && n != "1" && n != "2" {
			c.add(r, "fd", "a file opened for writing as "+n)
		}
	case syntax.DplOut:
		to, _ := literal(r.Word)
		if n != "" && n != "1" && n != "2" || to != "1" && to != "2" {
			c.add(r, "fd", "a file descriptor that is copied: "+c.source(r))
		}
		return
	default:
		c.add(r, "redirect", "a redirection that is not done here: "+r.Op.String())
		return
	}
	c.word(r.Word, inValue)
	if t := c.source(r.Word); hostFile(strings.Trim(t, `"'`)) {
		c.add(r, "redirect", t+" would be another process's")
	} else if strings.ContainsAny(t, "*?[") {
		c.add(r, "redirect", "a pattern as the name of a file")
	}
}

func (c *checker) hereDocument(r *syntax.Redirect, n string) {
	if n != "" && n != "0" {
		c.add(r, "fd", "a here-document as "+n)
	}
	quoted, plain := false, false
	for _, p := range r.Word.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			plain = true
			quoted = quoted || strings.Contains(p.Value, `\`)
		default:
			quoted = true
		}
	}
	if quoted && plain {
		c.add(r, "here-document", "its end is quoted in part")
	}
	if r.Hdoc == nil || quoted {
		return
	}
	if r.Op == syntax.DashHdoc && len(r.Hdoc.Parts) > 1 {
		c.add(r, "here-document", "expansions in a here-document whose tabs are taken off")
	}
	c.parts(r.Hdoc.Parts, inDocument)
}
