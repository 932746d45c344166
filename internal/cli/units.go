package cli

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// unitDoubts returns warnings about the systemd units that belong to a package. A unit that systemd
// restarts by itself comes back after it was killed, also after the kill end. Only systemd could
// stop that, and at that time nobody can count on systemd, or on a process to ask it.
func unitDoubts(ctx context.Context, units []string) (lines []string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for i, unit := range units {
		out, err := outputOf(ctx, "systemctl", "show", "--property=Restart", "--", unit)
		how, found := strings.CutPrefix(strings.TrimSpace(out), "Restart=")
		if err != nil || !found || how == "no" || how == "" { // without systemd there is nobody to start it
			continue
		}
		lines = append(lines, fmt.Sprintf("kill_unit_%d=%s has Restart=%s: systemd starts it again after it was killed, beside another node's. set Restart=no.", i, unit, plain(how)))
	}
	return lines
}
