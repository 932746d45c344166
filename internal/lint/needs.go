package lint

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// needs are the rules about what a script wants of the host that it runs on: what they find is another thing on each node.
var needs = []string{"interpreter", "missing-command", "missing-module", "missing-path", "mount-point"}

// IsNeed says whether a finding is about the host, and not about the script.
func IsNeed(f Finding) bool { return slices.Contains(needs, f.Rule) }

// builtins are commands that no program does.
var builtins = strings.Fields(`. : [ alias bg break cd command continue echo eval exec exit export false fc fg getopts hash
	jobs kill local printf pwd read readonly return set shift source test times trap true type ulimit umask unalias
	unset wait let declare typeset`)

// moreBuiltins are those of bash and ksh besides.
var moreBuiltins = strings.Fields(`print whence integer float shopt mapfile readarray pushd popd dirs disown builtin caller compgen complete
	enable help history logout suspend bind time [[ coproc`)

// wrappers are commands that run the one that is their argument, and their options that have a value of their own.
var wrappers = map[string]string{
	"exec": "a", "command": "", "builtin": "", "nohup": "", "setsid": "", "nice": "n", "ionice": "cnp", "env": "uCS", "timeout": "ks", "sudo": "ugCDRT",
}

// unwrap is the words of the command that is run, where words call it by way of nohup, timeout and the like; none where
// that is not known, or none is run.
func unwrap(words []*syntax.Word) []*syntax.Word {
	for len(words) > 1 {
		name := path.Base(literal(words[0]))
		options, ok := wrappers[name]
		if !ok {
			break
		}
		rest := words[1:]
		for len(rest) > 0 {
			arg := literal(rest[0])
			if strings.HasPrefix(arg, "-") && name == "command" && strings.ContainsAny(arg, "vV") {
				return words
			}
			if !strings.HasPrefix(arg, "-") && (name != "env" || !strings.Contains(arg, "=")) {
				break
			}
			rest = rest[1:]
			if len(arg) == 2 && arg[0] == '-' && strings.Contains(options, arg[1:]) && len(rest) > 0 {
				rest = rest[1:]
			}
		}
		if name == "timeout" && len(rest) > 0 {
			rest = rest[1:]
		}
		if len(rest) == 0 { // exec 2>file, setsid alone
			break
		}
		words = rest
	}
	return words
}

func missingCommands(s *script, at finder) {
	if s.file == nil {
		return
	}
	guarded, sources := s.guarded(), s.sourcesUnknown()
	_, posix := s.isShell()
	missing := func(w *syntax.Word) {
		name := s.value(w)
		switch {
		case name == "", slices.Contains(builtins, name), s.funcs[name] != nil, guarded[name], strings.ContainsAny(name, " \t*?[\n"):
		case !posix && slices.Contains(moreBuiltins, name), posix && slices.Contains(onlyBash, name): // another rule says it
		case filepath.IsAbs(name):
			if isSystems(name) && !s.host.Exists(name) && !s.below(name) {
				at(w.Pos(), "%s is not on this host: install it", name)
			}
		case !sources && !strings.Contains(name, "/") && !s.host.HasCommand(name):
			at(w.Pos(), "the command %s is not on this host: install it, or say its full path", name)
		}
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		words := unwrap(call.Args)
		missing(words[0])
		if words[0] != call.Args[0] {
			missing(call.Args[0])
		}
		return true
	})
}

// sourcesUnknown says whether the script sources what only its shell finds, and which may have functions.
func (s *script) sourcesUnknown() (unknown bool) {
	s.calls(func(name string, call *syntax.CallExpr) {
		if (name == "." || name == "source") && len(call.Args) > 1 && !strings.HasPrefix(literal(call.Args[1]), "/") {
			unknown = unknown || !strings.Contains(s.between(call.Args[1].Pos(), call.Args[1].End()), "modules/")
		}
	})
	return unknown
}

// isSystems says whether a path is one of the system's, and not of data that may be there only where the package runs.
func isSystems(file string) bool {
	return slices.ContainsFunc([]string{"/bin/", "/sbin/", "/etc/", "/usr/", "/opt/", "/lib/"}, func(dir string) bool { return strings.HasPrefix(file, dir) })
}

