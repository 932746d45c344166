// Package lint finds what is wrong with package scripts and modules before a failover does: what a
// shell would not run as it was meant, what this host lacks, and what makes a failover go wrong
// though the script works by hand.
//
// Each rule is one row of a table, with an example of what it finds and one of what is right; the
// examples are its tests, and what `service lint --explain` shows.
package lint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// A Level is how bad a finding is.
type Level string

// The levels.
const (
	Error   Level = "error"   // it will fail
	Warning Level = "warning" // it may fail, or hides a failure
	Note    Level = "note"    // good to know
)

// A Finding is what a rule has found.
type Finding struct {
	File   string `json:"file"`
	Line   uint   `json:"line"`
	Col    uint   `json:"column"`
	Level  Level  `json:"level"`
	Reason string `json:"reason"`
	Rule   string `json:"rule"`
	// Package, Node and Age are set by who looks at packages, and on several nodes.
	Package string `json:"package,omitempty"`
	Node    string `json:"node,omitempty"`   // "" is this one
	Age     int64  `json:"age_ms,omitempty"` // milliseconds since that node looked
}

func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s (%s)", f.File, f.Line, f.Col, f.Level, f.Reason, f.Rule)
}

// A Host is what scripts find where they run.
type Host struct {
	HasCommand func(name string) bool // in the PATH of scripts
	Exists     func(path string) bool // a file or directory, absolute
	IsModule   func(name string) bool // modules/name
	System     string                 // as uname says it
	Native     func(name string) bool // a worker does it without a process of its own; nil where nobody asks
}

// A Kind says what a script is.
type Kind int

// The kinds.
const (
	Package Kind = iota // called with start, stop, status
	Module              // sourced by packages
	Other               // any other script
)

// A script is one file to look at.
type script struct {
	path  string
	kind  Kind
	text  []byte
	file  *syntax.File // nil where it cannot be parsed
	fault error        // why
	host  Host
	funcs map[string]*syntax.FuncDecl
}

// File looks at one script.
func File(path string, kind Kind, text []byte, host Host) []Finding {
	s := &script{path: path, kind: kind, text: text, host: host, funcs: map[string]*syntax.FuncDecl{}}
	if shell, _ := s.isShell(); shell || s.interpreter() == "" || kind == Module {
		s.file, s.fault = parse(path, text)
	}
	if s.file != nil {
		syntax.Walk(s.file, func(n syntax.Node) bool {
			if f, ok := n.(*syntax.FuncDecl); ok {
				s.funcs[f.Name.Value] = f
			}
			return true
		})
	}
	ignored := s.ignored()
	var found []Finding
	for _, r := range rules {
		if slices.Contains(ignored, r.Name) || r.find == nil {
			continue
		}
		r.find(s, func(pos syntax.Pos, reason string, args ...any) {
			found = append(found, Finding{
				File: path, Line: max(pos.Line(), 1), Col: max(pos.Col(), 1),
				Level: r.Level, Reason: fmt.Sprintf(reason, args...), Rule: r.Name,
			})
		})
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) })
	return slices.Compact(found)
}

// parse parses a script as a shell that knows more than dash: what dash does not know is for a rule to say. A shell takes
// bytes that are no UTF-8 as they come, the parser does not: it sees letters in their places.
func parse(path string, text []byte) (*syntax.File, error) {
	text = bytes.TrimPrefix(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), bom)
	if !utf8.Valid(text) {
		text = slices.Clone(text)
		for i, c := range text {
			if c >= utf8.RuneSelf {
				text[i] = 'x'
			}
		}
	}
	if tooDeep(text) {
		return nil, errors.New("it is nested too deeply to be looked at")
	}
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(text), path)
}

var nesting = regexp.MustCompile(`[({})]|\b(?:if|fi|case|esac|while|until|for|do|done)\b`)

// tooDeep says whether so much may be nested that the parser, which calls itself for it, has no stack left.
func tooDeep(text []byte) bool {
	const most = 5000
	depth := 0
	for _, at := range nesting.FindAllIndex(text, -1) {
		switch string(text[at[0]:at[1]]) {
		case "(", "{", "if", "case", "while", "until", "for":
			if depth++; depth > most {
				return true
			}
		case ")", "}", "fi", "esac", "done":
			depth = max(0, depth-1)
		}
	}
	return false
}

var bom = []byte("\xef\xbb\xbf")

var ignoreLine = regexp.MustCompile(`(?m)(?:^|\s)#\s*lint:\s*ignore\s+(.+)$`)

func (s *script) ignored() []string { return Ignored(s.text) }

// Ignored is the rules that a script says are not for it.
func Ignored(text []byte) (names []string) {
	for _, m := range ignoreLine.FindAllSubmatch(text, -1) {
		names = append(names, strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\r' })...)
	}
	return names
}

// interpreter is what the first line names, "" where it names none.
func (s *script) interpreter() string {
	line, _, _ := bytes.Cut(s.text, []byte("\n"))
	line, ok := bytes.CutPrefix(bytes.TrimPrefix(line, bom), []byte("#!"))
	fields := strings.Fields(string(line))
	switch {
	case !ok || len(fields) == 0:
		return ""
	case filepath.Base(fields[0]) == "env" && len(fields) > 1:
		return fields[1]
	}
	return fields[0]
}

// isShell says whether a shell runs the script, and posix whether one that knows no more than dash.
func (s *script) isShell() (shell, posix bool) {
	switch name := filepath.Base(s.interpreter()); name {
	case ".", "sh", "dash", "ash":
		return true, true
	case "bash", "ksh", "ksh93", "mksh":
		return true, false
	}
	return false, false
}

// Dialect is the shell that runs a script, as shellcheck calls it; "" where that is none that it knows.
func Dialect(text []byte, kind Kind) string {
	s := &script{text: text}
	switch name := filepath.Base(strings.TrimSuffix(s.interpreter(), "\r")); name {
	case ".": // no first line names one
		if kind == Other {
			return ""
		}
		return "sh"
	case "sh", "bash", "dash", "ksh":
		return name
	case "ash":
		return "dash"
	case "ksh93", "mksh":
		return "ksh"
	}
	return ""
}

// branch is the statements that the script runs when it is called with action; ok is false where it has none that
// can be seen.
func (s *script) branch(action string) (stmts []*syntax.Stmt, ok bool) {
	if s.file == nil {
		return nil, false
	}
	for _, stmt := range s.file.Stmts {
		c, is := stmt.Cmd.(*syntax.CaseClause)
		if !is || argument(c.Word) != 1 {
			continue
		}
		for _, item := range c.Items {
			if slices.ContainsFunc(item.Patterns, func(w *syntax.Word) bool { return literal(w) == action }) {
				stmts, ok = append(stmts, item.Stmts...), true
				break
			}
		}
	}
	return stmts, ok
}

// literal is what a word says, where that needs no shell to know; else "".
func literal(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				lit, ok := q.(*syntax.Lit)
				if !ok {
					return ""
				}
				b.WriteString(lit.Value)
			}
		default:
			return ""
		}
	}
	return b.String()
}

// calls calls f for each command with a name that can be seen.
func (s *script) calls(f func(name string, call *syntax.CallExpr)) {
	if s.file == nil {
		return
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			if name := literal(call.Args[0]); name != "" {
				f(name, call)
			}
		}
		return true
	})
}
