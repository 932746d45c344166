package manager

import (
	"context"
	"testing"
	"time"

	"backtowork/internal/deadman"
	"backtowork/internal/failover"
	"backtowork/internal/journal"
	"backtowork/internal/lease"
)

// deaf is a watchdog process that hears nothing, until it is let.
type deaf chan struct{}

func (deaf) Hold(string, lease.Time, time.Duration) {}
func (deaf) Clear(string)                           {}
func (d deaf) Flush(time.Duration)                  { <-d }

// A flock is a file lock.
type flock chan struct{}

func (f flock) Close() error {
	close(f)
	return nil
}

// A watchdog process that does not hear keeps the deadman from nothing: the kill end of another package may come
// in that second. Nor is a package let go of before it was told.
func TestLetGoDoesNotWait(t *testing.T) {
	t.Parallel()
	w, f := make(deaf), make(flock)
	d := &deadmanProcess{DeadmanConfig: DeadmanConfig{Watchdog: w}, packages: map[string]*watched{"p": {scripts: &scripted{}, flock: f}}}
	did := make(chan struct{})
	go func() {
		d.LetGo("p", true)
		close(did)
	}()
	select {
	case <-did:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for the watchdog process")
	}
	select {
	case <-f:
		t.Error("the package is let go of before the watchdog process has heard")
	default:
	}
	close(w)
	d.begins.Wait()
	<-f
}

// hanging is a package of which what is alive cannot be seen: who looks hangs.
type hanging struct{ scripted }

func (*hanging) KillAll(time.Duration) (string, error) { select {} }

// TakeAway has nothing to do.
func (*hanging) TakeAway(failover.Standing, journal.Log) {}

// A host whose package cannot be killed resets itself, where that was asked for, also when the look at it hangs.
func TestKillThatHangsResets(t *testing.T) {
	t.Parallel()
	reset, w := make(chan struct{}), &watched{scripts: &hanging{}}
	w.known.Store(&known{lived: lived{Params: failover.Params{SelfFence: true}}, reset: func() { close(reset) }})
	d := &deadmanProcess{DeadmanConfig: DeadmanConfig{Common: Common{Say: func(journal.Line) {}}}, packages: map[string]*watched{"p": w}}
	d.Kill("p")
	select {
	case <-reset:
	case <-time.After(10 * time.Second):
		t.Error("the host is not reset")
	}
}

// A stopping is a package whose stop script ends with code. begins is called when it is run.
type stopping struct {
	scripted
	code   int
	begins func()
}

// Start runs stop, or status, which says down.
func (s *stopping) Start(action string, _ failover.Token) (failover.Action, error) {
	if action == "stop" {
		s.begins()
		return ended(s.code), nil
	}
	return ended(1), nil
}

func (*stopping) KillAll(time.Duration) (string, error)   { return "", nil }
func (*stopping) KillUnfinished(bool) error               { return nil }
func (*stopping) TakeAway(failover.Standing, journal.Log) {}
func (*stopping) Fence(_ context.Context, _ string) error { return nil }

// An ended is an action that ended at once, with this status.
type ended int

func (ended) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
func (e ended) Status() int      { return int(e) }
func (ended) Kill(time.Duration) {}
func (ended) Drop()              {}

// Who waits for a stop that the deadman does hears that its script has failed.
func TestDeadmanTellsOfAStopThatFails(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 1} {
		home := Home(t.TempDir())
		var told func() (Outcome, error)
		s := &stopping{code: code, begins: func() {
			var err error
			if told, err = home.Await(t.Context(), "p"); err != nil {
				t.Error(err)
			}
			if _, err := home.Ask(t.Context(), "p", Request{What: State}); err != nil { // so the one before is accepted
				t.Error(err)
			}
		}}
		w := &watched{scripts: s}
		w.known.Store(&known{lived: lived{Params: failover.Params{Timeout: 5 * time.Second, StopTimeout: 5 * time.Second, Pace: time.Second}}})
		d := &deadmanProcess{
			DeadmanConfig: DeadmanConfig{Common: Common{Node: "h1", Clock: lease.System(), Say: func(journal.Line) {}, Dirs: home}},
			packages:      map[string]*watched{"p": w}, halted: map[string]bool{},
		}
		now := lease.System().Now()
		d.Stop(t.Context(), deadman.Word{Package: "p", Doing: "running", End: now, Kill: now.Add(5 * time.Second), Timeout: 5 * time.Second, Stop: 5 * time.Second})
		if told == nil {
			t.Fatal("the stop script was not run")
		}
		if got, err := told(); err != nil || got != (Outcome{Ended: true, Failed: code != 0}) {
			t.Errorf("a stop that ends with %d: %+v, %v", code, got, err)
		}
	}
}
