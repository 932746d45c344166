// Package netif knows the addresses and devices of this host, asks the neighbours who
// has an address, and tells them that it is here now: by ARP for IPv4 (RFC 826, 5227),
// by neighbour discovery for IPv6 (RFC 4861). Asking and telling need CAP_NET_RAW.
package netif

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
)

// An Address is one that a device of this host has.
type Address struct {
	*net.IPNet
	Device string
	Label  string // "" where the system knows none: of IPv4 on Linux it is the device's name at least
}

// Addresses is where this host has the address ip.
func Addresses(ip net.IP) ([]Address, error) {
	return addressesWhere(func(a *net.IPNet) bool { return a.IP.Equal(ip) })
}

// devicesWhere is the sorted names of the devices with an address that fits.
func devicesWhere(fits func(*net.IPNet) bool) (names []string, err error) {
	found, err := addressesWhere(fits)
	for _, a := range found {
		names = append(names, a.Device)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

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
	devices, err := devicesWhere(func(a *net.IPNet) bool { return a.IP.Equal(ip) })
	if err != nil || len(devices) == 0 {
		return "", err
	}
	return devices[0], nil
}

// DeviceFor is the name of the one device that has an address in network. Two such
// devices are an error: an address set on the wrong one would reach nobody.
func DeviceFor(network *net.IPNet) (string, error) {
	devices, err := devicesWhere(func(a *net.IPNet) bool {
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
