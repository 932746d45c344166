package clinit

import (
	"slices"
	"time"

	"backtowork/internal/journal"
)

// A GroupState is how a group stands: the fourth word of a line of clstat.
type GroupState string

// The states of a group, as the original has them.
const (
	GroupConfigured GroupState = "CONFIGURED" // it was never told a level, or was halted
	GroupStopping   GroupState = "STOPPING"   // what the new level does not have is being stopped
	GroupDumping    GroupState = "DUMPING"    // and is forgotten
	GroupStarting   GroupState = "STARTING"   // what it has is begun, line by line
	GroupChecking   GroupState = "CHECKING"   // all were begun; some test or wait goes on
	GroupDone       GroupState = "DONE"
	GroupPassed     GroupState = "PASSED" // it consists of tests, and all passed
	GroupFailed     GroupState = "FAILED" // a test failed, or something could not be run
	GroupHalting    GroupState = "HALTING"
)

// level is how much it matters, in the log, that a group has come to a state.
func (s GroupState) level() journal.Level {
	switch s {
	case GroupDone, GroupPassed, GroupFailed, GroupConfigured:
		return journal.Info
	}
	return journal.Debug
}

// A group is all that the machine remembers of a group: a pure thing, without a clock or processes. What is to be
// done is what its methods return.
//
//	CONFIGURED --tell--> STARTING --all begun--> CHECKING --> DONE, PASSED, FAILED
//	any other --tell--> STOPPING --old ones gone--> DUMPING --> STARTING
//	any --halt--> HALTING --all gone--> CONFIGURED
type group struct {
	Name      string
	State     GroupState
	Level     string // that it has, or is being brought to once its old processes are gone
	Prev      string // that it had before
	Target    string // that it was told last
	members   []*member
	table     []Entry // of the group, as the file is now; or as it was when its level was told
	dialect   Dialect
	backwards bool // stops the last first, one at a time

	text []byte                // its record, where nothing has happened since
	held func(tag string) bool // another group has not let go of the tag yet
}

// A member is a process of a group, with the entry by which it was begun.
type member struct {
	process
	entry  Entry
	late   bool // of an earlier level: it has ended, and what it has left goes when the new level stands
	stale  bool // it was late, and its level has come back: what it has left goes before it is begun again
	wanted bool // the level that the group was told has its tag
	same   bool // and its entry is one that would be begun as this was
	// What the daemon knows of it.
	pid     int
	since   time.Time // begun
	status  int       // that it last ended with
	ended   bool      // it has
	trouble string    // why it could not be run
	left    int       // processes that are left of it, when it was last looked
}

// An effect is something to be done: an order for a member, or a state that the group has reached.
type effect struct {
	m     *member
	order order
	state GroupState
	level string // that the group had then
}

func (g *group) enter(s GroupState, effects []effect) []effect {
	g.State = s
	return append(effects, effect{state: s, level: g.Level})
}

func (m *member) gone() bool { return m.State == Configured }

// handle gives an event to a member.
func (m *member) handle(d Dialect, e event) (effects []effect) {
	s := next(m.process, m.entry.rules(d), e)
	m.process = s.process
	for _, o := range s.orders {
		effects = append(effects, effect{m: m, order: o})
	}
	return effects
}

func (g *group) member(tag string) *member {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.entry.Tag == tag })
	if i < 0 {
		return nil
	}
	return g.members[i]
}

// byTag is the members by their tags.
func (g *group) byTag() map[string]*member {
	members := make(map[string]*member, len(g.members))
	for _, m := range slices.Backward(g.members) { // of two the first counts
		members[m.entry.Tag] = m
	}
	return members
}

// wanted says whether the level that the group was told has the entry.
func (g *group) wanted(e *Entry) bool { return e.Mode != Off && e.In(g.Target, g.dialect) }

// choose says of each member whether it is an entry of the level that the group was told, and is begun as that would be.
func (g *group) choose() {
	table := make(map[string]*Entry, len(g.table))
	for i := range slices.Backward(g.table) {
		table[g.table[i].Tag] = &g.table[i]
	}
	for _, m := range g.members {
		e := table[m.entry.Tag]
		m.wanted = e != nil && g.wanted(e)
		m.same = m.wanted && e.startsAs(m.entry)
	}
}

// tell brings the group to a level, by the entries of the file as it is now. A later one takes the place of one that
// is under way: levels in between are not begun.
func (g *group) tell(level string, table []Entry, now time.Time) (effects []effect) {
	g.Target, g.table = level, table
	g.choose()
	for _, m := range g.members {
		m.Held = false
		m.stale = m.wanted && (m.late || m.stale)
	}
	hasNew := g.hasNew()
	for _, m := range g.members {
		m.late = !m.wanted && (m.late || m.hasEnded() && hasNew)
	}
	if g.State == GroupConfigured && len(g.members) == 0 {
		return g.advance(g.begin(effects), now)
	}
	return g.advance(g.enter(GroupStopping, effects), now)
}

// hasEnded says whether a member's command has ended for good, so that what is left of it is what it was to leave.
func (m *member) hasEnded() bool {
	return !m.Alive && m.Begun && m.State != Stopping && m.State != Pausing
}

