package script

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ChildVerb is the first argument of a process that is to become a script: see [RunChild].
const ChildVerb = "run-script"

// startChild starts a process that changes to the directory argv[0] and becomes argv[1:]. It is
// this program again, because a process that does both on a disk that hangs, between fork and
// exec, stops the whole Go program that started it: the runtime waits for it. /proc/self/exe is
// in memory. So a script that cannot be begun is a child like any other, and can be killed.
func startChild(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	return os.StartProcess("/proc/self/exe", append([]string{"btw", ChildVerb}, argv...), attr)
}

// OOMScore is set in the environment of who has, for itself, another place in the order in which
// processes are killed where memory is short: the place that its children are to have.
const OOMScore = "BTW_OOM_SCORE_ADJ"

// TakeOOMScore gives this process the place that OOMScore names, if it does, and forgets that. It
// is done by the child: there is no moment in which its own children could inherit the other.
func TakeOOMScore() {
	if score, ok := os.LookupEnv(OOMScore); ok {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0) // it never asks for more than it has
		_ = os.Unsetenv(OOMScore)
	}
}

// RunChild makes this process the script that args names: the directory to be in, and the
// command. It returns only where that fails: the exit status, as a shell's.
func RunChild(args []string) int {
	if len(args) < 2 {
		return notFound
	}
	TakeOOMScore()
	err := os.Chdir(args[0])
	if err == nil {
		err = becomePatiently(args[1:])
	}
	if errors.Is(err, unix.ENOENT) {
		if _, e := os.Stat(args[1]); e == nil {
			err = fmt.Errorf("the interpreter that is to run it is missing: %w", err)
		}
	}
	fmt.Fprintf(os.Stderr, "back-to-work: cannot run %s: %v\n", strings.Join(args[1:], " "), err)
	if status := statusOf(err); status != 0 {
		return status
	}
	return notExecutable
}

// becomePatiently waits a little for a script that is being written, and gives one without a
// first line to /bin/sh, as a shell would.
func becomePatiently(argv []string) error {
	for end := now() + 500*time.Millisecond; ; {
		err := syscall.Exec(argv[0], argv, os.Environ())
		switch {
		case errors.Is(err, unix.ENOEXEC) && argv[0] != "/bin/sh":
			argv = append([]string{"/bin/sh"}, argv...)
		case errors.Is(err, unix.ETXTBSY) && now() < end:
			pause(5 * time.Millisecond)
		default:
			return err
		}
	}
}
