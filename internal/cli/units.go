package cli

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// unitDoubts is what there is to warn of in the units of systemd that belong to a package: one that
// systemd starts again by itself comes back after it was killed, also after the kill end. To stop it
// needs systemd, and a process to ask it; neither can be counted on at that time.
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
