package native

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A routeQuery is what "ip route show" was asked for.
type routeQuery struct {
	family int
	exact  netip.Prefix // valid: only routes to it
	index  int          // not 0: only by this device
	names  *linkNames
}

// showRoutes prints the routes of the main table.
func showRoutes(q *ipQuery, args []string, r *result) bool {
	rq := &routeQuery{family: q.family, names: &linkNames{}}
	for len(args) > 0 {
		word, value := args[0], ""
		args = args[1:]
		if word == "dev" || word == "table" || word == "exact" {
			if len(args) == 0 {
				return false
			}
			value, args = args[0], args[1:]
		}
		switch {
		case word == "dev" && rq.index == 0 && deviceName(value):
			l, ok := linkByName(value, unix.AF_UNSPEC)
			if !ok || l == nil {
				return false
			}
			rq.index = l.index
		case word == "table" && value == "main":
		case word == "default" && !rq.exact.IsValid():
			rq.exact = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if rq.family == unix.AF_INET6 {
				rq.exact = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
		default:
			if word == "exact" {
				word = value
			}
			p, err := parsePrefix(word)
			if err != nil || rq.exact.IsValid() || rq.family != 0 && (rq.family == unix.AF_INET) != p.Addr().Is4() || p != p.Masked() || p.Bits() == 0 {
				return false
			}
			rq.exact = p
			if p.Addr().Is6() {
				rq.family = unix.AF_INET6
			}
		}
	}
	if rq.family == unix.AF_UNSPEC {
		rq.family = unix.AF_INET
	}
	return rq.show(r)
}

func (q *routeQuery) show(r *result) bool {
	base := &nl.RtMsg{}
	base.Family = uint8(q.family)
	messages, err := ask(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.NLM_F_DUMP, base)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if len(m) < unix.SizeofRtMsg {
			return false
		}
		info := nl.DeserializeRtMsg(m)
		attrs, ok := attributesOf(m[unix.SizeofRtMsg:])
		if !ok {
			return false
		}
		table := uint32(info.Table)
		if t := attrs.of(unix.RTA_TABLE); len(t) == 4 {
			table = binary.NativeEndian.Uint32(t)
		}
		if table != unix.RT_TABLE_MAIN || int(info.Family) != q.family || info.Flags&unix.RTM_F_CLONED != 0 {
			continue
		}
		if q.family == unix.AF_INET6 && info.Type == unix.RTN_LOCAL {
			continue
		}
		if !q.print(r, info, attrs) {
			return false
		}
	}
	return true
}

// rtaNexthop is RTA_NH_ID, which package unix does not name.
const rtaNexthop = 30

// routeOdd are the attributes of routes that we do not know how to print.
var routeOdd = []uint16{
	unix.RTA_SRC, unix.RTA_IIF, unix.RTA_METRICS, unix.RTA_MULTIPATH, unix.RTA_FLOW, unix.RTA_MARK, unix.RTA_VIA, unix.RTA_NEWDST,
	unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE, unix.RTA_TTL_PROPAGATE, rtaNexthop, unix.RTA_EXPIRES,
}

var routeTypes = map[uint8]string{
	unix.RTN_UNICAST: "", unix.RTN_LOCAL: "local ", unix.RTN_BROADCAST: "broadcast ", unix.RTN_ANYCAST: "anycast ", unix.RTN_MULTICAST: "multicast ",
	unix.RTN_BLACKHOLE: "blackhole ", unix.RTN_UNREACHABLE: "unreachable ", unix.RTN_PROHIBIT: "prohibit ", unix.RTN_THROW: "throw ",
}

var routeOrigins = map[uint8]string{
	unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "", unix.RTPROT_STATIC: "static", unix.RTPROT_RA: "ra",
	unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird", unix.RTPROT_DHCP: "dhcp", unix.RTPROT_KEEPALIVED: "keepalived", unix.RTPROT_BGP: "bgp",
	unix.RTPROT_OSPF: "ospf",
}

