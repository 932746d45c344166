package netif

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn asks and tells the neighbours on one device about one address.
type Conn struct {
	device    *net.Interface
	etherType uint16
	proto     protocol
	file      *os.File // a packet socket; the file is what gives it deadlines
	raw       syscall.RawConn
}

// An Answer is a packet that says who has the address.
type Answer struct {
	MAC       net.HardwareAddr // never this device's own
	Broadcast bool             // it went to more hosts than this one
	Request   bool             // it was a question asked by the address's owner
}

// A protocol makes and reads the packets about one address. Neither a source of nil nor
// one of all zeros is an address: such a question is a probe, and leaves no trace in the
// neighbours' caches.
type protocol interface {
	question(src net.IP, to net.HardwareAddr) packet
	announcement(reply bool) packet
	answer(p packet) (Answer, bool)
}

type packet struct {
	peer net.HardwareAddr // where it goes to, or came from
	data []byte
}

// Open makes a Conn for ip on a device, which must be up and speak ARP.
func Open(device string, ip net.IP) (*Conn, error) {
	dev, err := net.InterfaceByName(device)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot use device %q: %w", device, err)
	case dev.Flags&net.FlagUp == 0:
		return nil, fmt.Errorf("cannot use device %q: it is down", device)
	case dev.Flags&net.FlagLoopback != 0 || len(dev.HardwareAddr) != 6:
		return nil, fmt.Errorf("cannot use device %q: it is not an Ethernet device", device)
	}
	c := &Conn{device: dev, etherType: unix.ETH_P_ARP}
	var filter []unix.SockFilter
	if v4 := ip.To4(); v4 != nil {
		c.proto = &arp{ip: v4, mac: dev.HardwareAddr}
	} else {
		c.proto = &ndp{ip: ip.To16(), mac: dev.HardwareAddr, router: forwards(device)}
		c.etherType, filter = unix.ETH_P_IPV6, advertisements
	}
	if c.file, err = packetSocket(dev.Index, c.etherType, filter); err != nil {
		return nil, fmt.Errorf("cannot open a packet socket on %q: %w", device, err)
	}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, fmt.Errorf("cannot use the packet socket on %q: %w", device, err)
	}
	return c, nil
}

// packetSocket hears packets of etherType on one device only: until it is bound it has no
// protocol, and so hears nothing.
func packetSocket(index int, etherType uint16, filter []unix.SockFilter) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if filter != nil {
		prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

// Close ends the Conn.
func (c *Conn) Close() error { return c.file.Close() }

// Ask asks who has the address: everybody, or only the host at to if that is not nil. With
// a src of nil it is a probe. From now on the answers to src count.
func (c *Conn) Ask(src net.IP, to net.HardwareAddr) error {
	return c.send(c.proto.question(src, to))
}

// Announce tells everybody that this device has the address. For IPv4 it is said as a
// question or as a reply: there are neighbours that heed only one of them.
func (c *Conn) Announce(reply bool) error {
	return c.send(c.proto.announcement(reply))
}

func (c *Conn) send(p packet) error {
	to := &unix.SockaddrLinklayer{Protocol: htons(c.etherType), Ifindex: c.device.Index, Halen: 6}
	copy(to.Addr[:], p.peer)
	var sent error
	err := c.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), p.data, 0, to)
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("cannot send on %q: %w", c.device.Name, err)
	}
	return nil
}

// Answer waits for the next answer until ctx is done.
func (c *Conn) Answer(ctx context.Context) (Answer, error) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.file.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which ends the read as well
		close(done)
	})
	defer func() {
		if !stop() {
			<-done
		}
		_ = c.file.SetReadDeadline(time.Time{})
	}()
	for {
		p, kind, err := c.receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Answer{}, ctx.Err()
		case err != nil:
			return Answer{}, fmt.Errorf("cannot receive on %q: %w", c.device.Name, err)
		}
		if a, ok := c.proto.answer(p); ok && forUs(kind) {
			a.Broadcast = kind != unix.PACKET_HOST
			return a, nil
		}
	}
}

func (c *Conn) receive() (p packet, kind uint8, err error) {
	buf := make([]byte, 2048)
	var n int
	var from unix.Sockaddr
	var got error
	err = c.raw.Read(func(fd uintptr) bool {
		n, from, got = unix.Recvfrom(int(fd), buf, 0)
		return !errors.Is(got, unix.EAGAIN)
	})
	if err = errors.Join(err, got); err != nil {
		return packet{}, 0, err
	}
	ll, ok := from.(*unix.SockaddrLinklayer)
	if !ok || ll.Halen != 6 {
		return packet{}, unix.PACKET_OTHERHOST, nil
	}
	return packet{ll.Addr[:6], buf[:n]}, ll.Pkttype, nil
}

// forUs is false for what a device in promiscuous mode overhears, and for our own packets.
func forUs(kind uint8) bool {
	return kind == unix.PACKET_HOST || kind == unix.PACKET_BROADCAST || kind == unix.PACKET_MULTICAST
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
