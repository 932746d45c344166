//go:build linux

package script

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A guard takes all that descends from its process for its own, so each is tested in a process.
func init() {
	if how := os.Getenv("SCRIPT_TEST_GUARD"); how != "" {
		os.Exit(guardOnce(how))
	}
}

// guardOnce runs the script in $SCRIPT_TEST_COMMAND, and prints its status and what is alive
// after KillAll.
func guardOnce(how string) int {
	runtime.LockOSThread()
	g, err := NewGuard(Config{Name: "guard-test." + strconv.Itoa(os.Getpid()), Lock: "l", Session: "s" + strconv.Itoa(os.Getpid()), Cgroup: strings.TrimPrefix(how, "auto")})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer g.Close()
	env := []string{"PATH=" + os.Getenv("PATH"), "BTW_LOCK=l", "BTW_SESSION=s" + strconv.Itoa(os.Getpid())}
	argv := []string{"/bin/sh", "-c", os.Getenv("SCRIPT_TEST_COMMAND")}
	if err := g.Start(argv, env, []*os.File{os.Stdin, os.Stdout, os.Stderr}, syscall.Getpgrp(), os.Getpid()); err != nil {
		fmt.Println(err)
		return 1
	}
	status, ended := g.Reap()
	for ; !ended; status, ended = g.Reap() {
		pause(time.Millisecond)
	}
	left, err := g.KillAll(100 * time.Millisecond)
	fmt.Println(status, left, err)
	return 0
}

// guarded runs command under a guard, and returns what that prints, and the processes that the
// command has noted in pids, which must be gone.
func guarded(t *testing.T, how, command string) (said string, pids []int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SCRIPT_TEST_GUARD="+how, "SCRIPT_TEST_COMMAND="+command, "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 5 * time.Second // what is left may hold the output open
	out, failed := cmd.Output()
	noted, err := os.ReadFile(filepath.Join(cmd.Dir, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(noted)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
		if lives(pid) {
			t.Errorf("process %d is alive", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if failed != nil {
		t.Fatalf("%v: %s", failed, out)
	}
	return strings.TrimSpace(string(out)), pids
}

// Whatever a command leaves behind, nothing of it is alive after KillAll.
func TestGuardKillsAll(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]string{
		"background":     `sleep 600 & echo $! >>pids`,
		"session":        `setsid sleep 600 & echo $! >>pids`,
		"no environment": `env -i /bin/sh -c 'setsid /bin/sleep 600 & echo $! >>pids'`,
		"twice forked":   `(setsid env -i /bin/sh -c '(/bin/sleep 600 & echo $! >>pids) &' ) ; until [ -s pids ] ; do sleep 0.01 ; done`,
		"deaf":           `setsid sh -c 'trap "" TERM ; echo $$ >>pids ; while : ; do sleep 600 ; done' & until [ -s pids ] ; do sleep 0.01 ; done`,
		"stopped":        `setsid sleep 600 & echo $! >>pids ; kill -STOP $!`,
	} {
		for _, how := range []string{"auto", "none"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				said, pids := guarded(t, how, leave+` ; exit 5`)
				if want := "5 [] <nil>"; said != want {
					t.Errorf("status, left and error = %s, want %s", said, want)
				}
				if len(pids) == 0 {
					t.Fatal("the command left nothing")
				}
			})
		}
	}
}

// The exit status tells of a signal, as a shell says it.
func TestGuardStatus(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ command, want string }{
		{`exit 0`, "0 [] <nil>"},
		{`exit 255`, "255 [] <nil>"},
		{`kill -KILL $$`, "137 [] <nil>"},
		{`kill -TERM $$`, "143 [] <nil>"},
	} {
		if said, _ := guarded(t, "auto", `echo $$ >pids ; `+row.command); said != row.want {
			t.Errorf("%s: %s, want %s", row.command, said, row.want)
		}
	}
}

func TestGuardRefuses(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Name: "a/b", Session: "s"}, {Name: "", Session: "s"}, {Name: "a"}} {
		if _, err := NewGuard(cfg); err == nil {
			t.Errorf("NewGuard(%+v) has no error", cfg)
		}
	}
}
