package lint

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A Read is what a package's parameters can be for.
type Read struct {
	Known   []string // parameters that back-to-work knows; "priority" stands for NODE_priority
	Modules []string // the texts of the modules that the package can source
}

// Parameters looks at what a package sets: whether anybody reads it, and whether it is there on this host.
func Parameters(path string, text []byte, read Read, host Host) (found []Finding) {
	s := &script{path: path, kind: Package, text: text, host: host}
	if s.file, s.fault = parse(path, text); s.file == nil {
		return nil
	}
	ignored := s.ignored()
	add := func(rule string, level Level, pos syntax.Pos, reason string) {
		if !slices.Contains(ignored, rule) {
			found = append(found, Finding{File: path, Line: pos.Line(), Col: pos.Col(), Level: level, Reason: reason, Rule: rule})
		}
	}
	used := s.used()
	names := read.names()
	for _, a := range s.parameters() {
		name := a.Name.Value
		if !used[name] && !isRead(name, names) {
			reason := name + " is read by nobody"
			if near := nearest(name, names); near != "" {
				reason += ": is " + near + " meant?"
			}
			add("parameter-unknown", Warning, a.Pos(), reason)
		}
		if dir := valueOf(a); strings.HasPrefix(name, "fs_dir_") && strings.HasPrefix(dir, "/") && !host.Exists(dir) {
			add("mount-point", Error, a.Pos(), name+": there is no directory "+dir+" on this host")
		}
	}
	return found
}

func valueOf(a *syntax.Assign) string {
	if a.Value == nil {
		return ""
	}
	return literal(a.Value)
}

// used is the variables that the script itself reads.
func (s *script) used() map[string]bool {
	names := map[string]bool{}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.ParamExp:
			if x.Param != nil {
				names[x.Param.Value] = true
			}
		case *syntax.DeclClause: // export NAME: for a program
			for _, a := range x.Args {
				if a.Name != nil {
					names[a.Name.Value] = true
				}
			}
		case *syntax.ArithmExp, *syntax.ArithmCmd:
			syntax.Walk(n, func(n syntax.Node) bool {
				if w, ok := n.(*syntax.Word); ok {
					names[literal(w)] = true
				}
				return true
			})
		}
		return true
	})
	for _, name := range identifier.FindAllString(s.evals(), -1) {
		names[name] = true
	}
	return names
}

// evals is the texts that the script gives to eval.
func (s *script) evals() string {
	var b strings.Builder
	s.calls(func(name string, call *syntax.CallExpr) {
		if name != "eval" {
			return
		}
		for _, arg := range call.Args[1:] {
			b.Write(s.text[arg.Pos().Offset():min(arg.End().Offset(), uint(len(s.text)))])
			b.WriteByte(' ')
		}
	})
	return b.String()
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// names is the names, and the beginnings of names, that somebody reads. A beginning ends with _.
func (r Read) names() (names []string) {
	names = slices.Clone(r.Known)
	for _, text := range r.Modules {
		names = append(names, identifier.FindAllString(text, -1)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isRead says whether name, or a beginning of it, is among names. A parameter of the form NODE_priority is known.
func isRead(name string, names []string) bool {
	has := func(n string) bool { _, ok := slices.BinarySearch(names, n); return ok }
	if has(name) || strings.HasSuffix(name, "_priority") {
		return true
	}
	for i, c := range name {
		if c == '_' && i > 0 && has(name[:i+1]) {
			return true
		}
	}
	return false
}

// nearest is the name that was meant, most likely: one that few changes make of it.
func nearest(name string, names []string) string {
	stem, rest := name, ""
	if m := numbered.FindStringSubmatch(name); m != nil {
		stem, rest = m[1], m[2]
	}
	best, least := "", 3
	for _, n := range names {
		if strings.HasPrefix(n, "_") || strings.HasSuffix(n, "_") != strings.HasSuffix(stem, "_") || len(n) < 4 {
			continue
		}
		if d := distance(stem, n); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return best + rest
}

// distance is how many letters are to be changed, added or dropped to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
