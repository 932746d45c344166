package clinit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/script"
)

// A record is what a daemon leaves to the one that takes its place, if it is killed: what its groups were told, and
// what became of their entries. What runs is found by looking; the record says what that is.
type record struct {
	Boot   string            `json:"boot"`
	Groups []json.RawMessage `json:"groups"` // of groupRecord
}

type groupRecord struct {
	Group   string         `json:"group"`
	Level   string         `json:"level"`
	Prev    string         `json:"previous"`
	Target  string         `json:"target"`
	State   GroupState     `json:"state"`
	Members []memberRecord `json:"members"`
}

type memberRecord struct {
	Entry   Entry     `json:"entry"`
	Process process   `json:"process"`
	PID     int       `json:"pid,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Late    bool      `json:"late,omitempty"`
}

// keepSoon has the record written, at most once in keepPace, and where that takes long not all the time.
func (d *Daemon) keepSoon(g *group) {
	g.text = nil
	if d.owing {
		return
	}
	d.owing = true
	d.keepAt.Reset(max(0, max(keepPace, keepShare*d.keepTook)-time.Since(d.kept)))
}

// keep writes the record.
func (d *Daemon) keep() {
	began := time.Now()
	var groups [][]byte
	var err error
	for _, g := range d.groups {
		if g.State == GroupConfigured {
			continue
		}
		if g.text == nil {
			text, wrong := json.Marshal(g.record())
			g.text, err = text, cmp.Or(err, wrong)
		}
		groups = append(groups, g.text)
	}
	if err == nil { // as a record is, without a look at all that has not changed
		err = d.cfg.Keep(fmt.Sprintf(`{"boot":%q,"groups":[%s]}`, d.cfg.Boot, bytes.Join(groups, []byte(",\n"))))
	}
	d.sayOnce(&d.noRecord, err)
	d.kept, d.owing = time.Now(), false
	d.keepTook = d.kept.Sub(began)
	d.keepAt.Stop()
}

// record is what is noted of a group.
func (g *group) record() groupRecord {
	r := groupRecord{Group: g.Name, Level: g.Level, Prev: g.Prev, Target: g.Target, State: g.State}
	for _, m := range g.members {
		r.Members = append(r.Members, memberRecord{m.entry, m.process, m.pid, m.since, m.late})
	}
	return r
}

// resume goes on with what an earlier daemon has left: what runs as it should goes on; all else is stopped.
func (d *Daemon) resume() {
	found, err := d.cfg.Hands.Found()
	if err != nil {
		d.say(journal.Error, "cannot tell what an earlier daemon has left running: %v", err)
	}
	var r record
	if d.cfg.Kept != "" {
		if err := json.Unmarshal([]byte(d.cfg.Kept), &r); err != nil {
			d.say(journal.Warning, "cannot read what an earlier daemon has noted: %v", err)
		}
	}
	if r.Boot != d.cfg.Boot {
		r = record{}
	}
	for key := range found {
		if tag, isReady := strings.CutSuffix(key, readySign); isReady {
			d.kills = append(d.kills, tag+readySign)
			delete(found, key)
		}
		if strings.HasSuffix(key, logSign) { // it ends when nobody writes to it any more
			delete(found, key)
		}
	}
	var goOn []func()
	for _, text := range r.Groups {
		var gr groupRecord
		if err := json.Unmarshal(text, &gr); err != nil {
			d.say(journal.Warning, "cannot read what an earlier daemon has noted of a group: %v", err)
			continue
		}
		goOn = append(goOn, d.resumeGroup(gr, found))
	}
	for tag, left := range found {
		d.say(journal.Warning, "%s: an earlier daemon has left %s: stopping it", tag, script.InWords(left))
		goOn = append(goOn, d.stopLeft(tag))
	}
	for _, do := range goOn { // now that it is known of each tag whether it is free
		do()
	}
}

// resumeGroup takes up a group as it was, and takes what is its own out of found. What it returns has the group go on.
func (d *Daemon) resumeGroup(gr groupRecord, found map[string][]script.Process) (goOn func()) {
	g := d.group(gr.Group)
	if g == nil { // the file has it no more
		g = d.newGroup(gr.Group)
		d.groups = append(d.groups, g)
		gr.State = GroupHalting
	}
	if d.halted(g) != "" {
		gr.State = GroupHalting
	}
	g.Level, g.Prev, g.Target, g.State = gr.Level, gr.Prev, gr.Target, gr.State
	g.table = d.table.Of(g.Name)
	var todo []func() []effect
	for _, mr := range gr.Members {
		m := &member{process: mr.Process, entry: mr.Entry, since: mr.Since, late: mr.Late}
		g.members = append(g.members, m)
		left := found[mr.Entry.Tag]
		delete(found, mr.Entry.Tag)
		if e, ok := d.takeUp(m, mr.PID, left); ok {
			todo = append(todo, func() []effect { return m.handle(g.dialect, e) })
		}
	}
	g.choose()
	d.say(journal.Info, "%s: going on at level %s (%s)", g.Name, g.Level, g.State)
	return func() {
		var effects []effect
		for _, do := range todo {
			effects = append(effects, do()...)
		}
		d.perform(g, g.advance(effects, time.Now()))
	}
}

// takeUp makes a member what was found of it, and returns what has happened to it since.
func (d *Daemon) takeUp(m *member, pid int, left []script.Process) (e event, ok bool) {
	lives := pid > 0 && slices.ContainsFunc(left, func(p script.Process) bool { return p.PID == pid })
	e.now = time.Now()
	was := m.State
	if m.Alive && lives {
		adopted, err := d.cfg.Hands.Adopt(m.entry.Tag)
		if err != nil {
			d.say(journal.Error, "%v", err)
		}
		lives, m.pid = adopted != 0, adopted
	}
	m.Begun = m.Begun || len(left) > 0
	switch {
	case was == Setup && len(left) == 0: // it was not begun
		m.process = process{State: Configured, Level: m.Level, Restarts: m.Restarts}
		return event{kind: evStart, now: e.now}, true
	case was == Setup, was == Configured && len(left) > 0: // it was, a moment before that could be noted
		m.State, m.Alive = Done, false
		return event{kind: evRestart, now: e.now}, true
	case was == Stopping:
		e.kind = evStop
		if m.Held {
			e.kind = evHold
		}
		if m.ThenGo {
			e.kind = evRestart
		}
		m.State, m.Alive = Done, m.Alive && lives
		return e, true
	case was == Failed && m.entry.Mode == Respawn && !m.Alive: // nobody else has it tried again
		return event{kind: evTimer, now: e.now}, true
	case was == Pausing:
		m.State, m.Alive = Done, true
		return event{kind: evEnded, status: unknown, now: e.now}, true
	case was == Readying && lives:
		m.State = Setup
		return event{kind: evBegan, now: e.now}, true
	case m.Alive && !lives:
		m.ended, m.status = true, unknown
		return event{kind: evEnded, status: unknown, now: e.now}, true
	}
	return e, false
}

// stopLeft stops what is found of a tag of which nothing is noted, before anything else is begun of it.
func (d *Daemon) stopLeft(tag string) (goOn func()) {
	name := fmt.Sprintf("(%s)", tag)
	entry := Entry{Tag: tag, Mode: Wait}
	for _, e := range d.table.Entries {
		if e.Tag == tag {
			entry = e
		}
	}
	g := d.newGroup(name)
	g.State = GroupHalting
	d.groups = append(d.groups, g)
	m := &member{process: process{State: Done, Begun: true}, entry: entry}
	g.members = []*member{m}
	return func() { d.perform(g, g.advance(nil, time.Now())) }
}
