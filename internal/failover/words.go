package failover

import "fmt"

// detail is what there is to know beside the original's line about an event, on which a site's scripts may go: with
// what the script ended, and where to look. "" for nothing.
func (m *Manager) detail(was state, e event) string {
	log := fmt.Sprintf("log/%s.log has what it printed", m.Package)
	switch {
	case e.kind == evStarted && was.Pkg == Starting && e.code > 0:
		return fmt.Sprintf("the start script's exit status is %d: %s.", e.code, log)
	case e.kind == evStopped && was.phase == stopping && e.code > 0:
		return fmt.Sprintf("the stop script's exit status is %d: %s.", e.code, log)
	case e.kind == evStartTimeout && was.Pkg == Starting:
		return fmt.Sprintf("the start script was killed after start_timeout, %v: %s.", m.params.StartTimeout, log)
	case e.kind == evStopTimeout && was.phase == stopping:
		return fmt.Sprintf("the stop script was killed after stop_timeout, %v: %s.", m.params.StopTimeout, log)
	case e.kind == evStatusHangs && (was.Pkg == Unknown || was.Pkg == Running):
		return fmt.Sprintf("the status script was killed after timeout, %v: %s.", m.params.Timeout, log)
	case e.kind == evStatus && e.code > degraded && (was.Pkg == Unknown || was.Pkg == Running):
		return fmt.Sprintf("the status script's exit status is %d (0 up, 1 down, 2 degraded, all others critical): %s. when it is mended: service start %s.", e.code, log, m.Package)
	}
	return ""
}
