package netif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is the device that packets to ip leave by, and the source address they get there.
// A device that is not "" is taken as given.
func Route(ip net.IP, device string) (string, net.IP, error) {
	routes, err := netlink.RouteGetWithOptions(ip, &netlink.RouteGetOptions{Oif: device})
	if err != nil && device != "" {
		return "", nil, fmt.Errorf("cannot find a route to %v on %q: %w", ip, device, err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot find a route to %v: %w", ip, err)
	}
	for _, r := range routes {
		if device == "" {
			link, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				return "", nil, fmt.Errorf("cannot find the device of the route to %v: %w", ip, err)
			}
			device = link.Attrs().Name
		}
		if r.Src != nil {
			return device, r.Src, nil
		}
	}
	return "", nil, fmt.Errorf("cannot find a source address for %v", ip)
}

// addressesWhere is the addresses of this host that fit.
func addressesWhere(fits func(*net.IPNet) bool) (found []Address, err error) {
	addrs, err := addresses()
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of this host: %w", err)
	}
	for _, a := range addrs {
		if !fits(a.IPNet) {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if errors.As(err, &netlink.LinkNotFoundError{}) { // gone since
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look at device %d: %w", a.LinkIndex, err)
		}
		found = append(found, Address{a.IPNet, link.Attrs().Name, a.Label})
	}
	return found, nil
}

// addresses is all addresses of this host. A list that changed while it was read may lack
// some, so it is read again.
func addresses() (addrs []netlink.Addr, err error) {
	for range 10 {
		addrs, err = netlink.AddrList(nil, netlink.FAMILY_ALL)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return addrs, err
}

// Remove takes the address ip off every device of this host that has it, and says off which.
func Remove(ip net.IP) (devices []string, err error) {
	addrs, err := addresses()
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of this host: %w", err)
	}
	var faults []error
	for _, a := range addrs {
		if !a.IP.Equal(ip) {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if err == nil {
			err = netlink.AddrDel(link, &a)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("cannot remove %v: %w", ip, err))
			continue
		}
		devices = append(devices, link.Attrs().Name)
	}
	return devices, errors.Join(faults...)
}

// A packetSocket is a socket of the kernel for packets of one type. It is an os.File since that has deadlines.
type packetSocket struct {
	*os.File
	raw       syscall.RawConn
	index     int // of the device
	etherType uint16
}

// openSocket makes a socket that hears ARP, or the advertisements of IPv6, on one device only. It is given
// its protocol when it is bound to the device: a socket without a protocol hears nothing, so it never hears
// another device.
func openSocket(dev *net.Interface, v4 bool) (socket, error) {
	etherType, filter := uint16(unix.ETH_P_ARP), []unix.SockFilter(nil)
	if !v4 {
		etherType, filter = unix.ETH_P_IPV6, advertisements
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if filter != nil {
		prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: dev.Index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s := &packetSocket{File: os.NewFile(uintptr(fd), "packet socket"), index: dev.Index, etherType: etherType}
	if s.raw, err = s.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// advertisements is the socket filter that lets only neighbour advertisements through, so
// that the host's other traffic cannot push them out of the socket's buffer.
var advertisements = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 6}, // the IPv6 header's next header
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: icmp6, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 40}, // the ICMPv6 type
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: neighborAdvertisement, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

func (s *packetSocket) send(p packet) error {
	to := &unix.SockaddrLinklayer{Protocol: htons(s.etherType), Ifindex: s.index, Halen: 6}
	copy(to.Addr[:], p.peer)
	var sent error
	err := s.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), p.data, 0, to)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

func (s *packetSocket) receive() (p packet, to reach, err error) {
	buf := make([]byte, 2048)
	var n int
	var from unix.Sockaddr
	var got error
	err = s.raw.Read(func(fd uintptr) bool {
		n, from, got = unix.Recvfrom(int(fd), buf, 0)
		return !errors.Is(got, unix.EAGAIN)
	})
	if err = errors.Join(err, got); err != nil {
		return packet{}, others, err
	}
	ll, ok := from.(*unix.SockaddrLinklayer)
	if !ok || ll.Halen != 6 {
		return packet{}, others, nil
	}
	return packet{ll.Addr[:6], buf[:n]}, reachOf(ll.Pkttype), nil
}

// reachOf is who was to hear a packet of that kind.
func reachOf(kind uint8) reach {
	switch kind {
	case unix.PACKET_HOST:
		return us
	case unix.PACKET_BROADCAST, unix.PACKET_MULTICAST:
		return many
	}
	return others
}

// forwards reports whether this host routes what comes in on device. Neighbours drop a
// router whose advertisements no longer say that it is one.
func forwards(device string) bool {
	v, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + device + "/forwarding")
	return err == nil && strings.TrimSpace(string(v)) == "1"
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
