package clinit

import (
	"slices"
	"strings"

	"backtowork/internal/journal"
)

// send sends the signals that are to be sent: one look at what runs serves for all.
func (d *Daemon) send() {
	for sig, keys := range d.signals {
		if err := d.cfg.Hands.Signal(sig, keys...); err != nil {
			d.say(journal.Error, "cannot signal all of %s: %v", strings.Join(keys, ", "), err)
		}
		delete(d.signals, sig)
	}
	keys := slices.DeleteFunc(d.kills, func(key string) bool { return d.killing[key] })
	d.kills = nil
	if len(keys) == 0 {
		return
	}
	for _, key := range keys {
		d.killing[key] = true
	}
	go func() {
		_, _ = d.cfg.Hands.Kill(keys...) // what is left then is killed again
		d.post(func() {
			for _, key := range keys {
				delete(d.killing, key)
			}
			d.lookAt.Reset(0)
		})
	}()
}

// post has the loop do something.
func (d *Daemon) post(do func()) {
	select {
	case d.asks <- &request{do: do}:
	case <-d.over:
	}
}

// look looks what is left of those that have ended.
func (d *Daemon) look() {
	looks := map[*member]*group{}
	var tags []string
	for m, g := range d.looks {
		if !d.killing[m.entry.Tag] {
			looks[m] = g
			tags = append(tags, m.entry.Tag)
		}
	}
	if len(tags) == 0 {
		return
	}
	alive, err := d.cfg.Hands.Alive(tags...)
	if err != nil {
		d.say(journal.Error, "cannot tell what is left running: %v", err)
	}
	for m, g := range looks {
		left, seen := alive[m.entry.Tag]
		switch {
		case err != nil && !seen, d.looks[m] == nil: // not known, or not asked any more
		case len(left) == 0:
			delete(d.looks, m)
			m.left = 0
			d.happened(owned{g, m}, event{kind: evGone})
		default:
			m.left = len(left)
			d.happened(owned{g, m}, event{kind: evLeft})
		}
	}
	d.pause = min(max(2*d.pause, firstLook), lastLook)
	if len(d.looks) > 0 {
		d.lookAt.Reset(d.pause)
	}
}
