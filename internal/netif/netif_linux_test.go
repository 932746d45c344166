package netif

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A host is a network namespace with a thread of its own.
type host struct {
	t    *testing.T
	work chan func()
}

// newHost makes a namespace; it is gone with its thread, at the end of the test.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	h := &host{t, make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: so the thread ends with the goroutine
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range h.work {
			f()
		}
	}()
	t.Cleanup(func() { close(h.work) })
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	return h
}

// do runs f in the namespace. An error ends the test.
func (h *host) do(f func() error) {
	h.t.Helper()
	done := make(chan error)
	h.work <- func() { done <- f() }
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// newHosts makes two hosts with a cable: A has a0, 10.9.0.1 and fd00::1; B has b0, 10.9.0.2
// and fd00::2.
func newHosts(t *testing.T) (a, b *host) {
	t.Helper()
	a, b = newHost(t), newHost(t)
	var ns int
	b.do(func() (err error) {
		ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	t.Cleanup(func() { unix.Close(ns) })
	a.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = "a0", macA
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: "b0", PeerHardwareAddr: macB, PeerNamespace: netlink.NsFd(ns),
		})
	})
	a.do(func() error { return setUp("a0", "10.9.0.1/24", "fd00::1/64") })
	b.do(func() error { return setUp("b0", "10.9.0.2/24", "fd00::2/64") })
	a.do(func() error { // a new link loses what is sent in its first moments
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			if mac, err := Probe(t.Context(), "a0", net.ParseIP("10.9.0.2"), 150*time.Millisecond); mac != nil || err != nil {
				return err
			}
		}
		return errors.New("the other host never answers")
	})
	return a, b
}

func setUp(device string, addrs ...string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	for _, s := range addrs {
		addr, err := netlink.ParseAddr(s)
		if err != nil {
			return err
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD // in use at once
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// listen is a raw socket in the namespace that hears every frame on device.
func (h *host) listen(device string) (fd int) {
	h.t.Helper()
	h.do(func() (err error) {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		h.t.Cleanup(func() { unix.Close(fd) })
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: dev.Index})
	})
	return fd
}

// hears waits for a frame of just these bytes, written in hex.
func hears(t *testing.T, fd int, frame string) {
	t.Helper()
	want, err := hex.DecodeString(strings.ReplaceAll(frame, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil:
			t.Fatal(err)
		case bytes.Equal(buf[:n], want):
			return
		default:
			t.Logf("seen: % x", buf[:n])
		}
	}
	t.Fatalf("frame %s never seen", frame)
}

func TestFrames(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	fd := b.listen("b0")
	ctx := t.Context()
	v4, v6 := net.ParseIP("10.9.0.77"), net.ParseIP("fd00::12:3456")

	a.do(func() error { return Announce(ctx, "a0", v4, 1) })
	hears(t, fd, "ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a09004d 000000000000 0a09004d")
	hears(t, fd, "ffffffffffff 02000000000a 0806 0001 0800 06 04 0002 02000000000a 0a09004d 02000000000a 0a09004d")

	a.do(func() error { return Announce(ctx, "a0", v6, 1) })
	hears(t, fd, "333300000001 02000000000a 86dd 60000000 0020 3a ff"+
		"fd000000000000000000000000123456 ff020000000000000000000000000001"+
		"88 00 f1c3 20000000 fd000000000000000000000000123456 02 01 02000000000a")

	a.do(func() error { _, err := Probe(ctx, "a0", v4, 3*time.Millisecond); return err })
	hears(t, fd, "ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 00000000 000000000000 0a09004d")

	a.do(func() error { _, err := Probe(ctx, "a0", v6, 3*time.Millisecond); return err })
	hears(t, fd, "3333ff123456 02000000000a 86dd 60000000 0018 3a ff"+
		"00000000000000000000000000000000 ff0200000000000000000001ff123456"+
		"87 00 14d7 00000000 fd000000000000000000000000123456")

	a.do(func() error { return ask(v4, net.ParseIP("10.9.0.1"), macB) })
	hears(t, fd, "02000000000b 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a090001 000000000000 0a09004d")

	a.do(func() error { return ask(v6, net.ParseIP("fd00::1"), macB) })
	hears(t, fd, "02000000000b 02000000000a 86dd 60000000 0020 3a ff"+
		"fd000000000000000000000000000001 fd000000000000000000000000123456"+
		"87 00 15c6 00000000 fd000000000000000000000000123456 01 01 02000000000a")
}

func ask(ip, src net.IP, to net.HardwareAddr) error {
	c, err := Open("a0", ip)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ask(src, to)
}

// The kernel at the other end checks what it gets, checksums too.
func TestAnnounceMovesAddress(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	for _, s := range []string{"10.9.0.77", "fd00::77"} {
		ip := net.ParseIP(s)
		b.do(func() error {
			link, err := netlink.LinkByName("b0")
			if err != nil {
				return err
			}
			return netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, IP: ip, HardwareAddr: net.HardwareAddr{2, 9, 9, 9, 9, 9}, State: netlink.NUD_STALE,
			})
		})
		// A second announcement: right after a change Linux ignores others for a second.
		a.do(func() error { return Announce(t.Context(), "a0", ip, 2) })
		if got := b.neighbour(ip); got.String() != macA.String() {
			t.Errorf("after Announce(%v) the neighbour has it at %v, want %v", ip, got, macA)
		}
	}
}

// neighbour is the MAC that the host knows for ip.
func (h *host) neighbour(ip net.IP) (mac net.HardwareAddr) {
	h.t.Helper()
	h.do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range list {
			if n.IP.Equal(ip) {
				mac = n.HardwareAddr
			}
		}
		return err
	})
	return mac
}

