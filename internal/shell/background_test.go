package shell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// both is for a script in a process of its own and for one that shares it; own for the former alone.
const (
	both = iota
	own
	declined
)

// Commands in the background are done as dash does them, or declined.
func TestBackground(t *testing.T) {
	needDash(t)
	for by, scripts := range [][]string{
		both: {
			"for x in a b c; do echo $x & done; wait; echo $?",
			"f() { echo in $1; }; x=$(for i in 1 2; do f $i & done; wait); echo \"$x\" | sort",
			"sleep 0.05 & wait; echo $?",
			"x=1; { x=2; } & wait; echo $x",
			"cat & wait; echo $?",
			"f() { exit 7; }; f & wait; echo $?",
			"if [ -n a ]; then (exit 3) & fi; wait; echo $?",
			"echo a > f & wait; cat f",
			"grep -c /proc < /proc/self/mountinfo",
			"echo in | sh -c 'cat & wait $!'",
			"sleep 0 & wait",
		},
		own: {
			"sh -c 'exit 3' & wait $!; y=$(for x in 1 2; do echo b & done; wait); echo $? $y",
			"c=sleep; $c 0 & wait $!; echo $?",
			"sh -c 'echo $PPID' > f; read -r x < f; [ \"$x\" = \"$$\" ] && echo same",
			"sleep 0.01 & echo $?; wait $!; echo $?",
			"sh -c 'exit 5' & p=$!; wait $p; echo $?",
			"sh -c 'kill -9 $$' & wait $!; echo $?",
			"no-such-program 2>/dev/null & wait $!; echo $?",
			"/etc/passwd 2>/dev/null & wait $!; echo $?",
			"p=; for x in 1 2; do sh -c \"exit $x\" & p=\"$p $!\"; done; wait $p; echo $?",
			"A=b sh -c 'echo $A' > f & wait $!; cat f; echo ${A-none}",
			"while read -r l; do cat > out & wait $!; echo $l; done < in; cat out",
			"sh -c 'exec sleep 30' & kill $!; wait $!; echo $?",
			"echo \"[$!]\"; [ -z \"$!\" ] && echo none",
			"f() { sh -c 'exit 4' & wait $!; }; f; echo $?",
		},
		declined: {
			"true & wait; false & echo $?; wait",
			"echo a > /no/such/f 2>/dev/null & wait; echo $?",
			"for x in a b; do [ $x = a ] && continue; echo $x & done; wait",
			"g() { for x in 1 2; do echo $x & return 3; done; wait; }; g; echo $?",
			"f() { exit; }; for x in 1 2; do f; echo $x & done; wait",
			"echo a & echo b",
			"sh -c 'exit 3' & wait $!; f() { for x in 1 2; do sh -c \"echo $x\" & done; wait; }; y=$(f); echo $?",
			"c=echo; $c 0 & wait $!",
			"f() { echo f; }; f & wait $!",
			"echo a & wait $!",
			"sleep 0 > /no/such/f 2>/dev/null & wait $!; echo $?",
			"cat ${x:=y} & wait $!; echo $x",
			"x=$(sleep 0 & echo a); echo $x",
			"f() { sh -c 'sleep 0.1; echo late' & }; x=$(f); echo $x",
			"f() { sleep 0 & p=$!; }; f; wait; echo $p",
			"sleep 0 & p=$!; wait 1; echo $?",
			"( sleep 0 & wait $! ); echo $?",
		},
	} {
		for _, script := range scripts {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "in"), []byte("one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			want := dash(t, dir, script)
			for _, isOwn := range []bool{false, true} {
				s, err := parse(filepath.Join(dir, "script"), []byte(script), isOwn)
				if err != nil {
					t.Fatal(err)
				}
				got := outcome{}
				if f := s.Check(); len(f) > 0 {
					got.decline = f[0].String()
				} else {
					got = inDir(dir, nil).interpret(t, s)
				}
				should := by == both || by == own && isOwn
				if (got.decline == "") != should || should && !sortedSame(got, want) {
					t.Errorf("%s (own: %v): %+v; dash: %+v", script, isOwn, got, want)
				}
			}
		}
	}
}

// sortedSame: what runs at the same time prints in any order.
func sortedSame(a, b outcome) bool {
	lines := func(s string) string { f := strings.Fields(s); slices.Sort(f); return strings.Join(f, " ") }
	return a.status == b.status && lines(a.out) == lines(b.out)
}

// What a script of its own has begun lives on after it.
func TestBackgroundLivesOn(t *testing.T) {
	dir := t.TempDir()
	s, err := ParseOwn(filepath.Join(dir, "script"), []byte("sh -c 'sleep 0.3; echo done > late' & echo $! > pid"))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if o := inDir(dir, nil).interpret(t, s); o.decline != "" || o.status != 0 {
		t.Fatalf("%+v", o)
	}
	if pid, err := os.ReadFile(filepath.Join(dir, "pid")); err != nil || len(pid) < 2 {
		t.Errorf("its pid is %q, %v", pid, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "late")); err == nil && time.Since(begin) < 300*time.Millisecond {
		t.Error("it was waited for")
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "late")); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatal("it does not live on")
		}
	}
}
