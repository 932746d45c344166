package dial

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

const (
	lookupLimit = 300 * time.Millisecond // how long the name service may take before what it said last is used
	familyDelay = 50 * time.Millisecond  // and before it is asked for the addresses of IPv4 alone
)

// A memory is what is known of a host.
type memory struct {
	all  []netip.Addr // as the name service said last
	good netip.Addr   // the last one that worked; it may not be in all any more
}

func (d *Dialer) remember(host string, change func(*memory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.known[host]
	change(&m)
	d.known[host] = m
}

// addresses is the addresses of host in the order to try them. A name service that is down or
// hangs must not cost a lease: then they are those that it said last.
func (d *Dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	m := d.known[host]
	d.mu.Unlock()
	if len(m.all) > 0 {
		limited, cancel := context.WithTimeout(ctx, lookupLimit)
		defer cancel()
		ctx = limited
	}
	ips, whole, err := d.resolve(ctx, host)
	switch {
	case err != nil && host == "localhost": // a host without /etc/hosts does not know it
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	case whole:
		d.remember(host, func(m *memory) { m.all = ips })
	case err == nil || len(m.all) > 0:
		ips = union(ips, m.all)
	default:
		return nil, err
	}
	return order(ips, m.good), nil
}

// resolve is what the name service says of host. Some name services never answer the question for IPv6
// addresses. Such a one is asked again for the IPv4 addresses alone; then ips is not the whole answer.
func (d *Dialer) resolve(ctx context.Context, host string) (ips []netip.Addr, whole bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, some := make(chan answer, 1), make(chan answer, 1)
	go func() { all <- answerOf(d.lookup(ctx, host)) }() // both end with ctx
	select {
	case a := <-all:
		return a.ips, a.err == nil, a.err
	case <-time.After(familyDelay):
	}
	go func() {
		ips, err := d.lookup4(ctx, "ip4", host)
		for i, ip := range ips {
			ips[i] = ip.Unmap()
		}
		some <- answer{ips, err}
	}()
	for {
		select {
		case a := <-all:
			return a.ips, a.err == nil, a.err
		case a := <-some:
			if a.err == nil {
				return a.ips, false, nil
			}
		}
	}
}

// An answer is what came of a question for addresses.
type answer struct {
	ips []netip.Addr
	err error
}

// answerOf makes an answer of addresses that are text.
func answerOf(words []string, err error) (a answer) {
	for _, word := range words {
		if ip, e := netip.ParseAddr(word); e == nil {
			a.ips = append(a.ips, ip.Unmap())
		}
	}
	a.ips = union(nil, a.ips)
	if a.err = err; err == nil && len(a.ips) == 0 {
		a.err = errors.New("the name has no address")
	}
	return a
}

// union is a, and those of b that are not in it.
func union(a, b []netip.Addr) []netip.Addr {
	all := slices.Clone(a)
	for _, ip := range b {
		if !slices.Contains(all, ip) {
			all = append(all, ip)
		}
	}
	return all
}

// order is ips with good first, if it is one of them, and then the two families by turns.
func order(ips []netip.Addr, good netip.Addr) []netip.Addr {
	rest := slices.Clone(ips)
	if i := slices.Index(rest, good); i > 0 {
		rest = slices.Insert(slices.Delete(rest, i, i+1), 0, good)
	}
	ordered := make([]netip.Addr, 0, len(rest))
	for len(rest) > 0 {
		i := 0
		if n := len(ordered); n > 0 {
			i = max(0, slices.IndexFunc(rest, func(ip netip.Addr) bool { return ip.Is6() != ordered[n-1].Is6() }))
		}
		ordered = append(ordered, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return ordered
}
