package native

import (
	"bytes"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var (
	randomRuns = flag.Int("native.random", 60, "random calls for each command")
	randomSeed = flag.Uint64("native.seed", 1, "where the random calls begin")
)

// A maker makes random arguments and inputs.
type maker struct{ *rand.Rand }

func (m maker) of(all ...string) string { return all[m.IntN(len(all))] }

// join makes n parts.
func (m maker) join(n int, part func() string) string {
	var out strings.Builder
	for range n {
		out.WriteString(part())
	}
	return out.String()
}

// text is an input of few letters, so that patterns match.
func (m maker) text() string {
	if m.IntN(12) == 0 {
		return m.of("", "\n", "a", "\n\n", "a\x00b\n", "é\n", "caf\xe9\n", "a\r\n", "\ta b\v\n", strings.Repeat("ab ", 3000)+"\n")
	}
	text := m.join(m.IntN(6), func() string {
		return m.join(m.IntN(8), func() string {
			return m.of("a", "b", "c", "a", "b", "ab", "A", "B", "x1", "_", " ", ".", "-", ":", "/", "0", "12", "*", "+", "[", "\\", "$", "^", "\t")
		}) + "\n"
	})
	if m.IntN(4) == 0 {
		text = strings.TrimSuffix(text, "\n")
	}
	return text
}

// atom is a part of a regular expression.
func (m maker) atom(extended bool, depth int) string {
	if depth > 0 && m.IntN(4) == 0 {
		if extended {
			return "(" + m.regex(true, depth-1) + ")"
		}
		return `\(` + m.regex(false, depth-1) + `\)`
	}
	return m.of("a", "b", "c", "ab", "A", ".", ".", "x", "1", " ", "-", ":", "[ab]", "[^a]", "[a-c]", "[[:alpha:]]", "[[:space:]]", "[^[:digit:]_]",
		"[]a]", "[^]]", "[a-]", "[.]", "[*+]", "[$^]", `\.`, `\*`, `\$`, `\^`, `\[`, `\\`, `\w`, `\W`, `\s`, `\S`, `\b`, `\<a`, `b\>`, `\<`, `\>`, "^", "$", "*", "+", "?", "{", "}", "(", ")",
		"|", `\+`, `\?`, `\|`, `\(`, `\)`, `\{`, "/", `\/`, `[\]`, `[\n]`, `\n`, `\t`, "[[:upper:]-]", "[--/]", "[%--]", "&")
}

func (m maker) regex(extended bool, depth int) string {
	return m.join(m.IntN(4)+m.IntN(2), func() string {
		s := m.atom(extended, depth)
		switch m.IntN(9) {
		case 0, 1:
			s += "*"
		case 2:
			if extended {
				return s + m.of("+", "?", "{2}", "{1,2}", "{0,1}", "{,2}", "{1,}")
			}
			return s + m.of(`\+`, `\?`, `\{2\}`, `\{1,2\}`, `\{0,1\}`, `\{1,\}`)
		case 3:
			if extended {
				return s + "|"
			}
			return s + `\|`
		}
		return s
	})
}

func (m maker) grep() []string {
	args := []string{"grep"}
	extended := m.IntN(3) == 0
	for range m.IntN(3) {
		args = append(args, m.of("-q", "-c", "-v", "-i", "-w", "-x", "-s", "-n", "-o", "-l", "-h", "-H", "-m1", "-m2", "-vc", "-io", "-wi", "-F"))
	}
	if extended {
		args = append(args, "-E")
	}
	pattern := m.regex(extended, 2)
	if m.IntN(10) == 0 {
		pattern += "\n" + m.regex(extended, 1)
	}
	if m.IntN(6) == 0 {
		return append(args, "-e", pattern, "-e", m.regex(extended, 1))
	}
	args = append(args, "-e", pattern)
	switch m.IntN(6) {
	case 0:
		args = append(args, "in")
	case 1:
		args = append(args, "in", m.of("in", "other", "missing", "-"))
	}
	return args
}

func (m maker) sedAddress() string {
	a := func() string {
		return m.of("1", "2", "3", "$", "/"+m.regex(false, 1)+"/", "/a/", "/b/", "/^$/", "/c/I", `\,b,`)
	}
	switch m.IntN(4) {
	case 0:
		return ""
	case 1:
		return a() + "," + a()
	case 2:
		return a() + m.of("", "!", " ! ")
	}
	return a()
}

func (m maker) sedCommand(extended bool, depth int) string {
	address := m.sedAddress()
	switch m.IntN(8) {
	case 0:
		return address + m.of("p", "d", "=", "q", "p")
	case 1:
		if depth > 0 {
			return address + "{" + m.sedCommand(extended, depth-1) + ";" + m.sedCommand(extended, depth-1) + m.of("", ";") + "}"
		}
		return address + "y/abc/xyz/"
	}
	with := m.join(m.IntN(4), func() string { return m.of("x", "&", `\1`, `\2`, `\&`, `\n`, `\t`, "-", `\.`, " ", "[", `\/`, "$") })
	d := m.of("/", "/", "/", ",", "|", "#", "x")
	return address + "s" + d + m.regex(extended, 2) + d + with + d + m.of("", "", "g", "p", "2", "gp", "I", "2g", "2p", "gI")
}

func (m maker) sed() []string {
	args := []string{"sed"}
	extended := m.IntN(3) == 0
	if m.IntN(3) == 0 {
		args = append(args, "-n")
	}
	if extended {
		args = append(args, m.of("-E", "-r"))
	}
	script := m.sedCommand(extended, 2)
	for range m.IntN(3) {
		script += m.of(";", "\n", " ; ") + m.sedCommand(extended, 1)
	}
	args = append(args, "-e", script)
	switch m.IntN(6) {
	case 0, 1:
		args = append(args, "in")
	case 2:
		args = append(args, "in", m.of("in", "other", "missing"))
	}
	return args
}

func (m maker) cut() []string {
	list := m.join(m.IntN(3)+1, func() string {
		return m.of("1", "2", "3", "5", "-2", "2-", "1-2", "2-4", "3-1", "0", "") + m.of(",", ",", "", "-")
	})
	list = strings.Trim(list, m.of(",", "x"))
	switch m.IntN(4) {
	case 0:
		return []string{"cut", m.of("-c", "-b"), list}
	case 1:
		return []string{"cut", "-f" + list}
	case 2:
		return []string{"cut", "-s", "-d" + m.of(":", " ", "a", ".", "/", "ab"), "-f", list}
	}
	return []string{"cut", "-d", m.of(":", " ", "a", ".", "/", "", "\t"), "-f", list}
}

func (m maker) tr() []string {
	set := func() string {
		return m.join(m.IntN(3)+1, func() string {
			return m.of("a", "b", "abc", "a-c", "A-Z", "a-z", "0-9", " ", `\n`, `\t`, "[:alpha:]", "[:lower:]", "[:upper:]", "[:space:]", "[:digit:]", "[:punct:]", "[:cntrl:]",
				"[:print:]", "[:graph:]", "[:blank:]", "[:alnum:]", "[:xdigit:]", `\\`, "-", "[", "]", "[a-z]", `\141`, `\0`, `\377`, "c-a", "[a*2]", "[=a=]", ":", ".", "*", `\-`, `\q`)
		})
	}
	args := []string{"tr"}
	for range m.IntN(3) {
		args = append(args, m.of("-d", "-s", "-c", "-cd", "-C", "-cs"))
	}
	args = append(args, set())
	if m.IntN(2) == 0 {
		args = append(args, set())
	}
	return args
}

func (m maker) ends(name string) []string {
	n := m.of("0", "1", "2", "3", "10", "+1", "+2", "+0", "-1", "1k", "", "07")
	switch m.IntN(4) {
	case 0:
		return []string{name, "-" + n}
	case 1:
		return []string{name, "-n" + n}
	case 2:
		return []string{name, "-c", n}
	}
	return []string{name, "-n", n}
}

// TestRandom holds random calls against the real programs: the same from each seed.
func TestRandom(t *testing.T) {
	for name, one := range map[string]func(maker) []string{
		"grep": maker.grep, "sed": maker.sed, "cut": maker.cut, "tr": maker.tr,
		"head": func(m maker) []string { return m.ends("head") },
		"tail": func(m maker) []string { return m.ends("tail") },
		"wc":   func(m maker) []string { return []string{"wc", m.of("-l", "-w", "-c")} },
		"basename": func(m maker) []string {
			return []string{"basename", m.join(m.IntN(5), func() string { return m.of("/", "a", ".", "b.c") }), m.of("", "c", ".c", "a", "/")}
		},
		"dirname": func(m maker) []string {
			return []string{"dirname", m.join(m.IntN(6), func() string { return m.of("/", "//", "a", ".", "b.c", " ") })}
		},
		"test": func(m maker) []string {
			args := []string{"test"}
			for range m.IntN(5) {
				args = append(args, m.of("!", "-n", "-z", "=", "!=", "-eq", "-lt", "a", "", "1", "-1", "2", "-e", "-f", "/", "(", ")", "-a", "-o"))
			}
			return args
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			usual(t, name)
			random(t, one)
		})
	}
}

