package failover

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"backtowork/internal/journal"
	"backtowork/internal/lease"
	"backtowork/internal/notes"
	"backtowork/internal/sim/virtual"
)

// dummy is the parameters of the dummy package: k is 2 s, silence 101 s.
var dummy = Params{Adopt: true, KillLeftovers: true, Pace: 6 * time.Second, Timeout: 40 * time.Second, StartTimeout: 20 * time.Second, StopTimeout: 60 * time.Second}

// A node is a manager, its locker and its package, in a synctest bubble.
type node struct {
	*history
	t       *testing.T
	locker  *memLocker
	scripts *memScripts
	dir     *notes.Dir
	signals chan os.Signal
	ended   chan struct{}
	code    int
	kill    func() // the manager, as by kill -9
	again   Config // for a manager that takes the place of one that was killed
	orders  chan Order
	manager *Manager
}

// newNode is a node that does not run yet.
func newNode(t *testing.T, name string, s *memServers, clock lease.Clock) *node {
	t.Helper()
	j := &history{begin: time.Now()}
	return &node{
		history: j, t: t, dir: notes.In(t.TempDir()), signals: make(chan os.Signal, 8), orders: make(chan Order), ended: make(chan struct{}),
		locker: &memLocker{history: j, node: name, servers: s, clock: clock},
		scripts: &memScripts{
			history: j, t: t, node: name, acts: map[string]act{},
			echoes:    map[string]string{"pace": "6", "timeout": "40", "start_timeout": "20", "stop_timeout": "60"},
			elsewhere: func() string { return "" },
		},
	}
}

// run begins the manager. It is ended with the test, whatever state it is in.
func (n *node) run(p Params) {
	cfg := Config{
		Package: "dummy", Node: n.locker.node, Scripts: n.scripts, Locker: n.locker, Clock: n.locker.clock, Notes: n.dir,
		Say: func(line journal.Line) { n.add("%s", line.Words()) }, Signals: n.signals,
		Orders: n.orders, From: n.again.From, Clear: n.again.Clear, Stop: n.again.Stop, Reset: n.again.Reset,
	}
	m := New(cfg, p)
	n.manager = m
	ctx, kill := context.WithCancel(context.Background())
	ended := make(chan struct{})
	n.kill, n.ended = kill, ended
	go func() {
		defer close(ended)
		code, err := m.Run(ctx)
		if err != nil && ctx.Err() == nil {
			n.t.Errorf("Run = %v", err)
		}
		n.code = code
	}()
	n.t.Cleanup(n.end)
}

func (n *node) end() {
	n.locker.setCut(false)
	n.thaw()
	n.scripts.set(func() {
		n.scripts.acts, n.scripts.broken, n.scripts.sticky, n.scripts.tough = map[string]act{}, nil, false, ""
	})
	for range 200 {
		select {
		case <-n.ended:
			return
		case n.signals <- syscall.SIGTERM:
			sleep(context.Background(), time.Minute)
		}
	}
	n.t.Errorf("the manager does not end:\n%s", strings.Join(n.with(), "\n"))
}

// freeze makes the disk hang that the scripts are on, until thaw.
func (n *node) freeze() { n.scripts.set(func() { n.scripts.frozen = make(chan struct{}) }) }

func (n *node) thaw() {
	n.scripts.set(func() {
		if n.scripts.frozen != nil {
			close(n.scripts.frozen)
			n.scripts.frozen = nil
		}
	})
}

// until waits till second s of the test, and till all that is to happen then has happened.
func (n *node) until(s float64) {
	n.t.Helper()
	d := time.Duration(s*1e9) - time.Since(n.begin)
	if d < 0 {
		n.t.Fatalf("second %v is past", s)
	}
	sleep(context.Background(), d)
	synctest.Wait()
}

// signal sends sig, and waits till all that it causes at once has happened.
func (n *node) signal(sig os.Signal) {
	n.signals <- sig
	synctest.Wait()
}

// wantEnd fails unless the manager has ended with code.
func (n *node) wantEnd(code int) {
	n.t.Helper()
	synctest.Wait()
	select {
	case <-n.ended:
		if n.code != code {
			n.t.Errorf("exit status %d, want %d", n.code, code)
		}
	default:
		n.t.Errorf("the manager has not ended:\n%s", strings.Join(n.with(), "\n"))
	}
}

// want fails unless the lines of the history that have one of words in them are these, but for the details of
// (*Manager).detail.
func (n *node) want(words []string, lines ...string) {
	n.t.Helper()
	synctest.Wait()
	got := slices.DeleteFunc(n.with(words...), func(line string) bool { return strings.Contains(line, "has what it printed") })
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		n.t.Errorf("lines with %q:\n%s\nwant\n%s\nof\n%s", words, strings.Join(got, "\n"), strings.Join(lines, "\n"), strings.Join(n.with(), "\n"))
	}
}

// has fails unless each line is in the history.
func (n *node) has(lines ...string) {
	n.t.Helper()
	synctest.Wait()
	all := "\n" + strings.Join(n.with(), "\n") + "\n"
	for _, line := range lines {
		if !strings.Contains(all, "\n"+line+"\n") {
			n.t.Errorf("%q did not happen:%s", line, all)
		}
	}
}

// bubble runs f in a bubble, with one node whose clock is right.
func bubble(t *testing.T, f func(n *node)) {
	t.Helper()
	t.Parallel()
	virtual.Test(t, func(t *testing.T) {
		f(newNode(t, "h1", newServers(), lease.Scaled(1)))
	})
}

// scriptRuns is the lines of when scripts begin and end, and of kills.
var scriptRuns = []string{"> ", "< ", "kill all"}
