package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep hold of what scripts leave running: %w", err)
	}
	return nil
}

// inside returns attr changed so that the process starts straight in c, whose directory is open as
// dir.
func (c *cgroup) inside(attr syscall.SysProcAttr, dir *os.File) *syscall.SysProcAttr {
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return &attr
}

// endWithParent returns attr changed so that the process is killed when the thread that starts it
// ends.
func endWithParent(attr syscall.SysProcAttr) syscall.SysProcAttr {
	attr.Pdeathsig = syscall.SIGKILL
	return attr
}

// anyChild has wait4 tell of every kind of child.
const anyChild = unix.WALL

// signal sends sigs to the process that p was when it was read, never to one that came after it.
func (p proc) signal(sigs ...unix.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == nil {
		defer unix.Close(fd)
	} else {
		fd = -1 // an old kernel: the look below leaves a gap of microseconds
	}
	if now, err := readProc(p.pid); err != nil || now.start != p.start {
		return
	}
	for _, sig := range sigs {
		if fd >= 0 {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		} else {
			_ = unix.Kill(p.pid, sig)
		}
	}
}

// siginfo is the kernel's siginfo_t as waitid fills it.
type siginfo struct {
	signo, errno, code int32
	child              struct {
		_      [0]uintptr // aligned as the kernel's union is
		pid    int32
		uid    uint32
		status int32
	}
	_ [128]byte
}

// awaitEnd waits until child pid has ended and leaves it unreaped.
func awaitEnd(pid int) int {
	var info siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 255 // somebody else reaped it: say the worst that a script can say
		case info.code == 1: // CLD_EXITED
			return int(info.child.status)
		}
		return 128 + int(info.child.status)
	}
}

// isNear says whether one comes to path without leaving the file system of home, or that of /.
func isNear(home, path string) bool {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV}
	if fd, err := unix.Openat2(unix.AT_FDCWD, path, &how); err == nil {
		_ = unix.Close(fd)
		return true
	}
	dir, err := unix.Open(home, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	from, err := filepath.Rel(home, path)
	if err != nil {
		return false
	}
	fd, err := unix.Openat2(dir, from, &how)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// zombie is a child that has ended and was not waited for; 0 if there is none.
func zombie() int {
	var info siginfo
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|anyChild, nil)
	if err != nil {
		return 0
	}
	return int(info.child.pid)
}

// now is the time since boot, with the time that the host was suspended.
func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// beingWritten says whether somebody may have f open for writing. No such file can be leased; a lease of
// another's file is not to be had either, without the right to it. Where there are no leases at all, nobody knows.
func beingWritten(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)
}

// isFull reserves room at the end of f, without making it longer. Where that cannot be done it goes
// by what the file system says.
func isFull(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	full := false
	_ = raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if unix.Fstat(int(fd), &st) != nil {
			return
		}
		switch unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, st.Size, logRoom) {
		case nil:
		case unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO, unix.EFBIG:
			full = true
		default:
			var fs unix.Statfs_t
			full = unix.Fstatfs(int(fd), &fs) == nil && fs.Blocks > 0 && int64(fs.Bfree)*fs.Bsize < logRoom
		}
	})
	return full
}
