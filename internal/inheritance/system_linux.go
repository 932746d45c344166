package inheritance

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CloseOthers has all files but stdin, stdout and stderr closed in what this process starts, but
// those that it hands on on purpose.
func CloseOthers() {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	files, _ := filepath.Glob("/proc/self/fd/*") // before Linux 5.11
	for _, f := range files {
		if fd, err := strconv.Atoi(filepath.Base(f)); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// Settle gives this process what those of ours have: the file mask, limits, and its place in the
// order of out-of-memory kills. An exec must follow, by the same goroutine.
// What the user may not have stays: see [Doubts].
func Settle() {
	SettleLimits()
	unix.Umask(Umask)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = syscall.Exec("", []string{""}, nil) // fails, and undoes first what Go has made of the limit of open files
	raise(unix.RLIMIT_NOFILE, openFiles, mostOpenFiles)
}

// More open files than openFiles are not for all programs: see select(2).
const (
	openFiles     = 1024
	mostOpenFiles = 512 << 10
)

// SettleLimits does that part of Settle which keeps this process from being ended.
func SettleLimits() {
	for _, l := range limits {
		raise(l.resource, l.soft, l.hard)
	}
	SettleOOM()
}

// SettleOOM gives this process the usual place in the order of out-of-memory kills.
func SettleOOM() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
}

// limits are those that matter. They are raised to this, if they are lower; more is kept, as a unit
// or limits.conf gives it on purpose.
var limits = []struct {
	resource   int
	soft, hard uint64
	doubt      string // what a lower one means; "": nothing to speak of
	option     string // of ulimit
}{
	{unix.RLIMIT_CPU, unix.RLIM_INFINITY, unix.RLIM_INFINITY, "seconds of processor time: then it is killed", "-t"},
	{unix.RLIMIT_FSIZE, unix.RLIM_INFINITY, unix.RLIM_INFINITY, "bytes for a file: longer ones, the logs too, cannot be written", "-f"},
	{unix.RLIMIT_DATA, unix.RLIM_INFINITY, unix.RLIM_INFINITY, "bytes of memory", "-d"},
	{unix.RLIMIT_AS, unix.RLIM_INFINITY, unix.RLIM_INFINITY, "bytes of memory", "-v"},
	{unix.RLIMIT_RSS, unix.RLIM_INFINITY, unix.RLIM_INFINITY, "", "-m"},
	{unix.RLIMIT_STACK, 8 << 20, 8 << 20, "", "-s"},
	{unix.RLIMIT_NPROC, unix.RLIM_INFINITY, 0, "", "-u"},
}

// raise raises a limit to soft and hard, or as far as that is allowed.
func raise(resource int, soft, hard uint64) {
	var is unix.Rlimit
	if unix.Getrlimit(resource, &is) != nil {
		return
	}
	want := unix.Rlimit{Max: max(is.Max, hard)}
	want.Cur = min(max(is.Cur, soft), want.Max)
	if want != is && unix.Setrlimit(resource, &want) != nil {
		_ = unix.Setrlimit(resource, &unix.Rlimit{Cur: min(want.Cur, is.Max), Max: is.Max})
	}
}

// SettleSchedule gives this process the usual place in the order of processors and disks, so that it is
// not late. An exec must follow, by the same goroutine.
func SettleSchedule() {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr}
	if unix.SchedSetAttr(0, &attr, 0) != nil {
		if is, err := unix.SchedGetAttr(0, 0); err == nil { // it may not be nicer to itself
			attr.Nice = is.Nice
			_ = unix.SchedSetAttr(0, &attr, 0)
		}
	}
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, 0, 0)
}

const ioWhoProcess = 1

// Signals has no signal blocked, and none ignored either if ignored is set, in what this process
// becomes by an exec. Settle comes first.
func Signals(ignored bool) {
	runtime.LockOSThread()
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
	if !ignored {
		return
	}
	mask, _ := strconv.ParseUint(statusOf("self", "SigIgn"), 16, 64)
	for sig := 1; sig <= 64; sig++ {
		if mask&(1<<(sig-1)) != 0 {
			byDefault(sig)
		}
	}
}

// byDefault undoes that a signal is ignored.
func byDefault(sig int) {
	var action [32]uint64 // the kernel's sigaction, of any system: all zeros is the default
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

// statusOf is a line of /proc/PID/status.
func statusOf(pid, name string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Like is the contrary of SettleLimits and SettleSchedule: it gives this process what process pid has of
// that. It is for what becomes the user's own command. An exec must follow, by the same goroutine.
func Like(pid int) {
	runtime.LockOSThread()
	for _, l := range limits {
		var is unix.Rlimit
		if unix.Prlimit(pid, l.resource, nil, &is) == nil {
			_ = unix.Setrlimit(l.resource, &is)
		}
	}
	if attr, err := unix.SchedGetAttr(pid, 0); err == nil {
		_ = unix.SchedSetAttr(0, attr, 0)
	}
	if io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, uintptr(pid), 0); errno == 0 {
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, 0, io)
	}
	if score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); err == nil {
		_ = os.WriteFile("/proc/self/oom_score_adj", score, 0)
	}
}

// Doubts says what of the caller's this process has kept, since only root can do without, and that
// may come in its way.
func Doubts() (doubts []string) {
	for _, l := range limits {
		var is unix.Rlimit
		if l.doubt != "" && unix.Getrlimit(l.resource, &is) == nil && is.Cur < l.soft {
			doubts = append(doubts, fmt.Sprintf("it is allowed no more than %d %s. only root can change that: start it where ulimit %s says unlimited", is.Cur, l.doubt, l.option))
		}
	}
	var files unix.Rlimit // Go has raised the soft limit to the hard one
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur < openFiles {
		doubts = append(doubts, fmt.Sprintf("it is allowed no more than %d open files, which may be too few. only root can change that: start it where ulimit -Hn says %d or more", files.Cur, openFiles))
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err == nil && (attr.Nice > 0 || attr.Policy == unix.SCHED_IDLE) {
		doubts = append(doubts, fmt.Sprintf("it runs after other programs (nice %d), and may be late when the host is busy. only root can change that: start it without nice", attr.Nice))
	}
	return doubts
}
