package script

import (
	"errors"
	"fmt"
	"os"
	"strconv"
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
// The file called told, if there is one, must be the last of attr.Files: it is told why the child
// could not become argv[1:], and nothing where it could; a script of its own may end with any status.
func startChild(argv []string, attr *os.ProcAttr, told bool) (*os.Process, error) {
	fd := "-"
	if told {
		fd = strconv.Itoa(len(attr.Files) - 1)
	}
	return os.StartProcess("/proc/self/exe", append([]string{"btw", ChildVerb, fd}, argv...), attr)
}

// OOMScore is a variable in the environment of a process that protects itself from being killed
// when memory runs out. It says which rank in that order the process's children are to have.
const OOMScore = "BTW_OOM_SCORE_ADJ"

// TakeOOMScore gives this process the rank that OOMScore names, if it is set, and removes the
// variable. The child does it itself, before it starts anything: so no child of its own inherits
// the protection.
func TakeOOMScore() {
	if score, ok := os.LookupEnv(OOMScore); ok {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0) // it never asks for more than it has
		_ = os.Unsetenv(OOMScore)
	}
}

// Exit statuses of a child that could not become what it was to be, as shells have them.
const (
	notExecutable = 126
	notFound      = 127
)

// RunChild makes this process the script that args name. They are: the number of the file to which
// a failure is written ("-": stderr), the directory to change to, and the command. It returns only
// if that fails, with the exit status that a shell would give.
func RunChild(args []string) int {
	if len(args) < 3 {
		return notFound
	}
	TakeOOMScore()
	told, who := os.Stderr, "back-to-work: "
	if fd, err := strconv.Atoi(args[0]); err == nil {
		syscall.CloseOnExec(fd)
		told, who = os.NewFile(uintptr(fd), "told"), ""
	}
	err := os.Chdir(args[1])
	if err == nil {
		err = becomePatiently(args[2:])
	}
	if errors.Is(err, unix.ENOENT) {
		if _, e := os.Stat(args[2]); e == nil {
			err = fmt.Errorf("the interpreter that is to run it is missing: %w", err)
		}
	}
	fmt.Fprintf(told, "%scannot run %s: %v\n", who, strings.Join(args[2:], " "), err)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return notFound
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