// random makes calls and compares, up to ten differences.
func random(t *testing.T, one func(maker) []string) {
	t.Helper()
	dir := t.TempDir()
	taken := 0
	for i := range *randomRuns {
		m := maker{rand.New(rand.NewPCG(*randomSeed, uint64(i)))}
		args, stdin := one(m), m.text()
		for name, text := range map[string]string{"in": stdin, "other": m.text()} {
			if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if agree(t, dir, stdin, [][]string{plainEnv, utf8Env}[i%2], args...) {
			taken++
		}
		if i%3 == 0 && slices.Contains(readers, args[0]) {
			agreeOnFile(t, dir, stdin, min(len(stdin), m.IntN(5)), args...)
		}
		if t.Failed() {
			t.Fatalf("the call is number %d of seed %d", i, *randomSeed)
		}
	}
	if taken < *randomRuns/10 {
		t.Errorf("of %d calls only %d were taken", *randomRuns, taken)
	}
}

// agreeOnFile has stdin in a file, from a place in it on. Where it is left counts too.
func agreeOnFile(t *testing.T, dir, stdin string, from int, args ...string) {
	t.Helper()
	path := dir + "/stdin"
	if err := os.WriteFile(path, []byte(stdin), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(do func(f *os.File, out *bytes.Buffer) (status int, ok bool)) (out bytes.Buffer, status int, at int64, ok bool) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Seek(int64(from), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		status, ok = do(f, &out)
		at, err = f.Seek(0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		return out, status, at, ok
	}
	got, status, at, ok := run(func(f *os.File, out *bytes.Buffer) (int, bool) {
		return twins.Run(t.Context(), aCall(dir, f, out, args...))
	})
	if !ok {
		if at != int64(from) {
			t.Errorf("%q is not taken, but the file was read", args)
		}
		return
	}
	want, theirStatus, theirPlace, _ := run(func(f *os.File, out *bytes.Buffer) (int, bool) {
		cmd := &exec.Cmd{Path: "/usr/bin/" + args[0], Args: args, Env: plainEnv, Dir: dir, Stdin: f, Stdout: out}
		_ = cmd.Run() // the status says it
		return cmd.ProcessState.ExitCode(), true
	})
	if got.String() != want.String() || status != theirStatus || at != theirPlace {
		t.Errorf("%q < file with %q, from %d:\n  ours   %q, status %d, left at %d\n  theirs %q, status %d, left at %d", args, stdin, from, got.String(), status,
			at, want.String(), theirStatus, theirPlace)
	}
}
