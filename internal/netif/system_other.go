//go:build !linux

package netif

import (
	"errors"
	"fmt"
	"net"
	"slices"
)

var errSystem = errors.New("that needs Linux")

// devicesWhere is the sorted names of the devices with an address that fits.
func devicesWhere(fits func(*net.IPNet) bool) (names []string, err error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list the devices of this host: %w", err)
	}
	for _, device := range devices {
		addrs, err := device.Addrs()
		if err != nil {
			return nil, fmt.Errorf("cannot list the addresses of %q: %w", device.Name, err)
		}
		if slices.ContainsFunc(addrs, func(a net.Addr) bool { n, ok := a.(*net.IPNet); return ok && fits(n) }) {
			names = append(names, device.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Route cannot tell by which device packets leave.
func Route(ip net.IP, _ string) (string, net.IP, error) {
	return "", nil, fmt.Errorf("cannot find a route to %v: %w", ip, errSystem)
}

// Remove cannot take an address off.
func Remove(ip net.IP) ([]string, error) {
	return nil, fmt.Errorf("cannot remove %v: %w", ip, errSystem)
}

func deviceNamed(name string) (*net.Interface, error) { return net.InterfaceByName(name) }

func openSocket(*net.Interface, bool) (socket, error) { return nil, errSystem }

func forwards(string) bool { return false }
