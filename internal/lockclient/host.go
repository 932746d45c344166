package lockclient

import (
	"os"

	"backtowork/internal/lease"
)

// hostID tells this host from another with the same name. It is made of the kernel's boot id and of the
// UTS namespace (the host name's), since containers and the hosts of a lab share one kernel. All programs
// on one host have the same id, whatever tree they come from. It is "" if it cannot be found out.
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
