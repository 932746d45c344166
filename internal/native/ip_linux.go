package native

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An ipQuery is what "ip addr show" or "ip link show" was asked for.
type ipQuery struct {
	preferred      int // by -4 and -6
	family         int // AF_UNSPEC, AF_INET, AF_INET6; AF_PACKET for links
	oneline, brief bool
	links          bool // ip link

	device      string
	to          netip.Prefix
	scope       int // -1: any
	up          bool
	flags, mask uint32
	label       string
	origins     bool // ip says who set an address
	index       int  // of the device, once it was found; 0 is all
	names       *linkNames
}

// ip shows addresses, links and routes as iproute2 does.
func ip(ctx context.Context, c *Call) (int, bool) {
	style := styleOf(ctx, turnOf(ctx).file)
	if !style.known {
		return 0, false
	}
	r, ok := style.answer(c.Args[1:])
	if !ok {
		return 0, false
	}
	return c.finish(ctx, r, 1)
}

// answer is what ip says to args.
func (s ipStyle) answer(args []string) (*result, bool) {
	q := &ipQuery{scope: -1, origins: s.origins}
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		switch args[0] {
		case "-4":
			q.preferred = unix.AF_INET
		case "-6":
			q.preferred = unix.AF_INET6
		case "-o", "-oneline":
			q.oneline = true
		case "-br", "-brief":
			q.brief = true
		default:
			return nil, false
		}
	}
	if len(args) == 0 || args[0] == "" || q.oneline && q.brief {
		return nil, false
	}
	q.family = q.preferred
	object, args := args[0], args[1:]
	if len(args) > 0 {
		words := []string{"show", "list", "lst", "ls", "sh", "s"}
		if strings.HasPrefix("link", object) { // there s is set
			words = words[:5]
		}
		if !slices.Contains(words, args[0]) {
			return nil, false
		}
		args = args[1:]
	}
	r := &result{}
	ok := false
	switch {
	case strings.HasPrefix("address", object):
		ok = q.parse(args) && q.show(r)
	case strings.HasPrefix("link", object):
		q.links, q.family = true, unix.AF_PACKET
		ok = q.parse(args) && q.show(r)
	case strings.HasPrefix("route", object) && !q.brief:
		ok = showRoutes(q, args, r)
	}
	return r, ok
}

// addressFlags are the words for the flags of an address, in the order in which they are printed.
var addressFlags = []struct {
	name string
	flag uint32
}{
	{"secondary", unix.IFA_F_SECONDARY},
	{"nodad", unix.IFA_F_NODAD},
	{"optimistic", unix.IFA_F_OPTIMISTIC},
	{"dadfailed", unix.IFA_F_DADFAILED},
	{"home", unix.IFA_F_HOMEADDRESS},
	{"deprecated", unix.IFA_F_DEPRECATED},
	{"tentative", unix.IFA_F_TENTATIVE},
	{"permanent", unix.IFA_F_PERMANENT},
	{"mngtmpaddr", unix.IFA_F_MANAGETEMPADDR},
	{"noprefixroute", unix.IFA_F_NOPREFIXROUTE},
	{"autojoin", unix.IFA_F_MCAUTOJOIN},
	{"stable-privacy", unix.IFA_F_STABLE_PRIVACY},
}

