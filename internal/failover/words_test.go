package failover

import (
	"testing"
	"time"
)

// After the original's line, which stays as it is, another says with what a script ended, and where to look.
func TestDetails(t *testing.T) {
	for name, row := range map[string]struct {
		action string
		does   act
		line   string
		detail string
	}{
		"start fails": {
			"start",
			act{takes: time.Second, code: 2},
			"1 start script exited with error.",
			"1 the start script's exit status is 2: log/dummy.log has what it printed.",
		},
		"start hangs": {
			"start",
			act{takes: hang},
			"20 timeout waiting for package to start.",
			"20 the start script was killed after start_timeout, 20s: log/dummy.log has what it printed.",
		},
		"status critical": {
			"status",
			act{code: 127},
			"0 " + criticalLine,
			"0 the status script's exit status is 127 (0 up, 1 down, 2 degraded, all others critical): log/dummy.log has what it printed. when it is mended: service start dummy.",
		},
		"status hangs": {
			"status",
			act{takes: hang},
			"40 error: timeout waiting for package status.",
			"40 the status script was killed after timeout, 40s: log/dummy.log has what it printed.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *node) {
				n.scripts.acts[row.action] = row.does
				n.run(dummy)
				n.until(41)
				n.has(row.line, row.detail, row.line+"\n"+row.detail)
			})
		})
	}
}
