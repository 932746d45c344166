package clinit

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/journal"
)

// An Op is what somebody wants of a daemon.
type Op string

// What a daemon can be asked.
const (
	Tell     Op = "tell"     // brings a group to a level
	Reread   Op = "reread"   // looks at the file again
	Shutdown Op = "shutdown" // stops everything, and ends
	Look     Op = "status"
	Start    Op = "start" // of one tag, in the level that its group has
	Stop     Op = "stop"
	Restart  Op = "restart"
)

// An Ask is a request to a daemon.
type Ask struct {
	Op    Op     `json:"op"`
	Group string `json:"group,omitempty"`
	Level string `json:"level,omitempty"`
	Tag   string `json:"tag,omitempty"`
	Wait  string `json:"wait,omitempty"` // Tell: the answer comes when the group stands: in this state, or in Any; Shutdown: at the end
}

// Any is the state to be waited for where each will do that is not a failure.
const Any = "any"

// CanBeWaitedFor says whether a Tell can wait for a state.
func CanBeWaitedFor(state string) bool {
	return slices.Contains([]string{Any, string(GroupDone), string(GroupPassed), string(GroupFailed)}, state)
}

// An Answer is what a daemon says to an Ask.
type Answer struct {
	Msg     string      `json:"msg"`
	Event   string      `json:"event,omitempty"`   // what the original calls it
	Refused bool        `json:"refused,omitempty"` // what was asked is not done, or did not come to pass
	Group   string      `json:"group,omitempty"`
	Level   string      `json:"level,omitempty"`
	Bad     []string    `json:"bad,omitempty"` // what is wrong with the file: the last one that was right is in force. Warnings come with a Reread alone
	Groups  []GroupView `json:"groups,omitempty"`
}

// A request is an Ask to be answered, or something for the daemon's loop to do.
type request struct {
	do    func()
	ask   Ask
	reply chan Answer // has room for one
	gone  <-chan struct{}
}

// Do asks the daemon, and waits for its answer, unless gone is closed before.
func (d *Daemon) Do(a Ask, gone <-chan struct{}) (Answer, bool) {
	r := &request{ask: a, reply: make(chan Answer, 1), gone: gone}
	select {
	case d.asks <- r:
	case <-gone:
		return Answer{}, false
	case <-d.over:
		return Answer{Msg: "the daemon has ended", Refused: true}, true
	}
	select {
	case answer := <-r.reply:
		return answer, true
	case <-gone:
		return Answer{}, false
	case <-d.over:
	}
	select {
	case answer := <-r.reply:
		return answer, true
	default:
		return Answer{Msg: "the daemon has ended", Refused: true}, true
	}
}

const togetherAtMost = 64 // requests

// serveAll serves a request, and those that wait behind it: one record is written for all.
func (d *Daemon) serveAll(r *request) {
	d.serve(r)
	for more := 1; more < togetherAtMost; more++ {
		select {
		case r := <-d.asks:
			d.serve(r)
			continue
		default:
		}
		break
	}
	if len(d.promised) > 0 {
		d.keep()
		for _, reply := range d.promised {
			reply()
		}
		d.promised = nil
	}
}

// rest gives back what is not needed while nothing happens.
func (d *Daemon) rest() {
	for _, g := range d.groups {
		g.text = nil
	}
	if d.cfg.Rest != nil {
		d.cfg.Rest()
	}
}