func TestProbe(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	for _, row := range []struct {
		ip   string
		want net.HardwareAddr
	}{
		{"10.9.0.2", macB},
		{"10.9.0.9", nil},
		{"10.9.0.1", nil}, // our own does not count
		{"fd00::2", macB},
		{"fd00::9", nil},
		{"fd00::1", nil},
	} {
		wait := 10 * time.Second // for a host under load; the answer ends it
		if row.want == nil {
			wait = 90 * time.Millisecond
		}
		a.do(func() error {
			mac, err := Probe(t.Context(), "a0", net.ParseIP(row.ip), wait)
			if mac.String() != row.want.String() {
				t.Errorf("Probe(%s) = %v, want %v", row.ip, mac, row.want)
			}
			return err
		})
	}
	if got := b.neighbour(net.ParseIP("10.9.0.1")); got != nil {
		t.Errorf("a probe left %v in the neighbour's cache", got)
	}
}

// "Nobody answered" must not be said of a probe that was cut short, or never sent.
func TestProbeErrors(t *testing.T) {
	t.Parallel()
	a, _ := newHosts(t)
	ip := net.ParseIP("10.9.0.9")
	a.do(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := Probe(ctx, "a0", ip, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Probe, cut short: error %v, want %v", err, context.DeadlineExceeded)
		}
		if _, err := Probe(t.Context(), "none", ip, time.Minute); err == nil {
			t.Error("Probe on a missing device: no error")
		}
		link, err := netlink.LinkByName("a0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(link); err != nil {
			return err
		}
		if _, err := Probe(t.Context(), "a0", ip, time.Minute); err == nil || !strings.Contains(err.Error(), "it is down") {
			t.Errorf("Probe on a device that is down: error %v", err)
		}
		return nil
	})
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	a, _ := newHosts(t)
	a.do(func() error {
		for ip, want := range map[string]bool{
			"10.9.0.1": true, "10.9.0.2": false, "127.0.0.1": true, "127.0.1.1": true, "fd00::1": true, "::1": true, "fd00::2": false, "110.9.0.1": false,
		} {
			if got, err := LocalAddress(net.ParseIP(ip)); got != want || err != nil {
				t.Errorf("LocalAddress(%s) = %v, %v, want %v", ip, got, err, want)
			}
		}
		for cidr, want := range map[string]string{
			"10.9.0.0/24": "a0", "fd00::/64": "a0", "10.9.0.0/16": "", "10.9.1.0/24": "", "110.9.0.0/24": "",
		} {
			_, network, err := net.ParseCIDR(cidr)
			if err != nil {
				return err
			}
			if got, err := DeviceFor(network); got != want || (err == nil) != (want != "") {
				t.Errorf("DeviceFor(%s) = %q, %v, want %q", cidr, got, err, want)
			}
		}
		for _, given := range []string{"", "a0"} {
			device, src, err := Route(net.ParseIP("10.9.0.2"), given)
			if device != "a0" || src.String() != "10.9.0.1" || err != nil {
				t.Errorf("Route(10.9.0.2, %q) = %q, %v, %v, want a0, 10.9.0.1", given, device, src, err)
			}
		}
		if device, _, err := Route(net.ParseIP("10.8.0.2"), ""); err == nil {
			t.Errorf("Route(10.8.0.2) = %q, want an error", device)
		}
		return nil
	})
}

// An address that a stop has left is taken off, whatever its prefix; the others stay.
func TestRemove(t *testing.T) {
	t.Parallel()
	a, _ := newHosts(t)
	a.do(func() error {
		if err := setUp("a0", "10.9.0.5/32", "10.9.0.55/24"); err != nil {
			return err
		}
		for _, want := range [][]string{{"a0"}, nil} {
			if got, err := Remove(net.ParseIP("10.9.0.5")); !slices.Equal(got, want) || err != nil {
				t.Errorf("Remove = %q, %v, want %q", got, err, want)
			}
		}
		for ip, want := range map[string]bool{"10.9.0.5": false, "10.9.0.55": true, "10.9.0.1": true} {
			if got, err := LocalAddress(net.ParseIP(ip)); got != want || err != nil {
				t.Errorf("LocalAddress(%s) = %v, %v after Remove, want %v", ip, got, err, want)
			}
		}
		return nil
	})
}

// Two devices in one network: an address on the wrong one would reach nobody.
func TestDeviceForTwo(t *testing.T) {
	t.Parallel()
	a := newHost(t)
	a.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "a0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "a1"}); err != nil {
			return err
		}
		if err := errors.Join(setUp("a0", "10.9.0.1/24", "10.9.0.77/24"), setUp("a1", "10.9.0.2/24")); err != nil {
			return err
		}
		_, network, err := net.ParseCIDR("10.9.0.0/24")
		if err != nil {
			return err
		}
		if device, err := DeviceFor(network); err == nil || !strings.Contains(err.Error(), "a0 and a1") {
			t.Errorf("DeviceFor with two devices = %q, %v, want an error that names them", device, err)
		}
		return nil
	})
}

func TestReach(t *testing.T) {
	t.Parallel()
	for kind, want := range map[uint8]reach{
		unix.PACKET_HOST: us, unix.PACKET_BROADCAST: many, unix.PACKET_MULTICAST: many, unix.PACKET_OTHERHOST: others, unix.PACKET_OUTGOING: others,
	} {
		if got := reachOf(kind); got != want {
			t.Errorf("reachOf(%d) = %v, want %v", kind, got, want)
		}
	}
}
