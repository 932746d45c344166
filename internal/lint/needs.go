package lint

import (
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// needs are the rules about what a script wants of the host that it runs on: what they find is another thing on each node.
var needs = []string{"interpreter", "missing-command", "missing-module", "missing-path", "mount-point"}

// IsNeed says whether a finding is about the host, and not about the script.
func IsNeed(f Finding) bool { return slices.Contains(needs, f.Rule) }

// making are commands whose arguments need not be there, or are not files of this host.
var making = strings.Fields(`[ test echo printf rm mkdir touch mv cp ln ls find ssh scp rsync rmdir tee mknod install alias export local readonly
	logger grep chroot docker podman lxc-attach umount case eval trap exit return sh`)

// missingPaths looks at configuration by its full path. What is under /run or /var comes and goes, and data may be there
// only where the package runs.
func missingPaths(s *script, at finder) {
	if s.file == nil {
		return
	}
	guarded := s.guarded()
	look := func(w *syntax.Word) {
		path := literal(w)
		if slices.Contains(guarded, path) || s.host.Exists(path) || strings.ContainsAny(path, "*?[") {
			return
		}
		for _, dir := range []string{"/etc/", "/usr/", "/opt/", "/lib/"} {
			if strings.HasPrefix(path, dir) {
				at(w.Pos(), "%s is not on this host", path)
				return
			}
		}
	}
	s.calls(func(name string, call *syntax.CallExpr) {
		if slices.Contains(making, filepath.Base(name)) {
			return
		}
		for _, arg := range call.Args[1:] {
			look(arg)
		}
	})
	syntax.Walk(s.file, func(n syntax.Node) bool {
		if r, ok := n.(*syntax.Redirect); ok && r.Op == syntax.RdrIn {
			look(r.Word)
		}
		return true
	})
}

// forks looks for what status calls that a worker does not do itself.
func forks(s *script, at finder) {
	stmts, _ := s.branch("status")
	if s.host.Native == nil {
		return
	}
	said := map[string]bool{}
	s.walk("status", stmts, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		name := literal(call.Args[0])
		if name == "" || said[name] || slices.Contains(builtins, name) || s.funcs[name] != nil || s.host.Native(filepath.Base(name)) {
			return true
		}
		if !strings.Contains(name, "/") && !s.host.HasCommand(name) { // a function of another file, perhaps
			return true
		}
		said[name] = true
		at(call.Pos(), "each status starts a process for %s", name)
		return true
	})
}
