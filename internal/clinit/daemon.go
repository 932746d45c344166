package clinit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/script"
)

// Hands are what a daemon begins and ends processes with. A key is an entry's tag, or that of its ready command.
type Hands interface {
	Start(key string, l script.Launch) (pid int, err error)
	Adopt(key string) (pid int, err error)
	Ended() <-chan script.Ended
	Signal(sig syscall.Signal, keys ...string) error
	Kill(keys ...string) (left map[string][]script.Process, err error)
	Alive(keys ...string) (map[string][]script.Process, error)
	Found() (map[string][]script.Process, error)
}

// Config is what a daemon is given.
type Config struct {
	Dialect Dialect
	File    string                                                                        // cltab, for messages
	Read    func() ([]byte, error)                                                        // its text
	Hands   Hands                                                                         // of its processes
	Start   func(key string, e Entry, command string, env ...string) (pid int, err error) // begins a command of an entry
	Log     journal.Log
	Status  func(text string) error   // writes clstat, replaced whole
	Keep    func(text string) error   // writes the record of what it does, for who takes its place
	Kept    string                    // the record of who was there before; "" for none
	Halted  func(group string) string // the file that says that a group is not to run, since its package was killed; "" for none
	Boot    string                    // names the time since the host was booted
	Rest    func()                    // gives back memory; may be nil
}

const (
	heartbeat  = 30 * time.Second // clstat is written again, so that it is seen that the daemon lives
	restAfter  = 3 * time.Second  // what was needed for what has happened is given back
	keepPace   = 20 * time.Millisecond
	keepShare  = 5                // the record takes no more than one part in so many of the time
	firstLook  = time.Millisecond // pauses between two looks at what is left, doubling
	lastLook   = 50 * time.Millisecond
	readyPace  = 500 * time.Millisecond
	readySign  = "\tready" // of the key of a ready command: no tag has a tab in it
	noteBefore = 40        // execs at the most between two looks at what else there is to do
)

// A Daemon keeps the processes of a file's groups. All of it happens in Run.
type Daemon struct {
	cfg      Config
	table    *Table
	bad      []Problem // of the file as it is now, which is not in force then
	sum      [32]byte
	groups   []*group                    // those in the file, in its order, and those that are not any more
	execs    []owned                     // to be begun
	signals  map[syscall.Signal][]string // to be sent, by key
	kills    []string
	killing  map[string]bool // what is being killed is not begun again before that has ended
	looks    map[*member]*group
	pause    time.Duration // until the next look
	lookAt   *time.Timer
	timers   map[*member]*time.Timer
	fired    chan timed
	asks     chan *request
	waiting  []*request
	asking   map[string]asked // ready commands, by tag
	kept     time.Time        // when the record was written
	keepTook time.Duration    // and how long that took
	owing    bool             // it is not what it is to be
	keepAt   *time.Timer
	promised []func()    // answers that rely on the record: they come once it is written
	quiet    *time.Timer // since nothing has happened
	over     chan struct{}
	killed   chan struct{} // in tests: as if by SIGKILL
	halts    bool

	noStatus, noRecord string // why they could not be written last
}

// An owned is a member and its group.
type owned struct {
	g *group
	m *member
}

// A timed is a timer that has fired.
type timed struct {
	owned
	timer *time.Timer
}

