//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Behind a link that takes 200 ms and loses three packets in ten a node keeps its lock, or loses it
// as the rules say: the other node never has it too early.
func lossyLink(t *testing.T, tr tree) {
	l := idleLab(t, tr)
	for _, host := range idleNodes {
		l.setTimes(host, 30, 4)
	}
	l.startIdle("h1")
	l.await(10*time.Second, "h1 is active", func() bool { return l.isActive("h1") })
	l.startIdle("h2")
	t.Cleanup(l.spoil("h1", 200*time.Millisecond, 30))
	begin := time.Now()
	look := l.client("h2", idleServers...)
	before := l.agreed(look, l.leader(idleServers...)) // a follower hears of it later
	l.stays(40*time.Second, "h1 keeps its lock behind a lossy link", func() bool { return l.isActive("h1") && !l.isActive("h2") })
	log := l.logOf("h1", "btw")
	t.Logf("in %v: %d renewals, %d tries that were not answered in time", time.Since(begin).Round(time.Second),
		strings.Count(log, "lock renewed"), strings.Count(log, "not renewed"))
	if k := l.agreed(look, l.leader(idleServers...)); k != before {
		t.Errorf("the servers say %+v, want %+v as before", k, before)
	}
}

// spoil makes the cable of a host slow and lossy, both ways. Not every kernel has netem: so it puts
// a wire of our own in between.
func (l *lab) spoil(host string, delay time.Duration, percent int) (stop func()) {
	l.t.Helper()
	space := l.name + "-switch"
	ip := func(args ...string) { command(l.t, nil, "ip", append([]string{"-n", space}, args...)...) }
	ip("link", "set", host, "nomaster")
	ip("link", "add", "wire", "type", "veth", "peer", "name", "wired")
	ip("link", "set", "wired", "master", "br0", "up")
	ip("link", "set", "wire", "up")
	near, far := l.tap(space, host), l.tap(space, "wire")
	var wg sync.WaitGroup
	wg.Go(func() { spoiled(near, far, delay, percent) })
	wg.Go(func() { spoiled(far, near, delay, percent) })
	return func() {
		_ = near.Close()
		_ = far.Close()
		wg.Wait()
	}
}

// tap opens an interface of a network space for raw frames. Each frame comes with the kernel's
// own header about checksums and sizes that are left to a network card, and is sent with it.
func (l *lab) tap(space, name string) *os.File {
	l.t.Helper()
	var tap *os.File
	open := func() error {
		device, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(all))
		if err != nil {
			return err
		}
		tap = os.NewFile(uintptr(fd), name)
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device.Index}),
		)
	}
	must(l.t, inSpace("/run/netns/"+space, open))
	return tap
}

// inSpace does f in a network space.
func inSpace(path string, f func() error) (err error) {
	space, err := os.Open(path)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	}()
	<-done
	return errors.Join(err, space.Close())
}

// spoiled carries frames from one tap to the other, late, and not all of them, until from is
// closed.
func spoiled(from, to *os.File, delay time.Duration, percent int) {
	type frame struct {
		data []byte
		due  time.Time
	}
	frames := make(chan frame, 10_000)
	var wg sync.WaitGroup
	wg.Go(func() {
		for f := range frames {
			<-time.After(time.Until(f.due))
			_, _ = to.Write(f.data) // one more that is lost
		}
	})
	buffer := make([]byte, 70_000)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			break
		}
		if rand.IntN(100) >= percent {
			frames <- frame{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}
		}
	}
	close(frames)
	wg.Wait()
}