// print prints a route that was asked for.
func (q *routeQuery) print(r *result, info *nl.RtMsg, attrs attributes) bool {
	dst, _ := netip.AddrFromSlice(attrs.of(unix.RTA_DST))
	oif, hasOif := attrs.of(unix.RTA_OIF), len(attrs.of(unix.RTA_OIF)) == 4
	if q.exact.IsValid() && (int(info.Dst_len) != q.exact.Bits() || q.exact.Bits() > 0 && dst != q.exact.Addr()) {
		return true
	}
	if q.index != 0 && (!hasOif || int(binary.NativeEndian.Uint32(oif)) != q.index) {
		if attrs.of(unix.RTA_MULTIPATH) != nil { // the device may be in there
			return false
		}
		return true
	}
	for _, kind := range routeOdd {
		if attrs.of(kind) != nil {
			return false
		}
	}
	kind, known1 := routeTypes[info.Type]
	origin, known2 := routeOrigins[info.Protocol]
	scope, known3 := scopes[info.Scope]
	if !known1 || !known2 || !known3 || info.Tos != 0 || info.Src_len != 0 {
		return false
	}
	r.out.WriteString(kind)
	switch {
	case !dst.IsValid() && info.Dst_len != 0, dst.IsValid() && !told(dst):
		return false
	case !dst.IsValid():
		r.out.WriteString("default ")
	case dst.BitLen() == int(info.Dst_len):
		fmt.Fprintf(&r.out, "%s ", dst)
	default:
		fmt.Fprintf(&r.out, "%s/%d ", dst, info.Dst_len)
	}
	if gateway, ok := netip.AddrFromSlice(attrs.of(unix.RTA_GATEWAY)); ok {
		fmt.Fprintf(&r.out, "via %s ", gateway)
	}
	if hasOif && q.index == 0 {
		l := q.names.link(int(binary.NativeEndian.Uint32(oif)))
		if l == nil {
			return false
		}
		fmt.Fprintf(&r.out, "dev %s ", l.name)
	}
	if origin != "" {
		fmt.Fprintf(&r.out, "proto %s ", origin)
	}
	if info.Scope != unix.RT_SCOPE_UNIVERSE {
		fmt.Fprintf(&r.out, "scope %s ", scope)
	}
	return q.printRest(r, info, attrs)
}

func (q *routeQuery) printRest(r *result, info *nl.RtMsg, attrs attributes) bool {
	if src, ok := netip.AddrFromSlice(attrs.of(unix.RTA_PREFSRC)); ok {
		fmt.Fprintf(&r.out, "src %s ", src)
	}
	if metric := attrs.of(unix.RTA_PRIORITY); len(metric) == 4 {
		fmt.Fprintf(&r.out, "metric %d ", binary.NativeEndian.Uint32(metric))
	}
	flags := info.Flags
	for _, f := range []struct {
		flag uint32
		word string
	}{{unix.RTNH_F_DEAD, "dead"}, {unix.RTNH_F_ONLINK, "onlink"}, {unix.RTNH_F_LINKDOWN, "linkdown"}} {
		if flags&f.flag != 0 {
			r.out.WriteString(f.word + " ")
			flags &^= f.flag
		}
	}
	if flags != 0 {
		return false
	}
	if cache := attrs.of(unix.RTA_CACHEINFO); cache != nil {
		// struct rta_cacheinfo: clntref, lastuse, expires, error, ...
		if len(cache) < 16 {
			return false
		}
		if n := int32(binary.NativeEndian.Uint32(cache[8:])); n != 0 { // in 1/100 s
			fmt.Fprintf(&r.out, "expires %dsec ", n/100)
		}
		if n := int32(binary.NativeEndian.Uint32(cache[12:])); n != 0 {
			fmt.Fprintf(&r.out, "error %d ", n)
		}
	}
	if pref := attrs.of(unix.RTA_PREF); len(pref) == 1 {
		name, known := map[byte]string{0: "medium", 1: "high", 3: "low"}[pref[0]]
		if !known {
			return false
		}
		fmt.Fprintf(&r.out, "pref %s", name)
	}
	r.out.WriteByte('\n')
	return true
}
