// Package netif knows the addresses and devices of this host, asks the neighbours who
// has an address, and tells them that it is here now: by ARP for IPv4 (RFC 826, 5227),
// by neighbour discovery for IPv6 (RFC 4861). Asking and telling need CAP_NET_RAW.
package netif

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// LocalAddress reports whether ip is an address of this host. All of 127.0.0.0/8 is, also
// where only 127.0.0.1 is set: 127.0.1.1 is what Debian writes in /etc/hosts.
func LocalAddress(ip net.IP) (bool, error) {
	if ip.IsLoopback() {
		return true, nil
	}
	device, err := DeviceWith(ip)
	return device != "", err
}

// DeviceWith is the name of the device that has the address ip; "" when none has it.
func DeviceWith(ip net.IP) (string, error) {
	devices, err := devicesWhere(func(a netlink.Addr) bool { return a.IP.Equal(ip) })
	if err != nil || len(devices) == 0 {
		return "", err
	}
	return devices[0], nil
}

// DeviceFor is the name of the one device that has an address in network. Two such
// devices are an error: an address set on the wrong one would reach nobody.
func DeviceFor(network *net.IPNet) (string, error) {
	devices, err := devicesWhere(func(a netlink.Addr) bool {
		return bytes.Equal(a.Mask, network.Mask) && network.Contains(a.IP)
	})
	switch {
	case err != nil:
		return "", err
	case len(devices) == 0:
		return "", fmt.Errorf("cannot find a device for %v: no device has an address in it", network)
	case len(devices) > 1:
		return "", fmt.Errorf("cannot choose a device for %v: %s have addresses in it", network, strings.Join(devices, " and "))
	}
	return devices[0], nil
}

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

// devicesWhere is the sorted names of the devices with an address that fits.
func devicesWhere(fits func(netlink.Addr) bool) ([]string, error) {
	addrs, err := addresses()
	if err != nil {
		return nil, fmt.Errorf("cannot list the addresses of this host: %w", err)
	}
	var names []string
	for _, a := range addrs {
		if !fits(a) {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if errors.As(err, &netlink.LinkNotFoundError{}) { // gone since
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look at device %d: %w", a.LinkIndex, err)
		}
		if name := link.Attrs().Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
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
