package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

var numbered = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*_)([0-9]+)$`)

// leading are the parameters that say to a module whether there is a next one; others of that number may be left out.
var leading = []string{"vip_ip_", "fs_dev_", "fs_dir_", "drbd_res_", "nfs_dir_", "pr_disk_", "clinit_group_"}

func parameterGaps(s *script, at finder) {
	if s.kind != Package || s.file == nil {
		return
	}
	set := map[string]syntax.Pos{}
	counted := map[string]bool{} // vip 1: of that module something with the number 1 is set
	for _, a := range s.parameters() {
		name := a.Name.Value
		set[name] = a.Pos()
		if m := numbered.FindStringSubmatch(name); m != nil {
			counted[family(m[1])+" "+m[2]] = true
		}
	}
	for name, pos := range set {
		m := numbered.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil || n == 0 {
			continue
		}
		before := m[1] + strconv.Itoa(n-1)
		_, first := set[m[1]+"0"]
		leads := slices.Contains(leading, m[1])
		if _, ok := set[before]; ok || !leads && (!first || counted[family(m[1])+" "+strconv.Itoa(n-1)]) {
			continue
		}
		if !leads && slices.ContainsFunc(leading, func(l string) bool { _, ok := set[l+m[2]]; return ok && family(l) == family(m[1]) }) {
			continue // it was said of that
		}
		at(pos, "%s is not set: what is numbered %d is not reached", before, n)
	}
}

// family is the first word of a parameter's name.
func family(name string) string {
	first, _, _ := strings.Cut(name, "_")
	return first
}

// parameters is what is set where every action of the script comes by.
func (s *script) parameters() (all []*syntax.Assign) {
	for _, stmt := range s.file.Stmts {
		if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) == 0 {
			all = append(all, call.Assigns...)
		}
	}
	return slices.DeleteFunc(all, func(a *syntax.Assign) bool { return a.Name == nil || a.Append || a.Index != nil })
}
