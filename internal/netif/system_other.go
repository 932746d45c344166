//go:build !linux

package netif

import (
	"errors"
	"fmt"
	"net"
)

var errSystem = errors.New("that needs Linux")

// addressesWhere is the addresses of this host that fit.
func addressesWhere(fits func(*net.IPNet) bool) (found []Address, err error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list the devices of this host: %w", err)
	}
	for _, device := range devices {
		addrs, err := device.Addrs()
		if err != nil {
			return nil, fmt.Errorf("cannot list the addresses of %q: %w", device.Name, err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && fits(n) {
				found = append(found, Address{n, device.Name, ""})
			}
		}
	}
	return found, nil
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
