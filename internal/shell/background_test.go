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
	for script, by := range map[string]int{
		// What is waited for at once.
		"for x in a b c; do echo $x & done; wait; echo $?":                                 both,
		"f() { echo in $1; }; x=$(for i in 1 2; do f $i & done; wait); echo \"$x\" | sort": both,
		"sleep 0.05 & wait; echo $?":                                                       both,
		"x=1; { x=2; } & wait; echo $x":                                                    both,
		"cat & wait; echo $?":                                                              both,
		"f() { exit 7; }; f & wait; echo $?":                                               both,
		"if [ -n a ]; then (exit 3) & fi; wait; echo $?":                                   both,
		"true & wait; false & echo $?; wait":                                               declined,
		"echo a > f & wait; cat f":                                                         both,
		"echo a > /no/such/f 2>/dev/null & wait; echo $?":                                  declined,
		"for x in a b; do [ $x = a ] && continue; echo $x & done; wait":                    declined,
		"g() { for x in 1 2; do echo $x & return 3; done; wait; }; g; echo $?":             declined,
		"f() { exit; }; for x in 1 2; do f; echo $x & done; wait":                          declined,
		"echo a & echo b": declined,
		"sh -c 'exit 3' & wait $!; f() { for x in 1 2; do sh -c \"echo $x\" & done; wait; }; y=$(f); echo $?": declined,
		"sh -c 'exit 3' & wait $!; y=$(for x in 1 2; do echo b & done; wait); echo $? $y":                     own,
		"c=sleep; $c 0 & wait $!; echo $?": own,
		"c=echo; $c 0 & wait $!":           declined,
		"sh -c 'echo $PPID' > f; read -r x < f; [ \"$x\" = \"$$\" ] && echo same": own,
		"grep -c /proc < /proc/self/mountinfo":                                    both,
		// What goes on by itself, in a process of its own.
		"sleep 0.01 & echo $?; wait $!; echo $?":                                       own,
		"sh -c 'exit 5' & p=$!; wait $p; echo $?":                                      own,
		"sh -c 'kill -9 $$' & wait $!; echo $?":                                        own,
		"no-such-program 2>/dev/null & wait $!; echo $?":                               own,
		"/etc/passwd 2>/dev/null & wait $!; echo $?":                                   own,
		"p=; for x in 1 2; do sh -c \"exit $x\" & p=\"$p $!\"; done; wait $p; echo $?": own,
		"A=b sh -c 'echo $A' > f & wait $!; cat f; echo ${A-none}":                     own,
		"echo in | sh -c 'cat & wait $!'":                                              both,
		"while read -r l; do cat > out & wait $!; echo $l; done < in; cat out":         own,
		"sh -c 'exec sleep 30' & kill $!; wait $!; echo $?":                            own,
		"echo \"[$!]\"; [ -z \"$!\" ] && echo none":                                    own,
		"f() { sh -c 'exit 4' & wait $!; }; f; echo $?":                                own,
		"sleep 0 & wait":               both,
		"f() { echo f; }; f & wait $!": declined,
		"echo a & wait $!":             declined,
		"sleep 0 > /no/such/f 2>/dev/null & wait $!; echo $?":     declined,
		"cat ${x:=y} & wait $!; echo $x":                          declined,
		"x=$(sleep 0 & echo a); echo $x":                          declined,
		"f() { sh -c 'sleep 0.1; echo late' & }; x=$(f); echo $x": declined,
		"f() { sleep 0 & p=$!; }; f; wait; echo $p":               declined,
		"sleep 0 & p=$!; wait 1; echo $?":                         declined,
		"( sleep 0 & wait $! ); echo $?":                          declined,
	} {
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
