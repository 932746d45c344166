package lockclient

import (
	"os"

	"backtowork/internal/lease"
)

// hostID tells this host from another that calls itself the same: by the boot of its kernel, and
// by the space of host names, since containers and the hosts of a lab share the kernel. All that
// runs on one host has the same, whatever tree it comes from; "" is not known.
func hostID() string {
	boot, err := lease.BootID()
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/uts")
	if err != nil {
		return boot
	}
	return boot + " " + space
}
