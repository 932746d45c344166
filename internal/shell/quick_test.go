package shell

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A line of which nothing is quoted is divided as any other.
func TestPlainSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		line := make([]byte, r.IntN(12))
		for i := range line {
			line[i] = " \tab"[r.IntN(4)]
		}
		n := 1 + r.IntN(4)
		got, want := make([]string, n), split(line, make([]bool, len(line)), " \t\n", n)
		plainSplit(got, string(line))
		if !slices.Equal(got, want) {
			t.Fatalf("%q in %d: %q, want %q", line, n, got, want)
		}
	}
}

// Nothing that a subshell sets stays, and nothing of a run comes into the next.
func TestQuickMemory(t *testing.T) {
	dir := t.TempDir()
	for _, script := range []string{
		`x=1; f() { echo f; }; (x=2; y=3; f() { echo g; }; f; echo $x $y; (unset x; echo "<$x>"); echo $x); f; echo $x "<$y>"`,
		`a=$(b=1; c=$(b=2; echo $b); echo $b$c); echo $a "<$b>"; (export a=5; cd /; [ -d etc ] && echo in; d=6); echo $a "<$d>"`,
		`echo "<$x>" "<$y>" "<$b>"; x=7 | y=8; echo "<$x>" "<$y>"; echo 1 2 3 | while read -r x y; do z="$x/$y"; echo $z; done; echo "<$z>"`,
		`set -- a "b c" d; for i in "$@" $2 e$1$3; do echo "$i$(set -- q; echo $1)"; done; echo $# "$*" ${1}x"$2"y$3`,
	} {
		for range 2 {
			got, want := interpret(t, dir, script), dash(t, dir, script)
			if !got.same(want) || !got.quick {
				t.Errorf("%s: %+v, dash: %+v", script, got, want)
			}
		}
	}
}