// parse reads what follows show.
func (q *ipQuery) parse(args []string) bool {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		value := func() string {
			if len(args) == 0 {
				return ""
			}
			v := args[0]
			args = args[1:]
			return v
		}
		switch word {
		case "up":
			q.up = true
			continue
		case "dev":
			word = value()
		case "to":
			if q.links || !q.prefix(value()) {
				return false
			}
			continue
		case "scope":
			var known bool
			if q.scope, known = scopeNumber(value()); !known || q.links {
				return false
			}
			continue
		case "label":
			q.label = value()
			if q.links || q.label == "" || strings.ContainsAny(q.label, `[\`) {
				return false
			}
			continue
		default:
			if known := q.flag(word); known && !q.links {
				continue
			}
		}
		if q.device != "" || !deviceName(word) {
			return false
		}
		q.device = word
	}
	return true
}

// flag is a word for addresses with a flag, or without.
func (q *ipQuery) flag(word string) bool {
	switch word {
	case "primary":
		q.flags &^= unix.IFA_F_SECONDARY
		q.mask |= unix.IFA_F_SECONDARY
		return true
	case "dynamic":
		q.flags &^= unix.IFA_F_PERMANENT
		q.mask |= unix.IFA_F_PERMANENT
		return true
	}
	for _, f := range addressFlags {
		if f.name == word {
			q.flags |= f.flag
			q.mask |= f.flag
			return true
		}
	}
	return false
}

// deviceName reports whether a word can only be the name of a device. Others say "if2" for the second.
func deviceName(word string) bool {
	reserved := []string{
		"temporary", "group", "master", "vrf", "type", "nomaster", "help", "to", "label", "scope", "dev", "up",
		"primary", "dynamic",
	}
	switch {
	case word == "" || len(word) > 15 || word[0] == '-' || strings.ContainsAny(word, "/ "), strings.HasPrefix("help", word):
		return false
	case strings.HasPrefix(word, "if") && digits(word[2:]), slices.Contains(reserved, word):
		return false
	}
	return !slices.ContainsFunc(addressFlags, func(f struct {
		name string
		flag uint32
	},
	) bool {
		return f.name == word
	})
}

// prefix reads ADDRESS or ADDRESS/LENGTH.
func (q *ipQuery) prefix(text string) bool {
	p, err := parsePrefix(text)
	if err != nil || q.to.IsValid() {
		return false
	}
	family := unix.AF_INET6
	if p.Addr().Is4() {
		family = unix.AF_INET
	}
	if q.family != unix.AF_UNSPEC && q.family != family {
		return false
	}
	q.to, q.family = p, family
	return true
}

func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err == nil && a.Zone() == "" {
			return a.Prefix(a.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("not an address: %q", text)
	}
	return netip.ParsePrefix(text)
}

var scopes = map[byte]string{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}

func scopeNumber(name string) (int, bool) {
	for n, s := range scopes {
		if s == name {
			return int(n), true
		}
	}
	return -1, false
}

// show prints links, or addresses under their links. It is false where there is something that it does not
// know how to print.
func (q *ipQuery) show(r *result) bool {
	q.names = &linkNames{}
	listFamily := q.preferred // that of a prefix does not count here
	if q.links {
		listFamily = unix.AF_PACKET
	}
	if q.device == "" && q.to.IsValid() && q.label == "" && q.family == unix.AF_INET {
		return q.showWith(r)
	}
	links, ok := q.theLinks(r, listFamily)
	if !ok || r.status != 0 {
		return ok
	}
	if q.links {
		for _, l := range links {
			if !q.printLink(r, l) {
				return false
			}
		}
		return true
	}
	addrs, ok := listAddresses(q.family)
	return ok && q.showAddresses(r, links, addrs)
}

// showWith shows the devices that have an IPv4 address that was asked for: mostly there is one or none, and the others, of which
// there may be thousands, need not be listed.
func (q *ipQuery) showWith(r *result) bool {
	addrs, ok := listAddresses(q.family)
	if !ok {
		return false
	}
	at := 0
	for _, a := range addrs {
		switch {
		case !q.wants(nil, a) || a.index == at:
		case at == 0:
			at = a.index
		default: // in the order of the kernel's list
			links, ok := listLinks(q.preferred)
			return ok && q.showAddresses(r, links, addrs)
		}
	}
	if at == 0 {
		return true
	}
	l, ok := getLink(unix.AF_UNSPEC, at, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extMask)))
	return ok && (l == nil || q.showAddresses(r, []*link{l}, addrs))
}

// showAddresses prints the addresses under their links.
func (q *ipQuery) showAddresses(r *result, links []*link, addrs []*address) bool {
	for _, l := range links {
		if !q.hasAny(l, addrs) {
			continue
		}
		if q.up && l.flags&unix.IFF_UP == 0 {
			continue
		}
		// With a label no device is shown.
		if !q.oneline && q.label == "" && !q.printLink(r, l) {
			return false
		}
		if !q.printAddresses(r, l, addrs) {
			return false
		}
	}
	return true
}

// theLinks is all links, or the one that was asked for.
func (q *ipQuery) theLinks(r *result, family int) ([]*link, bool) {
	if q.device == "" {
		return listLinks(family)
	}
	if q.links {
		family = unix.AF_UNSPEC
	}
	l, ok := linkByName(q.device, family)
	if l == nil {
		if ok {
			fmt.Fprintf(&r.err, "Device %q does not exist.\n", q.device)
			r.status = 1
		}
		return nil, ok
	}
	q.index = l.index
	return []*link{l}, true
}

// hasAny reports whether a link is shown: with an address that was asked for, or without any.
func (q *ipQuery) hasAny(l *link, addrs []*address) bool {
	none := true
	for _, a := range addrs {
		if a.index != l.index {
			continue
		}
		none = false
		if q.wants(l, a) {
			return true
		}
	}
	return none && q.family == unix.AF_UNSPEC
}

// wants reports whether an address was asked for.
func (q *ipQuery) wants(l *link, a *address) bool {
	switch {
	case q.family != unix.AF_UNSPEC && q.family != a.family,
		q.scope >= 0 && q.scope != int(a.scope),
		(q.flags^a.flags)&q.mask != 0:
		return false
	case q.label != "":
		label := a.label
		if label == "" {
			label = l.name
		}
		if is, err := path.Match(q.label, label); err != nil || !is {
			return false
		}
	}
	return !q.to.IsValid() || !a.local.IsValid() || a.local.Is4() == q.to.Addr().Is4() && q.to.Masked().Contains(a.local)
}
