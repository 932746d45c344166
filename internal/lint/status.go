package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// What a status does that should only look.

// changing are commands that do more than look, whatever their arguments are.
var changing = strings.Fields(`rm mv cp ln mkdir rmdir touch umount chmod chown truncate kill pkill killall
	reboot shutdown systemctl service useradd userdel rsync tee mkfs fsck`)

// looking are arguments with which some of them only look.
var looking = strings.Fields(`-0 is-active is-enabled is-failed show status list-units cat -n -N -l /dev/null`)

// orders are words that tell a command to change something.
var orders = strings.Fields(`start stop restart reload force-reload try-restart graceful condrestart`)

// saying are commands to which orders are but words.
var saying = strings.Fields(`[ test echo printf logger grep egrep fgrep pgrep pkill awk sed case expr print set eval ps tr cut read local export`)

// changes says whether a call changes something.
func (s *script) changes(name string, args []string) bool {
	has := func(words ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(words, a) })
	}
	switch name {
	case "mount":
		return has("-a") || len(operands(args, "tOoLUF")) > 0
	case "kill":
		return !has("-0", "-l") && !(has("-s", "-n") && has("0"))
	case "dd":
		return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "of=") && a != "of=/dev/null" })
	case "fuser":
		return slices.ContainsFunc(args, func(a string) bool { return isSwitch(a, "k") })
	case "sed":
		return slices.ContainsFunc(args, func(a string) bool { return isSwitch(a, "i") && !strings.HasPrefix(a, "-e") })
	case "ip", "route":
		return has("add", "del", "delete", "replace", "change", "flush", "set") && !has("get", "monitor")
	case "ifconfig":
		return has("up", "down", "inet", "add", "delete", "alias", "-alias", "plumb", "unplumb")
	case "exportfs":
		return slices.ContainsFunc(args, func(a string) bool { return isSwitch(a, "aruio") })
	case "drbdadm":
		return has("primary", "secondary", "up", "down", "attach", "detach", "connect", "disconnect", "adjust", "invalidate")
	case "vgchange", "lvchange":
		return true
	}
	if slices.Contains(changing, name) {
		return !has(looking...)
	}
	return !slices.Contains(saying, name) && s.funcs[name] == nil && has(orders...)
}

// isSwitch says whether an argument is a group of short options that has one of letters.
func isSwitch(arg, letters string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg[1] != '-' && strings.ContainsAny(arg[1:], letters)
}

// operands is the arguments that are no options: those with letters have a value of their own.
func operands(args []string, letters string) (rest []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case !strings.HasPrefix(a, "-") || a == "-":
			rest = append(rest, a)
		case len(a) == 2 && strings.Contains(letters, a[1:]):
			i++
		}
	}
	return rest
}

func statusChanges(s *script, at finder) {
	s.walk("status", func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CallExpr:
			words := unwrap(x.Args)
			if len(words) == 0 || s.ownTemp(words[1:]) {
				return true
			}
			var args []string
			for _, w := range words[1:] {
				args = append(args, s.value(w))
			}
			name := s.value(words[0])
			changes := s.changes(path.Base(name), args)
			for _, text := range s.quoted(words) {
				if f := strings.Fields(text); len(f) > 0 && s.changes(path.Base(f[0]), f[1:]) {
					name, changes = f[0], true
				}
			}
			if changes {
				at(words[0].Pos(), "status calls %s, which changes something: it should only look", name)
			}
		case *syntax.Redirect:
			if file := s.value(x.Word); writes(x) && x.Op != syntax.AppOut && strings.HasPrefix(file, "/") && !strings.HasPrefix(file, "/dev/") && !strings.HasPrefix(file, "/tmp/") {
				at(x.Word.Pos(), "status writes to %s: it should only look", file)
			}
		}
		return true
	})
}

// ownTemp says whether a command is only about a temporary file of the script.
func (s *script) ownTemp(words []*syntax.Word) bool {
	temps, others := 0, 0
	for _, w := range words {
		text := s.value(w)
		if p := param(w); text == "" && p != nil && p.Param != nil && s.vars[p.Param.Value] != nil && len(s.vars[p.Param.Value].words) == 1 {
			w = s.vars[p.Param.Value].words[0]
		}
		switch source := string(s.source[w.Pos().Offset():min(w.End().Offset(), uint(len(s.source)))]); {
		case strings.HasPrefix(text, "-"):
		case strings.HasPrefix(strings.Trim(source, `"`), "/tmp/"), strings.Contains(source, "mktemp"):
			temps++
		default:
			others++
		}
	}
	return temps > 0 && others == 0
}

// writes says whether a redirection is of stdout, or both, to a file.
func writes(r *syntax.Redirect) bool {
	switch r.Op {
	case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll:
		return true
	}
	return false
}

func statusBackground(s *script, at finder) {
	waits := false
	s.walk("status", func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		waits = waits || ok && len(call.Args) > 0 && literal(call.Args[0]) == "wait"
		return true
	})
	if waits {
		return
	}
	s.walk("status", func(n syntax.Node) bool {
		if stmt, ok := n.(*syntax.Stmt); ok && stmt.Background {
			at(stmt.Pos(), "status leaves a process in the background, each time that it runs")
		}
		return true
	})
}

// forks looks for what status calls that a worker does not do itself.
func forks(s *script, at finder) {
	if s.host.Native == nil {
		return
	}
	said := map[string]bool{}
	s.walk("status", func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		name := literal(call.Args[0])
		if name == "" || said[name] || slices.Contains(builtins, name) || s.funcs[name] != nil || s.host.Native(path.Base(name)) {
			return true
		}
		if !strings.Contains(name, "/") && !s.host.HasCommand(name) { // a function of another file, perhaps
			return true
		}
		said[name] = true
		at(call.Args[0].Pos(), "each status starts a process for %s", name)
		return true
	})
}
