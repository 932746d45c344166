package netif

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A Conn asks and tells the neighbours on one device about one address.
type Conn struct {
	device *net.Interface
	proto  protocol
	socket socket
}

// A socket sends and hears the packets of one protocol on one device.
type socket interface {
	send(p packet) error
	receive() (packet, reach, error)
	SetReadDeadline(t time.Time) error
	Close() error
}

// reach is who was to hear a packet.
type reach int

const (
	others reach = iota // not this host: what a device in promiscuous mode overhears, and our own packets
	us
	many // and this host among them
)

// An Answer is a packet that says who has the address.
type Answer struct {
	MAC       net.HardwareAddr // never this device's own
	Broadcast bool             // it went to more hosts than this one
	Request   bool             // it was a question asked by the address's owner
}

// A protocol makes and reads the packets about one address. A question whose source is nil
// or all zeros is a probe: it does not say who asks, so it leaves no trace in the neighbours'
// caches.
type protocol interface {
	question(src net.IP, to net.HardwareAddr) packet
	announcement(reply bool) packet
	answer(p packet) (Answer, bool)
}

type packet struct {
	peer net.HardwareAddr // where it goes to, or came from
	data []byte
}

// ErrNoNeighbours is what Open says of a device on which nobody can be asked: loopback, a tunnel, and
// what is no Ethernet.
var ErrNoNeighbours = errors.New("it is not an Ethernet device")

// Open makes a Conn for ip on a device, by its name or an altname; it must be up and speak ARP.
func Open(device string, ip net.IP) (*Conn, error) {
	dev, err := deviceNamed(device)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot use device %q: %w", device, err)
	case dev.Flags&net.FlagUp == 0:
		return nil, fmt.Errorf("cannot use device %q: it is down", device)
	case dev.Flags&net.FlagLoopback != 0 || len(dev.HardwareAddr) != 6:
		return nil, fmt.Errorf("cannot use device %q: %w", device, ErrNoNeighbours)
	}
	c := &Conn{device: dev}
	v4 := ip.To4()
	if v4 != nil {
		c.proto = &arp{ip: v4, mac: dev.HardwareAddr}
	} else {
		c.proto = &ndp{ip: ip.To16(), mac: dev.HardwareAddr, router: forwards(dev.Name)}
	}
	if c.socket, err = openSocket(dev, v4 != nil); err != nil {
		return nil, fmt.Errorf("cannot open a packet socket on %q: %w", device, err)
	}
	return c, nil
}

// Close ends the Conn.
func (c *Conn) Close() error { return c.socket.Close() }

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
	if err := c.socket.send(p); err != nil {
		return fmt.Errorf("cannot send on %q: %w", c.device.Name, err)
	}
	return nil
}

// Answer waits for the next answer until ctx is done.
func (c *Conn) Answer(ctx context.Context) (Answer, error) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which ends the read as well
		close(done)
	})
	defer func() {
		if !stop() {
			<-done
		}
		_ = c.socket.SetReadDeadline(time.Time{})
	}()
	for {
		p, to, err := c.socket.receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Answer{}, ctx.Err()
		case err != nil:
			return Answer{}, fmt.Errorf("cannot receive on %q: %w", c.device.Name, err)
		}
		if a, ok := c.proto.answer(p); ok && to != others {
			a.Broadcast = to == many
			return a, nil
		}
	}
}
