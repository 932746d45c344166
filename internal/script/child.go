package script

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"backtowork/internal/inheritance"

	"golang.org/x/sys/unix"
)

// ChildVerb is the first argument of a process that is to become a script: see [RunChild].
const ChildVerb = "run-script"

// embedded stands for the shell that is in this program.
const embedded = "embedded"

// A child is what a process is to become, and how.
type child struct {
	dir   string // that it changes to
	argv  []string
	shell string // what runs a script for sh; "": sh; or embedded
	like  int    // a process whose limits and priorities it has; 0: those of all packages
	told  bool   // the last of its files is told why it could not become argv; nothing where it could
}

// start starts a process that becomes c. It is this program again, because a process that changes
// directory and becomes a script on a disk that hangs, between fork and exec, stops the whole Go
// program that started it: the runtime waits for it. /proc/self/exe is in memory. So a script that
// cannot be begun is a child like any other, and can be killed.
func (c child) start(attr *os.ProcAttr) (*os.Process, error) {
	fd := 2
	if c.told {
		fd = len(attr.Files) - 1
	}
	args := []string{"btw", ChildVerb, strconv.Itoa(fd), strconv.Itoa(c.like), c.shell, c.dir}
	return os.StartProcess("/proc/self/exe", append(args, c.argv...), attr)
}

// Exit statuses of a child that could not become what it was to be, as shells have them.
const (
	notExecutable = 126
	notFound      = 127
)

// An Interpreter runs the script argv[0] in this process. Of an error it says whether something of the script was done.
type Interpreter func(argv []string) (status int, begun bool, err error)

// RunChild makes this process the script that args name. They are: the number of the file to which
// a failure is written, and what [child.start] says. It returns only if that fails, with the exit
// status that a shell would give; or with that of the script, if the embedded shell has run it.
func RunChild(args []string, in Interpreter) int {
	if len(args) < 5 {
		return notFound
	}
	if args[1] == prepared {
		return runPrepared(args)
	}
	fd, _ := strconv.Atoi(args[0])
	like, _ := strconv.Atoi(args[1])
	c := child{like: like, shell: args[2], dir: args[3], argv: args[4:]}
	told, who := os.Stderr, "back-to-work: "
	if fd > 2 {
		told, who = os.NewFile(uintptr(fd), "told"), ""
	}
	if c.like != 0 { // the rest is the caller's, descriptors too
		inheritance.Like(c.like)
	} else {
		inheritance.CloseOthers()
		inheritance.Settle() // a manager's priorities are the usual ones already
		inheritance.Signals(true)
	}
	if status, ok := c.interpret(in); ok {
		return status
	}
	err := c.become()
	fmt.Fprintf(told, "%scannot run %s: %v\n", who, c.argv[0], err)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return notFound
	}
	return notExecutable
}

// interpret runs the script by the embedded shell, if it is to: ok is false where its own shell has to, since nothing was
// done of it yet, or it can be done again: a stop must not fail for what the embedded shell lacks.
func (c *child) interpret(in Interpreter) (status int, ok bool) {
	if c.shell != embedded {
		return 0, false
	}
	c.shell = ""
	if os.Chdir(c.dir) != nil { // become says why
		return 0, false
	}
	first, err := readFirstLine(c.argv[0])
	if err != nil || !first.forSh() || runnable(c.argv[0]) != nil || isBeingWritten(c.argv[0]) {
		return 0, false
	}
	status, begun, err := in(c.argv)
	if err == nil {
		return status, true
	}
	if begun && slices.Contains(c.argv[1:], "start") {
		fmt.Fprintf(os.Stderr, "back-to-work: the embedded shell cannot go on with this start: %v. set-shell auto has it run by its own shell.\n", err)
		return 1, true
	}
	fmt.Fprintf(os.Stderr, "back-to-work: the embedded shell leaves this to the script's own shell: %v.\n", err)
	return 0, false
}

// isBeingWritten says whether somebody has the file open for writing, or it cannot be read.
func isBeingWritten(path string) bool {
	_, err := readWhole(path)
	return err != nil
}

// become makes this process what c says.
func (c child) become() error {
	if err := os.Chdir(c.dir); err != nil {
		return err
	}
	first, readErr := readFirstLine(c.argv[0])
	argv := c.argv
	if errors.Is(readErr, unix.EISDIR) {
		return readErr
	}
	if c.shell != "" && readErr == nil && first.forSh() {
		// A shell's own status for a script that it cannot read may be 2, which means degraded.
		if err := runnable(argv[0]); err != nil {
			return err
		}
		argv = append(append([]string{c.shell}, first.options()...), argv...)
	}
	err := becomePatiently(argv)
	switch {
	case errors.Is(err, unix.ENOEXEC) && readErr == nil && first.binary:
		return fmt.Errorf("it is a program for another kind of machine: %w", err)
	case errors.Is(err, unix.ENOEXEC): // it has no first line that names an interpreter
		sh := "/bin/sh"
		if c.shell != "" {
			sh = c.shell
		}
		return becomePatiently(append([]string{sh}, argv...))
	case err != nil && argv[0] != c.argv[0]:
		return fmt.Errorf("the shell %s: %w", argv[0], err)
	case errors.Is(err, unix.ENOENT) && runnable(argv[0]) == nil && first.interpreter != "":
		return fmt.Errorf("%s: %w", first.missing(), err)
	}
	return err
}

// becomePatiently waits a little for a script that is being written.
func becomePatiently(argv []string) error {
	for end := now() + 500*time.Millisecond; ; pause(5 * time.Millisecond) {
		err := syscall.Exec(argv[0], argv, os.Environ())
		if !errors.Is(err, unix.ETXTBSY) || now() >= end {
			return err
		}
	}
}
