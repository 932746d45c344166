package shell

import "fmt"

// LevelShell is the level of all findings here: the real shell is needed.
const LevelShell = "shell"

// A Finding is something that this package would not do as dash does.
type Finding struct {
	File      string
	Line, Col uint
	Level     string // LevelShell
	Rule      string // the Name of a Rule
	Reason    string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s (%s)", f.File, f.Line, f.Col, f.Level, f.Reason, f.Rule)
}

// A Rule is a reason why a script needs the real shell.
type Rule struct {
	Name    string
	Explain string // one line
	Bad     string // a script that has it
	Good    string // what to write instead, where there is something
}

// Rules are all rules, by name.
func Rules() []Rule { return rules }

var rules = []Rule{
	{"alias", "aliases are not expanded here", `alias ll='ls -l'`, `ll() { ls -l "$@"; }`},
	{"arith", "arithmetic that assigns, or has quotes, ++, -- or , in it", `echo $((x += 1))`, `x=$((x + 1)); echo "$x"`},
	{"assign-special", "an assignment before a special builtin stays, in dash; one before a command does not see the one before", `x=1 :`, `x=1`},
	{"background", "a command in the background, unless wait is the next; start and stop by the embedded shell may leave programs running", `sleep 5 &`, `sleep 5 & wait`},
	{"backquotes", "a backslash within backquotes", "echo `echo \\`id\\``", `echo $(echo $(id))`},
	{"bash", "dash does not have it, or means something else", `[[ a == b ]]`, `[ a = b ]`},
	{"brace", "dash does not expand braces", `echo {a,b}`, `echo a b`},
	{"break", "break and continue outside a loop, in a condition, or of several loops where code of these follows", `while break; do :; done`, `while :; do break; done`},
	{"builtin", "a builtin, or an option of one, that is not done here", `getopts a x`, `case $1 in -a) x=a ;; esac`},
	{"bytes", "NUL or CR in the file, or letters beyond ASCII next to a pattern that counts characters", "case ä in ?) echo 1 ;; esac", `case $x in ?) echo 1 ;; esac`},
	{"default-quoted", "quotes or backslashes within ${x-...}", `echo ${x-"a b"}`, `echo "${x-a b}"`},
	{"dot", "it cannot be told which file is sourced", `. "$file"`, `. modules/x.$os`},
	{"dot-unread", "a file that is sourced cannot be read, or no shell can parse it", `. ./broken`, `[ -r /etc/x ]`},
	{"exec", "exec with a command replaces the shell", `exec id`, `id`},
	{"fd", "a file descriptor but 0, 1 and 2, or one that is closed or read twice", `exec 3>/tmp/x`, `exec 2>/tmp/x`},
	{"function", "a function with the name of a builtin, or one that is no name in POSIX", `echo() { :; }`, `say() { :; }`},
	{"here-document", "quotes in a here-document's end or expansions", "cat <<E'O'F\nEOF", "cat <<'EOF'\nEOF"},
	{"ifs", "IFS set for more than one read", `IFS=:; set -- $x`, `IFS=: read -r a b`},
	{"local", "local outside a function's own shell, or a substitution without quotes after it or export", `f() { local x=$(id); }`, `f() { local x=$1 y="$(id)"; }`},
	{"name", "names that begin with " + hidden + ", or that mean something else here", `echo $RANDOM`, `echo $random`},
	{"param", "an expansion that dash does otherwise, or does not have", `echo ${x?}`, `echo ${x-}`},
	{"pattern", "a pattern that dash reads otherwise", `case $x in $y) : ;; esac`, `case $x in "$y") : ;; esac`},
	{"pid", "process ids are those of another process here", `echo $$`, `echo $1`},
	{"readonly", "assigning to a read-only variable ends dash", `readonly x=1`, `x=1`},
	{"redirect", "a redirection that is done otherwise here", `echo x > /dev/stderr`, `echo x >&2`},
	{"set", "options of the shell but -e and -u, or a list of all variables", `set -x`, `set -e`},
	{"shebang", "the first line names another shell", "#!/usr/bin/perl\n:", "#!/bin/sh\n:"},
	{"syntax", "no POSIX shell has it", `a=(1 2)`, `set -- 1 2`},
	{"tilde", "a tilde that is expanded", `cd ~`, `cd "$HOME"`},
	{"time", "time writes to another place", `time true`, `true`},
	{"trap", "traps but those of EXIT, and those that could change the status", `trap 'rm x' TERM`, `trap 'rm x' EXIT`},
}

// Explain returns the rule of that name.
func Explain(name string) (Rule, bool) {
	for _, r := range rules {
		if r.Name == name {
			return r, true
		}
	}
	return Rule{}, false
}
