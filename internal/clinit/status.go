package clinit

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"backtowork/internal/journal"
)

// A GroupView is how a group stands, for people and programs.
type GroupView struct {
	Group   string      `json:"group"`
	Level   string      `json:"level"`
	Prev    string      `json:"previous_level,omitempty"`
	Target  string      `json:"target_level,omitempty"` // where it is not there yet
	State   GroupState  `json:"state"`
	Entries []EntryView `json:"entries,omitempty"`
}

// An EntryView is how an entry's process stands.
type EntryView struct {
	Tag      string     `json:"tag"`
	Mode     Mode       `json:"mode"`
	State    State      `json:"state"`
	PID      int        `json:"pid,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // it was begun, or has ended
	Restarts int        `json:"restarts"`
	LastExit *int       `json:"last_exit,omitempty"` // status; 128 and more for a signal; -1: an earlier daemon's, not known
	Left     int        `json:"left,omitempty"`      // processes that it has left, where that was looked at
	Old      bool       `json:"old_level,omitempty"` // of an earlier level
	Stopped  bool       `json:"by_hand,omitempty"`   // stopped by hand
	Trouble  string     `json:"trouble,omitempty"`   // why it could not be run
}

// view is how everything stands.
func (d *Daemon) view() []GroupView {
	var views []GroupView
	for _, g := range d.groups {
		v := GroupView{Group: g.Name, Level: g.Level, Prev: g.Prev, State: g.State}
		if g.Target != g.Level {
			v.Target = g.Target
		}
		for _, m := range g.members {
			v.Entries = append(v.Entries, m.view())
		}
		views = append(views, v)
	}
	return views
}

func (m *member) view() EntryView {
	v := EntryView{
		Tag: m.entry.Tag, Mode: m.entry.Mode, State: m.State, PID: m.pid, Restarts: m.Restarts,
		Left: m.left, Old: m.late, Stopped: m.Held, Trouble: m.trouble,
	}
	since := m.since
	if !m.Alive && m.ended {
		since = m.Died
	}
	if !since.IsZero() {
		v.Since = &since
	}
	if m.ended {
		status := m.status
		v.LastExit = &status
	}
	return v
}

// A shown is a state that a group was in, which it may have left by now.
type shown struct {
	g     *group
	level string
	state GroupState
}

// writeStatus writes clstat or initstat; with now, as it was then for one group.
func (d *Daemon) writeStatus(now ...shown) {
	var groups []shown
	for _, g := range d.groups {
		s := shown{g, g.Level, g.State}
		if len(now) > 0 && now[0].g == g {
			s = now[0]
		}
		groups = append(groups, s)
	}
	text := clstat(groups)
	if d.cfg.Dialect == Isinit {
		text = initstat(groups, rand.IntN(1<<30))
	}
	d.sayOnce(&d.noStatus, d.cfg.Status(text))
}

// sayOnce says what is wrong, if it was not so before.
func (d *Daemon) sayOnce(before *string, err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now != "" && now != *before {
		d.say(journal.Error, "%s", now)
	}
	*before = now
}

// clstat is Cluster::Init's status file: a line for each group that was told a level.
func clstat(groups []shown) string {
	var b strings.Builder
	for _, s := range groups {
		if s.state != GroupConfigured && s.level != "" {
			fmt.Fprintf(&b, "Cluster::Init::Group %s %s %s\n", s.g.Name, s.level, s.state)
		}
	}
	return b.String()
}

// initstat is IS::Init's: a line for each group, between two lines with one number, by which a reader knew that it
// had all of it. It is replaced whole here.
func initstat(groups []shown, mark int) string {
	slices.SortFunc(groups, func(a, b shown) int { return cmp.Compare(a.g.Name, b.g.Name) })
	var b strings.Builder
	fmt.Fprintf(&b, "!startid %d\n", mark)
	for _, s := range groups {
		fmt.Fprintf(&b, "%-15s %-15s %-15s\n", s.g.Name, isState[s.state], s.level)
	}
	fmt.Fprintf(&b, "!endid %d\n", mark)
	return b.String()
}

// isState is the states of IS::Init.
var isState = map[GroupState]string{
	GroupConfigured: "stopped", GroupStopping: "stopping", GroupDumping: "stopping", GroupHalting: "stopping",
	GroupStarting: "start", GroupChecking: "start", GroupDone: "run", GroupPassed: "run", GroupFailed: "fail",
}
