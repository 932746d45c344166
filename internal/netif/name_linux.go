package netif

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// deviceNamed is the device of that name, or of that altname.
func deviceNamed(name string) (*net.Interface, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	dev, err := net.InterfaceByIndex(link.Attrs().Index)
	if err != nil {
		return nil, fmt.Errorf("it was there a moment ago: %w", err)
	}
	return dev, nil
}
