package shell

import (
	"fmt"
	"strings"
)

// A grammar makes a script of bytes: each choice takes one, and without bytes it takes the first, which is the shortest.
type grammar struct {
	data  []byte
	depth int
	loops int // around, in this shell
	names int // counters used
	fn    int // the function being written: it may call those before it
	inFn  bool
	sub   bool
}

const helpers = 3

func (g *grammar) choose(n int) int {
	if len(g.data) == 0 {
		return 0
	}
	b := g.data[0]
	g.data = g.data[1:]
	return int(b) % n
}

// one takes one of strings and of functions that make one.
func (g *grammar) one(list ...any) string {
	switch x := list[g.choose(len(list))].(type) {
	case string:
		return x
	case func() string:
		return x()
	}
	panic("neither a string nor a function")
}

// script is a whole one; it shows at its end what it has changed.
func (g *grammar) script() string {
	var b strings.Builder
	for g.fn = range helpers {
		g.inFn = true
		fmt.Fprintf(&b, "f%d() {\n%s\n}\n", g.fn, g.list(2))
	}
	g.fn, g.inFn = helpers, false
	b.WriteString(g.one("", "", "set -e\n", "set -e\n", "set -u; x= y=q z='r s'\n", "set -eu; x= y=q z='r s'\n"))
	b.WriteString(g.list(4))
	b.WriteString("\necho \"end $? <$x> <$y> <$z> $# $*\"\ncat f g 2>/dev/null\n")
	return b.String()
}

func (g *grammar) list(n int) string {
	text := g.statement()
	for range g.choose(n) {
		if !strings.HasSuffix(text, "\n") { // that of a here-document
			text += g.one("\n", "; ")
		}
		text += g.statement()
	}
	return text
}

func (g *grammar) statement() string {
	if g.depth > 4 || len(g.data) == 0 {
		return g.simple()
	}
	g.depth++
	defer func() { g.depth-- }()
	switch g.choose(16) {
	case 0, 1, 2, 3, 4:
		return g.simple()
	case 5:
		return g.andOr()
	case 6:
		return fmt.Sprintf("if %s; then\n%s\n%sfi", g.condition(), g.list(2), g.one("", func() string { return "else " + g.list(2) + "\n" }, func() string { return "elif " + g.condition() + "; then " + g.list(1) + "\n" }))
	case 7:
		return g.caseOf()
	case 8, 9:
		return g.loop()
	case 10:
		return g.pipe()
	case 11:
		return g.inShell(func() string { return "( " + g.list(2) + " )" })
	case 12:
		return g.group() + g.one("", " > f", " >> g", " 2>&1", " < /dev/null")
	case 13:
		return "! " + g.one(g.plain, g.group)
	case 14:
		return g.hereDocument()
	}
	return g.eval()
}

// inShell writes what runs in a subshell: no loop around it can be ended from there.
func (g *grammar) inShell(write func() string) string {
	loops, sub := g.loops, g.sub
	g.loops, g.sub = 0, true
	defer func() { g.loops, g.sub = loops, sub }()
	return write()
}