// serve does what somebody wants.
func (d *Daemon) serve(r *request) {
	if r.do != nil {
		r.do()
		return
	}
	if d.halts && r.ask.Op != Look && r.ask.Op != Shutdown {
		r.reply <- Answer{Msg: "all groups halting", Event: "HALTED", Refused: true}
		return
	}
	switch r.ask.Op {
	case Tell:
		d.tell(r)
	case Reread:
		bad := d.reread()
		a := Answer{Msg: "the file is in force", Event: "GROUP_NOK", Bad: inLines(bad)}
		if hasErrors(bad) {
			a.Msg, a.Refused = "the file is not in force; the last one that was right is", true
		}
		r.reply <- a
	case Shutdown:
		d.haltAll()
		if r.ask.Wait != "" {
			d.waiting = append(d.waiting, r)
			return
		}
		r.reply <- Answer{Msg: "all groups halting", Event: "HALTED"}
	case Look:
		r.reply <- Answer{Groups: d.view(), Bad: inLines(errorsOf(d.bad))}
	case Start, Stop, Restart:
		d.byHand(r)
	default:
		r.reply <- Answer{Msg: fmt.Sprintf("cannot do %q: this daemon does not know it", r.ask.Op), Refused: true}
	}
}

func inLines(problems []Problem) (lines []string) {
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return lines
}

func hasErrors(problems []Problem) bool { return len(errorsOf(problems)) > 0 }

func errorsOf(problems []Problem) (list []Problem) {
	for _, p := range problems {
		if p.Level == Error {
			list = append(list, p)
		}
	}
	return list
}

// reread looks at the file, and takes it up if it is another one and right. Else what was in force stays so. A group
// that is in it no more is halted.
func (d *Daemon) reread() []Problem {
	text, err := d.cfg.Read()
	if err != nil {
		d.sum = [32]byte{}
		d.bad = []Problem{{File: d.cfg.File, Level: Error, Text: "cannot read it: " + command.Reason(err).Error()}}
		return d.bad
	}
	sum := sha256.Sum256(text)
	if sum == d.sum {
		return d.bad
	}
	d.sum = sum
	table, problems := Parse(d.cfg.File, text, d.cfg.Dialect)
	d.bad = problems
	for _, p := range problems {
		level := journal.Warning
		if p.Level == Error {
			level = journal.Error
		}
		d.say(level, "%s", p)
	}
	if hasErrors(problems) {
		return problems
	}
	d.table = table
	d.regroup()
	return problems
}

// regroup makes the groups those of the file.
func (d *Daemon) regroup() {
	old := d.groups
	d.groups = nil
	for _, name := range d.table.Groups() {
		i := slices.IndexFunc(old, func(g *group) bool { return g.Name == name })
		if i >= 0 {
			d.groups = append(d.groups, old[i])
			old = slices.Delete(old, i, i+1)
		} else {
			d.groups = append(d.groups, d.newGroup(name))
		}
		d.groups[len(d.groups)-1].backwards = d.table.GroupOptions[name].StopReverse
	}
	for _, g := range old {
		if g.State != GroupConfigured {
			d.groups = append(d.groups, g)
		}
	}
	for _, g := range old {
		if g.State != GroupConfigured && g.State != GroupHalting {
			d.say(journal.Info, "%s: the group is in the file no more: halting it", g.Name)
			d.perform(g, g.halt(time.Now()))
		}
	}
}

func (d *Daemon) newGroup(name string) *group {
	g := &group{Name: name, State: GroupConfigured, dialect: d.cfg.Dialect}
	g.held = func(tag string) bool {
		for _, other := range d.groups {
			if m := other.member(tag); other != g && m != nil && !m.gone() {
				return true
			}
		}
		return false
	}
	return g
}

// inFile says whether the file that is in force has the group.
func (d *Daemon) inFile(name string) bool { return slices.Contains(d.table.Groups(), name) }

