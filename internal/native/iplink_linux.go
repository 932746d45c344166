package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A link is a network device as the kernel tells of it.
type link struct {
	index    int
	kind     uint16 // of its hardware
	flags    uint32
	name     string
	attrs    attributes
	altnames []string
}

// Attributes that the packages at hand do not name.
const (
	iflaEvent = 44
	ifaProto  = 11
	extMask   = 1 | 8 // RTEXT_FILTER_VF, which ip asks for too, and RTEXT_FILTER_SKIP_STATS
)

func listLinks(family int) (all []*link, ok bool) {
	messages, err := ask(unix.RTM_GETLINK, unix.RTM_NEWLINK, unix.NLM_F_DUMP, nl.NewIfInfomsg(family),
		nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extMask)))
	if err != nil {
		return nil, false
	}
	for _, m := range messages {
		l, ok := parseLink(m)
		if !ok {
			return nil, false
		}
		all = append(all, l)
	}
	return all, true
}

// linkByName is nil where there is none by that name, or other name.
func linkByName(name string, family int) (l *link, ok bool) {
	return getLink(family, 0, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)), nl.NewRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(name)))
}

func getLink(family, index int, by ...*nl.RtAttr) (*link, bool) {
	for _, attr := range by {
		base := nl.NewIfInfomsg(family)
		base.Index = int32(index)
		messages, err := ask(unix.RTM_GETLINK, unix.RTM_NEWLINK, 0, base, attr, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extMask)))
		switch {
		case errors.Is(err, unix.ENODEV):
		case err != nil || len(messages) != 1:
			return nil, false
		default:
			return parseLink(messages[0])
		}
	}
	return nil, true
}

func parseLink(m []byte) (*link, bool) {
	if len(m) < unix.SizeofIfInfomsg {
		return nil, false
	}
	info := nl.DeserializeIfInfomsg(m)
	l := &link{index: int(info.Index), kind: info.Type, flags: info.Flags}
	var ok bool
	l.attrs, ok = attributesOf(m[unix.SizeofIfInfomsg:])
	l.name = cString(l.attrs.of(unix.IFLA_IFNAME))
	if list := l.attrs.of(unix.IFLA_PROP_LIST); list != nil {
		ok = ok && attributes(list).each(func(kind uint16, value []byte) {
			if kind == unix.IFLA_ALT_IFNAME {
				l.altnames = append(l.altnames, cString(value))
			}
		})
	}
	return l, ok && l.name != ""
}

func (l *link) number(kind uint16) (uint32, bool) {
	switch v := l.attrs.of(kind); len(v) {
	case 1:
		return uint32(v[0]), true
	case 4:
		return binary.NativeEndian.Uint32(v), true
	}
	return 0, false
}

var linkFlags = []struct {
	flag uint32
	name string
}{
	{unix.IFF_LOOPBACK, "LOOPBACK"},
	{unix.IFF_BROADCAST, "BROADCAST"},
	{unix.IFF_POINTOPOINT, "POINTOPOINT"},
	{unix.IFF_MULTICAST, "MULTICAST"},
	{unix.IFF_NOARP, "NOARP"},
	{unix.IFF_ALLMULTI, "ALLMULTI"},
	{unix.IFF_PROMISC, "PROMISC"},
	{unix.IFF_MASTER, "MASTER"},
	{unix.IFF_SLAVE, "SLAVE"},
	{unix.IFF_DEBUG, "DEBUG"},
	{unix.IFF_DYNAMIC, "DYNAMIC"},
	{unix.IFF_AUTOMEDIA, "AUTOMEDIA"},
	{unix.IFF_PORTSEL, "PORTSEL"},
	{unix.IFF_NOTRAILERS, "NOTRAILERS"},
	{unix.IFF_UP, "UP"},
	{unix.IFF_LOWER_UP, "LOWER_UP"},
	{unix.IFF_DORMANT, "DORMANT"},
	{unix.IFF_ECHO, "ECHO"},
}

// flagWords is <...>, and whether all flags are known.
func flagWords(flags uint32, lowerDown bool) (string, bool) {
	var all []string
	if flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING == 0 {
		all = append(all, "NO-CARRIER")
	}
	flags &^= unix.IFF_RUNNING
	for _, f := range linkFlags {
		if flags&f.flag != 0 {
			all = append(all, f.name)
			flags &^= f.flag
		}
	}
	if lowerDown {
		all = append(all, "M-DOWN")
	}
	return "<" + strings.Join(all, ",") + ">", flags == 0 && !(lowerDown && len(all) == 1)
}

var operStates = []string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}

// lower is what follows the name: @ and the device that this one is on.
func (q *ipQuery) lower(l *link) (text string, down, ok bool) {
	at, has := l.number(unix.IFLA_LINK)
	elsewhere := l.attrs.of(unix.IFLA_LINK_NETNSID) != nil
	switch {
	case !has:
		return "", false, true
	case at == 0:
		return "@NONE", false, true
	case elsewhere:
		return fmt.Sprintf("@if%d", at), false, true
	}
	other := q.names.link(int(at))
	if other == nil {
		return "", false, false
	}
	return "@" + other.name, other.flags&unix.IFF_UP == 0, true
}

