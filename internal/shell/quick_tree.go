package shell

import (
	"strings"
	"sync"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// A quickTree is a parsed text for the quick evaluator. It does not change.
type quickTree struct {
	stmts    []*syntax.Stmt
	findings map[*syntax.Stmt][]Finding
	patterns map[*syntax.Word]string            // those without expansions
	ariths   map[*syntax.ArithmExp]*syntax.Word // what is in $(( )), as within quotes
	isEval   bool
}

// quickState is what a script keeps from run to run of the quick evaluator.
type quickState struct {
	tree *quickTree // nil of a script with a process of its own

	mu     sync.Mutex
	evals  map[string]*quickTree // nil where it is not for it
	fails  int                   // runs in a row that it has left
	passed int                   // runs since it last tried
	taken  int                   // runs that it has done
}

const (
	quickTries = 3 // then it tries only now and then
	quickAgain = 50
)

// due reports whether it should try.
func (s *quickState) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed++
	return s.fails < quickTries || s.passed%quickAgain == 0
}

func (s *quickState) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails++
	s.passed = 0
}

func (s *quickState) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = 0
	s.taken++
}

// quickTree is the script's tree.
func (s *Script) quickTree() *quickTree {
	if s.quick.tree == nil {
		panic(left("it has a process of its own"))
	}
	return s.quick.tree
}

func (s *quickState) eval(text string) *quickTree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.evals[text]
	if known {
		return t
	}
	if !strings.ContainsAny(text, "\x00\r") && utf8.ValidString(text) {
		var c *checker
		t, c = newQuickTree("eval", []byte(text), kindEval)
		if t != nil && (len(c.all()) > 0 || len(c.funcs) > 0 || c.setsParams(t.stmts)) {
			t = nil
		}
	}
	if s.evals == nil || len(s.evals) >= evalCacheSize {
		s.evals = map[string]*quickTree{}
	}
	s.evals[text] = t
	return t
}

func newQuickTree(path string, text []byte, k kind) (*quickTree, *checker) {
	c, f, err := analyse(path, text, k, false)
	if err != nil {
		return nil, nil
	}
	return quickTreeOf(c, f, k), c
}

// quickTreeOf is that of a text that was parsed, and is not rewritten.
func quickTreeOf(c *checker, f *syntax.File, k kind) *quickTree {
	t := &quickTree{
		stmts: f.Stmts, findings: c.byStmt, isEval: k == kindEval,
		patterns: map[*syntax.Word]string{}, ariths: map[*syntax.ArithmExp]*syntax.Word{},
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CaseClause:
			for _, it := range n.Items {
				for _, p := range it.Patterns {
					t.pattern(p)
				}
			}
		case *syntax.ParamExp:
			if n.Exp != nil && strips(n.Exp.Op) && n.Exp.Word != nil {
				t.pattern(n.Exp.Word)
			}
		case *syntax.ArithmExp:
			t.arith(c, n)
			return false
		}
		return true
	})
	return t
}

func (t *quickTree) pattern(w *syntax.Word) {
	if text, ok := constantPattern(w); ok && ascii(text) {
		t.patterns[w] = text
	}
}

// arith parses what is in $(( )), where that has no further substitution in it.
func (t *quickTree) arith(c *checker, a *syntax.ArithmExp) {
	src := c.source(a)
	if !strings.HasPrefix(src, "$((") || !strings.HasSuffix(src, "))") || strings.ContainsAny(src, "\"'`\\") || strings.Contains(src[1:], "$(") {
		return
	}
	f, err := parser().Parse(strings.NewReader(`: "`+src[len("$(("):len(src)-len("))")]+`"`), "")
	if err != nil || len(f.Stmts) != 1 {
		return
	}
	if ce, ok := f.Stmts[0].Cmd.(*syntax.CallExpr); ok && len(ce.Args) == 2 {
		t.ariths[a] = ce.Args[1]
	}
}