func (g *grammar) simple() string {
	switch g.choose(20) {
	case 0, 1, 2, 3:
		return "echo " + g.words(3)
	case 4, 5:
		return g.assignment()
	case 6:
		return g.assignment() + " " + g.assignment()
	case 7:
		return g.test()
	case 8:
		if g.fn > 0 {
			return fmt.Sprintf("%sf%d %s", g.one("", "z=1 "), g.choose(g.fn), g.words(2))
		}
		return "false"
	case 9:
		if g.loops > 0 {
			return g.one("break", "continue", "break", "continue", "break 1", "continue 2")
		}
		return "true"
	case 10:
		return g.leave()
	case 11:
		// In a loop what doubles the parameters each time takes all memory, here and there.
		return "{ set -- " + g.words(3) + "; [ $# -lt 9 ] && [ ${#1} -lt 99 ] || set -- a 'b c'; }"
	case 12:
		return g.one("shift", "shift 1", "[ $# -lt 1 ] || shift")
	case 13:
		return "unset " + g.one("x", "y", "z x", "-v z")
	case 14:
		return g.one("export w=1", "export v=b", "export w=\"$x\"", "export y=$z x=${1#a}") + "; sh -c 'echo \"$x $y $z\"'"
	case 15:
		return "printf " + g.one("'%s\\n' ", "'%s %s|' ", "'%5s|%-5s|\\n' ", "'%b\\n' ", "'%d\\n' 12 ", "'%03d %x\\n' 7 ") + g.words(2)
	case 16:
		if g.inFn && !g.sub {
			return "local " + g.one("x", "y=1", "z=\"$1\"", "x=$1", "y=${x:-d} z=a$x")
		}
		return ":"
	case 17:
		return "(exit " + g.one("3", "0", "1") + ")"
	case 18:
		return g.one("echo a > f", "echo \"$x\" >> g", ": > g", "cat f 2>/dev/null", "trap 'echo bye $?' EXIT", "cd ./d 2>/dev/null", "cd -- \"$PWD\"", "umask 077", "command -v cat", "[ -f f ]", "read -r x y < /dev/null", ". ./lib", "$e", "echo a | cat", "(local x=1; echo $x)", "pwd >/dev/null", "mkdir -p d && cd d", "(cd /usr && pwd; cd - >/dev/null && echo ok)", "umask", "echo \"$x\" >> 'f'", "cat < f 2>/dev/null",
			"exec 2>/dev/null", "type cat >/dev/null", "kill -0 99999999 2>/dev/null", "command echo $x", "set -e", "set -e", "set -u", ". ./lib || echo $?", "f0 || echo $?", "read -r z <<E\n$x y\nE\n", "set +e", "echo e >&2", "{ echo o; echo e >&2; } 2>&1", "export x; export -p | grep \" x\"", "if [ \"$1\" ]; then shift; fi", "wait")
	}
	return g.one("true", "false", ":", "nosuch_x 2>/dev/null", "$(true)", "$(exit 3)", "x=$(exit 4)")
}

func (g *grammar) group() string { return "{ " + ended(g.list(2)) + " }" }

// ended can be followed by a word; a here-document's last line cannot.
func ended(list string) string {
	if strings.HasSuffix(list, "\n") {
		return list
	}
	return list + ";"
}

// plain is a simple command that can be a part of a line.
func (g *grammar) plain() string { return g.oneLine(g.simple) }

func (g *grammar) oneLine(make func() string) string {
	s := make()
	if strings.HasSuffix(s, "\n") {
		return "{ " + s + "}"
	}
	return s
}

// command can be a part of a line.
func (g *grammar) command() string { return g.oneLine(g.statement) }

func (g *grammar) leave() string {
	if g.choose(3) > 0 {
		return "echo $?"
	}
	if g.inFn {
		return g.one("return", "return 2", "return $?", "exit 3", "return 0")
	}
	return g.one("exit 5", "exit", "return 3", "exit $?", "return")
}

func (g *grammar) name() string { return g.one("x", "y", "z") }

func (g *grammar) assignment() string { return g.name() + "=" + g.value() }

// value is a word that is not split.
func (g *grammar) value() string {
	return g.one("", "a", "'a b'", "5", "\"$x\"", "$y", "\"$1 $2\"", g.expansion, g.substitution, g.arithmetic, "a:b:c", "'*'", "\"  p  q \"", "/usr/lib/x.so.1", "'a\\b'", "\"(b)\"", "x\"$z\"y",
		"a\\ b", "r\\'s", "\\$x\\\\", "\"a\\$b\\\\c\\\"\"", "'it'\\''s'", "$x\\*", "'a\n b\tc'", "\"$(echo \"q r\")\"", "$?", "$1$2", "\"$*\"", "[a]", "a*", "\"${x:-a b}\"c", "${y}d", "ret")
}

func (g *grammar) words(n int) string {
	var list []string
	for range 1 + g.choose(n) {
		list = append(list, g.word())
	}
	return strings.Join(list, " ")
}

