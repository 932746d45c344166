package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"backtowork/internal/inheritance"
)

// prepared stands, in the arguments of a child, where others name a process: what follows is a preparation.
const prepared = "prepared"

// A preparation is what a process does to itself before it becomes a command.
type preparation struct {
	Umask, Nice *int
	Limits      []Limit
	Credential  *syscall.Credential // comes last: with it the right to the others may go
}

// startPrepared starts a process that prepares itself, and returns when it has become the command, or could not. If that
// is on a disk that hangs, so does this call.
func (c *Commands) startPrepared(key string, l Launch, attr *os.ProcAttr) (pid int, err error) {
	spec, err := json.Marshal(preparation{l.Umask, l.Nice, l.Limits, l.Credential})
	if err != nil {
		return 0, err
	}
	for _, limit := range l.Limits {
		if _, ok := limitNames[limit.Name]; !ok {
			return 0, fmt.Errorf("no limit is called %q: %w", limit.Name, syscall.EINVAL)
		}
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer told.Close()
	attr.Files = append(attr.Files, tell)
	attr.Sys.Credential, attr.Dir = nil, ""
	args := append([]string{"btw", ChildVerb, strconv.Itoa(len(attr.Files) - 1), prepared, string(spec), l.Dir}, l.Argv...)
	r := &running{key: key, pending: true}
	pid, err = c.begin(key, attr, r, func(attr *os.ProcAttr) (*os.Process, error) {
		return os.StartProcess("/proc/self/exe", args, attr)
	})
	tell.Close()
	if err != nil {
		return 0, err
	}
	why, _ := io.ReadAll(told)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.pending, r.failed = false, len(why) > 0
	if r.failed {
		number, what, _ := strings.Cut(string(why), " ")
		errno, _ := strconv.Atoi(number)
		return 0, fmt.Errorf("%s%w", what, syscall.Errno(errno))
	}
	if r.early != nil {
		c.queue = append(c.queue, *r.early)
		c.rouse()
	}
	return pid, nil
}

// runPrepared makes this process what args of [RunChild] say. It returns only if that fails.
func runPrepared(args []string) int {
	fd, _ := strconv.Atoi(args[0])
	var p preparation
	what, err := "", json.Unmarshal([]byte(args[2]), &p)
	if err == nil {
		inheritance.CloseOthers()
		inheritance.Signals(true)
		what, err = p.become(args[3], args[4:])
	}
	errno := syscall.EINVAL
	_ = errors.As(err, &errno)
	fmt.Fprintf(os.NewFile(uintptr(fd), "told"), "%d %s", int(errno), what)
	return notFound
}

// become says at what it failed.
func (p preparation) become(dir string, argv []string) (what string, err error) {
	for _, l := range p.Limits {
		if err := l.set(); err != nil {
			return "limit " + l.Name + ": ", err
		}
	}
	if p.Nice != nil {
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, *p.Nice); err != nil {
			return fmt.Sprintf("nice %d: ", *p.Nice), err
		}
	}
	if p.Umask != nil {
		syscall.Umask(*p.Umask)
	}
	if err := setCredential(p.Credential); err != nil {
		return "its user: ", err
	}
	if dir != "" {
		if err := syscall.Chdir(dir); err != nil {
			return fmt.Sprintf("its directory %q: ", dir), err
		}
	}
	return "", syscall.Exec(argv[0], argv, os.Environ())
}

// setCredential makes this process another user's, as os.StartProcess does.
func setCredential(c *syscall.Credential) error {
	if c == nil {
		return nil
	}
	if !c.NoSetGroups {
		groups := make([]int, len(c.Groups))
		for i, g := range c.Groups {
			groups[i] = int(g)
		}
		if err := syscall.Setgroups(groups); err != nil {
			return err
		}
	}
	if err := syscall.Setgid(int(c.Gid)); err != nil {
		return err
	}
	return syscall.Setuid(int(c.Uid))
}