// hasNew says whether anything is to be begun.
func (g *group) hasNew() bool {
	members := g.byTag()
	for i := range g.table {
		if e := &g.table[i]; g.wanted(e) && !members[e.Tag].keeps() {
			return true
		}
	}
	return false
}

// keeps says whether a member goes on, as it is, in the level that the group was told.
func (m *member) keeps() bool {
	return m != nil && m.same && !m.stale && !(m.State == Failed && !m.Alive)
}

// halt stops everything.
func (g *group) halt(now time.Time) (effects []effect) {
	return g.advance(g.enter(GroupHalting, effects), now)
}

// happened gives an event to the member of a tag, and goes on by what has become of it.
func (g *group) happened(m *member, e event) []effect {
	return g.advance(m.handle(g.dialect, e), e.now)
}

// advance goes on as far as it can.
func (g *group) advance(effects []effect, now time.Time) []effect {
	for {
		before := g.State
		switch g.State {
		case GroupStopping:
			effects = g.stopOld(effects, now)
		case GroupDumping:
			effects = g.begin(effects)
		case GroupStarting:
			effects = g.startNext(effects, now)
		case GroupChecking:
			effects = g.check(effects, now)
		case GroupHalting:
			effects = g.haltNext(effects, now)
		case GroupDone, GroupPassed, GroupFailed:
			g.forget()
		case GroupConfigured:
		}
		if g.State == before {
			return effects
		}
	}
}

// stopOld stops what the new level does not have, or has otherwise. No new process begins before all these are gone.
func (g *group) stopOld(effects []effect, now time.Time) []effect {
	var old []*member
	for _, m := range g.members {
		if !m.gone() && !m.late && !m.keeps() {
			old = append(old, m)
		}
	}
	if len(old) == 0 {
		return g.enter(GroupDumping, effects)
	}
	return g.stop(old, effects, now)
}

func (g *group) haltNext(effects []effect, now time.Time) []effect {
	old := slices.DeleteFunc(slices.Clone(g.members), (*member).gone)
	if len(old) == 0 {
		g.members = nil
		g.Level, g.Target = "", ""
		return g.enter(GroupConfigured, effects)
	}
	return g.stop(old, effects, now)
}

// stop stops all of old at once, or the last of them that is still there.
func (g *group) stop(old []*member, effects []effect, now time.Time) []effect {
	if g.backwards {
		old = old[len(old)-1:]
	}
	again := false
	for _, m := range old {
		if m.State != Stopping || m.ThenGo {
			effects = append(effects, m.handle(g.dialect, event{kind: evStop, now: now})...)
			again = again || m.gone()
		}
	}
	if again { // some had nothing to stop
		return g.advance(effects, now)
	}
	return effects
}

// begin makes the told level the group's, and forgets what is not of it.
func (g *group) begin(effects []effect) []effect {
	if g.Level != g.Target {
		g.Prev = g.Level
	}
	g.Level = g.Target
	var members []*member
	before := g.byTag()
	for _, e := range g.table {
		if !g.wanted(&e) {
			continue
		}
		m := before[e.Tag]
		if m == nil {
			m = &member{process: process{State: Configured}}
		}
		m.entry, m.wanted, m.same, m.stale = e, true, true, false
		members = append(members, m)
	}
	for _, m := range g.members {
		if m.late && !m.gone() {
			members = append(members, m)
		}
	}
	g.members = members
	return g.enter(GroupStarting, effects)
}

// startNext begins, in the order of lines, what was not begun yet, up to one that those below it wait for.
func (g *group) startNext(effects []effect, now time.Time) []effect {
	for _, m := range g.members {
		if m.late {
			continue
		}
		if m.State == Configured && !m.Held {
			if g.held != nil && g.held(m.entry.Tag) {
				return effects
			}
			m.Level = g.Level
			effects = append(effects, m.handle(g.dialect, event{kind: evStart, now: now})...)
		}
		if !m.settled() {
			return effects
		}
	}
	return g.enter(GroupChecking, effects)
}

// check says what came of the level. Later deaths do not change it.
func (g *group) check(effects []effect, now time.Time) []effect {
	verdict, tests := GroupDone, 0
	var own int
	for _, m := range g.members {
		switch {
		case m.late:
			continue
		case !m.settled():
			return effects
		case m.State == Fail, m.State == Failed, m.Unready:
			verdict = GroupFailed
		case m.State == Pass:
			tests++
		}
		own++
	}
	if verdict == GroupDone && own > 0 && tests == own {
		verdict = GroupPassed
	}
	effects = g.enter(verdict, effects)
	for _, m := range slices.Clone(g.members) {
		if m.late {
			effects = append(effects, m.handle(g.dialect, event{kind: evStop, now: now})...)
		}
	}
	return effects
}

// forget forgets what an earlier level has left, once that is gone.
func (g *group) forget() {
	g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m.late && m.gone() })
}

// stands says whether the group is where it was told to be, and nothing is left of where it was.
func (g *group) stands() bool {
	switch g.State {
	case GroupDone, GroupPassed, GroupFailed:
		return !slices.ContainsFunc(g.members, func(m *member) bool { return m.late || m.State == Stopping })
	case GroupConfigured:
		return true
	}
	return false
}
