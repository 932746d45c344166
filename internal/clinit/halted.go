package clinit

import (
	"time"

	"backtowork/internal/journal"
)

// halted is the file that says that a group is not to run; "" for none.
func (d *Daemon) halted(g *group) string {
	if d.cfg.Halted == nil {
		return ""
	}
	return d.cfg.Halted(g.Name)
}

// obey halts a group that is not to run, and says whether it is not. Who killed it had no time to wait for an answer.
func (d *Daemon) obey(g *group) bool {
	file := d.halted(g)
	if file == "" {
		return false
	}
	if g.State != GroupConfigured && g.State != GroupHalting {
		d.say(journal.Warning, "%s: its package was killed here: halting it (%s)", g.Name, file)
		d.perform(g, g.halt(time.Now()))
	}
	return true
}
