package lint

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"backtowork/internal/command"
)

// A Read is what a package's parameters can be for.
type Read struct {
	Known   []string // parameters that back-to-work knows; "priority" stands for NODE_priority
	Modules []string // the texts of the modules that the package can source
}

// Parameters looks at what a package sets: whether anybody reads it.
func Parameters(path string, text []byte, by Read) (found []Finding) {
	s := read(path, Package, text, Host{})
	if s.file == nil {
		return nil
	}
	ignored := s.ignored()
	add := func(rule string, level Level, pos syntax.Pos, reason string) {
		if !slices.Contains(ignored, rule) {
			found = append(found, Finding{File: path, Line: pos.Line(), Col: pos.Col(), Level: level, Reason: reason, Rule: rule})
		}
	}
	used, names := s.used(), by.names()
	more := s.sourcesMore()
	for _, a := range s.parameters() {
		name := a.Name.Value
		if slices.Contains(shells, name) || isRead(name, used) || isRead(name, names) {
			continue
		}
		near := nearest(name, names)
		switch {
		case near != "":
			add("parameter-unknown", Warning, a.Pos(), name+" is read by nobody: is "+near+" meant?")
		case !more:
			add("parameter-unknown", Warning, a.Pos(), name+" is read by nobody, nor exported for a program: take it away")
		}
	}
	return atMost(mostOfOne, found)
}

// shells are variables that the shell itself reads.
var shells = strings.Fields("PATH IFS HOME CDPATH ENV LANG LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_NUMERIC LC_TIME OPTIND OPTARG PS1 PS2 PS4 TMOUT TZ UMASK PWD USER LOGNAME SHELL TERM")

// sourcesMore says whether the script sources something else than modules, which may read what is set.
func (s *script) sourcesMore() (more bool) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if (name == "." || name == "source") && len(call.Args) > 1 {
			more = more || !strings.Contains(s.between(call.Args[1].Pos(), call.Args[1].End()), "modules/")
		}
	})
	return more
}

// used is the variables that the script itself reads, and the beginnings of names in what it gives to eval, sorted.
func (s *script) used() []string {
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
	s.calls(func(name string, call *syntax.CallExpr) {
		if (name == "eval" || name == "trap") && len(call.Args) > 1 {
			for _, name := range identifier.FindAllString(s.between(call.Args[1].Pos(), call.End()), -1) {
				names[name] = true
			}
		}
	})
	return slices.Sorted(maps.Keys(names))
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
		if d := command.Distance(stem, n); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return best + rest
}
