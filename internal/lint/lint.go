// Package lint finds what is wrong with package scripts and modules before a failover does: what a
// shell would not run as it was meant, what this host lacks, and what makes a failover go wrong
// though the script works by hand.
//
// Each rule is one row of a table, with an example of what it finds and one of what is right; the
// examples are its tests, and what `service lint --explain` shows.
package lint

import (
	"cmp"
	"fmt"
	"slices"

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

// KindOf is what a script is of which only its text is known: a package, where it does something for two of its actions.
func KindOf(path string, text []byte) Kind {
	s := read(path, Other, text, Host{})
	n := 0
	for _, action := range []string{"start", "stop", "status"} {
		if _, is := s.choice(action); is {
			n++
		}
	}
	if n >= 2 {
		return Package
	}
	return Other
}

// A script is one file to look at.
type script struct {
	path string
	kind Kind
	text []byte
	host Host

	source  []byte       // the text as it is parsed
	file    *syntax.File // nil where it cannot be parsed
	fault   error        // why
	funcs   map[string]*syntax.FuncDecl
	vars    map[string]*variable
	outside map[string]bool // variables that are set elsewhere than in functions
	dirs    map[string]*syntax.Word
	inLoops int
	runners map[string]bool // functions that run what they are told
}

// read parses a script, if a shell runs it.
func read(path string, kind Kind, text []byte, host Host) *script {
	s := &script{
		path: path, kind: kind, text: text, host: host,
		funcs: map[string]*syntax.FuncDecl{}, vars: map[string]*variable{}, outside: map[string]bool{}, runners: map[string]bool{},
	}
	if shell, _ := s.isShell(); shell || kind == Module {
		s.parse()
	}
	if s.file != nil {
		s.collect()
	}
	return s
}

// File looks at one script.
func File(path string, kind Kind, text []byte, host Host) []Finding {
	s := read(path, kind, text, host)
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
	return atMost(mostOfOne, slices.Compact(found))
}

// mostOfOne is how many findings of one rule are told of one file.
const mostOfOne = 100

// atMost is found without what is of a rule of which there are most before; the last that is told says how many.
func atMost(most int, found []Finding) []Finding {
	count := map[string]int{}
	last := map[string]int{}
	kept := found[:0]
	for _, f := range found {
		if count[f.Rule]++; count[f.Rule] <= most {
			last[f.Rule] = len(kept)
			kept = append(kept, f)
		}
	}
	for rule, n := range count {
		if n > most {
			kept[last[rule]].Reason += fmt.Sprintf(" (and %d more like this)", n-most)
		}
	}
	return kept
}
