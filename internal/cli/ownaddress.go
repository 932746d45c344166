package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"backtowork/internal/failover"
	"backtowork/internal/manager"
	"backtowork/internal/netif"
)

// ownAddresses warns of the package's addresses that this host has, though the package is not here. The vip modules know
// an address of the package by its prefix, so that a stop would take the host's own from it.
func (s *site) ownAddresses(ctx context.Context, name string, p failover.Params) (lines []string) {
	role, _ := manager.Home(s.Home).Notes(name).Read("role")
	vips := p.Values()
	if vips["vip_ip_0"] == "" || role != "stand-by" && !s.isIdle(name) {
		return nil
	}
	r, err := s.asker(name)
	if err != nil {
		return nil // who asked for the other parameters has said why
	}
	defer r.Close()
	for i := 0; vips[fmt.Sprintf("vip_ip_%d", i)] != ""; i++ {
		vip := vips[fmt.Sprintf("vip_ip_%d", i)]
		found, _ := netif.Addresses(net.ParseIP(vip))
		if len(found) == 0 {
			continue
		}
		param := fmt.Sprintf("vip_prefix_%d", i)
		said, _, err := r.Echo(ctx, []string{param}, nil)
		prefix, none := strconv.Atoi(said[param])
		if err != nil || none != nil {
			continue
		}
		if at := hostsOwn(found, prefix); at != "" {
			lines = append(lines, fmt.Sprintf("vip_ip_%d: this host has %s/%d on %s, while the package is not here: a stop of the package would take it away. set another vip_ip_%d, unless it was left by the package.",
				i, vip, prefix, at, i))
		}
	}
	return lines
}

// hostsOwn is a device that has an address with that prefix, and not with the label of a package (DEVICE:vipN); "" for none.
func hostsOwn(found []netif.Address, prefix int) string {
	for _, a := range found {
		if ones, _ := a.Mask.Size(); ones == prefix && !strings.Contains(a.Label, ":vip") {
			return a.Device
		}
	}
	return ""
}
