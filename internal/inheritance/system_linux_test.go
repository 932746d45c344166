package inheritance

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const role = "INHERITANCE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "settles":
		blockAll()
		CloseOthers()
		Settle()
		SettleSchedule()
		Signals(os.Getenv("IGNORED") == "")
		report()
	case "doubts":
		fmt.Println(strings.Join(Doubts(), "\n"))
		os.Exit(0)
	case "is like":
		like := unix.Getppid()
		SettleLimits()
		SettleSchedule()
		Like(like)
		report()
	}
	os.Exit(m.Run())
}

// blockAll blocks the signals that a caller may have blocked.
func blockAll() {
	runtime.LockOSThread()
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
	signal.Ignore(syscall.SIGUSR1)
}

// report becomes a shell that prints what it has inherited.
func report() {
	_ = syscall.Exec("/bin/sh", []string{"sh", "-c", `grep -E '^Sig(Blk|Ign)' /proc/$$/status | tr -d '\t\n'
echo; umask; ulimit -n; ulimit -t; ulimit -f; ulimit -c; ps -o cls=,ni= -p $$; for f in 1 2 7 9; do [ ! -e /proc/$$/fd/$f ] || printf '%s ' $f; done; cat /proc/$$/oom_score_adj`}, os.Environ())
	os.Exit(1)
}

// caller runs this test program in a shell that has set all kinds of things; what it prints is
// returned, a line each.
func caller(t *testing.T, as string, env ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("nice"); err != nil {
		t.Skip(err)
	}
	score := min(ownScore(t)+100, 1000)
	cmd := exec.Command("/bin/sh", "-c", `trap '' HUP USR2; umask 077; ulimit -S -t 1000; ulimit -S -f 100000; ulimit -S -n 200
echo `+strconv.Itoa(score)+` > /proc/self/oom_score_adj; exec 7</dev/null 9</dev/null; exec nice -n 7 sh -c '"$0"; exit' "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), append(env, role+"="+as)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func ownScore(t *testing.T) (score int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err == nil {
		_, err = fmt.Sscan(string(text), &score)
	}
	if err != nil {
		t.Fatal(err)
	}
	return score
}

// nicer is how ps shows a process of caller.
func nicer(t *testing.T) string {
	t.Helper()
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("TS %3d", min(own.Nice+7, 19))
}

// What we start is the same whoever calls.
func TestSettle(t *testing.T) {
	t.Parallel()
	got := caller(t, "settles")
	nice, score := "TS   0", "0"
	if os.Getuid() != 0 {
		nice, score = nicer(t), "" // what only root can undo
	}
	for i, want := range []string{
		"SigBlk:0000000000000000SigIgn:0000000000000000", "0022", "1024", "unlimited", "unlimited", "0", nice, "1 2 " + score,
	} {
		if i >= len(got) || strings.TrimSpace(got[i]) != want && (score != "" || !strings.HasPrefix(got[i], want)) {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
}

// In the foreground what the user wants ignored stays so; nothing is blocked.
func TestSettleInForeground(t *testing.T) {
	t.Parallel()
	blocked, ignored, _ := strings.Cut(caller(t, "settles", "IGNORED=yes")[0], "SigIgn:")
	mask, err := strconv.ParseUint(ignored, 16, 64) // whoever runs the tests may have others ignored too
	if blocked != "SigBlk:0000000000000000" || err != nil || mask&1 == 0 {
		t.Errorf("%q blocked, %q ignored: want nothing blocked, and HUP (1) ignored", blocked, ignored)
	}
}

// A user's own command has what it would have without us.
func TestLike(t *testing.T) {
	t.Parallel()
	got := caller(t, "is like")
	score := strconv.Itoa(min(ownScore(t)+100, 1000))
	for i, want := range []string{"SigBlk:", "0077", "200", "1000", "100000", "", nicer(t), "1 2 7 9 " + score} {
		if i >= len(got) || !strings.HasPrefix(strings.TrimSpace(got[i]), want) {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
}

// What could not be settled is told.
func TestDoubts(t *testing.T) {
	t.Parallel()
	got := strings.Join(caller(t, "doubts"), "\n")
	for _, want := range []string{
		"no more than 1000 seconds of processor time", "bytes for a file", strings.Replace(nicer(t), "TS ", "runs after other programs (nice", 1),
	} {
		if !strings.Contains(strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