// New is a daemon for the file, which must be right. It goes on with what an earlier one has left.
func New(cfg Config) (*Daemon, []Problem) {
	d := &Daemon{
		cfg: cfg, looks: map[*member]*group{}, timers: map[*member]*time.Timer{}, fired: make(chan timed),
		signals: map[syscall.Signal][]string{}, killing: map[string]bool{}, asks: make(chan *request), asking: map[string]asked{}, over: make(chan struct{}), killed: make(chan struct{}),
		lookAt: stoppedTimer(), keepAt: stoppedTimer(), quiet: stoppedTimer(),
	}
	_ = d.reread()
	if d.table == nil {
		return nil, d.bad
	}
	return d, d.bad
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// Run keeps the processes until ctx is over, or somebody has it halt; then it stops them all, and returns.
func (d *Daemon) Run(ctx context.Context) {
	defer close(d.over)
	d.resume()
	d.writeStatus()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	done := ctx.Done()
	for !(d.halts && d.isDown() && len(d.kills) == 0 && len(d.killing) == 0) {
		if len(d.execs) > 0 {
			d.beginSome()
		}
		d.send()
		d.answerWaiting()
		idle := make(chan struct{})
		if len(d.execs) > 0 {
			close(idle)
		}
		select {
		case <-done:
			done = nil
			d.haltAll()
		case e := <-d.cfg.Hands.Ended():
			d.ended(e)
		case t := <-d.fired:
			if d.timers[t.m] == t.timer {
				delete(d.timers, t.m)
				d.happened(t.owned, event{kind: evTimer})
			}
		case r := <-d.asks:
			d.serveAll(r)
		case <-d.lookAt.C:
			d.look()
		case <-d.keepAt.C:
			d.keep()
		case <-d.quiet.C:
			d.rest()
		case <-beat.C:
			for _, g := range slices.Clone(d.groups) {
				d.obey(g)
			}
			d.writeStatus()
		case <-d.killed:
			return
		case <-idle:
		}
	}
	d.keep()
	d.answerWaiting()
}

// isDown says whether all groups are halted.
func (d *Daemon) isDown() bool {
	return !slices.ContainsFunc(d.groups, func(g *group) bool { return g.State != GroupConfigured })
}

// haltAll stops everything. Who waits for a level is told when that is so.
func (d *Daemon) haltAll() {
	if d.halts {
		return
	}
	d.halts = true
	for _, g := range d.groups {
		if g.State != GroupConfigured {
			d.perform(g, g.halt(time.Now()))
		}
	}
}

func (d *Daemon) group(name string) *group {
	i := slices.IndexFunc(d.groups, func(g *group) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return d.groups[i]
}

// find is the process of a tag; of a tag that was moved to another group, the one that is there still.
func (d *Daemon) find(tag string) (owned, bool) {
	for _, g := range d.groups {
		if m := g.member(tag); m != nil && m.State != Configured {
			return owned{g, m}, true
		}
	}
	for _, g := range d.groups {
		if m := g.member(tag); m != nil {
			return owned{g, m}, true
		}
	}
	return owned{}, false
}

func (d *Daemon) happened(o owned, e event) {
	e.now = time.Now()
	was := o.m.State
	d.perform(o.g, o.g.happened(o.m, e))
	if o.m.gone() && was != Configured { // its tag may be waited for, in another group
		for _, g := range d.groups {
			if g != o.g && g.State == GroupStarting {
				d.perform(g, g.advance(nil, e.now))
			}
		}
	}
}

// perform does what the machines say.
func (d *Daemon) perform(g *group, effects []effect) {
	for _, e := range effects {
		if e.m == nil {
			d.say(e.state.level(), "%s %s %s", g.Name, e.level, e.state)
			d.writeStatus(shown{g, e.level, e.state})
			if e.state == GroupConfigured && !d.inFile(g.Name) {
				d.groups = slices.DeleteFunc(slices.Clone(d.groups), func(other *group) bool { return other == g })
			}
			continue
		}
		d.do(owned{g, e.m}, e.order)
	}
	d.keepSoon(g)
	d.quiet.Reset(restAfter)
}

func (d *Daemon) do(o owned, what order) {
	tag := o.m.entry.Tag
	switch what.do {
	case doExec:
		d.execs = append(d.execs, o)
	case doSignal:
		sig := o.m.entry.signal(what.stage)
		d.signals[sig] = append(d.signals[sig], tag)
	case doKill:
		d.kills = append(d.kills, tag)
	case doLook:
		d.looks[o.m] = o.g
		d.pause = 0
		d.lookAt.Reset(0)
	case doArm:
		d.arm(o, what.after)
	case doOff:
		d.disarm(o)
	case doReady:
		d.asking[tag] = asked{owned: o, until: time.Now().Add(o.m.entry.Options.ReadyTimeout)}
		d.askReady(tag)
	case doFlap:
		d.say(journal.Warning, "%s", o.m.entry.flapping(d.cfg.Dialect))
	case doStuck:
		d.say(journal.Error, "%s: SIGKILL does not end it: %s", tag, d.whatIsLeft(tag))
	}
}

func (d *Daemon) whatIsLeft(tag string) string {
	alive, err := d.cfg.Hands.Alive(tag)
	if err != nil {
		return err.Error()
	}
	return script.InWords(alive[tag])
}

func (d *Daemon) arm(o owned, after time.Duration) {
	if t := d.timers[o.m]; t != nil {
		t.Stop()
	}
	var t *time.Timer
	armed := make(chan struct{})
	t = time.AfterFunc(after, func() {
		<-armed
		select {
		case d.fired <- timed{o, t}:
		case <-d.over:
		}
	})
	d.timers[o.m] = t
	close(armed)
}

// disarm takes back what was to come for a process: its timer, looks, its ready command, and that it is begun.
func (d *Daemon) disarm(o owned) {
	if t := d.timers[o.m]; t != nil {
		t.Stop()
		delete(d.timers, o.m)
	}
	delete(d.looks, o.m)
	d.execs = slices.DeleteFunc(d.execs, func(other owned) bool { return other.m == o.m })
	d.stopAsking(o.m.entry.Tag)
}

// beginSome begins what is to be begun, a few at a time: others want something too.
func (d *Daemon) beginSome() {
	for range noteBefore {
		if len(d.execs) == 0 {
			return
		}
		o := d.execs[0]
		d.execs = d.execs[1:]
		d.begin(o)
	}
}

// begin runs a command. That it cannot be run concerns its entry and no other.
func (d *Daemon) begin(o owned) {
	if d.obey(o.g) {
		return
	}
	e := o.m.entry
	o.m.since, o.m.trouble = time.Now(), ""
	pid, err := d.start(e.Tag, o, e.Command)
	if err != nil {
		o.m.trouble = err.Error()
		d.say(journal.Error, "%s:%d: cannot run %s: %v", d.cfg.File, e.Line, e.Tag, err)
		d.happened(o, event{kind: evNotRun})
		return
	}
	o.m.pid = pid
	d.happened(o, event{kind: evBegan})
}

func (d *Daemon) start(key string, o owned, command string) (int, error) {
	if strings.TrimSpace(command) == "" {
		return 0, errors.New("it has no command")
	}
	return d.cfg.Start(key, o.m.entry, command,
		"GROUP="+o.g.Name, "TAG="+o.m.entry.Tag, "LEVEL="+o.m.Level, "PREVLEVEL="+o.g.Prev)
}

// ended takes up that a command has ended.
func (d *Daemon) ended(e script.Ended) {
	if tag, isReady := strings.CutSuffix(e.Key, readySign); isReady {
		d.readyEnded(tag, e.PID, e.Status)
		return
	}
	o, found := d.find(e.Key)
	if !found || !o.m.Alive || o.m.pid != e.PID {
		return
	}
	o.m.pid, o.m.status, o.m.ended = 0, e.Status, true
	if e.Status != 0 && o.m.State != Stopping {
		d.say(journal.Info, "%s: %s %s", o.g.Name, e.Key, inWords(e.Status))
	}
	d.happened(o, event{kind: evEnded, status: e.Status})
	d.obey(o.g) // before anything is begun again
}

// inWords is how a command has ended.
func inWords(status int) string {
	switch {
	case status == unknown:
		return "has ended"
	case status > 128:
		return fmt.Sprintf("was ended by signal %d", status-128)
	}
	return fmt.Sprintf("has ended with %d", status)
}

func (d *Daemon) say(level journal.Level, format string, args ...any) {
	d.cfg.Log.Tell(level, fmt.Sprintf(format, args...))
}
