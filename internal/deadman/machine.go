// Package deadman is the second process beside each manager: it makes sure that the manager's
// packages are down by their kill ends, whatever becomes of the manager (SAFETY.md rule 17).
//
// The manager tells it of each package, at every turn of its loop: free, held with the ends of
// its lease L and K, or stopping with its kill end K. Who acts on a package follows from that
// word and from the clock. At any time it is one of the two, or a manager that takes the place
// of the first:
//
//	             the manager acts                         the deadman acts
//
//	free --lock taken--> held --lock lost--> stopping         stop script, TERM, KILL,
//	  ^                   |  |                |   |           status: by the kill end
//	  '---- released -----'  |                |   |                    |
//	                         |                |   '-- kill end --> KILL|
//	                         '-- silent at L + 0.3 s: --------------> mine --done--> a manager
//	                             the manager is killed                 ^            of its own
//	                                                                   |
//	  the manager is gone without a word: ---> reviving --- not back ---'
//	  another is started in its place             |  in 1.5 s, or at L
//	                                              '--- it is back: it acts, under the same L and K
//
// A package is held before anything of it is started: the manager waits for the deadman's answer.
// A manager that comes back asks what there is to go on with, and adopts it (rule 18); so does one
// that was replaced by a newer program in place. One that was started by hand waits until the
// deadman has let go of the package: each holds a file lock.
//
// [machine] decides: it does no I/O and has no clock of its own. A [Deadman] is the loop that
// drives it, a [Link] the manager's end.
package deadman

import (
	"maps"
	"slices"
	"time"

	"backtowork/internal/lease"
)

// A Phase is how it stands with a package, by its manager's word.
type Phase string

// The phases that a manager tells of.
const (
	Free     Phase = "free"     // nothing of it runs under this manager's lock
	Held     Phase = "held"     // the manager has the lock: until End, if it hears nothing from the servers
	Stopping Phase = "stopping" // the lock is lost: nothing of the package may be left at Kill
)

// A Word is what a manager says of one package.
type Word struct {
	Package string        `json:"package"`
	Phase   Phase         `json:"phase"`
	Doing   string        `json:"doing,omitempty"` // the package's state, for who goes on with it
	Term    uint64        `json:"term,omitempty"`
	Prev    string        `json:"previous,omitempty"` // the node that had the lock before
	Session string        `json:"session,omitempty"`  // which has the lock
	End     lease.Time    `json:"end,omitzero"`       // L
	Kill    lease.Time    `json:"kill,omitzero"`      // K
	Timeout time.Duration `json:"timeout,omitempty"`  // T: L counts from when the last renewal was sent
	Stop    time.Duration `json:"stop,omitempty"`     // S
	Every   time.Duration `json:"every,omitempty"`    // how often the manager says something
	Over    bool          `json:"over,omitempty"`     // the manager is done with the package: it need not be watched any more
}

const (
	patience  = 300 * time.Millisecond  // after L, until a silent manager is killed
	reviveFor = 1500 * time.Millisecond // how long a manager may take to come back
	maxRevive = 3                       // so many managers in a row may end before steady
	steady    = 10 * time.Second        // a manager that lived as long was well: the row is over
)

// A manager is whether there is one, as far as the deadman knows.
type manager string

const (
	here     manager = "here"
	reviving manager = "reviving" // another is being started
	nobody   manager = "nobody"   // it is about to be killed, or no other will come
)

// A duty is a package that the deadman watches or stops.
type duty struct {
	Word
	heard  lease.Time // when the manager last said something of it
	mine   bool       // the deadman stops it
	killed bool       // what was left of it at its kill end was killed
}

// A deed is something that the machine wants done.
type deed struct {
	do      string
	pkg     string
	revives []string
	runs    bool // letGo: it may run on, for another deadman
}

