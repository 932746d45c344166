package lockserver

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"backtowork/internal/lease"
	"backtowork/internal/lock"

	"github.com/hashicorp/raft"
)

// A holding is one term of a lock in the hands of one session, as its client saw it.
type holding struct {
	lock, node, session string
	term                uint64
	called, got         time.Time
	gaveUp, freed       time.Time // the release was called, and answered; zero for never
	kill                time.Time // K, or when its node died, another session adopted it, or it is unblocked
	end                 time.Time // L
	lost                time.Time // zero if it was not
	died, adopted       time.Time // zero for never
	blocked             bool      // what runs is not stopped before a person comes
	from                string    // the session that it was adopted from
	single              bool      // a script has it, which is told nothing
	previous            string    // what it was told of who had it before
	unfenced            []string
	again               bool // it is told of a term that it gave back: no acquire, but an effect

	lives lock.Times // that it lives by

	sent time.Time     // of the last acknowledged request, at the earliest
	long time.Duration // the longest timeout that sent may have to be reckoned with
	ends func() (end, kill lease.Time)
	on   *simClock
}

// update reads K and s from the client.
func (o *holding) update() {
	end, kill := o.ends()
	o.kill, o.end = o.on.when(kill, o.got), o.on.when(end, o.got)
	o.sent = o.on.when(end.Add(-o.long), time.Time{})
	if o.blocked {
		o.kill = o.got.Add(1000 * time.Hour)
	}
	for _, at := range []time.Time{o.died, o.adopted} {
		if !at.IsZero() && at.Before(o.kill) {
			o.kill = at
		}
	}
}

// over is when the client took itself to be the holder no more.
func (o *holding) over() time.Time {
	if !o.gaveUp.IsZero() && o.gaveUp.Before(o.kill) {
		return o.gaveUp
	}
	return o.kill
}

// An applied is a log entry as the first server applied it.
type applied struct {
	raftTerm uint64
	entry    lock.Entry
	did      outcome
}

// poweredOff counts, among the kinds of log entries, the fencings that succeeded.
const poweredOff lock.Kind = "powered off"

// A grant is an acquire in the servers' log, or a permission to fence.
type grant struct {
	name        string
	what        lock.Kind
	before, now lock.Lock
	silence     time.Duration // that the lease before was judged by
	at          time.Time
	rate        float64 // of the clock of the server that granted it
}

// A history is what happened in a simulation, and what was wrong with it.
type history struct {
	mu       sync.Mutex
	start    time.Time
	holdings []*holding
	waiting  map[string]map[string]time.Time // lock to node to since when
	log      map[uint64]applied
	changed  map[string]changed   // of each lock, the last change of times
	fenced   map[string]time.Time // of each lock, when somebody was permitted to fence
	table    map[string]lock.Lock
	grants   []grant
	did      map[lock.Kind]int // entries of each kind that changed something
	silent   silences
	opens    []time.Time
	events   []event
	wrong    []string
}

type event struct {
	at   time.Duration
	lock string // "" for all
	text string
}

// String is the event on one line.
func (e event) String() string { return fmt.Sprintf("%12.3f  %-4s %s", e.at.Seconds(), e.lock, e.text) }

func newHistory() *history {
	return &history{
		start: time.Now(), waiting: map[string]map[string]time.Time{}, log: map[uint64]applied{},
		table: map[string]lock.Lock{}, changed: map[string]changed{}, fenced: map[string]time.Time{}, did: map[lock.Kind]int{},
		silent: silences{mixed: true, named: map[string][]string{}, told: map[string]map[uint64]told{}},
	}
}

// note notes an event of the lock called name, or of all of them.
func (h *history) note(name, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(name, format, args...)
}

func (h *history) noteLocked(name, format string, args ...any) {
	e := event{time.Since(h.start), name, fmt.Sprintf(format, args...)}
	h.events = append(h.events, e)
	if *simLog {
		fmt.Println(e)
	}
}