func (g *grammar) word() string {
	switch g.choose(13) {
	case 11:
		return g.one("\"$@\"", "$@", "\"a $* b\"", "$1$2", "${10}", "\"${10}\"", "\"${11}x\"")
	case 0:
		return g.one("a", "b", "'c d'", "\"e\"", "-n", "\\$x", "a=b", "'a\\tb'", "''", "\"q'q\"", "a\\ b", "x\\\\y", "[", "]", "{", "\"\\\\n\"", "a#b", "!", "if", "--", "\"a\nb\"", "r\\'s", "\"$x\\\"\"")
	case 1:
		return "$" + g.one("x", "y", "z", "1", "2", "#", "?")
	case 2:
		return "\"$" + g.one("x", "y", "z", "1", "*", "#", "?", "@") + "\""
	case 3:
		return g.one("$@", "$*", "\"$@\"", "\"$*\"")
	case 4:
		return g.expansion()
	case 5:
		return "\"" + g.expansion() + "\""
	case 6:
		return g.substitution()
	case 7:
		return "\"" + g.substitution() + "\""
	case 8:
		return g.arithmetic()
	case 9:
		return g.one("p$x", "${x}q", "\"r $y\"s", "$x$y", "$x\"\"", "\"\"$x", "'t'$z", "$x.$y", "a\"$x\"$y", "$y''", "''$x$y", "$x\"$y\"", "\"$x\"$y\"\"", "$x$(echo ' t ')", "\"\"\"$x\"\"\"")
	case 10:
		return g.value()
	}
	return "w"
}

func (g *grammar) expansion() string {
	n := g.one("x", "y", "z", "1", "2")
	switch g.choose(5) {
	case 0:
		return "${" + n + g.one("-", ":-", "+", ":+") + g.one("", "d", "d e", "$y", "$(echo s)") + "}"
	case 1:
		return "${" + g.name() + g.one("=", ":=") + g.one("", "d", "$y") + "}"
	case 2:
		return "${" + n + g.one("#", "##", "%", "%%") + g.pattern() + "}"
	case 3:
		return "${" + n + g.one("#", "%", "%%") + "\"" + g.one("$y", "a", "$z$x", "(", "*") + "\"}"
	}
	return "${#" + n + "}"
}

func (g *grammar) pattern() string {
	return g.one("a", "*", "*b", "a*", "?", "[a-c]", "*[!a-z]", ".*", "*.", "*/", "/*", "*\\*", " *", "[[:digit:]]", "*:*", "\\(", "*[ .]", "a?b", "*\\\\*", "\\[*", "[!a]*", "*]", "??", "[a-z][0-9]", "*[\\ ,]*", "a.c", "+", "$")
}

func (g *grammar) substitution() string {
	if g.depth > 4 {
		return "$(echo s)"
	}
	g.depth++
	defer func() { g.depth-- }()
	return g.inShell(func() string {
		return g.one(func() string { return "$(echo " + g.words(2) + ")" }, func() string { return "$(" + g.list(2) + ")" }, "`echo a b`", "$(printf 'a\\n\\nb\\n\\n')")
	})
}

func (g *grammar) arithmetic() string {
	if g.choose(3) > 0 {
		return "$(( " + g.term() + " " + g.one("+", "-", "*", "<", "==", "&&", "|", "<<", "%") + " " + g.term() + " ))"
	}
	return "$((" + g.term() + g.one("", " ? 1 : 2", " / 3", " >> 1", " != 0 || 0") + "))"
}

func (g *grammar) term() string {
	return g.one("1", "7", "x", "$#", "${y:-2}", "$?", "(2 + z)", "-3", "!x", "0x1f", "~1", "010")
}

func (g *grammar) test() string {
	return g.one(
		"[ \"$x\" = \"$y\" ]", "[ -n \"$x\" ]", "[ -z \"$y\" ]", "[ \"$x\" != a ]", "[ $# -gt 1 ]", "test \"$x\"", "[ ! -n \"$z\" ]",
		"[ -e f ]", "[ \"$x\" -eq 5 ] 2>/dev/null", "[ $x ] 2>/dev/null", "[ -n $x ]", "[ \"$x\" = a -o \"$y\" = b ]", "[ -d / -a \"$x\" ]",
		"[ ! \"$x\" = \"$y\" ]", "[ \"$1\" = \"$2\" ]", "[ \"(\" = \"$x\" ]", "[ $x = a ] 2>/dev/null",
	)
}

