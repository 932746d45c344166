package manager

import (
	"testing"
	"time"

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