// printLink prints a link's lines.
func (q *ipQuery) printLink(r *result, l *link) bool {
	if q.up && l.flags&unix.IFF_UP == 0 {
		return true
	}
	lower, down, ok := q.lower(l)
	words, known := flagWords(l.flags, down)
	state, has := l.number(unix.IFLA_OPERSTATE)
	if !ok || !known || !l.plain() || has && int(state) >= len(operStates) {
		return false
	}
	if q.brief {
		return q.printBrief(r, l, lower, words, has, state)
	}
	fmt.Fprintf(&r.out, "%d: %s%s: %s ", l.index, l.name, lower, words)
	if mtu, has := l.number(unix.IFLA_MTU); has {
		fmt.Fprintf(&r.out, "mtu %d ", mtu)
	}
	if qdisc := l.attrs.of(unix.IFLA_QDISC); qdisc != nil {
		fmt.Fprintf(&r.out, "qdisc %s ", cString(qdisc))
	}
	if master, has := l.number(unix.IFLA_MASTER); has {
		m := q.names.link(int(master))
		if m == nil {
			return false
		}
		fmt.Fprintf(&r.out, "master %s ", m.name)
	}
	if has {
		fmt.Fprintf(&r.out, "state %s ", operStates[state])
	}
	if mode, has := l.number(unix.IFLA_LINKMODE); has && q.links {
		fmt.Fprintf(&r.out, "mode %s ", []string{"DEFAULT", "DORMANT"}[mode&1])
	}
	if group, has := l.number(unix.IFLA_GROUP); has {
		fmt.Fprintf(&r.out, "group %s ", groupName(group))
	}
	length, has := l.number(unix.IFLA_TXQLEN)
	if !has { // the list for IPv6 does not have it
		other := q.names.link(l.index)
		if other == nil {
			return false
		}
		length, _ = other.number(unix.IFLA_TXQLEN)
	}
	if length > 0 {
		fmt.Fprintf(&r.out, "qlen %d", length)
	}
	return q.printHardware(r, l)
}

// newLine is the end of a line, or what stands for it.
func (q *ipQuery) newLine() string {
	if q.oneline {
		return `\`
	}
	return "\n"
}

// printHardware prints the addresses of a device, and what comes after them.
func (q *ipQuery) printHardware(r *result, l *link) bool {
	if q.family == unix.AF_UNSPEC || q.family == unix.AF_PACKET {
		kind, known := hardware[l.kind]
		if !known {
			return false
		}
		fmt.Fprintf(&r.out, "%s    link/%s %s", q.newLine(), kind, hardwareAddress(l.kind, l.attrs.of(unix.IFLA_ADDRESS)))
		if all := l.attrs.of(unix.IFLA_BROADCAST); all != nil {
			word := "brd"
			if l.flags&unix.IFF_POINTOPOINT != 0 {
				word = "peer"
			}
			fmt.Fprintf(&r.out, " %s %s", word, hardwareAddress(l.kind, all))
		}
	}
	if id, has := l.number(unix.IFLA_LINK_NETNSID); has {
		name, ok := namespaceName(int(int32(id)))
		if !ok {
			return false
		}
		r.out.WriteString(" " + name)
	}
	if alias := l.attrs.of(unix.IFLA_IFALIAS); alias != nil && q.links {
		fmt.Fprintf(&r.out, "%s    alias %s", q.newLine(), cString(alias))
	}
	for _, name := range l.altnames {
		fmt.Fprintf(&r.out, "%s    altname %s", q.newLine(), name)
	}
	r.out.WriteByte('\n')
	return true
}

func (q *ipQuery) printBrief(r *result, l *link, lower, words string, has bool, state uint32) bool {
	fmt.Fprintf(&r.out, "%-16s ", l.name+lower)
	if has {
		fmt.Fprintf(&r.out, "%-14s ", operStates[state])
	}
	if !q.links {
		return true
	}
	if address := l.attrs.of(unix.IFLA_ADDRESS); address != nil {
		r.out.WriteString(hardwareAddress(l.kind, address) + " ")
	}
	r.out.WriteString(words + " \n")
	return true
}

// plain reports whether a device has nothing that is printed in ways that we do not know.
func (l *link) plain() bool {
	attached := false
	ok := attributes(l.attrs.of(unix.IFLA_XDP)).each(func(kind uint16, value []byte) {
		attached = attached || kind == unix.IFLA_XDP_ATTACHED && (len(value) != 1 || value[0] != 0)
	})
	for _, kind := range []uint16{unix.IFLA_NUM_VF, unix.IFLA_PROTO_DOWN, iflaEvent} {
		if n, _ := l.number(kind); n != 0 {
			return false
		}
	}
	mode, _ := l.number(unix.IFLA_LINKMODE)
	moved := l.attrs.of(unix.IFLA_NEW_IFINDEX) != nil
	return ok && !attached && mode <= 1 && !moved && printable(l.attrs.of(unix.IFLA_IFALIAS)[:max(0, len(l.attrs.of(unix.IFLA_IFALIAS))-1)])
}

// hardware is the words for the kinds of it.
var hardware = map[uint16]string{
	unix.ARPHRD_ETHER: "ether", unix.ARPHRD_LOOPBACK: "loopback", unix.ARPHRD_NONE: "none", unix.ARPHRD_TUNNEL: "ipip",
	unix.ARPHRD_TUNNEL6: "tunnel6", unix.ARPHRD_SIT: "sit", unix.ARPHRD_IPGRE: "gre", unix.ARPHRD_IP6GRE: "gre6",
	unix.ARPHRD_INFINIBAND: "infiniband", unix.ARPHRD_PPP: "ppp", unix.ARPHRD_CAN: "can",
}

func hardwareAddress(kind uint16, address []byte) string {
	switch kind {
	case unix.ARPHRD_TUNNEL, unix.ARPHRD_SIT, unix.ARPHRD_IPGRE, unix.ARPHRD_TUNNEL6, unix.ARPHRD_IP6GRE:
		if a, ok := netip.AddrFromSlice(address); ok {
			return a.String()
		}
	}
	var out strings.Builder
	for i, b := range address {
		if i > 0 {
			out.WriteByte(':')
		}
		fmt.Fprintf(&out, "%02x", b)
	}
	return out.String()
}