func (g *grammar) condition() string {
	return g.one(g.test, "true", "false", g.plain, func() string { return g.inShell(func() string { return "( " + g.list(2) + " )" }) }, g.pipe, func() string { return "! " + g.test() }, "x=$(false)", "f0 a", func() string { return "{ " + g.plain() + "; " + g.test() + "; }" })
}

func (g *grammar) andOr() string {
	s := g.one(g.plain, g.plain, g.command, g.group)
	for range 1 + g.choose(2) {
		s += g.one(" && ", " || ") + g.one(g.plain, g.group, g.command)
	}
	return s
}

func (g *grammar) caseOf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "case %s in\n", g.one("$x", "\"$y\"", "a", "$1", "\"$x$y\"", g.substitution, g.expansion))
	for range 1 + g.choose(2) {
		p := g.one(g.pattern, "a|b", "\"$y\"", "''", "*\"$z\"*", "*\" $y \"*", "5", "'*'", "?\"$x\"", "\"(b)\"*", "r\\'s", "a|*\"(\"*", "[0-9]*|*[!0-9]", "\"$x\"*\"$y\"", "'a b'")
		fmt.Fprintf(&b, " %s) %s ;;\n", p, g.list(2))
	}
	return b.String() + g.one("", " *) echo other ;;\n") + "esac"
}

// loop ends by itself, whatever is in it.
func (g *grammar) loop() string {
	g.loops++
	defer func() { g.loops-- }()
	switch g.choose(4) {
	case 0:
		return fmt.Sprintf("for %s in %s; do\n%s\ndone", g.one("i", "j"), g.words(3), g.list(3))
	case 1:
		g.names++
		n := fmt.Sprintf("n%d", g.names)
		return fmt.Sprintf("%s=0; while %s=$((%s + 1)); [ $%s -le %d ]; do\n%s\ndone", n, n, n, n, 1+g.choose(3), g.list(3))
	case 2:
		g.names++
		n := fmt.Sprintf("n%d", g.names)
		return fmt.Sprintf("%s=0; until [ $%s -ge %d ]; do %s=$((%s + 1))\n%s\ndone", n, n, 1+g.choose(2), n, n, g.list(3))
	}
	return fmt.Sprintf("printf 'a b c\\n  d  e \\nf' | while %sread %s%s; do\n%s\ndone", g.one("", "IFS=' ' ", "IFS= ", "IFS=b "), g.one("-r ", ""), g.one("x", "x y", "x y z"), g.list(2))
}

func (g *grammar) pipe() string {
	return g.inShell(func() string {
		return g.one(g.plain, g.group, func() string { return "( " + g.list(1) + " )" }) + " | " + g.one("cat", "{ read x; echo \"<$x>\"; }", g.group, g.plain, "sed s/a/A/")
	})
}

func (g *grammar) hereDocument() string {
	return g.one("cat", "read x y", "while read -r x; do echo \"[$x]\"; done") + g.one(" <<E\n", " <<'E'\n", " <<-'E'\n") +
		g.one("a b\n", "$x $y\n", "\"q\" 'r' \\$x\n", "$(echo a) $((1+2))\n", "a\\\\b\n  c\n", "${x:-d} `echo e`\n", "") + "E\n"
}

func (g *grammar) eval() string {
	return g.one(
		"eval \"y=\\$x\"", "eval echo \\$x", "eval \"echo \\\"\\${$1:-}\\\"\" 2>/dev/null", "eval 'echo $x; false'", "eval \"x=\\${y:-q}\"", "eval '(exit 3)'",
		"eval", "eval \"$x\" 2>/dev/null", "eval 'if false; then :; fi'", "eval 'for i in 1 2; do echo $i; done'", "eval 'exit 4'", "eval 'while false; do :; done'",
	)
}