func (d *Daemon) tell(r *request) {
	bad := d.reread()
	a := Answer{Group: r.ask.Group, Level: r.ask.Level, Bad: inLines(errorsOf(bad))}
	g := d.group(r.ask.Group)
	switch {
	case g == nil || !d.inFile(g.Name):
		a.Msg, a.Event, a.Refused = "no such group: "+r.ask.Group, "GROUP_NOK", true
		r.reply <- a
		return
	case r.ask.Level == "" || strings.ContainsFunc(r.ask.Level, func(c rune) bool { return c <= ' ' || c == ':' || c == ',' }):
		a.Msg, a.Event, a.Refused = fmt.Sprintf("not a level: %q", r.ask.Level), "GROUP_NOK", true
		r.reply <- a
		return
	}
	if file := d.halted(g); file != "" {
		a.Msg, a.Event, a.Refused = fmt.Sprintf("the group is halted: its package was killed here, and starts it when it may (rm %s ends that)", file), "GROUP_NOK", true
		r.reply <- a
		return
	}
	table := d.table.Of(g.Name)
	d.takeOver(g, table)
	d.perform(g, g.tell(r.ask.Level, table, time.Now()))
	a.Msg, a.Event, a.Refused = "level transition started", "GROUPTOLD", hasErrors(bad)
	d.promised = append(d.promised, func() { // who is told that it began may rely on it
		if r.ask.Wait != "" {
			d.waiting = append(d.waiting, r)
		} else {
			r.reply <- a
		}
	})
}

// takeOver stops processes of tags that were moved here from another group.
func (d *Daemon) takeOver(g *group, table []Entry) {
	for _, other := range d.groups {
		if other == g {
			continue
		}
		for _, e := range table {
			if m := other.member(e.Tag); m != nil && !m.gone() {
				m.late = true // and forgotten once it is gone
				d.happened(owned{other, m}, event{kind: evStop})
			}
		}
	}
}

// answerWaiting answers those who wait for a group that stands now.
func (d *Daemon) answerWaiting() {
	d.waiting = slices.DeleteFunc(d.waiting, func(r *request) bool {
		select {
		case <-r.gone:
			return true
		default:
		}
		if r.ask.Op == Shutdown {
			if d.isDown() {
				r.reply <- Answer{Msg: "all groups halted", Event: "HALTED"}
			}
			return d.isDown()
		}
		g := d.group(r.ask.Group)
		a := Answer{Group: r.ask.Group, Level: r.ask.Level, Event: "GROUPTOLD", Bad: inLines(errorsOf(d.bad))}
		switch {
		case g == nil || g.State == GroupHalting || g.State == GroupConfigured:
			a.Msg, a.Refused = "the group was halted meanwhile", true
		case g.Target != r.ask.Level:
			a.Msg, a.Refused = "another level was told meanwhile", true
		case !g.stands():
			return false
		default:
			a.Msg = string(g.State)
			a.Refused = len(a.Bad) > 0 || r.ask.Wait != a.Msg && (r.ask.Wait != Any || g.State == GroupFailed)
		}
		r.reply <- a
		return true
	})
}

// byHand starts, stops or restarts one entry.
func (d *Daemon) byHand(r *request) {
	o, found := d.find(r.ask.Tag)
	refuse := func(format string, args ...any) {
		r.reply <- Answer{Msg: fmt.Sprintf(format, args...), Refused: true}
	}
	switch {
	case !found:
		i := slices.IndexFunc(d.table.Entries, func(e Entry) bool { return e.Tag == r.ask.Tag })
		if i < 0 {
			refuse("no such tag: %s", r.ask.Tag)
		} else {
			refuse("%s is not of the level that group %s has", r.ask.Tag, d.table.Entries[i].Group)
		}
		return
	case o.m.late || o.g.State == GroupStopping || o.g.State == GroupHalting:
		refuse("group %s is being brought to another level: try again", o.g.Name)
		return
	}
	what, msg := event{kind: evRestart}, "restarting"
	switch r.ask.Op {
	case Stop:
		what.kind, msg = evHold, "stopping"
	case Start:
		what.kind, msg = evStart, "starting"
		if o.m.State == Setup || o.m.Alive && o.m.State != Failed && o.m.State != Stopping {
			refuse("%s runs", r.ask.Tag)
			return
		}
		if !o.m.gone() {
			what.kind = evRestart // what it has left goes first
		}
	}
	d.happened(o, what)
	d.keep()
	r.reply <- Answer{Msg: r.ask.Tag + ": " + msg}
}