// guarded is the commands and files that the script looks for before it uses them.
func (s *script) guarded() map[string]bool {
	names := map[string]bool{}
	s.calls(func(name string, call *syntax.CallExpr) {
		switch name {
		case "command", "type", "which", "hash", "[", "test", "whence":
			for _, arg := range call.Args[1:] {
				names[s.value(arg)] = true
			}
		}
	})
	syntax.Walk(s.file, func(n syntax.Node) bool {
		if t, ok := n.(*syntax.UnaryTest); ok {
			if w, ok := t.X.(*syntax.Word); ok {
				names[s.value(w)] = true
			}
		}
		return true
	})
	return names
}

// making are commands whose arguments need not be there, or are not files of this host.
var making = strings.Fields(`[ test echo printf print rm mkdir touch mv cp ln ls find ssh scp rsync rmdir tee mknod install alias export local readonly
	logger grep chroot docker podman lxc-attach mount umount case eval trap exit return sh command type which hash whence set su sudo fuser exportfs df
	mountpoint chown chmod`)

// missingPaths looks at configuration by its full path. What is under /run or /var comes and goes, and data may be there
// only where the package runs.
func missingPaths(s *script, at finder) {
	if s.file == nil {
		return
	}
	guarded, made := s.guarded(), s.made()
	look := func(w *syntax.Word) {
		file := s.value(w)
		if !isSystems(file) || guarded[file] || made[file] || strings.ContainsAny(file, "*?[ \t\n") || s.below(file) || s.host.Exists(file) {
			return
		}
		at(w.Pos(), "%s is not on this host: copy it to every node", file)
	}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CallExpr:
			words := unwrap(x.Args)
			if len(words) > 0 && !slices.Contains(making, path.Base(s.value(words[0]))) {
				for _, arg := range words[1:] {
					look(arg)
				}
			}
		case *syntax.Redirect:
			if x.Op == syntax.RdrIn {
				look(x.Word)
			}
		}
		return true
	})
}

// made is the files that the script writes, and the directories that it makes.
func (s *script) made() map[string]bool {
	names := map[string]bool{}
	syntax.Walk(s.file, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.Redirect:
			if writes(x) {
				names[s.value(x.Word)] = true
			}
		case *syntax.CallExpr:
			if len(x.Args) > 0 && slices.Contains([]string{"mkdir", "touch", "cp", "mv", "ln", "install", "tee"}, path.Base(literal(x.Args[0]))) {
				for _, w := range x.Args[1:] {
					names[s.value(w)] = true
				}
			}
		}
		return true
	})
	return names
}

// mounts is the directories that the package mounts something on, with the words that say so.
func (s *script) mounts() map[string]*syntax.Word {
	if s.dirs == nil {
		s.dirs = s.mountedOn()
	}
	return s.dirs
}

func (s *script) mountedOn() map[string]*syntax.Word {
	dirs := map[string]*syntax.Word{}
	add := func(w *syntax.Word) {
		if dir := path.Clean(s.value(w)); filepath.IsAbs(dir) && !strings.HasPrefix(dir, "/dev/") && dirs[dir] == nil {
			dirs[dir] = w
		}
	}
	for _, a := range s.parameters() {
		if name := a.Name.Value; a.Value != nil && (strings.HasPrefix(name, "fs_dir_") || strings.HasPrefix(name, "drbd_dir_")) {
			add(a.Value)
		}
	}
	s.calls(func(name string, call *syntax.CallExpr) {
		if path.Base(name) != "mount" || len(call.Args) < 2 {
			return
		}
		if last := call.Args[len(call.Args)-1]; !strings.HasPrefix(literal(last), "-") {
			add(last)
		}
	})
	return dirs
}

// below says whether a file is on a file system that the package mounts.
func (s *script) below(file string) bool {
	for dir := range s.mounts() {
		if strings.HasPrefix(file, dir+"/") {
			return true
		}
	}
	return false
}

func missingMountPoints(s *script, at finder) {
	if s.file == nil || s.kind == Other {
		return
	}
	made, guarded := s.made(), s.guarded()
	for dir, w := range s.mounts() {
		if !made[dir] && !guarded[dir] && !s.below(dir) && !s.host.Exists(dir) {
			at(w.Pos(), "there is no directory %s on this host to mount on: make it, on every node", dir)
		}
	}
}
