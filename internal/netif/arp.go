package netif

import (
	"bytes"
	"encoding/binary"
	"net"
)

const (
	arpRequest = 1
	arpReply   = 2
)

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arp is the protocol for IPv4. Its packets: type of hardware (1), of address (0x0800),
// their lengths (6, 4), operation, sender's MAC and IP, target's MAC and IP.
type arp struct {
	ip  net.IP // 4 bytes
	mac net.HardwareAddr
	src net.IP // of the last question; nil after a probe
}

func (a *arp) question(src net.IP, to net.HardwareAddr) packet {
	a.src = nil
	if v4 := src.To4(); v4 != nil && !v4.IsUnspecified() {
		a.src = v4
	}
	if to == nil {
		to = broadcast
	}
	return packet{to, a.packet(arpRequest, a.src, nil)}
}

func (a *arp) announcement(reply bool) packet {
	if reply {
		return packet{broadcast, a.packet(arpReply, a.ip, a.mac)}
	}
	return packet{broadcast, a.packet(arpRequest, a.ip, nil)}
}

func (a *arp) packet(op uint16, sender net.IP, target net.HardwareAddr) []byte {
	p := make([]byte, 28)
	copy(p, []byte{0, 1, 8, 0, 6, 4})
	binary.BigEndian.PutUint16(p[6:], op)
	copy(p[8:14], a.mac)
	copy(p[14:18], sender)
	copy(p[18:24], target)
	copy(p[24:28], a.ip)
	return p
}

// answer takes a reply to our question. After a probe it takes anything that another host
// sends from the address, and so also that host's own questions and announcements.
func (a *arp) answer(got packet) (Answer, bool) {
	p := got.data
	if len(p) < 28 || !bytes.Equal(p[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return Answer{}, false
	}
	op, mac := binary.BigEndian.Uint16(p[6:]), net.HardwareAddr(p[8:14])
	if op != arpRequest && op != arpReply || !bytes.Equal(p[14:18], a.ip) || bytes.Equal(mac, a.mac) {
		return Answer{}, false
	}
	if a.src != nil && (op != arpReply || !bytes.Equal(p[24:28], a.src)) {
		return Answer{}, false
	}
	return Answer{MAC: mac, Request: op == arpRequest}, true
}
