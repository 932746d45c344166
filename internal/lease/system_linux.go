package lease

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// System is the clock of this host.
func System() Clock { return system{} }

type system struct{}

func (system) Now() Time {
	return Time{read(unix.CLOCK_BOOTTIME), read(unix.CLOCK_MONOTONIC_RAW)}
}

func read(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic(fmt.Sprintf("cannot read clock %d: %v", clock, err)) // Linux has had both since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// AfterFunc is a timerfd on CLOCK_BOOTTIME, since Go's own timers stand still in a suspend.
// It is armed for 90 % of what is left and armed again, for the raw clock may run ahead of
// the boot clock by 8 %.
func (s system) AfterFunc(d time.Duration, f func()) func() {
	end := s.Now().Add(d)
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		// Out of file descriptors, or of memory. A holder that cannot time its lease must
		// not act on it: the deadline is now.
		go f()
		return func() {}
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	arm(file, d)
	go func() {
		var expirations [8]byte
		for {
			if _, err := file.Read(expirations[:]); err != nil {
				return // stopped
			}
			if binary.NativeEndian.Uint64(expirations[:]) == 0 {
				continue
			}
			left := end.Left(s.Now())
			if left <= 0 {
				if file.Close() == nil { // else stopped this moment
					f()
				}
				return
			}
			arm(file, left)
		}
	}()
	return once(func() { _ = file.Close() })
}

// arm sets a timer to 90 % of left, or to all of it where left is very short. A timer that was stopped
// just now is not touched: its descriptor number may belong to another file already.
func arm(timer *os.File, left time.Duration) {
	if left > 20*time.Millisecond {
		left = left / 10 * 9
	}
	conn, err := timer.SyscallConn()
	if err != nil {
		return // stopped
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(left, 1)))}
	_ = conn.Control(func(fd uintptr) { // fails only where the timer was stopped
		if err := unix.TimerfdSettime(int(fd), 0, &spec, nil); err != nil {
			panic(fmt.Sprintf("cannot set a timer: %v", err)) // only for a bad value
		}
	})
}

// BootID names the boot of this host that its times count from.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return string(b[:min(len(b), 36)]), nil
}
