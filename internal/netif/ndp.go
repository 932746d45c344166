package netif

import (
	"bytes"
	"encoding/binary"
	"net"
)

const (
	icmp6                 = 58
	neighborSolicitation  = 135
	neighborAdvertisement = 136

	fromRouter = 0x80 // flags of an advertisement
	override   = 0x20 // the neighbour shall forget what it knew

	optSourceMAC = 1
	optTargetMAC = 2
)

// ndp is the protocol for IPv6.
type ndp struct {
	ip     net.IP // 16 bytes
	mac    net.HardwareAddr
	router bool
	src    net.IP // of the last question; nil after a probe
}

func (n *ndp) question(src net.IP, to net.HardwareAddr) packet {
	n.src = nil
	if src != nil && !src.IsUnspecified() {
		n.src = src.To16()
	}
	dst := n.ip
	if to == nil { // the group of all addresses that end like this one
		dst = net.ParseIP("ff02::1:ff00:0")
		copy(dst[13:], n.ip[13:])
		to = multicastMAC(dst)
	}
	body := n.body(neighborSolicitation, 0)
	if n.src == nil {
		return packet{to, ipv6(net.IPv6unspecified, dst, body)}
	}
	return packet{to, ipv6(n.src, dst, n.withMAC(body, optSourceMAC))}
}

func (n *ndp) announcement(bool) packet {
	flags := byte(override)
	if n.router {
		flags |= fromRouter
	}
	body := n.withMAC(n.body(neighborAdvertisement, flags), optTargetMAC)
	dst := net.IPv6linklocalallnodes
	return packet{multicastMAC(dst), ipv6(n.ip, dst, body)}
}

// answer takes an advertisement of the address by another host. A hop limit of 255 shows
// that no router passed it on.
func (n *ndp) answer(got packet) (Answer, bool) {
	const header, body = 40, 24
	p := got.data
	if len(p) < header+body || p[0]>>4 != 6 || p[6] != icmp6 || p[7] != 255 {
		return Answer{}, false
	}
	end := header + int(binary.BigEndian.Uint16(p[4:]))
	icmp := p[header:min(end, len(p))]
	if len(icmp) < body || icmp[0] != neighborAdvertisement || icmp[1] != 0 || !bytes.Equal(icmp[8:24], n.ip) {
		return Answer{}, false
	}
	if n.src != nil && !bytes.Equal(p[24:40], n.src) {
		return Answer{}, false
	}
	mac := targetMAC(icmp[body:])
	if mac == nil { // the option may be left out in an answer to one host
		mac = got.peer
	}
	return Answer{MAC: mac}, !bytes.Equal(mac, n.mac)
}

// targetMAC is the one in an advertisement's options; nil if it has none.
func targetMAC(options []byte) net.HardwareAddr {
	for len(options) >= 8 {
		size := int(options[1]) * 8
		if size == 0 || size > len(options) {
			break
		}
		if options[0] == optTargetMAC && size == 8 {
			return net.HardwareAddr(options[2:8])
		}
		options = options[size:]
	}
	return nil
}

func (n *ndp) body(kind, flags byte) []byte {
	return append([]byte{kind, 0, 0, 0, flags, 0, 0, 0}, n.ip...)
}

func (n *ndp) withMAC(body []byte, option byte) []byte {
	return append(append(body, option, 1), n.mac...)
}

func multicastMAC(dst net.IP) net.HardwareAddr {
	return append(net.HardwareAddr{0x33, 0x33}, dst[12:]...)
}

// ipv6 puts the IPv6 header before an ICMPv6 body, and the checksum into it.
func ipv6(src, dst net.IP, body []byte) []byte {
	p := make([]byte, 40, 40+len(body))
	p[0], p[6], p[7] = 6<<4, icmp6, 255
	binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
	copy(p[8:], src.To16())
	copy(p[24:], dst)
	p = append(p, body...)
	binary.BigEndian.PutUint16(p[42:], checksum(p))
	return p
}

// checksum is ICMPv6's (RFC 4443, 2.3), of a packet whose checksum field is still 0.
func checksum(p []byte) uint16 {
	sum := uint32(len(p)-40) + icmp6
	for i := 8; i+1 < len(p); i += 2 { // source, destination, body: which are even in length
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
