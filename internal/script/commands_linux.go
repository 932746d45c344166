package script

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var limitNames = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
	"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
	"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

func (l Limit) set() error {
	return unix.Setrlimit(limitNames[l.Name], &unix.Rlimit{Cur: l.Soft, Max: l.Hard})
}

// ignoredSignals are those that a process started now would ignore.
func ignoredSignals() (sigs []os.Signal) {
	status, _ := os.ReadFile("/proc/self/status")
	_, line, _ := strings.Cut(string(status), "\nSigIgn:")
	var mask uint64
	_, _ = fmt.Sscanf(line, "%x", &mask)
	for sig := 1; sig <= 64; sig++ {
		if mask&(1<<(sig-1)) != 0 {
			sigs = append(sigs, syscall.Signal(sig))
		}
	}
	return sigs
}

// unblockSignals has what this goroutine starts have no signal blocked, until the function that it returns is called:
// a child has the mask of the thread that starts it.
func unblockSignals() (restore func()) {
	runtime.LockOSThread()
	var mask unix.Sigset_t
	err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, &mask)
	return func() {
		if err == nil {
			_ = unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil)
		}
		runtime.UnlockOSThread()
	}
}

// A follower learns of the end of processes that are not children of this one, by one goroutine and no thread.
type follower struct {
	file *os.File // an epoll, which the runtime waits for like for any other file
	conn syscall.RawConn

	mu   sync.Mutex
	pids map[int]int // of whom an event of a descriptor tells
}

func newFollower() (*follower, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot wait for processes: %w", err)
	}
	f := &follower{file: os.NewFile(uintptr(fd), "epoll"), pids: make(map[int]int)}
	f.conn, err = f.file.SyscallConn()
	return f, err
}

// add follows the process that p was when it was read.
func (f *follower) add(p proc) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := readProc(p.pid)
	switch {
	case exhausted(err):
	case err != nil || now.start != p.start:
		err = unix.ESRCH
	default:
		fault := f.conn.Control(func(epoll uintptr) {
			err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		})
		err = errors.Join(err, fault)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	f.pids[fd] = p.pid
	return nil
}

// run tells of the ends, until close.
func (f *follower) run(tell func(pid int)) {
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := f.conn.Read(func(epoll uintptr) bool {
			n, _ = unix.EpollWait(int(epoll), events, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			fd := int(e.Fd)
			f.mu.Lock()
			pid := f.pids[fd]
			delete(f.pids, fd)
			unix.Close(fd)
			f.mu.Unlock()
			tell(pid)
		}
	}
}

func (f *follower) close() {
	f.file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for fd := range f.pids {
		unix.Close(fd)
	}
	clear(f.pids)
}
