package testscripts

import (
	"bytes"
	"flag"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"backtowork/internal/cli"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	run := map[string]func(){}
	for _, name := range cli.Names() {
		run[name] = func() { os.Exit(cli.Main()) }
	}
	run["btw"] = func() { os.Exit(cli.Main()) }
	run[ender] = endOrphans
	if run[filepath.Base(os.Args[0])] == nil { // this is the test binary itself, not one of the commands
		for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
			if signal.Ignored(s) { // under nohup: the programs started here must not ignore the signal too
				signal.Notify(make(chan os.Signal, 1), s)
			}
		}
		if err := flag.Set("test.parallel", "4"); err != nil { // a default, which -test.parallel replaces: the tests here mostly wait
			panic(err)
		}
	}
	testscript.Main(m, run)
}

// TestScripts runs testscripts/*.txtar: one per command, one per story.
func TestScripts(t *testing.T) {
	t.Parallel()
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 ".",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Condition: func(cond string) (bool, error) {
			return cond == "root" && os.Getuid() == 0 || cond == "ci" && os.Getenv("CI") == "true", nil
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repo)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second longer with -race
			env.Setenv("GOHOME", os.Getenv("HOME"))   // where go has its cache
			env.Defer(func() { endAll(env.WorkDir) })
			return endsWithUs(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"home":       makeHome,
			"signal":     signalCommand,
			"eventually": eventually,
			"status":     exitsWith,
			"runs":       runs,
			"end":        end,
			"listen":     listen,
		},
	})
}

// makeHome (home DIR) makes DIR a home like a fresh clone's, with the shipped packages
// and a lock server port that no other script uses, and sets BTW_HOME to it.
func makeHome(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: home DIR")
	}
	home, repo := ts.MkAbs(args[0]), ts.Getenv("REPO")
	for _, dir := range []string{"conf", "log", "dex-lock/conf"} {
		ts.Check(os.MkdirAll(filepath.Join(home, dir), 0o755))
	}
	for _, dir := range []string{"packages", "modules", "utils"} {
		ts.Check(exec.Command("cp", "-a", filepath.Join(repo, dir), home).Run())
	}
	servers := "localhost:" + freePort()
	ts.Check(os.WriteFile(filepath.Join(home, "dex-lock/conf/lock_servers"), []byte(servers+"\n"), 0o644))
	ts.Setenv("BTW_HOME", home)
	ts.Setenv("LOCK_SERVERS", servers)
}

// listen (listen silent|rude) takes the port of $LOCK_SERVERS for the rest of the script. It stands
// for a program that never answers (silent), or that hangs up (rude).
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen silent|rude")
	}
	l, err := net.Listen("tcp", ts.Getenv("LOCK_SERVERS"))
	ts.Check(err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if args[0] == "silent" {
				defer conn.Close()
			} else {
				_ = conn.Close()
			}
		}
	})
	ts.Defer(func() {
		_ = l.Close()
		wg.Wait()
	})
}

// signalCommand (signal NAME CMD) sends a signal to a background command of the script.
func signalCommand(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
		"USR1": syscall.SIGUSR1, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}
	if neg || len(args) != 2 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal HUP|INT|TERM|KILL|USR1|STOP|CONT CMD")
	}
	for _, cmd := range ts.BackgroundCmds() {
		if strings.HasSuffix(cmd.Args[0], "/"+args[1]) || cmd.Args[0] == args[1] {
			ts.Check(cmd.Process.Signal(signals[args[0]]))
			return
		}
	}
	ts.Fatalf("no background command %q", args[1])
}

// processes is the command lines, by pid, of what runs for the script that works in dir.
func processes(dir string) map[int]string {
	mark, found := []byte("\x00WORK="+dir+"\x00"), map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(proc))
		env, err := os.ReadFile(proc + "/environ")
		if err != nil || !bytes.Contains(append([]byte{0}, env...), mark) {
			continue
		}
		line, err := os.ReadFile(proc + "/cmdline")
		if err == nil { // else it has just ended
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// endAll kills every process of the script that works in dir: lock servers in the background,
// and what a package or a failed script left.
func endAll(dir string) {
	for range 100 { // what is killed may have just forked
		left := processes(dir)
		if len(left) == 0 {
			return
		}
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// runs REGEXP checks that a process of this script has a command line that matches. ! runs checks
// that there is none, but gives one that is ending a moment: service stop returns when its package
// has ended.
func runs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] runs REGEXP")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	const ending = 2 * time.Second
	for end := time.Now().Add(ending); ; time.Sleep(10 * time.Millisecond) {
		found := false
		all := processes(ts.Getenv("WORK"))
		for _, line := range all {
			found = found || re.MatchString(line)
		}
		switch {
		case found != neg:
			return
		case !neg || time.Now().After(end):
			ts.Fatalf("%q runs: %v; there are %v", args[0], found, all)
		}
	}
}

// end REGEXP ends the processes of this script whose command line matches, and waits for that.
func end(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: end REGEXP")
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	asked := map[int]bool{}
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		left := false
		for pid, line := range processes(ts.Getenv("WORK")) {
			if !re.MatchString(line) {
				continue
			}
			left = true
			if !asked[pid] {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
			asked[pid] = true
		}
		if !left {
			return
		}
	}
	ts.Fatalf("%q does not end", args[0])
}

// eventually FILE REGEXP [SECONDS] waits until FILE matches, at most 10 seconds; ! eventually
// waits until it does not, or is gone.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	limit := 10 * time.Second
	if len(args) == 3 {
		seconds, err := strconv.ParseFloat(args[2], 64)
		ts.Check(err)
		limit = time.Duration(seconds * float64(time.Second))
		args = args[:2]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: [!] eventually FILE REGEXP [SECONDS]")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		if re.Match(text) != neg {
			return
		}
	}
	ts.Fatalf("%s: %q not seen (wanted %v) in %v; it says:\n%s", args[0], args[1], !neg, limit, text)
}

// exitsWith (status N CMD ARG...) runs CMD and wants exit status N.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%s: exit status %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}
