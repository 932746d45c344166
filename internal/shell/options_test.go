package shell

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSetOptions: set -e and -u are done here, as dash does them, also in what is sourced. What would end dash with words declines.
func TestSetOptions(t *testing.T) {
	needDash(t)
	for _, script := range []string{
		"set -e; f() { false; echo in; (false; echo sub); }; f || echo x; if f; then echo t; fi; ! f; f && echo y; f; echo no",
		"set -e; g() { :; }; h() { false; }; f() { if \"$@\"; then echo t; fi; \"$@\"; echo on; }; f g; f h; echo no",
		"set -e; f() { eval \"$1\"; echo on; }; f 'false; echo in' || echo x; f 'false; echo in'; echo no",
		"set -e; f() { x=$(false; echo in); echo \"<$x>\"; }; f || echo x; f; echo no",
		"set -e; g() { false; echo g; }; f() { x=$(g); echo \"<$x>\"; echo `g`; echo on; }; f || echo x; f; echo no",
		"set -e; if (false; echo in) | cat; then echo p; fi; (false; echo in) | cat; echo a | { false; echo in; }; echo no",
		"set -e; f() { return $1; }; f 0; f 2 || echo $?; while f 1; do :; done; until f 0; do :; done; (f 3); echo no",
		"set -e; [ a = b ] && echo no; case a in a) [ a = b ] && echo no ;; esac; echo $?; f() { [ a = b ] && echo no; }; f; echo no",
		"set -e; for i in 1 2 3; do [ $i = 1 ] && continue; if [ $i = 2 ]; then false || break; fi; done; echo $i; false | true; true | false; echo no",
		"set -e; { false; echo in; } & wait; f() { { false; echo in; } & wait; echo $?; }; f || echo x; ! f",
		"set -e; for i in 1 2; do false || [ $i = 1 ] || break && echo $i; done; false || false || echo x; while :; do if :; then false || break && echo no; fi; done; echo $?",
		"set -e; (exit 3) || (exit 4) || echo $?; y=$(exit 5) || echo $?; (exit 6) && echo no; trap 'echo bye $?' EXIT; x=$(exit 7); echo no",
		"set -e; trap - INT TERM; . ./lib; y=ret; . ./lib || echo no; echo no",
		"set -e; y=ret; if ! . ./lib; then echo no; fi; echo no",
		"set -e; f() { set +e; false; echo $?; }; f; false; g() { set -e; }; if g; then false; fi; echo no",
		"set -eu; a=1 b=; echo $a \"$b\" ${c-none} $((d + a)) ${#a} ${b%x} \"$1 $2\" \"$@\"; for i in $a; do [ \"$i\" ] && continue; done; cat <<E\n$a\nE\n",
		"set -u; f() { local x=$1 y; y=$x; echo \"$y ${2:-}\"; shift; echo $#; }; f a; f b c | cat; case $1 in a) echo \"$(f d)\" ;; esac; set +u; echo \"$nosuch\"",
	} {
		if here, there := twins(t, script); here.decline != "" {
			t.Errorf("%s: declined: %s", script, here.decline)
		} else if !here.same(there) {
			t.Errorf("%s\nhere: %d\n%s\ndash: %d\n%s", script, here.status, here.out, there.status, there.out)
		}
	}
	for _, script := range []string{
		"set -u; echo $x", "set -u; echo \"$3\"", "set -u; f() { local x; echo $x; }; f", "set -u; : $((${x}))", "set -u; x=$(echo $y)", "set -u; echo > $x", "set -u; if [ $x ]; then :; fi",
		"set -e; trap false EXIT; exit 0", "set -e; { :; } > nosuch/x", "set -e x", "eval 'set -e'",
	} {
		if here := interpret(t, t.TempDir(), script); here.decline == "" {
			t.Errorf("%s: %q, %d", script, here.out, here.status)
		}
	}
}

// TestSetOptionsElsewhere: on the first line, and in a file that is sourced.
func TestSetOptionsElsewhere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"first":  "#!/bin/sh -e\nfalse || echo x\nfalse\necho no\n",
		"source": ". ./sets\nfalse || echo x\nfalse\necho no\n",
		"sets":   "#!/bin/sh -u\nset -e\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"first", "source"} {
		scripts, findings := CheckAll(filepath.Join(dir, name), os.ReadFile, Glob)
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		s := inDir(dir, nil)
		s.source = func(path string) (*Script, error) {
			return scripts[slices.IndexFunc(scripts, func(s *Script) bool { return s.Path == filepath.Clean(path) })], nil
		}
		for range 2 {
			if o := s.interpret(t, scripts[0]); o.out != "x\n" || o.status != 1 || o.decline != "" {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
}