// violated notes what is wrong. The caller holds h.mu.
func (h *history) violated(name, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if name != "" {
		text = fmt.Sprintf("lock %s: %s", name, text)
	}
	if slices.Contains(h.wrong, text) {
		return
	}
	h.noteLocked(name, "VIOLATION: %s", text)
	h.wrong = append(h.wrong, text)
}

func (h *history) violate(name, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violated(name, format, args...)
}

// violateAt notes what was wrong at an earlier time.
func (h *history) violateAt(at time.Time, name, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violated(name, format, args...)
	h.events[len(h.events)-1].at = h.since(at)
	slices.SortStableFunc(h.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// isWrong says whether something was wrong so far.
func (h *history) isWrong() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.wrong) > 0
}

// saw notes what a server did with a log entry: the same as the first one that came to it.
func (h *history) saw(server string, rate float64, l *raft.Log, e lock.Entry, did outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if first, ok := h.log[l.Index]; ok {
		if first.raftTerm != l.Term || first.entry != e || first.did != did {
			h.violated(e.Name, "the servers disagree about log entry %d: %s has %+v of term %d, another had %+v of term %d",
				l.Index, server, e, l.Term, first.entry, first.raftTerm)
		}
		return
	}
	h.log[l.Index] = applied{l.Term, e, did}
	if e.Kind == lock.Open {
		h.opens = append(h.opens, time.Now())
		h.noteLocked("", "log %d: raft term %d opened (seen on %s)", l.Index, l.Term, server)
		return
	}
	h.noteLocked(e.Name, "log %d in raft term %d, first on %s: %s of term %d by %.6s for %.6s, changed %v", l.Index, l.Term, server,
		e.Kind, e.Term, e.Session, e.Owner.Session, did.changed)
	before := h.table[e.Name]
	if !did.changed {
		return
	}
	if did.lock.Term < before.Term {
		h.violated(e.Name, "its term went back from %d to %d", before.Term, did.lock.Term)
	}
	h.table[e.Name] = did.lock
	h.did[e.Kind]++
	h.sawSilence(before, e, did.lock)
	if e.Kind == lock.Fenced && e.OK {
		h.did[poweredOff]++
	}
	switch e.Kind {
	case lock.Change:
		h.changed[e.Name] = changed{time.Now(), before.Times.Silence()}
	case lock.Fence:
		h.fenced[e.Name] = time.Now()
		h.grants = append(h.grants, grant{e.Name, e.Kind, before, did.lock, before.Times.Timeout, time.Now(), rate})
	case lock.Acquire:
		if limit := time.Duration(before.Fencing.Limit) * time.Millisecond; before.BeingFenced() && time.Since(h.fenced[e.Name]) < limit*99/100 {
			h.violated(e.Name, "term %d was granted to %s while the holder of term %d was fenced", did.lock.Term, did.lock.Node, before.Term)
		}
		silence := before.Times.Silence()
		// A change that is logged between the judgement and the acquire finds a lease that is over.
		if c := h.changed[e.Name]; time.Since(c.at) < applyLimit {
			silence = min(silence, c.silence)
		}
		h.grants = append(h.grants, grant{e.Name, e.Kind, before, did.lock, silence, time.Now(), rate})
	}
}

// changed is a change of times: when, and the silence that was due before it.
type changed struct {
	at      time.Time
	silence time.Duration
}

// check looks for faults in what the clients and the servers did so far; what porcupine checks is left out.
func (h *history) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := map[string]*holding{}
	slices.SortFunc(h.holdings, func(a, b *holding) int { return a.got.Compare(b.got) })
	for _, o := range h.holdings {
		o.update()
		if p := last[o.lock]; p != nil && p.session != o.session && o.got.Before(p.over()) {
			h.violated(o.lock, "two held it at once: %s in term %d since %v, %s in term %d until %v", o.node, o.term, h.since(o.got),
				p.node, p.term, h.since(p.over()))
		}
		if p := last[o.lock]; p == nil || p.over().Before(o.over()) {
			last[o.lock] = o
		}
	}
	for _, g := range h.grants {
		h.checkGrant(g)
	}
}