// What there is to do.
const (
	killManager = "kill manager"
	revive      = "revive"         // start a manager that goes on with revives
	stop        = "stop"           // the package, by its kill end
	kill        = "kill"           // all that is left of it, now
	begin       = "begin"          // start an ordinary manager, which stands by for the package
	letGo       = "let go"         // of the package: another may act on it
	end         = "end"            // of this process
	unwatched   = "nobody is left" // tell that no manager can be started
)

// A machine is all that the deadman knows.
type machine struct {
	manager manager
	since   lease.Time // reviving since, or here since
	tries   int        // how many managers in a row were started, see maxRevive
	over    bool       // no manager will come back
	duties  map[string]*duty
}

func newMachine(now lease.Time, packages []string) *machine {
	m := &machine{manager: here, since: now, duties: map[string]*duty{}}
	for _, p := range packages {
		m.duties[p] = &duty{Word: Word{Package: p, Phase: Free}}
	}
	return m
}

// said takes in a manager's word. A word about a package that the deadman stops itself comes too late, and
// counts for nothing.
func (m *machine) said(w Word, now lease.Time) (deeds []deed) {
	d := m.duties[w.Package]
	if d == nil || d.mine || m.manager != here {
		return nil
	}
	if w.Over {
		delete(m.duties, w.Package)
		deeds = append(deeds, deed{do: letGo, pkg: w.Package, runs: w.Phase != Free})
		return append(deeds, m.atEnd()...)
	}
	if w.Kill != d.Kill || w.Phase != d.Phase {
		d.killed = false
	}
	d.Word, d.heard = w, now
	return nil
}

// gone takes in that the manager has ended, or that its connection broke: another is started for what is
// not to be stopped at once.
func (m *machine) gone(now lease.Time) []deed {
	if m.over {
		return nil
	}
	if m.manager != reviving && now.Longest(m.since) >= steady {
		m.tries = 0
	}
	switch {
	case m.manager != reviving:
		m.manager, m.since = reviving, now
	case now.Longest(m.since) >= reviveFor: // since the first of these tries: due gives up
		return nil
	}
	deeds := m.takeEnded(now)
	names := m.managers()
	switch {
	case len(names) == 0:
		m.manager, m.over = nobody, true
		return deeds
	case m.tries >= maxRevive:
		return append(deeds, m.giveUp()...)
	}
	m.tries++
	return append(deeds, deed{do: revive, revives: names})
}

// back takes in that a manager has come in the place of the earlier one. It has as long as any to say
// something: that the earlier one was silent is not its fault.
func (m *machine) back(now lease.Time) {
	m.manager, m.since = here, now
	for _, d := range m.duties {
		d.heard = now
	}
}

// managers is the packages of the manager: all but those that the deadman stops.
func (m *machine) managers() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.duties)) {
		if !m.duties[name].mine {
			names = append(names, name)
		}
	}
	return names
}

// watches says whether the package is one of the managers.
func (m *machine) watches(pkg string) bool {
	d := m.duties[pkg]
	return d != nil && !d.mine
}

// giveUp waits for no manager any more: the deadman stops all that runs, and lets go of the rest.
func (m *machine) giveUp() (deeds []deed) {
	m.manager, m.over = nobody, true
	deeds = append(deeds, deed{do: unwatched})
	for _, name := range m.managers() {
		deeds = append(deeds, m.take(name)...)
	}
	return append(deeds, m.atEnd()...)
}

// take makes the deadman stop a package. One that is free has nothing to stop: it lets go of that.
func (m *machine) take(name string) []deed {
	d := m.duties[name]
	if d.Phase == Free {
		delete(m.duties, name)
		return []deed{{do: letGo, pkg: name}}
	}
	d.mine = true
	return []deed{{do: stop, pkg: name}}
}

