package shell

import "testing"

// A redirection that cannot be opened, as dash does it.
func TestTries(t *testing.T) {
	needDash(t)
	for _, script := range []string{
		"read x < none; echo $?",
		"read x < none || echo no $?",
		"if read x < none; then echo a; else echo $?; fi",
		"! read x < none; echo $?",
		"{ echo a; echo b; } > no/such; echo $?",
		"{ read x < none; } 2>/dev/null; echo $?",
		"{ read x < none && [ -n \"$x\" ] && echo a; } 2>/dev/null; echo $?",
		"cat < none; echo $?",
		"echo a > no/such && echo b; echo $?",
		"echo a >> /; echo $?",
		"f() { echo in f; }; f < none; echo $?",
		"f() { read x < none; return $?; }; f; echo $?",
		"f() { read x < none; }; f; echo $?",
		"while read x; do echo $x; done < none; echo $?",
		"while read x; do echo $x; done < none; echo on",
		"for i in 1 2; do echo $i; done > no/such; echo $?",
		"for i in 1 2; do read x < none; echo $?; done",
		"for i in 1 2; do read x < none || continue; echo $i; done; echo $?",
		"for i in 1 2; do { echo a; break; } > f; echo $i; done; echo $?; cat f",
		"while :; do { break; } > f; done; echo $?",
		"while :; do { false; break; } > f; done; echo $?",
		"case a in a) read x < none; esac; echo $?",
		"case a in a) echo a ;; esac < none; echo $?",
		"(echo a) < none; echo $?",
		"x=$(cat < none); echo $?",
		"x=$(read y < none; echo $?); echo $x",
		"cat < none | cat; echo $?",
		"echo a | cat < none; echo $?",
		"false < /dev/null; echo $?",
		"sh -c 'exit 7' < /dev/null; echo $?",
		"f() { return 5; }; f > /dev/null; echo $?",
		"f() { while read l; do return 4; done < f; }; echo a > f; f; echo $?",
		"echo a > f; cat < f > no/such; echo $?; cat f",
		"echo a > f; cat > g < none; echo $?; cat g",
		"read x < none; exit",
		"read x < none",
		"x=1 read y < none; echo $? $x",
		"eval 'read x < none'; echo $?",
		"d=no; read x < \"$d/such\"; echo $?",
		"if [ -n a ] < none; then echo a; fi; echo $?",
		"c=cat; $c < none; echo $?",
		"( exit 3 ) > f; echo $?",
		"{ ( exit 3 ); } > f; echo $?",
		"trap 'echo end $?' EXIT; read x < none; echo $?",
		"command cat < none; echo $?",
	} {
		dir := t.TempDir()
		got, want := interpret(t, dir, script), dash(t, t.TempDir(), script)
		if !got.same(want) || got.decline != "" {
			t.Errorf("%s: %+v; dash: %+v", script, got, want)
		}
	}
	for _, script := range []string{": < none; echo on", "f() { exit 3 < none; echo not; }; f; echo $?", "exec < none; echo on", "export a=1 > no/such; echo on", "> no/such; echo on", "x=1 < none; echo on", "set -- a < none; echo on", "read x < ''; echo $?", "x=$(cat 2>&1 < none); echo $x", "{ cat < none; } 2> f; cat f"} {
		if got := interpret(t, t.TempDir(), script); got.decline == "" {
			t.Errorf("%s: %+v, want it declined", script, got)
		}
	}
}
