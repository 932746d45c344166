package clinit

import (
	"slices"
	"time"
)

// An asked is a ready command.
type asked struct {
	owned
	until time.Time
	pid   int // 0 while it does not run
}

// askReady runs the ready command of a tag, if it does not run.
func (d *Daemon) askReady(tag string) {
	a, ok := d.asking[tag]
	if !ok || a.pid != 0 {
		return
	}
	if !time.Now().Before(a.until) {
		d.stopAsking(tag)
		d.happened(a.owned, event{kind: evNotReady})
		return
	}
	if d.killing[tag+readySign] || slices.Contains(d.kills, tag+readySign) { // an earlier one
		d.later(a, lastLook)
		return
	}
	pid, err := d.start(tag+readySign, a.owned, a.m.entry.Options.Ready)
	if err != nil {
		a.m.trouble = "its ready command: " + err.Error()
		d.stopAsking(tag)
		d.happened(a.owned, event{kind: evNotReady})
		return
	}
	a.pid = pid
	d.asking[tag] = a
	d.later(a, time.Until(a.until))
}

// later has the ready command of a asked again, or given up.
func (d *Daemon) later(a asked, after time.Duration) {
	time.AfterFunc(after, func() { d.post(func() { d.readyLate(a.m.entry.Tag, a.m) }) })
}

func (d *Daemon) readyLate(tag string, m *member) {
	a, ok := d.asking[tag]
	switch {
	case !ok || a.m != m:
	case a.pid == 0:
		d.askReady(tag)
	case !time.Now().Before(a.until):
		d.stopAsking(tag)
		d.happened(a.owned, event{kind: evNotReady})
	}
}

func (d *Daemon) readyEnded(tag string, pid, status int) {
	a, ok := d.asking[tag]
	if !ok || a.pid != pid { // one that was given up
		return
	}
	a.pid = 0
	d.asking[tag] = a
	switch {
	case status == 0:
		d.stopAsking(tag)
		d.happened(a.owned, event{kind: evReady})
	default:
		d.later(a, min(readyPace, time.Until(a.until)))
	}
}

// stopAsking ends the ready command of a tag, with all that it has started.
func (d *Daemon) stopAsking(tag string) {
	if a, ok := d.asking[tag]; ok {
		delete(d.asking, tag)
		if a.pid != 0 {
			d.kills = append(d.kills, tag+readySign)
		}
	}
}