// checkGrant checks an acquire by rule 5, and a permission to fence by rule 19: it must not come too early.
func (h *history) checkGrant(g grant) {
	if !g.before.Held() || g.what == lock.Acquire && (g.before.Session == g.now.Session || g.before.Fenced) {
		return
	}
	for _, o := range h.holdings {
		if o.lock != g.name || o.term != g.before.Term {
			continue
		}
		silence := time.Duration(float64(g.silence) / g.rate)
		// A nanosecond of rounding in the clocks is no fault.
		if early := o.sent.Add(silence).Sub(g.at); early > time.Microsecond {
			h.violated(g.name, "%s to %s in term %d at %v, %v too early: %s, term %d, sent a request at %v that was acknowledged",
				g.what, cmp.Or(g.now.Fencing.By.Node, g.now.Node), g.now.Term, h.since(g.at), early, o.node, o.term, h.since(o.sent))
		}
	}
}

func (h *history) since(t time.Time) time.Duration { return t.Sub(h.start).Round(time.Millisecond) }

// hold begins a holding.
func (h *history) hold(o *holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holdings = append(h.holdings, o)
	h.noteLocked(o.lock, "%s (%.6s) holds it in term %d, asked for at %v", o.node, o.session, o.term, h.since(o.called))
	if k := h.table[o.lock]; k.Term < o.term {
		h.violated(o.lock, "%s was told that it has term %d, which is in no server's log", o.node, o.term)
	}
	h.checkTold(o)
}

// set changes a holding.
func (h *history) set(o *holding, format string, change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	h.noteLocked(o.lock, "%s (%.6s), term %d: "+format, o.node, o.session, o.term)
}

// wait notes that a node waits for a lock, or does no more.
func (h *history) wait(name, node string, waits bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[name] == nil {
		h.waiting[name] = map[string]time.Time{}
	}
	if waits {
		h.waiting[name][node] = time.Now()
	} else {
		delete(h.waiting[name], node)
	}
}

// checkAlive says what is wrong if a lock is nobody's though somebody waits for it, and nothing
// has been broken since calm.
func (h *history) checkAlive(calm time.Time, longest, election time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes := 1
	for _, at := range h.opens {
		if at.After(calm) {
			changes++
		}
	}
	bound := time.Duration(changes)*longest + election
	for name, nodes := range h.waiting {
		since := calm
		for _, o := range h.holdings {
			if o.lock == name && o.over().After(since) {
				since = o.over()
			}
		}
		for node, asked := range nodes {
			if waited := min(time.Since(since), time.Since(asked)); waited > bound {
				h.violated(name, "%s has waited %v for a lock that nobody holds, with %d leader changes: at most %v are allowed",
					node, waited, changes-1, bound)
			}
		}
	}
}

// checkKept says what is wrong if a holder lost its lock after calm, when nothing was broken.
func (h *history) checkKept(calm time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.holdings {
		if o.lost.After(calm) && o.gaveUp.IsZero() {
			h.violated(o.lock, "%s lost it in term %d, at %v, though nothing has been broken for long", o.node, o.term, h.since(o.lost))
		}
	}
}

// of is what the clients saw of a lock.
func (h *history) of(name string) []holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []holding
	for _, o := range h.holdings {
		if o.lock == name && !o.again {
			all = append(all, *o)
		}
	}
	return all
}

// report is what is wrong, and the last events of the lock that it is about.
func (h *history) report() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wrong) == 0 {
		return ""
	}
	const last = 60
	var name string
	_, _ = fmt.Sscanf(h.wrong[0], "lock %s", &name)
	if name != "" {
		name = name[:len(name)-1]
	}
	text := h.wrong[0] + "\n"
	for _, more := range h.wrong[1:] {
		text += "and: " + more + "\n"
	}
	events := slices.DeleteFunc(slices.Clone(h.events), func(e event) bool {
		return e.lock != "" && name != "" && e.lock != name
	})
	if i := slices.IndexFunc(events, func(e event) bool { return len(e.text) > 9 && e.text[:9] == "VIOLATION" }); i >= 0 {
		events = events[:i+1]
	}
	for _, e := range events[max(0, len(events)-last):] {
		text += e.String() + "\n"
	}
	return text
}
