package native

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An address is one of a device, as the kernel tells of it.
type address struct {
	family, index, length int
	scope                 byte
	flags                 uint32
	local, peer           netip.Addr // peer is local where there is none
	label                 string
	attrs                 attributes
}

func listAddresses(family int) (all []*address, ok bool) {
	messages, err := ask(unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.NLM_F_DUMP, nl.NewIfInfomsg(family))
	if err != nil {
		return nil, false
	}
	for _, m := range messages {
		if len(m) < unix.SizeofIfAddrmsg {
			return nil, false
		}
		info := nl.DeserializeIfAddrmsg(m)
		a := &address{
			family: int(info.Family), index: int(info.Index), length: int(info.Prefixlen), scope: info.Scope,
			flags: uint32(info.Flags),
		}
		if a.attrs, ok = attributesOf(m[unix.SizeofIfAddrmsg:]); !ok {
			return nil, false
		}
		if flags := a.attrs.of(unix.IFA_FLAGS); len(flags) == 4 {
			a.flags = binary.NativeEndian.Uint32(flags)
		}
		local, peer := a.attrs.of(unix.IFA_LOCAL), a.attrs.of(unix.IFA_ADDRESS)
		if local == nil {
			local = peer
		}
		if peer == nil {
			peer = local
		}
		a.local, _ = netip.AddrFromSlice(local)
		a.peer, _ = netip.AddrFromSlice(peer)
		a.label = cString(a.attrs.of(unix.IFA_LABEL))
		all = append(all, a)
	}
	return all, true
}

// printAddresses prints those of a link that were asked for.
func (q *ipQuery) printAddresses(r *result, l *link, all []*address) bool {
	for _, a := range all {
		if a.index != l.index || !q.wants(l, a) {
			continue
		}
		if !q.printAddress(r, l, a) {
			return false
		}
	}
	if q.brief {
		r.out.WriteByte('\n')
	}
	return true
}

func (q *ipQuery) printAddress(r *result, l *link, a *address) bool {
	scope, known := scopes[a.scope]
	if !known || !a.local.IsValid() || !told(a.local) || !told(a.peer) || a.family != unix.AF_INET && a.family != unix.AF_INET6 {
		return false
	}
	if !q.brief {
		if q.oneline {
			fmt.Fprintf(&r.out, "%d: %s", l.index, l.name)
		}
		r.out.WriteString("    inet")
		if a.family == unix.AF_INET6 {
			r.out.WriteByte('6')
		}
		r.out.WriteByte(' ')
	}
	r.out.WriteString(a.local.String())
	if a.peer != a.local {
		fmt.Fprintf(&r.out, " peer %s", a.peer)
	}
	fmt.Fprintf(&r.out, "/%d ", a.length)
	if metric := a.attrs.of(unix.IFA_RT_PRIORITY); len(metric) == 4 {
		fmt.Fprintf(&r.out, "metric %d ", binary.NativeEndian.Uint32(metric))
	}
	if q.brief {
		return true
	}
	for _, other := range []struct {
		word string
		kind uint16
	}{{"brd", unix.IFA_BROADCAST}, {"any", unix.IFA_ANYCAST}} {
		value := a.attrs.of(other.kind)
		if value == nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(value)
		if !ok || !told(addr) {
			return false
		}
		fmt.Fprintf(&r.out, "%s %s ", other.word, addr)
	}
	fmt.Fprintf(&r.out, "scope %s ", scope)
	return q.printState(r, a)
}

// printState prints the flags, the label and the times of an address.
func (q *ipQuery) printState(r *result, a *address) bool {
	flags := a.flags
	for _, f := range addressFlags {
		has := flags&f.flag != 0
		flags &^= f.flag
		switch {
		case f.name == "permanent":
			if !has {
				r.out.WriteString("dynamic ")
			}
		case has && f.name == "secondary" && a.family == unix.AF_INET6:
			r.out.WriteString("temporary ")
		case has:
			r.out.WriteString(f.name + " ")
		}
	}
	if flags != 0 {
		return false
	}
	if origin := a.attrs.of(ifaProto); len(origin) == 1 && q.origins && origin[0] != 0 {
		name, known := addressOrigins[origin[0]]
		if !known {
			return false
		}
		fmt.Fprintf(&r.out, "proto %s ", name)
	}
	r.out.WriteString(a.label)
	if times := a.attrs.of(unix.IFA_CACHEINFO); len(times) >= 8 {
		preferred, valid := binary.NativeEndian.Uint32(times), binary.NativeEndian.Uint32(times[4:])
		fmt.Fprintf(&r.out, "%s       valid_lft %s preferred_lft ", q.newLine(), lifetime(valid))
		if a.flags&unix.IFA_F_DEPRECATED != 0 && preferred != math.MaxUint32 {
			fmt.Fprintf(&r.out, "%dsec", int32(preferred))
		} else {
			r.out.WriteString(lifetime(preferred))
		}
	}
	r.out.WriteByte('\n')
	return true
}

// addressOrigins is who has set an address (IFA_PROTO).
var addressOrigins = map[byte]string{1: "kernel_lo", 2: "kernel_ra", 3: "kernel_ll"}

func lifetime(seconds uint32) string {
	if seconds == math.MaxUint32 {
		return "forever"
	}
	return fmt.Sprintf("%dsec", seconds)
}

// told reports whether glibc writes an address as package netip does: there are two ways for those that hold
// an IPv4 address.
func told(a netip.Addr) bool {
	if a.Is4() {
		return true
	}
	b := a.As16()
	zero := func(part []byte) bool { return !slices.ContainsFunc(part, func(b byte) bool { return b != 0 }) }
	return !zero(b[:10]) || zero(b[:15]) && b[15] <= 1
}