// due is what the clock asks for. It is to be called when [machine.next] says, and after each event.
func (m *machine) due(now lease.Time) (deeds []deed) {
	if at, ok := m.next(); !ok || at.Left(now) > 0 { // of a thousand packages most words find nothing to do
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(m.duties)) { // first of all, what must not wait
		d := m.duties[name]
		if d.Phase != Free && !d.killed && d.Kill.Left(now) <= 0 {
			d.killed = true
			deeds = append(deeds, deed{do: kill, pkg: name})
		}
	}
	switch m.manager {
	case here:
		deeds = append(deeds, m.silent(now)...)
	case reviving:
		deeds = append(deeds, m.late(now)...)
	case nobody:
	}
	return deeds
}

// silent finds a manager that should have said by now that a lock was renewed, or lost, or that a package
// is down. It is killed, and the deadman stops those packages that were held.
func (m *machine) silent(now lease.Time) (deeds []deed) {
	hangs := false
	for _, name := range m.managers() {
		d := m.duties[name]
		if at, ok := d.wanted(); !ok || at.Left(now) > 0 {
			continue
		}
		hangs = true
		if d.Phase == Held {
			deeds = append(deeds, m.take(name)...)
		}
	}
	if hangs {
		m.manager = nobody // until gone, which follows
		deeds = append([]deed{{do: killManager}}, deeds...)
	}
	return deeds
}

// wanted is when the manager must have said something new at the latest; ok is false where it may be silent.
func (d *duty) wanted() (at lease.Time, ok bool) {
	switch d.Phase {
	case Held:
		return d.End.Add(patience), true
	case Stopping:
		return lease.Later(d.Kill, d.heard.Add(2*d.Every)).Add(patience), true
	case Free:
	}
	return at, false
}

// late gives up a manager that was started and does not come back in time. Until then it has the deadman
// stop the packages that cannot wait for it.
func (m *machine) late(now lease.Time) (deeds []deed) {
	if now.Longest(m.since) >= reviveFor {
		return append([]deed{{do: killManager}}, m.giveUp()...)
	}
	if deeds = m.takeEnded(now); deeds != nil && len(m.managers()) == 0 { // who comes now has nothing to go on with
		m.manager, m.over = nobody, true
		deeds = append([]deed{{do: killManager}}, deeds...)
	}
	return deeds
}

// takeEnded makes the deadman stop the packages whose lease is over: no manager may go on with those.
func (m *machine) takeEnded(now lease.Time) (deeds []deed) {
	for _, name := range m.managers() {
		if d := m.duties[name]; d.Phase == Held && d.End.Left(now) <= 0 {
			deeds = append(deeds, m.take(name)...)
		}
	}
	return deeds
}

// stopped takes in that the deadman has stopped a package and lets go of it. An ordinary manager is started
// that stands by for it, unless the package was being halted.
func (m *machine) stopped(name string) []deed {
	d := m.duties[name]
	if d == nil || !d.mine {
		return nil
	}
	delete(m.duties, name)
	deeds := []deed{{do: letGo, pkg: name}}
	if m.tries < maxRevive && d.Doing != "halting" && d.Doing != "halted" {
		deeds = append(deeds, deed{do: begin, pkg: name})
	}
	return append(deeds, m.atEnd()...)
}

// atEnd ends the process when there is no package left.
func (m *machine) atEnd() []deed {
	if len(m.duties) == 0 {
		return []deed{{do: end}}
	}
	return nil
}

// next is when due has something to do at the earliest, if nothing else happens; ok is false for
// never.
func (m *machine) next() (at lease.Time, ok bool) {
	add := func(t lease.Time) {
		if !ok {
			at, ok = t, true
		}
		at = lease.Earlier(at, t)
	}
	for _, d := range m.duties {
		if d.Phase != Free && !d.killed {
			add(d.Kill)
		}
		if d.mine {
			continue
		}
		switch at, ok := d.wanted(); {
		case ok && m.manager == here:
			add(at)
		case m.manager == reviving && d.Phase == Held:
			add(d.End)
		}
	}
	if m.manager == reviving {
		add(m.since.Add(reviveFor))
	}
	return at, ok
}
